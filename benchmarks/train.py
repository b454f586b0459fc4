"""How fast probes are trained, beside the usual ways, in one run.

    python benchmarks/train.py probes [--rounds 5] [--threads 0] [--images 8000] [--seed 7]
    python benchmarks/train.py quality [--epochs 30]
    python benchmarks/train.py denormals [--epochs 30]
    python benchmarks/train.py products
    python benchmarks/train.py logistic

``probes``: seconds for one epoch of eleven 768-384-2 probes, batch 128. The peers train one label
after the other: ``DataLoader`` is TensorDataset, DataLoader(shuffle=True) and torch.optim.Adam, as
tutorials have it; ``slicing`` indexes the tensors itself. Ways take turns in each round; told are
medians, and quartiles of the ratios within a round. Every way has the same threads.

``quality``: the same epochs in fp32, in bf16 and in the loop that ``slicing`` times, from the same
start and in the same order: the largest difference of a label's loss, and F1 on held-out images.

``denormals``: seconds for the first and last epochs, and how many of Adam's moments are denormal.

``products``: the two matrix products of a step, PyTorch's own and the one that is used.

``logistic``: logistic regression of eleven labels, beside scikit-learn's one after the other.

Embeddings are drawn: eleven directions, one in ten images unsafe for each, with noise.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from vedette.taxonomy import Category
from vedette.train.probe.grouped import Adam, GroupedMlp, initial
from vedette.train.probe.logistic import fit, standard
from vedette.train.probe.mlp import MlpOptions, train_mlp
from vedette.train.probe.product import plain, product
from vedette.train.probe.samples import Samples

DIM, HIDDEN, BATCH = 768, 384, 128
LABELS = tuple(category.value for category in Category)
Way = Callable[[], None]


def drawn(images: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(3).normal(size=(DIM, len(LABELS))) / DIM**0.5
    x = rng.normal(size=(images, DIM))
    scores = x @ directions + 0.3 * rng.normal(size=(images, len(LABELS)))
    targets = scores > 1.34  # about one in ten
    return Samples(LABELS, x.astype(np.float32), targets, np.ones_like(targets))


def network(label: str, seed: int) -> Any:
    """As the grouped one starts: two logits with its difference."""
    net: Any = torch.nn.Sequential(
        torch.nn.Linear(DIM, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 2)
    )
    hidden, bias, out, out_bias = initial([label], DIM, HIDDEN, seed)
    with torch.no_grad():
        net[0].weight.copy_(hidden[0])
        net[0].bias.copy_(bias[0])
        net[2].weight[1].copy_(out[0] + net[2].weight[0])
        net[2].bias[1].copy_(out_bias[0] + net[2].bias[0])
    return net


def stepped(net: Any, optimiser: torch.optim.Optimizer, x: Any, y: Any) -> Any:
    optimiser.zero_grad()
    loss: Any = torch.nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimiser.step()
    return loss.detach()


def peers(samples: Samples, seed: int) -> dict[str, Way]:
    x = torch.from_numpy(samples.x)
    ys = [torch.from_numpy(samples.targets[:, k]).long() for k in range(len(LABELS))]
    nets = [network(label, seed) for label in LABELS]
    optimisers = [torch.optim.Adam(net.parameters(), 2e-4) for net in nets]
    loaders = [DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True) for y in ys]

    def by_loader() -> None:
        for net, optimiser, loader in zip(nets, optimisers, loaders, strict=True):
            for rows, targets in loader:
                stepped(net, optimiser, rows, targets)

    def by_slicing() -> None:
        for net, optimiser, y in zip(nets, optimisers, ys, strict=True):
            order = torch.randperm(len(x))
            for start in range(0, len(x), BATCH):
                rows = order[start : start + BATCH]
                stepped(net, optimiser, x[rows], y[rows])

    return {"DataLoader": by_loader, "slicing": by_slicing}


def ours(samples: Samples, precision: str, seed: int) -> Way:
    """One epoch of the trainer's own loop; a network that goes on from epoch to epoch."""
    weights = initial(LABELS, DIM, HIDDEN, seed)
    net = GroupedMlp(weights, Adam(), "bf16" if precision == "bf16" else "fp32")
    x = torch.from_numpy(samples.x).to(net.dtype)
    sign = torch.from_numpy(np.where(samples.targets.T, 1, -1).astype(np.float32))
    weight = torch.ones_like(sign)

    def epoch() -> None:
        order = torch.randperm(len(x))
        shuffled, weighed = sign[:, order], weight[:, order]
        loss = torch.zeros(len(LABELS), dtype=torch.float64)
        for start in range(0, len(x), BATCH):
            part = slice(start, start + BATCH)
            loss += net.step(
                x[order[part]], shuffled[:, part].contiguous(), weighed[:, part].contiguous()
            )

    return epoch


def timed(way: Way) -> float:
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def probes(options: argparse.Namespace) -> None:
    samples = drawn(options.images, options.seed)
    ways = peers(samples, options.seed)
    ways |= {precision: ours(samples, precision, options.seed) for precision in ("fp32", "bf16")}
    for way in ways.values():
        way()
    rounds = [{name: timed(way) for name, way in ways.items()} for _ in range(options.rounds)]
    for name in ways:
        median = statistics.median(one[name] for one in rounds)
        ratios = [quartiles([one[peer] / one[name] for one in rounds]) for peer in list(ways)[:2]]
        print(f"{name:<11} {median:6.3f} s/epoch   DataLoader {ratios[0]}   slicing {ratios[1]}")


def quartiles(values: Sequence[float]) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"x{middle:5.2f} ({low:.2f}..{high:.2f})"


