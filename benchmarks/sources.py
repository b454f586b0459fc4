"""How fast sets are read, and whether memory stays flat, whatever their size.

    python benchmarks/sources.py [--scale 1.0]

Files of drawn bytes are made in a temporary folder (some 1 GB at scale 1); each set is read to its
end in a process of its own, without decoding. Needs ``vedette[parquet]``.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vedette.data.base import read_all
from vedette.data.opening import open_source

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def parquet(path: Path, count: int, size: int, group: int) -> None:
    rng = np.random.default_rng(0)
    images = [{"bytes": rng.bytes(size), "path": f"{n:06d}.png"} for n in range(count)]
    table = pa.table({"image": pa.array(images, STRUCT), "label": ["safe"] * count})
    pq.write_table(table, path, row_group_size=group)


def tars(folder: Path, count: int) -> None:
    folder.mkdir()
    for shard in range(10):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as archive:
            for number in range(count // 10):
                sample = {"jpg": b"\xff\xd8\xff" + bytes(1000), "json": b'{"label": "safe"}'}
                for suffix, data in sample.items():
                    member = tarfile.TarInfo(f"{shard:05d}{number:05d}.{suffix}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))


def csv(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.write("path,label\n")
        out.writelines(f"x/{number:07d}.png,safe\n" for number in range(count))


def read(path: str) -> None:
    began = time.perf_counter()
    fmt, source = open_source(path)
    count = sum(1 for _ in read_all(source))
    seconds = time.perf_counter() - began
    # Not getrusage: its figure survives exec, and would be that of the process that made the files.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    print(f"{Path(path).name:<14} {fmt.name:<10} {count:>9,} {seconds:>6.1f} s {peak:>5} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--read", help="only read this set")
    given = parser.parse_args()
    if given.read:
        read(given.read)
        return
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        parquet(root / "small.parquet", int(100_000 * given.scale), 2_000, 1_000)
        parquet(root / "large.parquet", int(2_000 * given.scale), 200_000, 100)
        parquet(root / "one.parquet", int(2_000 * given.scale), 200_000, 2_000)
        tars(root / "tars", int(100_000 * given.scale))
        csv(root / "rows.csv", int(1_000_000 * given.scale))
        for name in ("small.parquet", "large.parquet", "one.parquet", "tars", "rows.csv"):
            subprocess.run([sys.executable, __file__, "--read", str(root / name)], check=True)


if __name__ == "__main__":
    main()
