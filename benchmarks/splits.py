"""Whether a split keeps copies together and strata even, and how long that takes.

    python benchmarks/splits.py [--data synth:unsafebench?scale=1] [--copies 1000]

Some pictures of the set are put into it again: byte for byte, as JPEG of quality 60, and so at 0.6
and 2 times the size. The set is split 80/20, and 80/20 without groups to compare.
"""

from __future__ import annotations

import argparse
import io
import random
import time
from collections import Counter

import PIL.Image

from vedette.curate.grouping import Made, SplitOptions, make_split
from vedette.data.base import read_all
from vedette.data.memory import ItemSource
from vedette.data.opening import open_source
from vedette.data.stratify import train_test
from vedette.settings import Settings
from vedette.types import Item

SCALES = (None, 1.0, 0.6, 2.0)
"""None: byte for byte."""


def copy_of(item: Item, scale: float | None) -> Item:
    data = item.data
    assert isinstance(data, bytes)
    if scale is not None:
        picture = PIL.Image.open(io.BytesIO(data)).convert("RGB")
        size = (int(picture.width * scale), int(picture.height * scale))
        stream = io.BytesIO()
        picture.resize(size).save(stream, "JPEG", quality=60)
        data = stream.getvalue()
    return Item(f"copy-{item.key}", data, item.labels, item.meta)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="synth:unsafebench?scale=1")
    parser.add_argument("--copies", type=int, default=1000)
    given = parser.parse_args()
    items = list(read_all(open_source(given.data)[1]))
    rng = random.Random(3)
    copies = [copy_of(item, rng.choice(SCALES)) for item in rng.sample(items, given.copies)]
    source = ItemSource([*items, *copies])
    started = time.perf_counter()
    made = make_split(source, Settings(), SplitOptions(train_test(0.2), seed=7))
    seconds = time.perf_counter() - started
    print(f"{len(items)} pictures, {len(copies)} copies, split in {seconds:.1f} s")
    show(made, copies)
    print("without groups:")
    show(make_split(source, Settings(), SplitOptions(train_test(0.2), seed=7, near=None)), copies)


def show(made: Made, copies: list[Item]) -> None:
    at = {entry.key: entry for entry in made.split.entries}
    pairs = [(at[c.key], at[c.key.removeprefix("copy-")]) for c in copies]
    across = sum(one.part != other.part for one, other in pairs)
    sizes = Counter(Counter(entry.group for entry in made.split.entries).values())
    off = max(abs(c.get("test", 0) - 0.2 * sum(c.values())) for c in made.strata.values())
    print(f"  {across} copies in another part than their picture; {made.split.counts()}")
    print(f"  groups by size {dict(sizes)}; worst of {len(made.strata)} strata {off:.1f} off")


if __name__ == "__main__":
    main()