def quality(options: argparse.Namespace) -> None:
    train, held_out = drawn(options.images, options.seed), drawn(2000, options.seed + 1)
    asked = MlpOptions(epochs=options.epochs, seed=options.seed)
    found = {
        name: train_mlp(train, held_out, replace(asked, precision=name))
        for name in ("fp32", "bf16")
    }
    losses = np.array([usual_losses(train, k, asked) for k in range(len(LABELS))]).T
    exact = np.array([seen.train for seen in found["fp32"].history])
    print(
        f"fp32 against the usual loop: losses differ by {np.abs(exact - losses).max():.1e} at most"
    )
    for name, one in found.items():
        f1 = np.array(one.history[-1].f1, dtype=np.float64)
        print(f"{name}: validation F1 {100 * f1.mean():.2f}, by label {np.round(100 * f1, 1)}")


def usual_losses(train: Samples, k: int, options: MlpOptions) -> list[float]:
    net = network(LABELS[k], options.seed)
    optimiser = torch.optim.Adam(net.parameters(), options.learning_rate)
    x, y = torch.from_numpy(train.x), torch.from_numpy(train.targets[:, k]).long()
    losses = []
    for epoch in range(1, options.epochs + 1):
        order = torch.from_numpy(np.random.default_rng([options.seed, epoch]).permutation(len(x)))
        total = 0.0
        for start in range(0, len(x), options.batch):
            rows = order[start : start + options.batch]
            total += float(stepped(net, optimiser, x[rows], y[rows])) * len(rows)
        losses.append(total / len(x))
    return losses


def denormals(options: argparse.Namespace) -> None:
    for flush in (False, True):
        samples = drawn(options.images, options.seed)
        weights = initial(LABELS, DIM, HIDDEN, options.seed)
        # One unit in eight that no image reaches any more, with the moments of earlier steps.
        weights[1][:, ::8] = -1e3
        net = GroupedMlp(weights, Adam())
        net.first[0].fill_(1e-4)
        net.second[0].fill_(1e-4)
        x = torch.from_numpy(samples.x)
        sign = torch.from_numpy(np.where(samples.targets.T, 1, -1).astype(np.float32))
        torch.set_flush_denormal(flush)
        took, most = [], 0
        for _ in range(options.epochs):
            started = time.process_time()
            order = torch.randperm(len(x))
            for start in range(0, len(x), BATCH):
                rows = order[start : start + BATCH]
                part = sign[:, rows].contiguous()
                net.step(x[rows], part, torch.ones_like(part))
            took.append(time.process_time() - started)
            small = (net.first[0] != 0) & (net.first[0].abs() < torch.finfo(torch.float32).tiny)
            most = max(most, int(small.sum()))
        torch.set_flush_denormal(False)
        first, slowest = statistics.median(took[:5]), max(took[5:], default=0.0)
        last = statistics.median(took[-5:])
        print(
            f"flushed {flush!s:<5}: {first:.2f} s CPU an epoch at first, {slowest:.2f} at worst, "
            f"{last:.2f} at the end; {most:,} denormal first moments at most"
        )


def products(_: argparse.Namespace) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(BATCH, DIM).to(dtype)
        weight = torch.randn(len(LABELS) * HIDDEN, DIM).to(dtype)
        back = torch.randn(len(LABELS) * HIDDEN, BATCH).to(dtype)
        for name, a, b in (("forward", weight, x), ("gradient", back, x.t())):
            took: dict[str, list[float]] = {"own": [], "used": []}
            for _round in range(15):
                for kind, multiply in (("own", plain), ("used", product(dtype))):
                    started = time.perf_counter()
                    for _call in range(10):
                        multiply(a, b)
                    took[kind].append((time.perf_counter() - started) / 10)
            own, used = (1e3 * statistics.median(took[kind]) for kind in ("own", "used"))
            print(
                f"{dtype!s:<15} {name:<9} own {own:.2f} ms, used {used:.2f} ms: x{own / used:.2f}"
            )


def logistic(options: argparse.Namespace) -> None:
    from sklearn.linear_model import LogisticRegression

    samples = drawn(options.images, options.seed)
    # As embeddings are: dimensions that go together, in a spectrum that falls.
    mixed = np.random.default_rng(5).normal(size=(DIM, DIM)) * np.logspace(0, -2, DIM)[:, None]
    raw = samples.x.astype(np.float64) @ mixed
    for strength in (0.01, 1.0):
        started = time.perf_counter()
        by = standard(raw)
        ones = np.ones(samples.targets.shape)
        found = fit(by(raw), samples.targets, ones, np.full(len(LABELS), strength))
        own = time.perf_counter() - started
        started = time.perf_counter()
        scaled = (raw - by.mean) / by.scale
        furthest = 0.0
        for k in range(len(LABELS)):
            its = LogisticRegression(C=strength, tol=1e-8, max_iter=10_000)
            its.fit(scaled, samples.targets[:, k])
            furthest = max(furthest, np.abs(its.coef_[0] - by.axes @ found[:-1, k]).max())
        peer = time.perf_counter() - started
        print(
            f"C {strength:<5} own {own:.2f} s, scikit-learn {peer:.2f} s: x{peer / own:.1f}; "
            f"coefficients differ by {furthest:.0e} at most"
        )


def main() -> None:
    sections = {one.__name__: one for one in (probes, quality, denormals, products, logistic)}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("section", choices=sections)
    parser.add_argument("--images", type=int, default=8_000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.images} images")
    sections[options.section](options)


if __name__ == "__main__":
    main()
