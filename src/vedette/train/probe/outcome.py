"""Probes from a set and its embeddings to what every trainer hands over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vedette.errors import UsageError
from vedette.heads.base import Dense, Mlp
from vedette.heads.trained import TrainedMlp, facts_of, tensors_of, write_head
from vedette.models.over import HEAD
from vedette.train.data import TrainingSet
from vedette.train.examples import Ints, Part
from vedette.train.features import Features
from vedette.train.finishing import Epoch, Outcome
from vedette.train.probe.folds import cross_validated, folds_of, out_of_fold
from vedette.train.probe.logistic import Fitted, fit, fit_best, standard
from vedette.train.probe.mlp import MlpOptions, Seen, Trained, train_mlp
from vedette.train.probe.samples import Samples, check_both, predominant, samples_of
from vedette.train.weighing import ClassWeights, weighing
from vedette.types import Float32

Say = Callable[[str], None]
_USUAL = 1.0
"""C where nothing tells which is best: scikit-learn's own default."""
_JUDGED: tuple[Part, ...] = ("validation", "calibration", "test")


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """What all probes may be asked."""

    multi_label: bool = False
    """See :func:`vedette.train.probe.samples.predominant`."""
    unit: bool = False
    """Embeddings are brought to length 1 first."""
    folds: int = 0
    """Of a cross-validation before the training itself; 0: none."""
    seed: int = 7

    def __post_init__(self) -> None:
        if self.folds == 1:
            raise UsageError("one fold holds nothing out", hint="use --folds 5, or 0 for none")


@dataclass(frozen=True, slots=True)
class LogisticOptions:
    """How logistic regression is fitted."""

    strength: float | None = None
    """C, the inverse strength of regularisation; None: what is best on ``validation``, by label."""
    class_weights: ClassWeights = "none"


def mlp_outcome(
    data: TrainingSet,
    features: Features,
    probe: ProbeOptions,
    options: MlpOptions,
    state: Path,
    say: Say,
) -> tuple[TrainingSet, Outcome]:
    """Train MLP probes.

    Args:
        data: with an embedding for each image.
        features: those.
        probe: what all probes may be asked.
        options: of the MLP.
        state: a folder for checkpoints.
        say: is told how far it is.

    Returns:
        The set as it counts, and what came out.

    Raises:
        UsageError: ``too_few_labels``.
        VedetteError: ``training_failed``, ``write_failed``.
    """
    data, samples = _counted(data, features, probe)
    rows = data.examples.rows("train")
    train = samples.at(rows)
    validation = samples.at(data.examples.rows("validation"))
    if options.patience is not None:
        _say_unstopped(validation, say)

    def head(found: Trained) -> TrainedMlp:
        return TrainedMlp(samples.labels, found.mlps, probe.unit)

    def held_out(number: int, others: Samples) -> Callable[[Float32], Float32]:
        say(f"fold {number + 1} of {probe.folds}")
        file = state / f"fold-{number}.safetensors"
        return head(train_mlp(others, validation, options, file, say)).logits

    facts = _folds(data, train, rows, probe, held_out, say)
    found = train_mlp(train, validation, options, state / "probe.safetensors", say)
    history = [
        _epoch(number, seen, options.learning_rate) for number, seen in enumerate(found.history, 1)
    ]
    facts["labels"] = {
        label: {
            "kept_epoch": found.epoch[k],
            "train_loss": [seen.train[k] for seen in found.history],
            "validation_loss": [seen.validation[k] for seen in found.history],
        }
        for k, label in enumerate(samples.labels)
    }
    told = {**asdict(probe), **asdict(options)}
    summary = f"MLP probe over {features.card.id}"
    outcome = _outcome(summary, data, features, samples, head(found), told)
    return data, replace(outcome, history=_with_folds(history, facts), facts=facts)


def logistic_outcome(
    data: TrainingSet,
    features: Features,
    probe: ProbeOptions,
    options: LogisticOptions,
    say: Say,
) -> tuple[TrainingSet, Outcome]:
    """Fit logistic regression for each label; see :func:`mlp_outcome`."""
    data, samples = _counted(data, features, probe)
    rows = data.examples.rows("train")
    train = samples.at(rows)
    validation = samples.at(data.examples.rows("validation"))

    def held_out(number: int, others: Samples) -> Callable[[Float32], Float32]:
        say(f"fold {number + 1} of {probe.folds}")
        return _fitted(others, validation, options, probe.unit)[0].logits

    facts = _folds(data, train, rows, probe, held_out, say)
    head, strengths = _fitted(train, validation, options, probe.unit)
    facts["strength"] = strengths
    if options.strength is None:
        say("C by label: " + ", ".join(f"{label} {c:.3g}" for label, c in strengths.items()))
    told = {**asdict(probe), **asdict(options)}
    summary = f"logistic regression over {features.card.id}"
    outcome = _outcome(summary, data, features, samples, head, told)
    return data, replace(outcome, history=_with_folds([], facts), facts=facts)


