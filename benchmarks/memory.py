"""Peak memory of a scan of many files against one of few: it must not grow with their number.

    python benchmarks/memory.py PHOTOS/small

Each scan is a process of its own; its peak is what the kernel says (ru_maxrss of the child). The
photographs are linked under new names until there are enough.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FEW, MANY = 500, 10_000


def peak_mib(photos: list[Path], count: int, options: list[str]) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "in"
        folder.mkdir()
        for number in range(count):
            photo = photos[number % len(photos)].resolve()
            (folder / f"{number:06d}.jpg").symlink_to(photo)
        out = Path(scratch) / "r.jsonl"
        command = [sys.executable, "-m", "vedette", "scan", str(folder), "--quiet"]
        process = subprocess.Popen([*command, "--out", str(out), *options])
        _, _, usage = os.wait4(process.pid, 0)
        assert sum(1 for _ in out.open()) == count
        return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("options", nargs="*", help="further options of vedette scan, after --")
    args = parser.parse_args()
    photos = sorted(args.folder.glob("*.jpg"))
    few, many = (peak_mib(photos, count, args.options) for count in (FEW, MANY))
    print(
        f"peak memory: {FEW} files {few:.0f} MiB, {MANY} files {many:.0f} MiB: {many / few:.2f} x"
    )


if __name__ == "__main__":
    main()
