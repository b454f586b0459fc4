"""``vedette train mlp``: PerspectiveVision's probe, a small network for each label."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import typer

from vedette.cli.train.common import Asked, asks
from vedette.cli.train.heads import Backbone, Store
from vedette.cli.train.probe import ClassWeights, Folds, MultiLabel
from vedette.errors import UsageError


@asks
def mlp(
    asked: Asked,
    model: Backbone = "clip-l14",
    hidden: Annotated[
        int, typer.Option("--hidden", min=1, max=65_536, help="Units of the hidden layer.")
    ] = 384,
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, max=100_000, help="Passes over the images.")
    ] = 30,
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=65_536, help="Images of a step.")
    ] = 128,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Adam's.")] = 2e-4,
    weight_decay: Annotated[
        float, typer.Option("--weight-decay", min=0.0, help="Decoupled, as in AdamW.")
    ] = 0.0,
    class_weights: ClassWeights = "none",
    patience: Annotated[
        int,
        typer.Option(
            "--patience",
            min=0,
            help="Epochs without a lower validation loss before a label stops; 0: no stopping.",
        ),
    ] = 0,
    multi_label: MultiLabel = False,
    unit: Annotated[
        bool, typer.Option("--unit/--no-unit", help="Bring embeddings to length 1 first.")
    ] = False,
    folds: Folds = 0,
    precision: Annotated[
        Literal["fp32", "bf16"], typer.Option("--precision", help="Of the matrix products.")
    ] = "fp32",
    store: Store = None,
) -> None:
    """Train a small network for each category, all at once. The same command goes on after a kill.

    By default as the paper's: 384 hidden units, Adam 2e-4, batches of 128, 30 epochs.
    """
    from dataclasses import asdict

    from vedette.cli.train.heads import head_training
    from vedette.train.probe.mlp import MlpOptions
    from vedette.train.probe.outcome import ProbeOptions, mlp_outcome

    if not 0 < learning_rate < math.inf or not weight_decay < math.inf:
        raise UsageError("rates are positive numbers", hint="for example --learning-rate 2e-4")
    probe = ProbeOptions(multi_label, unit, folds, asked.seed)
    options = MlpOptions(
        hidden=hidden,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        class_weights=class_weights,
        patience=patience or None,
        precision=precision,
        seed=asked.seed,
    )
    more = {"trainer": "mlp", **asdict(probe), **asdict(options)}
    with head_training(asked, model, store, more) as (one, with_embedding, features):
        counted, outcome = mlp_outcome(
            with_embedding, features, probe, options, one.place.state, one.say
        )
        one.finish(outcome, counted)