def _counted(
    data: TrainingSet, features: Features, probe: ProbeOptions
) -> tuple[TrainingSet, Samples]:
    if probe.multi_label:
        data = replace(data, examples=predominant(data.examples))
    samples = samples_of(data.examples, features.rows, unit=probe.unit)
    check_both(samples.at(data.examples.rows("train")))
    return data, samples


def _say_unstopped(validation: Samples, say: Say) -> None:
    for label, both in zip(validation.labels, validation.both(), strict=True):
        if not both:
            say(f"{label}: one class only in validation; it is trained for all epochs")


def _fitted(
    train: Samples, validation: Samples, options: LogisticOptions, unit: bool
) -> tuple[TrainedMlp, dict[str, float]]:
    check_both(train)
    by = standard(train.x)
    x = by(train.x)
    weighed = weighing(train.targets, train.known, options.class_weights)
    weights = weighed.of(train.targets, train.known).astype(np.float64)
    count = len(train.labels)
    strength = np.full(count, _USUAL if options.strength is None else options.strength)
    # A class that is not there says nothing about which strength is best.
    choose = np.flatnonzero(validation.both() & (options.strength is None))
    given = np.setdiff1d(np.arange(count), choose)
    found = Fitted(np.zeros((x.shape[1], count)), strength)
    if len(given):
        found.weights[:, given] = fit(
            x, train.targets[:, given], weights[:, given], strength[given]
        )
    if len(choose):
        other = weighed.of(validation.targets, validation.known).astype(np.float64)
        best = fit_best(
            x,
            train.targets[:, choose],
            weights[:, choose],
            (by(validation.x), validation.targets[:, choose], other[:, choose]),
        )
        found.weights[:, choose], found.strength[choose] = best.weights, best.strength
    raw, bias = by.folded(found.weights)
    mlps = tuple(_linear(raw[:, k], float(bias[k])) for k in range(count))
    strengths = dict(zip(train.labels, found.strength.tolist(), strict=True))
    return TrainedMlp(train.labels, mlps, unit), strengths


def _linear(weight: np.ndarray[Any, Any], bias: float) -> Mlp:
    return Mlp((Dense(weight[:, None].astype(np.float32), np.array([bias], np.float32)),))


def _folds(
    data: TrainingSet,
    train: Samples,
    rows: Ints,
    probe: ProbeOptions,
    held_out: Callable[[int, Samples], Callable[[Float32], Float32]],
    say: Say,
) -> dict[str, Any]:
    """The facts of the cross-validation; none where it was not asked for."""
    if not probe.folds:
        return {}
    fold = folds_of(data.examples, rows, probe.folds, probe.seed)
    logits = out_of_fold(train, fold, held_out)
    found = cross_validated(train, logits, data.examples.group[rows], probe.seed)
    f1 = found["macro_f1"]
    if f1["value"] is not None:
        say(f"out of fold: macro F1 {f1['value']:.3f} on {len(train):,} images")
    return {"folds": {"count": probe.folds, **found}}


def _with_folds(history: Sequence[Epoch], facts: Mapping[str, Any]) -> Sequence[Epoch]:
    """The history, its last epoch with what the folds came to."""
    value = facts["folds"]["macro_f1"]["value"] if "folds" in facts else None
    if value is None or not history:
        return history
    last = history[-1]
    return [*history[:-1], Epoch(last.number, {**last.values, "out-of-fold F1": value})]


def _epoch(number: int, seen: Seen, learning_rate: float) -> Epoch:
    """Means over the labels."""
    values = {
        "train loss": seen.train,
        "validation loss": seen.validation,
        "validation F1": seen.f1,
    }
    means = {}
    for name, told in values.items():
        defined = [v for v in told if v is not None]
        if defined:
            means[name] = sum(defined) / len(defined)
    return Epoch(number, {**means, "learning rate": learning_rate})


def _outcome(
    summary: str,
    data: TrainingSet,
    features: Features,
    samples: Samples,
    head: TrainedMlp,
    options: Mapping[str, Any],
) -> Outcome:
    own = sum(tensor.size for tensor in tensors_of(head).values())
    base = features.card.parameters
    return Outcome(
        kind="head",
        summary=summary,
        base=features.card,
        logits={part: head.logits(samples.x[data.examples.rows(part)]) for part in _JUDGED},
        history=(),
        options=options,
        parts={
            "backbone": features.backbone,
            "backbone_model": features.card.model,
            "head": facts_of(head),
        },
        write=lambda folder: write_head(folder / HEAD, head),
        embedding=head.dim,
        parameters=None if base is None else base + own,
        trained=own,
    )
