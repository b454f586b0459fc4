"""``vedette train few-shot``: a head from as few as eight images of a class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vedette.cli.train.common import Asked, asks
from vedette.cli.train.heads import Backbone, Store


@asks
def few_shot(
    asked: Asked,
    model: Backbone = "clip-l14",
    shots: Annotated[
        int | None,
        typer.Option("--shots", min=1, help="Images of each class to learn from. [all of train]"),
    ] = None,
    prior: Annotated[
        Literal["auto", "texts", "none"],
        typer.Option("--prior", help="texts: CLIP's definitions; auto: where there are any."),
    ] = "auto",
    start: Annotated[
        Path | None,
        typer.Option("--start", help="A trained folder whose linear head is the prior."),
    ] = None,
    store: Store = None,
) -> None:
    """Learn a linear head for each category from a handful of images of it."""
    from vedette.cli.train.heads import head_training
    from vedette.train.scarce.few_shot import FewShotOptions, check_options, learn_few_shot

    options = FewShotOptions(shots, prior, start)
    check_options(model, options)
    more = {"trainer": "few-shot", **options.as_json()}
    with head_training(asked, model, store, more) as (one, kept, features):
        one.finish(learn_few_shot(kept, features, options, asked.seed, one.say), kept)
