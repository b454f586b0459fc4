"""Few-shot training: a linear head for each label, from as few as eight images of a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vedette.bench.evidence import Caveat
from vedette.errors import UsageError, VedetteError
from vedette.heads.base import Dense, Mlp
from vedette.heads.trained import TrainedMlp, facts_of, write_head
from vedette.models.over import HEAD
from vedette.models.trained import read_manifest
from vedette.train.data import TrainingSet
from vedette.train.examples import Examples, Ints, Part
from vedette.train.features import Features
from vedette.train.finishing import Epoch, Outcome
from vedette.train.scarce.priors import has_texts, head_priors, text_priors
from vedette.train.scarce.shots import drawn
from vedette.train.scarce.shrunken import Prior, Shrunken, shrunken

PriorName = Literal["auto", "texts", "none"]
_MEASURED: tuple[Part, ...] = ("validation", "calibration", "test")
_NOTHING = float(np.log(2)) - 0.005
"""Log loss over left-out images from which on a head has learned nothing, in nats."""


@dataclass(frozen=True, slots=True)
class FewShotOptions:
    """What a user may choose."""

    shots: int | None = None
    """Images of each class that are learned from; None: all of the part ``train``."""
    prior: PriorName = "auto"
    """``texts``: CLIP's; ``auto``: those where the backbone has them; ``none``."""
    start: Path | None = None
    """A trained folder whose linear head is the prior, in place of texts."""

    def as_json(self) -> dict[str, Any]:
        """For the account of the training."""
        start = None if self.start is None else str(self.start)
        return {"shots": self.shots, "prior": self.prior, "start": start}


def check_options(backbone: str, options: FewShotOptions) -> None:
    """Refuse what cannot be, before any picture is read.

    Raises:
        UsageError: texts are asked for of a backbone that has none; two priors.
        ModelError: the folder to start from is no model's.
    """
    if options.start is not None and options.prior == "texts":
        raise UsageError("--start and --prior texts are two priors", hint="give one of them")
    if options.start is not None:
        read_manifest(options.start)
    if options.prior == "texts" and not has_texts(backbone):
        raise UsageError(
            f"{backbone} has no text tower", hint="use --prior none, or a CLIP backbone by its name"
        )


def learn_few_shot(
    data: TrainingSet,
    features: Features,
    options: FewShotOptions,
    seed: int,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """One linear head for each label.

    Args:
        data: the set.
        features: its embeddings.
        options: see there.
        seed: of the draw.
        say: is told what each label's head came to.

    Raises:
        UsageError: ``too_few_labels``; the prior cannot be used.
        ModelError: the weights of the prior are missing or altered.
        VedetteError: ``training_failed``: values that are no numbers.
    """
    examples = data.examples
    rows = drawn(examples, options.shots, seed)
    unused = len(examples.rows("train")) - len(rows)
    say(f"learning from {len(rows):,} images; {unused:,} of the part train are left aside")
    priors, unit = _priors(features, examples, options)
    x = features.rows.astype(np.float64)
    if unit:
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    found: dict[str, Shrunken] = {}
    for k, label in enumerate(examples.labels):
        mine = rows[examples.known[rows, k]]
        fit = shrunken(x[mine], examples.targets[mine, k], priors.get(label))
        if not (np.isfinite(fit.weight).all() and np.isfinite(fit.bias)):
            raise VedetteError(f"{label}: its head is no number", code="training_failed")
        found[label] = fit
        say(f"{label}: {fit.loss:.3f} nats on left-out images (0.693: nothing learned)")
    head = _head(found, unit)
    inputs = x.astype(np.float32)

    def write(folder: Path) -> None:
        write_head(folder / HEAD, head)

    return Outcome(
        kind="head",
        summary=f"few-shot head over {features.card.id}",
        base=features.card,
        logits={part: head.logits(inputs[examples.rows(part)]) for part in _MEASURED},
        history=[Epoch(1, {f"left-out loss, {name}": fit.loss for name, fit in found.items()})],
        options=options.as_json(),
        parts={
            "backbone": features.backbone,
            "backbone_model": features.card.model,
            "head": facts_of(head),
        },
        write=write,
        embedding=features.card.embedding,
        parameters=features.card.parameters,
        trained=sum(len(fit.weight) + 1 for fit in found.values()),
        caveats=_caveats(found),
        facts=_facts(examples, rows, found, priors),
    )


def _priors(
    features: Features, examples: Examples, options: FewShotOptions
) -> tuple[Mapping[str, Prior], bool]:
    """Priors by label, and whether embeddings are normalised."""
    if options.start is not None:
        return head_priors(options.start, features, examples.counts)
    if options.prior != "none" and has_texts(features.backbone):
        return text_priors(features.backbone, examples.counts), True
    return {}, True


def _head(found: Mapping[str, Shrunken], unit: bool) -> TrainedMlp:
    mlps = tuple(
        Mlp((Dense(fit.weight.astype(np.float32)[:, None], np.array([fit.bias], np.float32)),))
        for fit in found.values()
    )
    return TrainedMlp(tuple(found), mlps, unit)


def _caveats(found: Mapping[str, Shrunken]) -> list[Caveat]:
    empty = [label for label, fit in found.items() if fit.loss > _NOTHING]
    if not empty:
        return []
    told = (
        f"Left-out images were told no better than by chance: {', '.join(empty)}. More labels, or "
        "another backbone, are needed."
    )
    return [Caveat("nothing-learned", told)]


def _facts(
    examples: Examples, rows: Ints, found: Mapping[str, Shrunken], priors: Mapping[str, Prior]
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for k, (label, fit) in enumerate(found.items()):
        known = examples.known[rows, k]
        unsafe = int(examples.targets[rows, k][known].sum())
        told[label] = {
            "unsafe": unsafe,
            "safe": int(known.sum()) - unsafe,
            "strength": fit.strength,
            "left_out_loss": round(fit.loss, 6),
            "learned": round(fit.learned, 6),
            "prior": round(fit.prior, 6),
            "prior_from": priors[label].what if label in priors else None,
        }
    unused = len(examples.rows("train")) - len(rows)
    return {"learned_from": len(rows), "left_aside": unused, "labels": told}
