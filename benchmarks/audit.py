"""What an audit finds of defects that were planted, and the memory that it needs.

    python benchmarks/audit.py planted [--data synth:unsafebench?scale=0.2&seed=7]
    python benchmarks/audit.py memory

``planted`` puts copies, altered copies, leaks between splits and wrong labels into a set and counts
which of them are found, and what else is. ``memory`` draws small JPEGs into tars, audits 5,000 and
100,000 of them, each in a process of its own, and compares the peaks that the kernel tells.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageEnhance

from vedette.curate.audit import Audit, AuditOptions, audit
from vedette.curate.groups import Group
from vedette.data.base import SPLIT, read_all
from vedette.data.memory import ItemSource
from vedette.data.opening import open_source
from vedette.taxonomy import Category
from vedette.types import Item

FEW, MANY = 5_000, 100_000
IN_A_TAR = 1_000
SHARE = 0.03
"""Of the set's images, how many get an altered copy of each kind."""
FLIPPED = 0.05


def _jpeg(picture: PIL.Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _resized(picture: PIL.Image.Image) -> bytes:
    width, height = picture.size
    return _jpeg(picture.resize((width * 3 // 4, height * 3 // 4)), 90)


def _cropped(picture: PIL.Image.Image, share: float) -> bytes:
    width, height = picture.size
    x, y = round(width * share), round(height * share)
    return _jpeg(picture.crop((x, y, width, height)), 90)


def _brighter(picture: PIL.Image.Image) -> bytes:
    return _jpeg(PIL.ImageEnhance.Brightness(picture).enhance(1.2), 90)


ALTER: dict[str, Callable[[bytes, PIL.Image.Image], bytes]] = {
    "exact copy": lambda data, picture: data,
    "re-encoded, JPEG quality 60": lambda data, picture: _jpeg(picture, 60),
    "resized to 3/4": lambda data, picture: _resized(picture),
    "brightness x 1.2": lambda data, picture: _brighter(picture),
    "cropped by 1 %": lambda data, picture: _cropped(picture, 0.01),
    "cropped by 3 %": lambda data, picture: _cropped(picture, 0.03),
}


def read_set(given: str, rng: np.random.Generator) -> list[Item]:
    """A labelled set in memory, with a split for each image, one in five for testing."""
    items = list(read_all(open_source(given)[1]))
    tests = rng.random(len(items)) < 0.2
    return [
        replace(item, meta={**item.meta, SPLIT: "test" if test else "train"})
        for item, test in zip(items, tests, strict=True)
    ]


def plant(items: list[Item], rng: np.random.Generator) -> tuple[list[Item], dict[str, str]]:
    """The set with altered copies, each in a split of its own choice, and with wrong labels.

    Returns:
        the items, and what was done to those that were changed or added: the kind by key. A copy's
        key is that of its original with ``#`` and its kind behind it.
    """
    order = rng.permutation(len(items))
    count = max(2, round(SHARE * len(items)))
    done: dict[str, str] = {}
    copies = []
    for number, (kind, alter) in enumerate(ALTER.items()):
        for place in order[number * count : (number + 1) * count]:
            item = items[place]
            data = item.data if isinstance(item.data, bytes) else Path(str(item.data)).read_bytes()
            with PIL.Image.open(io.BytesIO(data)) as picture:
                altered = alter(data, picture.convert("RGB"))
            key = f"{item.key}#{kind}"
            done[key] = kind
            split = "test" if rng.random() < 0.5 else "train"
            copies.append(Item(key, altered, item.labels, {**item.meta, SPLIT: split}))
    wrong = order[len(ALTER) * count :][: round(FLIPPED * len(items))]
    flipped = list(items)
    for place in wrong:
        flipped[place] = _flipped(items[place], rng)
        done[items[place].key] = "wrong label"
    return flipped + copies, done


def _flipped(item: Item, rng: np.random.Generator) -> Item:
    """Safe becomes some category, a category becomes safe or, as often, another one."""
    others = [category for category in Category if category not in (item.labels or ())]
    to_safe = bool(item.labels) and rng.random() < 0.5
    labels = frozenset() if to_safe else frozenset([others[int(rng.integers(len(others)))]])
    return replace(item, labels=labels, unsafe=bool(labels))


def pairs_of(groups: tuple[Group, ...]) -> set[tuple[str, str]]:
    """All pairs of keys that the groups say show the same."""
    return {
        (min(pair), max(pair))
        for group in groups
        for pair in combinations([member.key for member in group.members], 2)
    }


def measured(found: set[str] | set[tuple[str, str]], true: set[str] | set[tuple[str, str]]) -> str:
    hits = len(found & true)
    precision = f"{hits / len(found):.3f}" if found else "–"
    recall = f"{hits / len(true):.3f}" if true else "–"
    return f"{len(true):>5} | {len(found):>5} | {precision} | {recall}"


def planted(given: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    items, done = plant(read_set(given, rng), rng)
    split = {item.key: item.meta[SPLIT] for item in items}
    began = time.perf_counter()
    found = audit(ItemSource(items), AuditOptions(seed=seed, most=len(items)))
    took = time.perf_counter() - began
    true = {
        kind: {(key.rpartition("#")[0], key) for key, what in done.items() if what == kind}
        for kind in ALTER
    }
    pairs = pairs_of(found.duplicates.groups)
    exact = pairs_of(tuple(group for group in found.duplicates.groups if group.exact))
    every = set().union(*true.values())
    leaks = {(a, b) for a, b in every if split[a] != split[b]}
    spread = {(a, b) for a, b in pairs_of(found.leakage.groups) if split[a] != split[b]}
    print(f"{given}: {len(items)} images in {took:.1f} s\n")
    print("| planted | number | found | precision | recall |\n|---|---|---|---|---|")
    print(f"| exact copies | {measured(exact, true['exact copy'])} |")
    print(f"| all copies | {measured(pairs, every)} |")
    for kind, some in true.items():
        print(
            f"| {kind} | {len(some):>5} | {len(some & pairs):>5} | – | "
            f"{len(some & pairs) / len(some):.3f} |"
        )
    slight = {pair for kind, some in true.items() if "crop" not in kind for pair in some}
    print(f"| leaks, without crops | {measured(spread - (leaks - slight), leaks & slight)} |")
    print(f"| leaks, all | {measured(spread, leaks)} |")
    _labels(found, {key for key, what in done.items() if what == "wrong label"})


def _labels(found: Audit, wrong: set[str]) -> None:
    issues = [issue.key for issue in found.labels.issues]
    print(f"| wrong labels, named | {measured(set(issues[: found.labels.count]), wrong)} |")
    print(f"| wrong labels, as many as there are | {measured(set(issues[: len(wrong)]), wrong)} |")
    print(f"| wrong labels, all candidates | {measured(set(issues), wrong)} |")
    print(
        f"\n{found.labels.test}\nlabels judged by: {found.labels.judge or found.labels.not_judged}"
    )


def draw_tars(folder: Path, count: int) -> None:
    """``count`` JPEGs of 48 x 48 px in tars, as img2dataset writes them, with labels beside."""
    folder.mkdir()
    for start in range(0, count, IN_A_TAR):
        with tarfile.open(folder / f"{start // IN_A_TAR:05d}.tar", "w") as archive:
            for number in range(start, min(start + IN_A_TAR, count)):
                for suffix, data in _sample(number):
                    member = tarfile.TarInfo(f"{number:09d}.{suffix}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))


def _sample(number: int) -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 255, (6, 6, 3)).astype(np.uint8)
    picture = PIL.Image.fromarray(coarse).resize((48, 48), PIL.Image.Resampling.BICUBIC)
    unsafe = number % 3 == 0
    if unsafe:
        x, y = (int(v) for v in rng.integers(2, 30, 2))
        PIL.ImageDraw.Draw(picture).rectangle((x, y, x + 14, y + 14), outline="red", width=3)
    yield "jpg", _jpeg(picture, 85)
    split = "test" if number % 5 == 0 else "train"
    label = "Violence" if unsafe else "safe"
    yield "json", json.dumps({"label": label, "split": split}).encode()


def peak(folder: Path, count: int) -> tuple[float, float]:
    """(MiB, images a second) of an audit of ``count`` images, in a process of its own."""
    tars = folder / str(count)
    draw_tars(tars, count)
    out = folder / f"{count}.json"
    command = [sys.executable, "-m", "vedette", "data", "audit", str(tars), "--format"]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, "webdataset", "--json", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, _, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    found = json.loads(out.read_text())
    assert found["reading"]["images"] == count
    assert found["labels"]["judged"] == count
    return usage.ru_maxrss / 1024, count / took


def memory() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        sizes = [(count, *peak(Path(scratch), count)) for count in (FEW, MANY)]
    for count, mib, speed in sizes:
        print(f"{count:>7} images: peak {mib:.0f} MiB, {speed:.0f} images/s")
    print(f"{sizes[1][1] / sizes[0][1]:.2f} x the memory for {MANY // FEW} x the images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["planted", "memory"])
    parser.add_argument("--data", default="synth:unsafebench?scale=0.2&seed=7")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    if args.what == "planted":
        planted(args.data, args.seed)
    else:
        memory()


if __name__ == "__main__":
    main()
