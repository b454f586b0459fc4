"""Images per second of every perturbation, at its most severe, on one core.

    python benchmarks/perturbations.py

A drawn picture with gradients, shapes and texture; the median of some rounds, in turns. With
``--sheet FILE`` it writes a picture of all kinds instead.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.registry import perturbations
from vedette.types import UInt8


def picture(side: int) -> UInt8:
    """Drawn: a sky, a meadow, a house, a tree, and grain over all of it."""
    rng = np.random.default_rng(7)
    canvas = PIL.Image.new("RGB", (side, side))
    pen = PIL.ImageDraw.Draw(canvas)
    for row in range(side):
        share = row / side
        sky = (int(90 + 120 * share), int(150 + 70 * share), 235)
        pen.line((0, row, side, row), fill=sky if share < 0.6 else (70, int(190 - 90 * share), 60))
    u = side / 100
    pen.ellipse((70 * u, 8 * u, 86 * u, 24 * u), fill=(255, 230, 120))
    pen.rectangle((18 * u, 42 * u, 52 * u, 78 * u), fill=(200, 120, 90))
    pen.polygon([(14 * u, 42 * u), (35 * u, 24 * u), (56 * u, 42 * u)], fill=(120, 50, 40))
    pen.rectangle((30 * u, 58 * u, 40 * u, 78 * u), fill=(80, 50, 30))
    for x in (22, 43):
        pen.rectangle(
            (x * u, 48 * u, (x + 6) * u, 56 * u), fill=(230, 240, 250), outline=(60, 40, 30)
        )
    pen.rectangle((71 * u, 55 * u, 76 * u, 82 * u), fill=(100, 70, 40))
    for _ in range(60):
        x, y = rng.normal((73.5, 46), (7, 7))
        pen.ellipse(
            ((x - 3) * u, (y - 3) * u, (x + 3) * u, (y + 3) * u),
            fill=(30, int(rng.integers(90, 160)), 40),
        )
    grain = rng.normal(0, 6, (side, side, 1))
    return np.clip(np.asarray(canvas) + grain, 0, 255).astype(np.uint8)


def milliseconds(kind: Perturbation, pixels: UInt8, rounds: int) -> float:
    """Median for one picture at the most severe level."""
    taken = []
    for turn in range(rounds + 1):
        rng = np.random.default_rng(turn)
        started = time.perf_counter()
        kind.apply(pixels, kind.levels[-1], rng)
        taken.append(1e3 * (time.perf_counter() - started))
    return statistics.median(taken[1:])  # the first one pays for what is loaded late


def sheet(pixels: UInt8, kinds: list[Perturbation], tile: int, columns: int) -> PIL.Image.Image:
    """All kinds at all their severities, named: one line of tiles for each."""
    font = PIL.ImageFont.load_default(max(9, tile // 9))
    wide = max(len(kind.levels) for kind in kinds)
    down = -(-len(kinds) // columns)
    whole = PIL.Image.new(
        "RGB", (columns * wide * tile, down * (tile + tile // 6)), (255, 255, 255)
    )
    pen = PIL.ImageDraw.Draw(whole)
    for number, kind in enumerate(kinds):
        left, top = number // down * wide * tile, number % down * (tile + tile // 6)
        pen.text((left + 2, top), kind.name, fill=(0, 0, 0), font=font)
        for at, level in enumerate(kind.levels):
            shown = PIL.Image.fromarray(kind.apply(pixels, level, np.random.default_rng(3)))
            shown.thumbnail((tile - 2, tile - 2))
            whole.paste(shown, (left + at * tile, top + tile // 6))
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=512, help="px")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--tile", type=int, default=72, help="px, in the sheet")
    args = parser.parse_args()
    kinds = list(perturbations().values())
    pixels = picture(args.side)
    if args.sheet:
        order = ("noise", "blur", "weather", "digital", "evasion", "style")
        kinds.sort(key=lambda kind: order.index(kind.family))
        sheet(pixels, kinds, args.tile, 3).save(args.sheet, quality=70)
        return
    print(f"{args.side} x {args.side} px, median of {args.rounds}\n")
    print("| kind | family | ms | images/s |\n|---|---|---|---|")
    for kind in kinds:
        taken = milliseconds(kind, pixels, args.rounds)
        print(f"| {kind.name} | {kind.family} | {taken:.0f} | {1e3 / taken:.0f} |")
    stream = io.BytesIO()
    started = time.perf_counter()
    PIL.Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    print(f"\nwritten as PNG: {1e3 * (time.perf_counter() - started):.0f} ms")


if __name__ == "__main__":
    main()
