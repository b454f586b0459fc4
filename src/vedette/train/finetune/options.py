"""What a user may choose about a fine-tuning."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from vedette.errors import UnknownNameError, UsageError
from vedette.train.weighing import ClassWeights

Augment = Literal["none", "light", "evasion", "strong"]
Cache = Literal["auto", "memory", "disk", "none"]
Precision = Literal["auto", "fp32", "bf16"]
_STAGE = re.compile(r"(head|all|last([1-9][0-9]{0,3})):([1-9][0-9]{0,3})")
_BUDGET = re.compile(r"([0-9]*\.?[0-9]+)(/255)?")
_HINT = "for example --stages head:1,last4:2,all:5"


@dataclass(frozen=True, slots=True)
class Stage:
    """Some epochs with the upper part of the network trained, and the rest frozen."""

    blocks: int | None
    """Transformer blocks that are trained, counted from the head; 0: the head alone. None: the
    whole network, its patch embedding too."""
    epochs: int

    @property
    def name(self) -> str:
        """As the user writes it, without the epochs."""
        return "all" if self.blocks is None else f"last{self.blocks}" if self.blocks else "head"


@dataclass(frozen=True, slots=True)
class FineTuneOptions:
    """All of them but the start, the data and the seed."""

    stages: tuple[Stage, ...] = (Stage(0, 1), Stage(4, 2), Stage(None, 5))
    learning_rate: float = 1e-4
    """At its height, of the head and of the layer below it."""
    head_learning_rate: float = 1e-3
    """Of stages that train the head alone."""
    layer_decay: float = 0.75
    """A layer's learning rate over that of the layer above it."""
    weight_decay: float = 0.05
    """Of matrices; norms, biases and embeddings have none."""
    batch: int = 32
    """Images in a step, over all devices together."""
    warmup: float = 0.1
    """Share of a stage's steps in which the learning rate rises."""
    clip: float = 1.0
    """Largest norm of a step's gradient."""
    class_weights: ClassWeights = "none"
    label_smoothing: float = 0.0
    temperature: float = 1.0
    """Of soft targets: see :mod:`vedette.train.distill`."""
    patience: int = 0
    """Epochs of one stage without a lower validation loss after which it ends; 0: never."""
    precision: Precision = "auto"
    gradient_checkpointing: bool = False
    augment: Augment = "light"
    evasion: float = 0.3
    """Share of pictures that are changed as evaders change them, with ``augment`` ``evasion``."""
    adversarial_steps: int = 0
    """Of PGD inside each training step; 0: none."""
    adversarial_eps: float = 2 / 255
    """In pixels of 0..1."""
    cache: Cache = "auto"
    workers: int = 0
    """Threads that decode and change pictures; 0: one for each core."""
    checkpoint_steps: int = 0
    """A checkpoint after so many steps too; 0: after each epoch."""

    def __post_init__(self) -> None:
        _check(self)

    def as_json(self) -> dict[str, Any]:
        """All that the outcome depends on: where it is computed, and how often it is saved, is not
        part of it."""
        told = asdict(self)
        for name in ("cache", "workers", "checkpoint_steps"):
            del told[name]
        return {**told, "stages": [f"{one.name}:{one.epochs}" for one in self.stages]}


def parse_stages(given: str) -> tuple[Stage, ...]:
    """``head:1,last4:2,all:5`` as stages.

    Raises:
        UsageError: it is none.
    """
    stages = []
    for part in given.split(","):
        match = _STAGE.fullmatch(part.strip())
        if match is None:
            raise UsageError(f"{part.strip()!r} is no stage", hint=_HINT)
        name, last, epochs = match.groups()
        blocks = None if name == "all" else int(last) if last else 0
        stages.append(Stage(blocks, int(epochs)))
    reach = [math.inf if one.blocks is None else one.blocks for one in stages]
    if reach != sorted(reach):
        raise UsageError(
            "a stage trains less of the network than the one before it",
            hint=f"go from the head downwards, {_HINT}",
        )
    return tuple(stages)


def parse_budget(given: str) -> float:
    """``2/255`` or ``0.008`` as a share of the range of pixels.

    Raises:
        UsageError: it is neither, or not between 0 and 1.
    """
    match = _BUDGET.fullmatch(given.strip())
    value = 0.0 if match is None else float(match[1]) / (255 if match[2] else 1)
    if not 0 < value < 1:
        raise UsageError(f"{given!r} is no budget of pixels", hint="for example 2/255")
    return value


def _check(options: FineTuneOptions) -> None:
    kinds = (
        ("class weights", options.class_weights, ClassWeights),
        ("augmentation", options.augment, Augment),
        ("cache", options.cache, Cache),
        ("precision", options.precision, Precision),
    )
    for what, value, known in kinds:
        if value not in get_args(known):
            raise UnknownNameError(what, value, get_args(known))
    ranges = (
        ("--learning-rate", options.learning_rate, 0, 1e3),
        ("--head-learning-rate", options.head_learning_rate, 0, 1e3),
        ("--layer-decay", options.layer_decay, 0, 1),
        ("--clip", options.clip, 0, 1e9),
        ("--temperature", options.temperature, 0, 100),
        ("--adversarial-eps", options.adversarial_eps, 0, 1),
    )
    for name, number, low, high in ranges:
        if not low < number <= high:  # false for NaN too
            raise UsageError(f"{name} must be above {low} and at most {high:g}, not {number:g}")
    shares = (
        ("--weight-decay", options.weight_decay),
        ("--warmup", options.warmup),
        ("--label-smoothing", options.label_smoothing),
        ("--evasion", options.evasion),
    )
    for name, number in shares:
        if not 0 <= number <= 1:
            raise UsageError(f"{name} must be 0 to 1, not {number:g}")
    if not options.stages:
        raise UsageError("there is no stage to train", hint=_HINT)
    if options.batch < 1:
        raise UsageError(f"--batch must be 1 or more, not {options.batch}")
