"""``vedette train finetune``: a ViT, or CLIP's image tower, trained on a labelled set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from vedette.cli.train.common import Asked, asks

START = typer.Option("--model", "-m", help="What to start from: falconsai, clip-l14, vit:FOLDER, …")
STAGES = typer.Option(
    "--stages",
    help="What is trained, for how many epochs. [head:1,last4:2,all:5; scratch: all:600]",
)


@asks
def finetune(
    asked: Asked,
    model: Annotated[str, START],
    stages: Annotated[str | None, STAGES] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="At its height. [1e-4; scratch: 2e-3]")
    ] = None,
    head_learning_rate: Annotated[
        float, typer.Option("--head-learning-rate", help="Of stages of the head alone.")
    ] = 1e-3,
    layer_decay: Annotated[
        float | None,
        typer.Option(
            "--layer-decay", help="A layer's rate over that of the one above. [0.75; scratch: 1]"
        ),
    ] = None,
    weight_decay: Annotated[
        float, typer.Option("--weight-decay", help="Of matrices; norms and biases have none.")
    ] = 0.05,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch", min=1, help="Images of a step, over all devices. [32; scratch: 64]"
        ),
    ] = None,
    warmup: Annotated[
        float, typer.Option("--warmup", help="Share of a stage in which the rate rises.")
    ] = 0.1,
    clip: Annotated[float, typer.Option("--clip", help="Largest norm of a gradient.")] = 1.0,
    class_weights: Annotated[
        Literal["none", "balanced"],
        typer.Option("--class-weights", help="balanced: both sides of a label weigh the same."),
    ] = "none",
    label_smoothing: Annotated[
        float, typer.Option("--label-smoothing", help="0 becomes half of it, 1 as much less.")
    ] = 0.0,
    patience: Annotated[
        int,
        typer.Option("--patience", min=0, help="Epochs without a gain that end a stage; 0: none."),
    ] = 0,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        typer.Option("--precision", help="Of products. [bf16 on a GPU, fp32 on a CPU]"),
    ] = "auto",
    gradient_checkpointing: Annotated[
        bool,
        typer.Option("--gradient-checkpointing", help="Less memory, a third more computing."),
    ] = False,
    augment: Annotated[
        Literal["none", "light", "evasion", "strong"] | None,
        typer.Option(
            "--augment",
            help="How pictures are changed before they are learned from. "
            "[evasion; scratch: strong]",
        ),
    ] = None,
    evasion: Annotated[
        float, typer.Option("--evasion", help="Share changed as evaders do, with evasion.")
    ] = 0.3,
    adversarial_steps: Annotated[
        int, typer.Option("--adversarial-steps", min=0, max=1000, help="PGD's in a step; 0: none.")
    ] = 0,
    adversarial_eps: Annotated[
        str, typer.Option("--adversarial-eps", help="Its budget, of pixels in 0..1.")
    ] = "2/255",
    cache: Annotated[
        Literal["auto", "memory", "disk", "none"],
        typer.Option("--cache", help="Where prepared pictures are kept."),
    ] = "auto",
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Threads that prepare pictures. [one a core]")
    ] = 0,
    checkpoint_steps: Annotated[
        int,
        typer.Option("--checkpoint-steps", min=0, help="One after so many steps; 0: each epoch."),
    ] = 0,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", help="Folder for TensorBoard's logs.")
    ] = None,
) -> None:
    """Fine-tune a ViT or CLIP's image tower. The same command goes on after a kill.

    Several GPUs: torchrun --nproc-per-node 4 -m vedette train finetune …
    """
    from vedette.cli.train.common import training
    from vedette.models.registry import check_commercial
    from vedette.settings import load_settings
    from vedette.train.finetune.device import process_number
    from vedette.train.finetune.options import FineTuneOptions, parse_budget, parse_stages
    from vedette.train.finetune.starts import SCRATCH, start_named
    from vedette.train.finetune.trainer import Place, fine_tune
    from vedette.train.tensorboard import check_tensorboard, write_history

    scratch = model.startswith(SCRATCH)
    options = FineTuneOptions(
        stages=parse_stages(stages or ("all:600" if scratch else "head:1,last4:2,all:5")),
        learning_rate=_settled(learning_rate, 2e-3 if scratch else 1e-4),
        head_learning_rate=head_learning_rate,
        layer_decay=_settled(layer_decay, 1.0 if scratch else 0.75),
        weight_decay=weight_decay,
        batch=batch or (64 if scratch else 32),
        warmup=warmup,
        clip=clip,
        class_weights=class_weights,
        label_smoothing=label_smoothing,
        patience=patience,
        precision=precision,
        gradient_checkpointing=gradient_checkpointing,
        augment=augment or ("strong" if scratch else "evasion"),
        evasion=evasion,
        adversarial_steps=adversarial_steps,
        adversarial_eps=parse_budget(adversarial_eps),
        cache=cache,
        workers=workers,
        checkpoint_steps=checkpoint_steps,
    )
    start = start_named(model)  # before an hour of decoding
    if load_settings(asked.config).commercial:
        check_commercial(start.card)
    if tensorboard is not None:
        check_tensorboard()
    more = {"trainer": "finetune", "start": start.card.model, **options.as_json()}
    number = process_number()
    with training(_own(asked, number), more) as one:
        first = one.place.state if not number else asked.out.parent / f".{asked.out.name}.training"
        place = Place(one.place.state, first)
        outcome = fine_tune(one.data, start, options, one.settings, asked.seed, place, one.say)
        if number:
            return  # the first process writes the folder
        one.finish(outcome)
        if tensorboard is not None:
            write_history(tensorboard, outcome.history)


def _settled(given: float | None, usual: float) -> float:
    return usual if given is None else given


def _own(asked: Asked, number: int) -> Asked:
    """What the further processes of one training are asked: a place of their own, and silence."""
    if not number:
        return asked
    out = asked.out.with_name(f".{asked.out.name}.process-{number}")
    return replace(asked, out=out, quiet=True)
