"""Vedette's scan against nudenet's own ``detect_batch``, and against the machine's limit.

    python benchmarks/scan_vs_nudenet.py PHOTOS/small PHOTOS/large

Both run in one process on the same cores, in turns, on the same JPEG files, from paths to results;
the figures are medians over the rounds. The peer runs at the batch size that is best for it, with
OpenCV and ONNX Runtime free to use all cores. The limit is what a perfect pipeline would reach:
1 / (1/forward-only + 1/decode-only), each measured alone on all cores with what the scan itself
uses (the compiled network on the photographs' tensors; decode, resize and padding).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import nudenet
import numpy as np

from rounds import Contender
from vedette import Scanner, ScanOptions, Settings
from vedette.backends.base import PixelNorm, Session, choose, cores, open_session
from vedette.decode import DecodeOptions, InlineDecoder
from vedette.models.base import Prepared
from vedette.models.nudenet import CARD, NudeNet, weights_path
from vedette.types import Item

PEER_BATCHES = (1, 4, 8, 16)


def peer_runner(batch: int) -> Callable[[list[Path]], int]:
    detector = nudenet.NudeDetector()
    return lambda files: len(detector.detect_batch([str(f) for f in files], batch_size=batch))


def scan_runner(precision: str, *, hardened: bool = False) -> Callable[[list[Path]], int]:
    settings = Settings(scan=ScanOptions(precision=precision, hardened=hardened))
    scanner = Scanner("nudenet", settings=settings)

    def run(files: list[Path]) -> int:
        return sum(record.failure is None for record in scanner.scan_many(files))

    return run


def decode_runner() -> Callable[[list[Path]], int]:
    """Decode and prepare alone, on as many threads as the scan has."""
    decoder = InlineDecoder(DecodeOptions(fit=CARD.fit))
    model = NudeNet(_session("fp32"))

    def one(file: Path) -> int:
        return len([model.prepare(image) for image in decoder.frames(Item(str(file), file))])

    def run(files: list[Path]) -> int:
        with ThreadPoolExecutor(cores()) as pool:
            return sum(pool.map(one, files))

    return run


def forward_runner(precision: str) -> Callable[[list[Path]], int]:
    """The compiled network alone, on the photographs' own tensors, on all its streams."""
    session = _session(precision)
    model = NudeNet(session)
    decoder = InlineDecoder(DecodeOptions(fit=CARD.fit))
    ready: dict[Path, Prepared] = {}

    def one(file: Path) -> int:
        session.run({"images": np.stack([ready[file].pixels])})
        return 1

    def run(files: list[Path]) -> int:
        with ThreadPoolExecutor(session.streams) as pool:
            return sum(pool.map(one, files))

    def prepare_then_run(files: list[Path]) -> int:
        for file in files:
            if file not in ready:
                image = next(iter(decoder.frames(Item(str(file), file))))
                ready[file] = model.prepare(image)
        return run(files)

    return prepare_then_run


def _session(precision: str) -> Session:
    return open_session(weights_path(), PixelNorm(), choose("auto", precision, CARD.precisions))


def compare(files: list[Path], rounds: int, precisions: list[str]) -> None:
    peers = [Contender(f"nudenet detect_batch({b})", peer_runner(b)) for b in PEER_BATCHES]
    decode = Contender("decode only", decode_runner())
    scans = {p: Contender(f"vedette {p}", scan_runner(p)) for p in precisions}
    forwards = {p: Contender(f"forward only {p}", forward_runner(p)) for p in precisions}
    hardened = Contender(
        f"vedette {precisions[0]} hardened", scan_runner(precisions[0], hardened=True)
    )
    contenders = [*peers, decode, *forwards.values(), *scans.values(), hardened]
    for contender in contenders:
        contender.run(files)  # warm: files cached, shapes compiled
    for _ in range(rounds):
        for contender in contenders:
            contender.round(files)
    for contender in contenders:
        spread = f"{min(contender.rates):.1f} to {max(contender.rates):.1f}"
        print(f"  {contender.name:<26} {contender.rate:8.1f} images/s   ({spread})")
    best = max(peers, key=lambda c: c.rate)
    for precision, scan in scans.items():
        limit = 1 / (1 / forwards[precision].rate + 1 / decode.rate)
        print(
            f"  {precision}: {scan.rate / best.rate:.2f} x {best.name}; "
            f"limit {limit:.1f} images/s, {scan.rate / limit:.2f} of it; "
            f"a perfect pipeline would be {limit / best.rate:.2f} x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--least-images", type=int, default=240)
    args = parser.parse_args()
    cv2.setNumThreads(cores())
    precisions = ["fp32"]
    if choose("auto", "auto", CARD.precisions).precision == "bf16":
        precisions.insert(0, "bf16")
    print(f"{cores()} cores; precisions {', '.join(precisions)}; medians of {args.rounds} rounds")
    for folder in args.folders:
        files = sorted(folder.glob("*.jpg"))
        repeats = -(-args.least_images // len(files)) if len(files) > 20 else 4
        print(f"{folder.name}: {len(files)} photographs x {repeats}")
        compare(files * repeats, args.rounds, precisions)


if __name__ == "__main__":
    main()
