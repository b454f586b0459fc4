"""From a set's embeddings to a head of learned prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vedette.bench.evidence import Caveat
from vedette.compile.quiet import quiet
from vedette.errors import UsageError, VedetteError
from vedette.extras import require
from vedette.heads.trained import TrainedPrompts, facts_of, write_head
from vedette.hub.locate import locate
from vedette.models.base import ModelCard
from vedette.models.clip_cards import BACKBONES
from vedette.models.over import HEAD
from vedette.networks.clip import ClipConfig, read_clip_config
from vedette.networks.clip_prompts import PromptTower
from vedette.networks.clip_text import text_embeddings
from vedette.train.data import TrainingSet
from vedette.train.examples import Examples, Part
from vedette.train.features import Features
from vedette.train.finishing import Outcome
from vedette.train.prompt.loop import SCALE, Directions, Learned, Lessons, Run, learn
from vedette.train.prompt.options import PromptOptions
from vedette.train.prompt.texts import sentences
from vedette.types import Float32

PROMPTS = "prompts.safetensors"
"""The soft prompts themselves: float32 [labels, vectors, width], ``safe`` and ``unsafe``."""
_CHECKPOINT = "prompts.state.safetensors"
_SPREAD = 0.02
"""Standard deviation of random soft vectors, as in CoOp."""
_MEASURED: tuple[Part, ...] = ("validation", "calibration", "test")


def text_config(card: ModelCard) -> ClipConfig | None:
    """The CLIP checkpoint whose joint space a backbone's embeddings are in; None: in none.

    Raises:
        ModelError: it is one of the known CLIPs, and its files are not here or not usable.
    """
    found = _clip(card)
    return None if found is None else read_clip_config(locate(found))


def _clip(card: ModelCard) -> ModelCard | None:
    """The CLIP that a backbone is, or that its head stands on."""
    found = [BACKBONES[one.id] for one in (card, *card.needs) if one.id in BACKBONES]
    return found[0] if len(found) == 1 and found[0].embedding == card.embedding else None


def check_options(card: ModelCard, options: PromptOptions) -> None:
    """Refuse what the backbone cannot do; nothing is loaded.

    Raises:
        UsageError: texts are asked for, and it has no text tower.
    """
    if _clip(card) is None and (options.form == "coop" or options.init == "text"):
        raise UsageError(
            f"{card.id} has no text tower to run prompts through",
            hint=f"use --model {', '.join(BACKBONES)}, or --form q16 without --init text",
        )


def learn_prompts(
    data: TrainingSet,
    features: Features,
    options: PromptOptions,
    seed: int,
    state: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Two prompts for each label of a set, learned over the embeddings of its images.

    Args:
        data: with a row for each of the embeddings.
        features: of its images.
        options: see there.
        seed: of the images' order, and of prompts that start at random.
        state: a folder for the checkpoint; a run that finds its own goes on from there.
        say: is told the progress.

    Raises:
        UsageError: what the backbone cannot do; a template or a number that does not fit it.
        ModelError: the text tower's files are not here, or not usable.
        VedetteError: ``training_failed``, ``write_failed``.
    """
    check_options(features.card, options)
    if not np.isfinite(features.rows).all():
        raise VedetteError("some embedding is no number", code="training_failed")
    examples = data.examples
    rows = _unit(features.rows)
    lessons = Lessons(
        rows,
        examples.targets,
        examples.known,
        examples.rows("train"),
        examples.rows("validation"),
    )
    device = _device()
    make = _soft if options.form == "coop" else _free
    given = make(examples, lessons, features.card, options, (seed, device))
    if given.cut:
        say(
            f"{given.cut} of {2 * len(examples.labels)} texts have more than {options.vectors} "
            f"tokens: each prompt starts from the first {options.vectors} (see --vectors)"
        )
    run = Run(seed, state / _CHECKPOINT, device, say)
    found = learn(lessons, given.start, given.directions, options, run)
    return _outcome(examples, features, options, found, given, rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    """Where what is learned starts, and how it becomes directions."""

    start: Float32
    """float32 [labels, 2, ...]; of the two, the safe one first"""
    directions: Directions
    origin: str
    """What it starts from, in a word."""
    cut: int = 0
    """Texts that were longer than the prompts."""
    tower: PromptTower | None = None


def _soft(
    examples: Examples,
    lessons: Lessons,
    card: ModelCard,
    options: PromptOptions,
    where: tuple[int, str],
) -> _Given:
    """CoOp's: vectors in the place of words."""
    seed, device = where
    config = text_config(card)
    assert config is not None
    tower = PromptTower(config, device)
    labels = len(examples.labels)
    if options.vectors > tower.room:
        raise UsageError(
            f"a prompt of {options.vectors} vectors: {card.id} reads {tower.room} at most",
            hint="lower --vectors",
        )
    shape = (labels, 2, options.vectors, tower.width)
    if options.init == "random":
        drawn = np.random.default_rng(seed).standard_normal(shape) * _SPREAD
        start, cut = drawn.astype(np.float32), 0
    else:
        flat, cut = tower.started_from(_texts(examples, options), options.vectors)
        start = flat.reshape(2, labels, *shape[2:]).swapaxes(0, 1).copy()

    def directions(vectors: Any) -> Any:
        return tower(vectors.flatten(0, 1)).unflatten(0, (labels, 2))

    origin = "random" if options.init == "random" else "text"
    return _Given(start, directions, origin, cut, tower)


def _free(
    examples: Examples,
    lessons: Lessons,
    card: ModelCard,
    options: PromptOptions,
    where: tuple[int, str],
) -> _Given:
    """Q16's: two free vectors in the joint space."""
    torch = require("torch", extra="zoo")
    config = text_config(card) if options.init in ("auto", "text") else None
    labels, dim = len(examples.labels), lessons.features.shape[1]
    if options.init == "random":
        drawn = np.random.default_rng(where[0]).standard_normal((labels, 2, dim))
        start, origin = _unit(drawn.astype(np.float32)), "random"
    elif config is not None:
        with quiet():
            flat = text_embeddings(config, _texts(examples, options))
        start, origin = flat.reshape(2, labels, dim).swapaxes(0, 1).copy(), "text"
    else:
        start, origin = _means(lessons), "means"
    return _Given(start, lambda free: torch.nn.functional.normalize(free, dim=-1), origin)


def _texts(examples: Examples, options: PromptOptions) -> list[str]:
    """All the safe sentences, then all the unsafe ones."""
    labels = examples.labels
    return [
        *sentences(options.safe_text, labels, "--safe-text"),
        *sentences(options.unsafe_text, labels, "--unsafe-text"),
    ]


def _means(lessons: Lessons) -> Float32:
    """float32 [labels, 2, dim]: directions of the safe and the unsafe training images' means."""
    rows, found = lessons.features[lessons.train], []
    known, targets = lessons.known[lessons.train], lessons.targets[lessons.train]
    for k in range(targets.shape[1]):
        for value in (False, True):
            mine = known[:, k] & (targets[:, k] == value)
            found.append(rows[mine].mean(axis=0, dtype=np.float64))
    means = np.stack(found).astype(np.float32)
    return _unit(means).reshape(targets.shape[1], 2, -1)


def _outcome(
    examples: Examples,
    features: Features,
    options: PromptOptions,
    found: Learned,
    given: _Given,
    rows: Float32,
) -> Outcome:
    safe, unsafe = (np.ascontiguousarray(found.directions[:, k]) for k in (0, 1))
    head = TrainedPrompts(examples.labels, safe, unsafe, SCALE)
    facts: dict[str, Any] = {"started from": given.origin, "at the start": dict(found.start)}
    vectors = found.vectors
    if given.tower is not None:
        words = given.tower.nearest(vectors.reshape(-1, *vectors.shape[2:]))
        facts["nearest tokens"] = {
            label: {"safe": words[2 * k], "unsafe": words[2 * k + 1]}
            for k, label in enumerate(examples.labels)
        }

    def write(folder: Path) -> None:
        write_head(folder / HEAD, head)
        if given.tower is not None:
            save = require("safetensors.numpy", extra="zoo").save
            soft = {"safe": vectors[:, 0], "unsafe": vectors[:, 1]}
            contiguous = {name: np.ascontiguousarray(value) for name, value in soft.items()}
            (folder / PROMPTS).write_bytes(save(contiguous))

    what = "soft prompts" if options.form == "coop" else "prompt vectors (Q16's form)"
    return Outcome(
        kind="head",
        summary=f"{what} over {features.card.id}",
        base=features.card,
        logits={part: head.logits(rows[examples.rows(part)]) for part in _MEASURED},
        history=found.history,
        options=options.as_json(),
        parts={
            "backbone": features.backbone,
            "backbone_model": features.card.model,
            "head": facts_of(head),
        },
        write=write,
        embedding=features.card.embedding,
        parameters=features.card.parameters,
        trained=int(vectors.size),
        caveats=_caveats(examples),
        facts=facts,
    )


def _caveats(examples: Examples) -> list[Caveat]:
    if len(examples.rows("validation")):
        return []
    told = "There are no images for validation: nothing could stop the training early."
    return [Caveat("no-validation-images", told)]


def _unit(rows: Float32) -> Float32:
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, 1e-12), dtype=np.float32)


def _device() -> str:
    torch = require("torch", extra="zoo")
    return "cuda" if torch.cuda.is_available() else "cpu"
