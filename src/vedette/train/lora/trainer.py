"""LoRA from a set to an outcome: examples, training, and the scores of what was held out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from vedette.bench.evidence import Caveat
from vedette.calibrate import sigmoid
from vedette.compile.quiet import quiet
from vedette.errors import UsageError
from vedette.extras import require
from vedette.models.base import ModelCard, ModelOptions
from vedette.models.vlm import Vlm, in_scope, load_network, recipe_of
from vedette.models.vlm_folder import parts_of
from vedette.networks.files import disk_told
from vedette.networks.vlm import VlmNetwork, parameters_of, silent
from vedette.networks.vlm_adapter import (
    LoraShape,
    save_activations,
    with_new_adapter,
    write_adapter,
)
from vedette.networks.vlm_files import TEMPLATE, TEXTS, VlmFiles
from vedette.pipeline import decoder_for
from vedette.settings import Settings
from vedette.train.data import TrainingSet
from vedette.train.examples import PARTS, Examples, Part
from vedette.train.finetune.squares import Squares
from vedette.train.finishing import Outcome
from vedette.train.lora.loop import LoraLoop, Picture
from vedette.train.lora.options import LoraOptions
from vedette.train.lora.prompts import categories_of, training_examples
from vedette.types import Float32

_HELD_OUT: tuple[Part, ...] = tuple(part for part in PARTS if part != "train")
_AT_ONCE = 8
"""Pictures that are scored together."""


def train_lora(
    data: TrainingSet,
    base: tuple[ModelCard, VlmFiles],
    settings: Settings,
    options: LoraOptions,
    seed: int,
    state: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Train an adapter of a vision-language model.

    Args:
        data: with its source; its labels are categories.
        base: as :func:`vedette.models.vlm.base_of` gives it.
        settings: limits of decoding.
        options: see there.
        seed: of everything that is drawn: the same one gives the same weights on one machine.
        state: folder of the checkpoints; a run that was killed goes on from there.
        say: is told how it goes on.

    Raises:
        UsageError: ``too_few_labels``; options that exclude each other; four bits without a GPU.
        ModelError: a checkpoint that cannot be used.
        VedetteError: ``training_failed``.
        MissingExtraError: torch, transformers or peft is not installed.
        OSError: a checkpoint cannot be written.
    """
    options.check()
    if data.source is None:
        raise UsageError(f"{data.given} has no pictures to learn from")
    torch = require("torch", extra="zoo")
    examples = training_examples(data.examples, seed)
    card, files = base
    recipe = recipe_of(files)
    network = load_network(files, recipe, ModelOptions(), four_bit=options.four_bit)
    parameters = parameters_of(network.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = LoraShape(options.rank, options.alpha, options.dropout)
        network = network.with_model(with_new_adapter(network.model, shape))
    if options.gradient_checkpointing:
        save_activations(network.model)
    asked = ModelOptions(scope=categories_of(data.examples))
    vlm = Vlm(in_scope(card, asked), network, recipe)
    with closing(decoder_for(vlm, settings)) as decoder:
        squares = Squares(
            data.source,
            data.examples.keys,
            decoder,
            recipe.prepare,
            recipe.crop,
            "auto",
            state,
        )
        loop = LoraLoop(network, examples, squares.__getitem__, options, seed)
        say(
            f"{len(examples):,} examples of {len({e.row for e in examples}):,} images, "
            f"{loop.steps:,} steps on {vlm.runtime}"
        )
        history = loop.run(state, say, lambda: _looked(vlm, data.examples, squares.__getitem__))
        trained = sum(p.numel() for p in network.model.parameters() if p.requires_grad)
        if options.merge:
            with quiet():
                whole = network.model.merge_and_unload().eval().requires_grad_(False)
            vlm = Vlm(vlm.card, network.with_model(whole), recipe)
        logits = {}
        for part in _HELD_OUT:
            say(f"scoring {len(data.examples.rows(part)):,} images of {part}")
            logits[part] = logits_of(vlm, data.examples, part, squares.__getitem__)
    _tell_cost(loop, say)
    return Outcome(
        kind="vlm",
        summary=f"LoRA of {card.id}, asked about the categories in scope",
        base=card,
        logits=logits,
        history=history,
        options=options.as_json(),
        parts=parts_of(card.id, card.model, merged=options.merge),
        write=lambda folder: _write(folder, vlm.network, files, card, merged=options.merge),
        parameters=parameters if options.merge else parameters + trained,
        trained=trained,
        caveats=_caveats(options),
        facts={"examples": len(examples), **loop.meter.as_json()},
    )


def logits_of(vlm: Vlm, examples: Examples, part: Part, picture: Picture) -> Float32:
    """Of a part's images, asked about every label: float32 [images, labels]."""
    rows = examples.rows(part)
    found = [np.zeros((0, len(examples.labels)), np.float32)]
    for begin in range(0, len(rows), _AT_ONCE):
        few = [picture(int(row)) for row in rows[begin : begin + _AT_ONCE]]
        found.append(vlm.logits(np.stack(few))[0])
    return np.concatenate(found)


def _looked(vlm: Vlm, examples: Examples, picture: Picture) -> Mapping[str, float]:
    """How the part ``validation`` is judged."""
    rows = examples.rows("validation")
    if not len(rows):
        return {}
    vlm.network.model.eval()
    odds = logits_of(vlm, examples, "validation", picture)
    targets, known = examples.targets[rows], examples.known[rows]
    right = np.where(targets, sigmoid(odds), sigmoid(-odds))
    flagged, unsafe = (odds > 0).any(axis=1), (targets & known).any(axis=1)
    hits, all_of_both = int((flagged & unsafe).sum()), int(flagged.sum() + unsafe.sum())
    seen = {"validation F1": 2 * hits / all_of_both if all_of_both else 0.0}
    if known.any():
        seen["validation loss"] = float(-np.log(np.maximum(right[known], 1e-12)).mean())
    return seen


def _tell_cost(loop: LoraLoop, say: Callable[[str], None]) -> None:
    """On a GPU alone: on a CPU neither number helps to plan anything."""
    told = loop.meter.as_json()
    if loop.meter.peak_bytes is not None:
        say(f"{told['tokens_per_s']:,} tokens/s, {loop.meter.peak_bytes / 2**30:.1f} GiB at most")


def _caveats(options: LoraOptions) -> tuple[Caveat, ...]:
    found = []
    if options.negatives == "bare":
        told = "It learned from prompts whose style gives the answer away (--negatives bare)."
        found.append(Caveat("leaking-prompts", told))
    if options.four_bit:
        told = (
            "It was trained and measured over weights in four bits, and is opened over whole ones: "
            "scores differ a little."
        )
        found.append(Caveat("four-bits", told))
    return tuple(found)


def _write(
    folder: Path, network: VlmNetwork, files: VlmFiles, card: ModelCard, *, merged: bool
) -> None:
    if not merged:
        write_adapter(network.model, folder, card.model)
        return
    with silent(), disk_told():
        network.model.save_pretrained(folder)
    for name in (*TEXTS, TEMPLATE):
        if (files.folder / name).is_file():
            shutil.copyfile(files.folder / name, folder / name)


def as_asked(card: ModelCard, options: LoraOptions) -> dict[str, Any]:
    """All that the weights depend on beside the data, as JSON values."""
    return {"trainer": "lora", "model": card.model, **options.as_json()}
