"""Comparing results of several models on the same images, as evidence for a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vedette.bench.evidence import Caveat, Cell, Evidence, Table
from vedette.bench.metrics.bootstrap import Resampling, resampling
from vedette.bench.metrics.estimates import Estimate
from vedette.bench.metrics.significance import holm
from vedette.bench.pairs import SLOTS, Difference, Paired, differences
from vedette.bench.predictions import Predictions
from vedette.bench.result import Result
from vedette.bench.tasks.base import BOOTSTRAP
from vedette.errors import UsageError
from vedette.taxonomy import Category

TASK = "effectiveness"


def compare(results: Sequence[Result], bootstrap: int = BOOTSTRAP, seed: int = 7) -> Evidence:
    """Compare the effectiveness of models on the images that all of them scored.

    Images are the same where key and hash are. Each pair of models is compared where both can be
    asked. All p-values of a kind are adjusted together, by Holm.

    Args:
        results: of the task ``effectiveness``, two or more; others are left aside.
        bootstrap: resamples behind each interval, and relabellings behind each permutation p.
        seed: of both.

    Raises:
        UsageError: fewer than two results, no image in common, or other labels for the same
            images.
    """
    chosen = [result for result in results if result.task == TASK]
    if len(chosen) < 2:
        raise UsageError(
            f"{len(chosen)} of {len(results)} results are of the task {TASK}; comparing needs two",
            hint=f"run vedette bench run with the task {TASK} for each model, on the same data",
        )
    paired, caveats = pair(_names(chosen), [result.predictions for result in chosen])
    draws = resampling(paired.group, bootstrap, seed)
    found, alone = differences(paired, draws)
    return Evidence(
        metrics=_json(paired, found, alone),
        tables=[_models(paired, alone), *_pairs(found)],
        warnings=[*caveats, *_stand_ins(chosen), *_theirs(chosen), *_duplicates(draws, paired)],
    )


def _names(results: Sequence[Result]) -> tuple[str, ...]:
    """The models' names; runs of one model are numbered."""
    seen: dict[str, int] = {}
    names = []
    for result in results:
        seen[result.name] = seen.get(result.name, 0) + 1
        count = seen[result.name]
        names.append(result.name if count == 1 else f"{result.name} ({count})")
    return tuple(names)


def pair(names: Sequence[str], predictions: Sequence[Predictions]) -> tuple[Paired, list[Caveat]]:
    """The decisions about the images that all predictions have.

    Returns:
        The decisions, in the first one's order, and what was left out.

    Raises:
        UsageError: nothing in common, or other labels for the same images.
    """
    rows = [
        {image: k for k, image in enumerate(zip(one.keys, one.sha256, strict=True))}
        for one in predictions
    ]
    common = [image for image in rows[0] if all(image in one for one in rows[1:])]
    if not common:
        raise UsageError(
            "the results have no image in common: no key and hash that all of them scored",
            hint="compare results of the same data set, split and sample",
        )
    at = [np.array([one[image] for image in common], dtype=np.int64) for one in rows]
    first = predictions[0]
    for name, one, chosen in zip(names[1:], predictions[1:], at[1:], strict=True):
        same = (one.unsafe[chosen] == first.unsafe[at[0]]) & (
            one.category[chosen] == first.category[at[0]]
        )
        if not same.all():
            raise UsageError(
                f"{names[0]} and {name} were run with other labels for {int((~same).sum())} of "
                f"{len(common)} images",
                hint="score all models on one version of the data set, with the same --labels",
            )
    paired = Paired(
        names=tuple(names),
        unsafe=first.unsafe[at[0]],
        slot=np.where(first.category < 0, SLOTS - 1, first.category)[at[0]],
        flagged=np.stack([one.flagged_asked[k] for one, k in zip(predictions, at, strict=True)]),
        covered=np.stack([np.append(one.covered, one.covered.any()) for one in predictions]),
        group=first.group[at[0]],
    )
    every = len(set().union(*rows))
    if len(common) == every:
        return paired, []
    return paired, [
        Caveat(
            "partial-overlap",
            f"Compared on the {len(common)} images that all models scored, of {every} that at "
            "least one did. What some could not score may be the harder part.",
        )
    ]


def _adjusted(found: Sequence[Difference]) -> tuple[list[float], list[float | None]]:
    """Holm's p of McNemar's tests, and of the permutation tests that there are."""
    exact = holm([one.mcnemar.exact for one in found])
    known = [k for k, one in enumerate(found) if one.permutation is not None]
    raised = holm([p for one in found if (p := one.permutation) is not None])
    by_pair = dict(zip(known, raised, strict=True))
    return exact, [by_pair.get(k) for k in range(len(found))]


