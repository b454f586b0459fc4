"""Which layers learn, and how fast: frozen ones, and a learning rate that falls towards the input.

Sources: Howard and Ruder, "Universal Language Model Fine-tuning" (ACL 2018), for thawing from the
head downwards; Bao et al., "BEiT" (ICLR 2022), for one factor from each layer to the one below it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from vedette.train.finetune.options import FineTuneOptions, Stage

_BLOCK = re.compile(r"\blayers?\.(\d+)\.")
_INPUT = re.compile(r"\b(embeddings|pre_layrnorm)\.")


@dataclass(frozen=True, slots=True)
class Trained:
    """One parameter that a stage trains."""

    name: str
    parameter: Any
    rate: float
    """Its share of the learning rate."""
    decays: bool
    """Whether weight decay pulls at it."""


def depth_of(name: str, blocks: int) -> int:
    """How far a parameter is below the head: 0 the head itself, ``blocks + 1`` the input.

    What lies between the head and the highest block (the last norm, the projection) is as far as
    that block.
    """
    if match := _BLOCK.search(name):
        return blocks - int(match[1])
    return blocks + 1 if _INPUT.search(name) else int(not name.startswith("head."))


def trained(module: Any, blocks: int, stage: Stage, options: FineTuneOptions) -> list[Trained]:
    """The parameters of a stage, in the module's order; all others are frozen.

    Args:
        module: its parameters are switched on or off.
        blocks: how many transformer blocks it has.
        stage: a stage of more blocks than there are trains all blocks, and not their input.
        options: for the decay from layer to layer.
    """
    found = []
    reach = blocks + 1 if stage.blocks is None else min(stage.blocks, blocks)
    for name, parameter in module.named_parameters():
        depth = depth_of(name, blocks)
        parameter.requires_grad_(depth <= reach)
        if depth <= reach:
            rate = options.layer_decay ** max(0, depth - 1)
            decays = parameter.ndim > 1 and not _INPUT.search(name)
            found.append(Trained(name, parameter, rate, decays))
    return found


def groups(parameters: list[Trained], options: FineTuneOptions) -> list[dict[str, Any]]:
    """The same as an optimiser takes them: one group for each rate and decay."""
    found: dict[tuple[float, bool], list[Any]] = {}
    for one in parameters:
        found.setdefault((one.rate, one.decays), []).append(one.parameter)
    return [
        {
            "params": members,
            "rate": rate,
            "lr": 0.0,
            "weight_decay": options.weight_decay if decays else 0.0,
        }
        for (rate, decays), members in found.items()
    ]


def height(stage: Stage, options: FineTuneOptions) -> float:
    """The learning rate of a stage at its height."""
    return options.learning_rate if stage.blocks != 0 else options.head_learning_rate


def share_at(step: int, steps: int, warmup: float) -> float:
    """The learning rate of a step, 0 being the first, as a share of its height.

    It rises along a line, then falls along half a cosine to 0 after the last step.
    """
    rising = min(steps - 1, round(warmup * steps))
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
