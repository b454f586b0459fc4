"""Students by name: small ViTs with random weights, or whatever a fine-tuning may start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vedette.errors import UsageError
from vedette.resize import Fit
from vedette.train.finetune.network import Shape
from vedette.train.finetune.options import Augment, FineTuneOptions, Stage
from vedette.train.finetune.starts import SCRATCH, SHAPES, Start, start_named

STUDENTS: Mapping[str, Shape] = {
    # Dosovitskiy et al. (ICLR 2021) and Touvron et al. (ICML 2021): the sizes of the field.
    "vit-tiny": Shape(image=224, patch=16, hidden=192, layers=12, heads=3, mlp=768),
    "vit-small": Shape(image=224, patch=16, hidden=384, layers=12, heads=6, mlp=1536),
    "vit-mini": SHAPES["vit-mini"],
}
_HOTTEST = 20.0
"""A temperature above which all targets are one half."""


def student_named(name: str) -> Start:
    """The student of that name.

    Raises:
        UnknownNameError: there is nothing of that name.
        UsageError: it cannot be trained.
        ModelError: its weights are not here, or are altered.
    """
    if name not in STUDENTS:
        return start_named(name)
    shape = STUDENTS[name]
    card = replace(
        start_named(f"{SCRATCH}vit-mini").card,
        id=name,
        summary=f"a ViT of {shape.layers} layers of {shape.hidden} with random weights",
        fit=Fit(shape.image, "stretch"),
        embedding=shape.hidden,
    )
    return Start("scratch", card, None, shape)


def options_for(
    student: Start,
    epochs: int,
    batch: int,
    learning_rate: float | None,
    augment: Augment,
    patience: int,
    temperature: float,
) -> FineTuneOptions:
    """How a student is trained: the whole of it from the first step.

    Raises:
        UsageError: a number out of its range.
    """
    if not 1 <= temperature <= _HOTTEST:
        raise UsageError(f"--temperature must be 1 to {_HOTTEST:g}, not {temperature:g}")
    random = student.kind == "scratch"
    return FineTuneOptions(
        stages=(Stage(None, epochs),),
        learning_rate=(5e-4 if random else 1e-4) if learning_rate is None else learning_rate,
        # What has random weights has no lower layers to be spared.
        layer_decay=1.0 if random else FineTuneOptions().layer_decay,
        batch=batch,
        augment=augment,
        patience=patience,
        temperature=temperature,
    )
