"""``vedette data synth`` at scale 1, then ``stats``; held against plain JPEG encoding.

    python benchmarks/synth.py

Whole commands in processes of their own, from the start of Python to the last byte on disk, in
turns; medians. The limit is what any program that makes such files has to do: as many processes,
each of which encodes its share of smooth gradients of the same side with Pillow and keeps nothing.
The last set's counts are compared with the numbers of UnsafeBench's Table 9.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vedette.backends.base import cores
from vedette.data.synth.plan import TABLE_9, Plan, Recipe

ENCODE = """
import io, numpy, PIL.Image
ramp = numpy.linspace(0, 255, {size}, dtype="uint8")
picture = PIL.Image.fromarray(numpy.stack(numpy.broadcast_arrays(ramp, ramp[:, None], 128), 2)
    .astype("uint8"))
for _ in range({count}):
    picture.save(io.BytesIO(), "JPEG", quality=80)
"""


def seconds(commands: list[list[str]]) -> float:
    """Until all of them, side by side, have ended."""
    started = time.perf_counter()
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    for command, process in zip(commands, running, strict=True):
        if process.wait():
            raise SystemExit(f"{command} failed")
    return time.perf_counter() - started


def counts(path: Path) -> list[list[int]]:
    with path.open(newline="") as stream:
        return [[int(cell) for cell in row[2:-1]] for row in csv.reader(stream) if row[2].isdigit()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    recipe = Recipe(scale=args.scale)
    images = Plan(recipe).recipe.total
    vedette = [sys.executable, "-m", "vedette", "data"]
    encode = [sys.executable, "-c", ENCODE.format(size=recipe.size, count=images // cores())]
    drawing, counting, limit = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "table.csv")
        for turn in range(args.rounds):
            out = Path(folder, str(turn))
            synth = [*vedette, "synth", "--scale", str(args.scale), "--out", str(out), "--quiet"]
            stats = [*vedette, "stats", str(out), "--csv", str(table), "--overwrite"]
            drawing.append(images / seconds([synth]))
            counting.append(images / seconds([stats]))
            limit.append(images / seconds([encode] * cores()))
        same = counts(table) == [list(row) for row in TABLE_9.values()]
    drawn, counted, most = map(statistics.median, (drawing, counting, limit))
    print(f"synth: {drawn:.0f} images/s, {min(drawing):.0f} to {max(drawing):.0f}")
    print(f"plain JPEG encoding in {cores()} processes: {most:.0f} images/s, {most / drawn:.1f} x")
    print(f"stats: {counted:.0f} images/s")
    if args.scale == 1:
        print("the counts are Table 9's" if same else "THE COUNTS ARE NOT TABLE 9'S")


if __name__ == "__main__":
    main()
