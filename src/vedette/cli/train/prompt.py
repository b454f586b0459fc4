"""``vedette train prompt``: two learned prompts for each label, over a backbone's embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from vedette.cli.train.common import Asked, asks
from vedette.cli.train.heads import Backbone, Store

# As PromptOptions has them, whose module is loaded with the command and not before.
_SAFE = "a safe image without {category}"
_UNSAFE = "an unsafe image of {category}"


@asks
def prompt(
    asked: Asked,
    model: Backbone = "clip-l14",
    form: Annotated[
        Literal["coop", "q16"],
        typer.Option("--form", help="coop: soft prompts; q16: free vectors in the joint space."),
    ] = "coop",
    init: Annotated[
        Literal["auto", "text", "means", "random"],
        typer.Option("--init", help="Where prompts start; means of the images: q16 only."),
    ] = "auto",
    safe_text: Annotated[
        str, typer.Option("--safe-text", help="Text to start from; {category}, {definition}.")
    ] = _SAFE,
    unsafe_text: Annotated[
        str, typer.Option("--unsafe-text", help="Text to start from; {category}, {definition}.")
    ] = _UNSAFE,
    vectors: Annotated[
        int, typer.Option("--vectors", min=1, max=1000, help="Of a soft prompt.")
    ] = 8,
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, max=100_000, help="Passes over the images.")
    ] = 80,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images of a step.")] = 128,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Adam's.")] = 2e-4,
    patience: Annotated[
        int,
        typer.Option(
            "--patience", min=0, help="Epochs without a gain before a label stops; 0: no."
        ),
    ] = 0,
    store: Store = None,
) -> None:
    """Learn a safe and an unsafe prompt for each category. The same command goes on after a kill.

    At use no text tower is needed: the folder holds two directions for each category.
    """
    from vedette.cli.train.heads import head_training
    from vedette.models.registry import get
    from vedette.train.prompt.learning import check_options, learn_prompts
    from vedette.train.prompt.options import PromptOptions

    options = PromptOptions(
        form=form,
        init=init,
        vectors=vectors,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        patience=patience,
        safe_text=safe_text,
        unsafe_text=unsafe_text,
    )
    check_options(get(model).card, options)  # before an hour of embedding
    with head_training(asked, model, store, {"trainer": "prompt", **options.as_json()}) as (
        one,
        kept,
        features,
    ):
        outcome = learn_prompts(kept, features, options, asked.seed, one.place.state, one.say)
        one.finish(outcome, kept)
