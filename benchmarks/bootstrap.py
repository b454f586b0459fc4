"""How long intervals and tests take for many models, images and categories.

    python benchmarks/bootstrap.py [--images 10000] [--models 20] [--resamples 5000] [--seed 7]

Decisions of random models on random labels, 1.1 images to a group of near-duplicates. ``own`` asks
each image about its own category, as UnsafeBench does; ``every`` asks it about all eleven. Each
times what comparing models takes: F1 of each model and category, the paired difference of F1 of
each pair, overall and per category, with bootstrap intervals, a permutation test and McNemar's
test. ``ranks`` times AUROC, average precision and FPR at 95 % TPR of one model on all images.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np

from vedette.bench.metrics.bootstrap import resampling
from vedette.bench.metrics.estimates import ranked
from vedette.bench.pairs import SLOTS, Paired, differences
from vedette.taxonomy import Category


def drawn(images: int, models: int, every: bool, seed: int) -> Paired:
    """Random decisions, right for 60 to 90 %, about a third of unsafe questions."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, max(1, int(images * 5)), images)  # a tenth shares a group
    slot = rng.integers(0, len(Category), images)
    if every:
        group = np.repeat(group, len(Category))
        slot = np.tile(np.arange(len(Category)), images)
    unsafe = rng.random(len(slot)) < 0.35
    skill = np.linspace(0.6, 0.9, models)[:, None]
    flagged = unsafe ^ (rng.random((models, len(slot))) > skill)
    covered = np.ones((models, SLOTS), dtype=np.bool_)
    names = tuple(f"model-{k}" for k in range(models))
    return Paired(names, unsafe, slot, flagged, covered, group)


def timed(name: str, run: Callable[[], object]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:<6} {wall:6.1f} s wall  {cpu:6.1f} s CPU  peak {peak:6.0f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--resamples", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    print(
        f"{options.images} images, {len(Category)} categories, {options.models} models, "
        f"B = {options.resamples}"
    )
    for name, every in (("own", False), ("every", True)):
        paired = drawn(options.images, options.models, every, options.seed)
        draws = resampling(paired.group, options.resamples, options.seed)
        timed(name, lambda paired=paired, draws=draws: differences(paired, draws))  # type: ignore[misc]
    paired = drawn(options.images, 1, False, options.seed)
    draws = resampling(paired.group, options.resamples, options.seed)
    scores = np.random.default_rng(options.seed).random(options.images)
    parts = np.ones((1, options.images), dtype=np.bool_)
    timed("ranks", lambda: ranked(paired.unsafe, scores, parts, draws))


if __name__ == "__main__":
    main()
