"""``vedette train lora``: a vision-language model that learns to be asked about a scope."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from vedette.cli.train.common import Asked, asks


@asks
def lora(
    asked: Asked,
    model: Annotated[
        str, typer.Option("--model", "-m", help="vlm:FOLDER-OR-HUB-ID, such as a LLaVA-1.5.")
    ],
    rank: Annotated[int, typer.Option("--rank", min=1, max=4096, help="Of the adapter.")] = 128,
    alpha: Annotated[
        float, typer.Option("--alpha", help="The adapter's update is scaled by alpha / rank.")
    ] = 256.0,
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, max=1000, help="Passes over the examples.")
    ] = 1,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Examples of a step.")] = 16,
    gradient_accumulation: Annotated[
        int,
        typer.Option("--gradient-accumulation", min=1, help="Parts of a step: less memory."),
    ] = 1,
    gradient_checkpointing: Annotated[
        bool,
        typer.Option("--gradient-checkpointing", help="Less memory, a third more time."),
    ] = False,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", help="AdamW's, at its highest.")
    ] = 2e-4,
    four_bit: Annotated[
        bool, typer.Option("--4bit", help="Frozen weights in four bits; needs a CUDA GPU.")
    ] = False,
    negatives: Annotated[
        Literal["definitions", "bare"],
        typer.Option("--negatives", help="bare: the published code's form, which leaks."),
    ] = "definitions",
    merge: Annotated[
        bool, typer.Option("--merge", help="Write a whole model, not an adapter.")
    ] = False,
) -> None:
    """Train an adapter of a vision-language model; `vedette scan --scope` then chooses categories.

    The same command goes on after a kill, from its last checkpoint.
    """
    from vedette.cli.train.common import training
    from vedette.models.registry import check_commercial
    from vedette.models.vlm import base_of
    from vedette.settings import load_settings
    from vedette.train.lora.options import LoraOptions
    from vedette.train.lora.trainer import as_asked, train_lora

    options = LoraOptions(
        rank=rank,
        alpha=alpha,
        learning_rate=learning_rate,
        epochs=epochs,
        batch=batch,
        gradient_accumulation=gradient_accumulation,
        gradient_checkpointing=gradient_checkpointing,
        four_bit=four_bit,
        negatives=negatives,
        merge=merge,
    )
    options.check()
    base = base_of(model)
    if load_settings(asked.config).commercial:
        check_commercial(base[0])
    with training(asked, as_asked(base[0], options)) as one:
        one.finish(
            train_lora(one.data, base, one.settings, options, asked.seed, one.place.state, one.say)
        )
