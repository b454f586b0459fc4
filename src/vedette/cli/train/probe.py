"""``vedette train probe``: logistic regression over a backbone's embeddings."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import typer

from vedette.cli.train.common import Asked, asks
from vedette.cli.train.heads import Backbone, Store
from vedette.errors import UsageError

ClassWeights = Annotated[
    Literal["none", "balanced"],
    typer.Option("--class-weights", help="balanced: both classes of a label count the same."),
]
MultiLabel = Annotated[
    bool,
    typer.Option(
        "--multi-label",
        help="An unsafe image tells nothing about categories that it is not labelled with.",
    ),
]
Folds = Annotated[
    int, typer.Option("--folds", min=0, max=100, help="Of a cross-validation before; 0: none.")
]


@asks
def probe(
    asked: Asked,
    model: Backbone = "clip-l14",
    c: Annotated[
        float | None,
        typer.Option("--c", help="Inverse strength of regularisation. [best on validation]"),
    ] = None,
    class_weights: ClassWeights = "none",
    multi_label: MultiLabel = False,
    folds: Folds = 0,
    store: Store = None,
) -> None:
    """Fit logistic regression for each category: one direction, and how far along it is unsafe."""
    from dataclasses import asdict

    from vedette.cli.train.heads import head_training
    from vedette.train.probe.outcome import LogisticOptions, ProbeOptions, logistic_outcome

    if c is not None and not 0 < c < math.inf:
        raise UsageError(f"--c is a positive number, not {c:g}")
    options = ProbeOptions(multi_label=multi_label, folds=folds, seed=asked.seed)
    regression = LogisticOptions(c, class_weights)
    more = {"trainer": "probe", **asdict(options), **asdict(regression)}
    with head_training(asked, model, store, more) as (one, with_embedding, features):
        counted, outcome = logistic_outcome(with_embedding, features, options, regression, one.say)
        one.finish(outcome, counted)
