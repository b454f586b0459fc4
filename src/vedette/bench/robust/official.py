"""Robustness as UnsafeBench's published code measures it, to compare with its Table 5.

What it does differently: it moves *normalised* tensors within (-3, 3), so that one eps means
another budget for each model; its Gaussian noise has a total L2 norm of eps, which nobody can see;
it attacks softmax probabilities instead of logits; and it takes only images that were right, three
draws of 500.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any

import numpy as np

from vedette.bench import paper
from vedette.bench.attacks.base import Budget
from vedette.bench.attacks.registry import attack
from vedette.bench.evidence import Caveat, Cell, Evidence, Table
from vedette.bench.journal import Journal, digest
from vedette.bench.robust.pictures import Attackable, attackable, seed_of
from vedette.bench.sample import sample
from vedette.bench.tasks.base import Context
from vedette.extras import require
from vedette.models.differentiable import decision_module, differentiable

EPS, LOW, HIGH, DRAWS = 0.01, -3.0, 3.0, 3
ATTACKS = {"GN": "noise-l2", "FGSM": "fgsm", "PGD": "pgd", "DeepFool": "deepfool"}
_CHUNK = 16


def official(context: Context) -> Evidence:
    """Table 5's columns for one model, a row for each source."""
    torch = require("torch", extra="zoo")
    classifier = context.classifier
    assert classifier is not None
    given = differentiable(classifier)
    assert given is not None
    norm = given.norm
    mean, std = (torch.tensor(one).reshape(1, 3, 1, 1) for one in (norm.mean, norm.std))
    module = _probabilities(torch, decision_module(classifier, takes="normalised"))
    predictions = context.predictions
    right = (predictions.flagged_any == predictions.unsafe) & predictions.in_coverage
    count = context.options.images
    rows: dict[str, list[Cell]] = {}
    metrics: dict[str, Any] = {}
    lost: set[str] = set()
    alike = False
    plan = {"model": context.card.model, "seed": context.options.seed, "count": count}
    plan["keys"] = list(predictions.keys)
    with Journal(context.state / "official.jsonl", digest(plan), _is_part) as journal:
        for source in predictions.sources or ("",):
            draws: list[dict[str, float]] = []
            among = right & predictions.of_source(source)
            sizes: list[int] = []
            if not among.any():
                continue
            for draw in range(DRAWS):
                chosen = sample(predictions, count, context.options.seed + draw, among)
                whole = attackable(context, chosen.tolist(), module)
                sizes.append(len(whole.keys))
                lost |= set(whole.lost)
                pixels = (whole.pixels - mean) / std
                name = f"{source}/{draw}"
                draws.append(_draw(context, whole, pixels, journal, name, draw))
            row = source or "all"
            cells, told = _cells(context, source, draws)
            rows[row], metrics[row] = (
                cells,
                {
                    **told,
                    "draws": draws,
                    "images": sizes,
                    "right": int(among.sum()),
                },
            )
            alike = alike or int(among.sum()) <= count
    caveats = [
        Caveat(
            "official-protocol",
            "Robustness follows UnsafeBench's published code: it moves normalised tensors, so the "
            "budget differs from model to model, its Gaussian noise is next to none, and it "
            "counts only images that were right. Do not rank models by it.",
        )
    ]
    if alike:
        caveats.append(
            Caveat(
                "few-images",
                f"A source has no more than {count} images that were right, so its draws are of "
                "the same images: the deviation is that of the attacks alone.",
            )
        )
    if lost:
        caveats.append(Caveat("not-scored", f"{len(lost)} images cannot be decoded any more."))
    table = Table(
        name="table-5",
        title="Robust accuracy, official protocol",
        columns=(*ATTACKS, "Average"),
        rows=rows,
        row="source",
        caption=f"Mean of {DRAWS} draws of at most {count} images that were right, with the "
        f"standard deviation. eps {EPS} on normalised tensors in ({LOW:g}, {HIGH:g}), "
        f"{context.options.steps} steps.",
        like="Table 5",
        model_is_row=True,
    )
    return Evidence({"sources": metrics}, [table], (), tuple(caveats))


def _is_part(kept: Any) -> bool:
    return isinstance(kept, list) and all(one in (0, 1) for one in kept)


def _probabilities(torch: Any, module: Any) -> Any:
    """The module with the softmax that the published classifiers end in."""
    return torch.nn.Sequential(module, torch.nn.Softmax(dim=1)).eval()


def _draw(
    context: Context,
    whole: Attackable,
    pixels: Any,
    journal: Journal,
    name: str,
    draw: int,
) -> dict[str, float]:
    found = {}
    for column, attacked in ATTACKS.items():
        kept = 0
        for start in range(0, len(whole.keys), _CHUNK):
            part = f"{name}/{column}/{start}"
            broken = journal.lines.get(part)
            if broken is None:
                at = slice(start, start + _CHUNK)
                context.say(f"{column}, {name}: {start:,} of {len(whole.keys):,}")
                options = context.options
                seed = options.seed + draw
                broken = _broken(seed, options.steps, whole, pixels, at, attacked)
                journal.write(part, broken)
            kept += len(broken) - sum(broken)
        found[column] = kept / len(whole.keys)
    return found


def _broken(
    seed: int,
    steps: int,
    whole: Attackable,
    pixels: Any,
    at: slice,
    attacked: str,
) -> list[int]:
    start, labels = pixels[at].to(whole.device), whole.labels[at].to(whole.device)
    seeds = [seed_of(key, seed) for key in whole.keys[at]]
    if attacked == "noise-l2":
        moved = _with_noise(start, seeds)
        return (whole.module(moved).argmax(dim=1) != labels).int().tolist()  # type: ignore[no-any-return]
    # The published code keeps its bounds even where a picture begins outside of them.
    start = start.clamp(LOW, HIGH)
    budget = Budget(EPS, steps, low=LOW, high=HIGH)
    done = attack(attacked).run(whole.module, start, labels, budget, seeds)
    return done.fooled.int().tolist()  # type: ignore[no-any-return]


def _with_noise(pixels: Any, seeds: Sequence[int]) -> Any:
    """Gaussian noise of total L2 norm eps, a direction of each picture's own."""
    torch = require("torch", extra="zoo")
    noise = np.stack(
        [np.random.default_rng(seed).standard_normal(tuple(pixels.shape[1:])) for seed in seeds]
    )
    noise *= EPS / np.sqrt((noise**2).sum(axis=(1, 2, 3), keepdims=True))
    return (pixels + torch.from_numpy(noise.astype(np.float32)).to(pixels)).clamp(LOW, HIGH)


def _cells(
    context: Context, source: str, draws: Sequence[dict[str, float]]
) -> tuple[list[Cell], dict[str, Any]]:
    columns = {name: [draw[name] for draw in draws] for name in ATTACKS}
    columns["Average"] = [fmean(draw.values()) for draw in draws]
    cells = []
    told: dict[str, Any] = {}
    for name, values in columns.items():
        mean, deviation = round(fmean(values), 6), round(pstdev(values), 6)
        printed = _printed(source, context.card.name, name.casefold())
        cells.append(Cell(mean, paper=printed, note=f"± {deviation:.3f}"))
        told[name] = {"mean": mean, "std": deviation}
    return cells, told


def _printed(source: str, model: str, column: str) -> float | None:
    row, of = paper.row_of(model), paper.source_of(source)
    return None if row is None or of is None else paper.robust_accuracy(of, row, column)
