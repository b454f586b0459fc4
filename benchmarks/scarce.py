"""Whether few-shot heads and chosen labels are worth it, on planted and drawn sets.

    python benchmarks/scarce.py few-shot [DRAWS]
    python benchmarks/scarce.py next [DRAWS]

``few-shot``: ``vedette train few-shot``'s head without and with a prior, against scikit-learn's
logistic regression (C = 1, and C by cross-validation) and the nearest class mean, at 8 to 64 images
of a class. ``next``: F1 after each round of labels, by strategy. All means over draws.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from vedette.data.opening import open_source
from vedette.settings import Settings
from vedette.train.data import SetOptions, read_training_set
from vedette.train.examples import Bools
from vedette.train.features import features_of
from vedette.train.scarce.choosing import STRATEGIES, Pool, choose
from vedette.train.scarce.discriminant import Float64
from vedette.train.scarce.shrunken import Prior, shrunken
from vedette.train.scarce.uncertainty import entropy, residual

SHOTS = (8, 16, 32, 64)
DRAWS = 20
DIM = 256
ROUNDS, BUDGET = 8, 16
POOL, HELD = 3000, 600
Set = tuple[Float64, Bools]
Score = Callable[[Float64], Float64]


class World:
    """Two classes of unit vectors whose variances fall off as those of CLIP's embeddings do.

    Args:
        seed: of the world.
        distance: between the class means, in standard deviations along their difference.
    """

    def __init__(self, seed: int, distance: float) -> None:
        self.rng = np.random.default_rng(seed)
        variance = 1 / np.arange(1, DIM + 1) ** 0.8
        turn = np.linalg.qr(self.rng.normal(size=(DIM, DIM)))[0]
        self.root = turn * np.sqrt(variance)
        towards = self.rng.normal(size=DIM)
        self.step = distance * self.root @ (towards / np.linalg.norm(towards))
        self.middle = 0.3 * self.rng.normal(size=DIM)

    def draw(self, each: int) -> Set:
        """``each`` of either class."""
        y = np.repeat([False, True], each)
        x = self.rng.normal(size=(2 * each, DIM)) @ self.root.T + self.middle
        return unit(x + y[:, None] * self.step), y

    def hint(self) -> Float64:
        """The true difference and twice its length of noise, as a text's direction may be."""
        noise = self.rng.normal(size=DIM) * np.linalg.norm(self.step) / np.sqrt(DIM)
        return np.asarray(self.step + 2 * noise)


def unit(x: Float64) -> Float64:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def heads(x: Float64, y: Bools, hint: Float64 | None) -> Iterator[tuple[str, Score]]:
    """Every method's score of new images."""
    own = shrunken(x, y)
    yield "vedette", lambda new: new @ own.weight + own.bias
    if hint is not None:
        leaning = shrunken(x, y, Prior(hint, "hint"))
        yield "vedette, prior", lambda new: new @ leaning.weight + leaning.bias
        middle = (x[y] @ hint).mean() / 2 + (x[~y] @ hint).mean() / 2
        yield "prior alone", lambda new: new @ hint - middle
    plain = LogisticRegression(C=1.0, max_iter=3000).fit(x, y)
    yield "logistic C=1", plain.decision_function
    folds = LogisticRegressionCV(
        Cs=list(np.logspace(-3, 5, 9)), cv=4, max_iter=3000, scoring="neg_log_loss",
        l1_ratios=(0,), use_legacy_attributes=False,
    ).fit(x, y)  # fmt: skip
    yield "logistic C by CV", folds.decision_function
    means = x[~y].mean(axis=0), x[y].mean(axis=0)
    middle_of = (means[0] + means[1]) / 2
    yield "nearest mean", lambda new: (new - middle_of) @ (means[1] - means[0])


def few_shot(draws: int) -> None:
    for distance in (2.0, 4.0):
        print(f"\nplanted, {DIM} dimensions, class means {distance:g} deviations apart: F1, AUROC")
        for shots in SHOTS:
            found: dict[str, list[tuple[float, float]]] = {}
            for seed in range(draws):
                world = World(seed, distance)
                hint = world.hint()
                x, y = world.draw(shots)
                new, truth = world.draw(500)
                measured(found, heads(x, y, hint), new, truth)
            show(shots, found)
    print("\nsynth:0.2, dummy features, safe against unsafe: F1, AUROC")
    (x, y), (new, truth) = drawn_set()
    for shots in SHOTS:
        found = {}
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            rows = np.concatenate(
                [rng.permutation(np.flatnonzero(y == value))[:shots] for value in (False, True)]
            )
            measured(found, heads(x[rows], y[rows], None), new, truth)
        show(shots, found)


