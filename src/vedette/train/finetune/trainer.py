"""Fine-tuning from a set to an outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vedette.settings import Settings
from vedette.train.data import TrainingSet
from vedette.train.examples import Part
from vedette.train.finetune.device import Device, memory_told
from vedette.train.finetune.evaluate import judged
from vedette.train.finetune.layers import trained
from vedette.train.finetune.loop import Loop
from vedette.train.finetune.network import Network
from vedette.train.finetune.options import FineTuneOptions
from vedette.train.finetune.pictures import Pictures
from vedette.train.finetune.starts import Start
from vedette.train.finishing import Epoch, Outcome
from vedette.types import Float32

_JUDGED: tuple[Part, ...] = ("validation", "calibration", "test")
WAITING = "waiting share"
"""Name in the history: of an epoch's training steps, the share of time without a picture."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fine-tuning keeps what it can go on with."""

    state: Path
    """A folder of this process."""
    checkpoints: Path
    """The first process's; the same where there is only one."""


def fine_tune(
    data: TrainingSet,
    start: Start,
    options: FineTuneOptions,
    settings: Settings,
    seed: int,
    place: Place,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Train a start on a set; goes on where a killed run of the same training was.

    Args:
        data: with its source.
        start: see :mod:`vedette.train.finetune.starts`.
        options: see there.
        settings: limits of decoding.
        seed: of all random numbers. On one machine it decides the weights.
        place: see there.
        say: is told how it goes; of several processes only the first one speaks.

    Raises:
        UsageError: the set has no pictures.
        ModelError: the start cannot be loaded.
        VedetteError: ``training_failed``; a picture cannot be read any more.
        OSError: a checkpoint cannot be written.
        MissingExtraError: a library of the extras ``zoo`` or ``train`` is not installed.
    """
    device = Device(options.precision)
    speak = say if device.first else _silent
    examples = data.examples
    network = start.network(examples.labels, seed)
    if options.gradient_checkpointing:
        network.checkpoint_activations()
    whole = _count(network.module.parameters())
    with (
        memory_told(),
        Pictures(data, network.recipe, settings, options, seed, place.state) as pictures,
    ):
        count = len(examples.rows("train"))
        speak(f"{start.card.id}: {whole:,} parameters on {device.told}")
        speak(f"{count:,} pictures to learn from; once prepared, kept: {pictures.squares.kept}")
        device.wait()  # until the first process has settled which checkpoints are this training's
        loop = Loop(network, examples, pictures, options, seed, device, place.checkpoints, speak)
        progress = loop.run()
        logits: dict[Part, Float32] = {
            part: judged(network.module, network, pictures, examples.rows(part), device)
            for part in _JUDGED
        }
    device.wait()
    device.close()
    kept = progress.best_epoch or progress.number
    speak(f"kept: epoch {kept}")
    return _outcome(network, options, progress.history, logits, kept)


def _outcome(
    network: Network,
    options: FineTuneOptions,
    history: Sequence[Epoch],
    logits: dict[Part, Float32],
    kept: int,
) -> Outcome:
    stages = options.as_json()["stages"]
    last = trained(network.module, network.blocks, options.stages[-1], options)
    waits = [one.values[WAITING] for one in history]
    return Outcome(
        kind=network.kind,
        summary=f"{network.card.id}, fine-tuned ({', '.join(stages)})",
        base=replace(network.card, fit=network.recipe.fit),
        logits=logits,
        history=tuple(history),
        options={"trainer": "finetune", "start": network.card.id, **options.as_json()},
        parts=network.parts,
        write=network.write,
        embedding=network.embedding,
        parameters=_count(network.module.parameters()),
        trained=_count(one.parameter for one in last),
        facts={"kept_epoch": kept, "waiting_share": round(sum(waits) / max(1, len(waits)), 4)},
    )


def _count(parameters: Iterable[Any]) -> int:
    return sum(int(parameter.numel()) for parameter in parameters)


def _silent(line: str) -> None:
    """Nothing is shown."""