def _models(paired: Paired, alone: dict[str, tuple[int, Estimate]]) -> Table:
    rows = {
        name: [Cell(n), Cell(one.value, one.low, one.high, n=n)] for name, (n, one) in alone.items()
    }
    return Table(
        name="comparison-models",
        title="Models",
        columns=["Images", "F1"],
        rows=rows,
        row="model",
        caption=(
            f"Of {len(paired.unsafe)} images, those that the model can be asked about. Models that "
            "cover other categories answer other questions: see the pairs."
        ),
    )


def _pairs(found: Sequence[Difference]) -> list[Table]:
    exact, permuted = _adjusted(found)
    rows = {
        f"{one.first} / {one.second}": [
            Cell(one.n),
            Cell(one.f1_first, n=one.n),
            Cell(one.f1_second, n=one.n),
            Cell(one.difference.value, one.difference.low, one.difference.high, n=one.n),
            Cell(one.permutation, n=one.n),
            Cell(permuted[k], n=one.n),
            Cell(one.mcnemar.only_first),
            Cell(one.mcnemar.only_second),
            Cell(one.mcnemar.p_chi_square, n=one.n),
            Cell(one.mcnemar.exact, n=one.n),
            Cell(exact[k], n=one.n),
        ]
        for k, one in enumerate(found)
    }
    by_category = {}
    for one in found:
        own = {c: Cell(v.value, v.low, v.high, n=n) for c, n, v in one.categories}
        by_category[f"{one.first} / {one.second}"] = [own.get(c, Cell(None)) for c in Category]
    return [
        Table(
            name="comparison-pairs",
            title="Pairs of models",
            columns=[
                *("Images", "F1, first", "F1, second", "Difference of F1"),
                *("p, permutation", "p, permutation, Holm"),
                *("Only first right", "Only second right"),
                *("p, chi-square", "p, exact", "p, exact, Holm"),
            ],
            rows=rows,
            row="pair",
            caption=(
                "On images of categories that both cover, at the thresholds as shipped. "
                "Difference: first less second, paired bootstrap. Permutation: of that "
                "difference. Chi-square and exact: McNemar's test of who is right. Holm: "
                "adjusted for all pairs of the table."
            ),
        ),
        Table(
            name="comparison-categories",
            title="Differences of F1 by category",
            columns=[c.value for c in Category],
            rows=by_category,
            row="pair",
            caption=(
                "First less second, paired bootstrap. The intervals are not adjusted for their "
                "number: of 20 categories without a difference, one is expected to show one."
            ),
        ),
    ]


def _json(
    paired: Paired, found: Sequence[Difference], alone: dict[str, tuple[int, Estimate]]
) -> dict[str, object]:
    exact, permuted = _adjusted(found)
    return {
        "images": len(paired.unsafe),
        "models": {name: {"n": n, "f1": one.as_json()} for name, (n, one) in alone.items()},
        "pairs": [
            {
                "first": one.first,
                "second": one.second,
                "n": one.n,
                "f1_first": one.f1_first,
                "f1_second": one.f1_second,
                "difference": one.difference.as_json(),
                "p_permutation": one.permutation,
                "p_permutation_holm": permuted[k],
                "only_first_right": one.mcnemar.only_first,
                "only_second_right": one.mcnemar.only_second,
                "chi_square": one.mcnemar.chi_square,
                "p_chi_square": one.mcnemar.p_chi_square,
                "p_exact": one.mcnemar.exact,
                "p_exact_holm": exact[k],
                "categories": {c.value: v.as_json() for c, _, v in one.categories},
            }
            for k, one in enumerate(found)
        ],
    }


def _stand_ins(results: Sequence[Result]) -> list[Caveat]:
    if not any(result.data.stand_in for result in results):
        return []
    return [
        Caveat(
            "stand-in",
            "The images are drawn stand-ins: which model is better here says nothing about real "
            "images.",
        )
    ]


def _theirs(results: Sequence[Result]) -> list[Caveat]:
    """What the results themselves warn of, each with its model."""
    return [
        Caveat(caveat.code, f"{result.name}: {caveat.message}")
        for result in results
        for caveat in result.evidence.warnings
        if caveat.code != "stand-in"
    ]


def _duplicates(draws: Resampling, paired: Paired) -> list[Caveat]:
    copies = len(paired.unsafe) - draws.groups
    if not copies:
        return []
    return [
        Caveat(
            "near-duplicates",
            f"{copies} of {len(paired.unsafe)} images are near-duplicates of others. Intervals and "
            "permutation tests keep them together; McNemar's test takes them for independent.",
        )
    ]
