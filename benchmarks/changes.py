"""What each choice of the default mode changes in NudeNet's detections and scores.

    python benchmarks/changes.py PHOTOS/small PHOTOS/large

Every variant is held against the one it departs from, on the same photographs: matched detections
(same label, IoU of at least 0.5), those on one side only, and the change of the Sexual score.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import nudenet
import numpy as np

from vedette import Scanner, ScanOptions, Settings
from vedette.backends.openvino import cpu_has_bf16
from vedette.models.base import Classifier, ModelOptions, Prepared
from vedette.models.nudenet import CARD, NudeNet
from vedette.models.registry import build
from vedette.resize import resize
from vedette.scores import iou
from vedette.types import Image, Region

Result = tuple[tuple[Region, ...], float]


class Square(NudeNet):
    """The default mode on a 320 x 320 square instead of the next compiled shape."""

    def prepare(self, image: Image) -> Prepared:
        width, height = CARD.fit.target(image.width, image.height)
        pixels = np.zeros((320, 320, 3), dtype=np.uint8)
        pixels[:height, :width] = resize(image.pixels, width, height)
        scale = (image.width / width, image.height / height)
        return Prepared(pixels, image.width, image.height, scale, image.frame)


class Bgr(NudeNet):
    """The default mode with the channels reversed."""

    def prepare(self, image: Image) -> Prepared:
        prepared = super().prepare(image)
        pixels = np.ascontiguousarray(prepared.pixels[..., ::-1])
        return Prepared(pixels, prepared.width, prepared.height, prepared.scale, prepared.frame)


@dataclass
class Tally:
    """The outcome of one comparison."""

    both: int = 0
    only_base: int = 0
    only_other: int = 0

    def count(self, base: tuple[Region, ...], other: tuple[Region, ...]) -> None:
        left = list(other)
        for region in base:
            same = [r for r in left if r.label == region.label and iou(r.box, region.box) >= 0.5]
            if same:
                left.remove(max(same, key=lambda r: iou(r.box, region.box)))
                self.both += 1
            else:
                self.only_base += 1
        self.only_other += len(left)


def results(files: list[Path], model: str | Classifier, **options: str | bool) -> list[Result]:
    settings = Settings(scan=ScanOptions(**{"precision": "fp32", **options}))  # type: ignore[arg-type]
    with Scanner(model, settings=settings) as scanner:
        records = list(scanner.scan_many(files))
    assert all(r.failure is None and r.scores is not None for r in records)
    return [(r.regions, float(r.scores.p.max()) if r.scores else 0.0) for r in records]


def peer_results(files: list[Path]) -> list[Result]:
    detector = nudenet.NudeDetector()
    counted = {label for label, counts in CARD.labels.items() if counts}
    out: list[Result] = []
    for file in files:
        found = detector.detect(str(file))
        regions = tuple(Region(d["class"], d["score"], tuple(d["box"])) for d in found)
        out.append((regions, max((r.score for r in regions if r.label in counted), default=0.0)))
    return out


def tell(name: str, base: list[Result], other: list[Result], *, scores: bool = True) -> None:
    tally = Tally()
    for (before, _), (after, _) in zip(base, other, strict=True):
        tally.count(before, after)
    change = np.abs(np.array([p for _, p in base]) - np.array([p for _, p in other]))
    drift = f"; score change max {change.max():.3f}, mean {change.mean():.4f}" if scores else ""
    print(
        f"  {name:<44} {tally.both} in both, {tally.only_base} lost, {tally.only_other} new{drift}"
    )


def with_session(kind: type[NudeNet]) -> NudeNet:
    """The default model's session with another preparation."""
    model = build("nudenet", ModelOptions(precision="fp32"))
    assert isinstance(model, NudeNet)
    return kind(model.session)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    for folder in args.folders:
        files = sorted(folder.glob("*.jpg"))
        default = results(files, "nudenet")
        print(f"{folder.name}: {len(files)} photographs, {sum(len(r) for r, _ in default)} regions")
        peer = peer_results(files)
        compatible = results(files, "nudenet-compatible")
        tell("compatible mode, against the package", peer, compatible, scores=False)
        tell("default mode, against the package", peer, default, scores=False)
        tell("next shape, against a square", results(files, with_session(Square)), default)
        tell("RGB, against BGR", results(files, with_session(Bgr)), default)
        exact = results(files, "nudenet", exact_decode=True)
        tell("scaled decode, against full decode", exact, default)
        if cpu_has_bf16():
            tell("bf16, against fp32", default, results(files, "nudenet", precision="bf16"))
        for name, found in (("RGB", default), ("BGR", results(files, with_session(Bgr)))):
            best = [max(r.score for r in regions) for regions, _ in found if regions]
            print(f"  {name}: {len(best)} photographs with a region, mean best {np.mean(best):.3f}")


if __name__ == "__main__":
    main()