def measured(
    found: dict[str, list[tuple[float, float]]],
    methods: Iterator[tuple[str, Score]],
    new: Float64,
    truth: Bools,
) -> None:
    for name, score in methods:
        z = score(new)
        found.setdefault(name, []).append(
            (float(f1_score(truth, z > 0)), float(roc_auc_score(truth, z)))
        )


def show(shots: int, found: dict[str, list[tuple[float, float]]]) -> None:
    print(f"  {shots} of a class")
    for name, values in found.items():
        f1, auroc = np.mean(values, axis=0)
        error = np.std([one[0] for one in values]) / np.sqrt(len(values))
        print(f"    {name:18} {f1:.3f} ±{error:.3f}  {auroc:.3f}")


def drawn_set() -> tuple[Set, Set]:
    """Training and test part of the stand-in set, as the dummy sees it."""
    source = open_source("synth:0.2")[1]
    with tempfile.TemporaryDirectory() as folder:
        data = read_training_set("synth:0.2", source, Settings(), SetOptions())
        data, features = features_of(data, "dummy", Settings(), Path(folder))
    x = unit(features.rows.astype(np.float64))
    train, test = data.examples.rows("train"), data.examples.rows("test")
    unsafe = data.examples.unsafe
    return (x[train], unsafe[train]), (x[test], unsafe[test])


def planted_pool(seed: int, share: float, modes: int) -> list[Set]:
    """Pool, held-out and test images: ``share`` unsafe, in clusters, amid ten clusters of safe."""
    rng = np.random.default_rng(seed)
    dim = 64
    root = np.linalg.qr(rng.normal(size=(dim, dim)))[0] * np.arange(1, dim + 1) ** -0.4
    safe, own = rng.normal(size=(10, dim)) @ root.T, rng.normal(size=(modes, dim)) @ root.T
    shared, middle = rng.normal(size=dim) @ root.T, 0.3 * rng.normal(size=dim)

    def draw(n: int) -> Set:
        y = rng.random(n) < share
        x = rng.normal(size=(n, dim)) @ root.T + middle
        x += np.where(
            y[:, None],
            0.6 * shared + 0.8 * own[rng.integers(modes, size=n)],
            safe[rng.integers(10, size=n)],
        )
        return unit(x), y

    return [draw(POOL), draw(HELD), draw(POOL)]


def next_labels(draws: int) -> None:
    for share, modes in ((0.05, 4), (0.05, 1), (0.02, 4), (0.5, 4)):
        print(
            f"\nplanted, {POOL} images, {share:.0%} unsafe in {modes} clusters: F1 after "
            f"16 and each {BUDGET} labels more; AP at the end; unsafe among the labels"
        )
        for strategy in STRATEGIES:
            curves = [
                curve(planted_pool(seed, share, modes), strategy, seed) for seed in range(draws)
            ]
            mean = np.mean(curves, axis=0)
            f1 = " ".join(f"{value:.3f}" for value in mean[:, 0])
            print(f"  {strategy:10} {f1}  AP {mean[-1, 1]:.3f}  {mean[-1, 2]:.0f}")


def curve(sets: list[Set], strategy: str, seed: int) -> list[tuple[float, float, int]]:
    """(F1, average precision, unsafe labels) before the first round and after each."""
    (x, y), (held, told), (new, truth) = sets
    kind = next(name for name in STRATEGIES if name == strategy)
    labelled = np.zeros(len(y), dtype=np.bool_)
    for value in (False, True):
        labelled[np.flatnonzero(y == value)[:8]] = True
    found = []
    for number in range(ROUNDS + 1):
        fit = shrunken(x[labelled], y[labelled])
        # As a policy's threshold: by a held-out part that was drawn by chance.
        threshold = best_threshold(held @ fit.weight, told)
        score = new @ fit.weight
        found.append(
            (
                float(f1_score(truth, score >= threshold)),
                float(average_precision_score(truth, score)),
                int(y[labelled].sum()),
            )
        )
        q = 1 / (1 + np.exp(threshold - x @ fit.weight))[:, None]
        pool = Pool(
            tuple(f"{at:05}" for at in range(len(y))),
            labelled.copy(),
            np.arange(len(y)),
            entropy(q).max(axis=1),
            residual(q),
            x.astype(np.float32),
        )
        labelled[choose(pool, BUDGET, kind, 1000 * seed + number)] = True
    return found


def best_threshold(score: Float64, y: Bools) -> float:
    order = np.argsort(-score)
    hits = np.cumsum(y[order])
    f1 = 2 * hits / (np.arange(1, len(y) + 1) + y.sum())
    return float(score[order[int(np.argmax(f1))]])


def main() -> None:
    warnings.simplefilter("ignore", ConvergenceWarning)
    what = sys.argv[1] if len(sys.argv) > 1 else "few-shot"
    draws = int(sys.argv[2]) if len(sys.argv) > 2 else DRAWS
    {"few-shot": few_shot, "next": next_labels}[what](draws)


if __name__ == "__main__":
    main()
