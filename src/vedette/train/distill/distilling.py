"""Distillation from a teacher's answers to an outcome.

Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network" (2015): the student
learns the teacher's probabilities, softened by a temperature, with the loss multiplied by its
square. Labels are independent here, so that the loss is a binary cross-entropy for each.

The teacher sees each picture once, as a scan shows it, and the student changed copies of it: what
Beyer et al., "Knowledge distillation: a good teacher is patient and consistent" (CVPR 2022), call a
fixed teacher. Theirs looks at every changed copy, which is better and costs a pass of the teacher
for every epoch. The changes are kept light for that reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vedette.bench.evidence import Caveat
from vedette.bench.predictions import SHIPPED
from vedette.calibrate import sigmoid
from vedette.compile.export import whole_card
from vedette.models.base import ModelCard
from vedette.settings import Settings
from vedette.train.data import TrainingSet
from vedette.train.distill.agreement import agreement
from vedette.train.distill.pool import Pool
from vedette.train.distill.teacher import Taught
from vedette.train.examples import Part
from vedette.train.finetune.options import FineTuneOptions
from vedette.train.finetune.starts import Start
from vedette.train.finetune.trainer import Place, fine_tune
from vedette.train.finishing import Outcome
from vedette.types import Float32


@dataclass(frozen=True, slots=True)
class Lesson:
    """Who teaches whom, and how."""

    teacher: ModelCard
    student: Start
    options: FineTuneOptions
    seed: int


def distil(
    pool: Pool,
    data: TrainingSet,
    taught: Taught,
    lesson: Lesson,
    settings: Settings,
    state: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Train the student; goes on where a killed run of the same training was.

    Args:
        pool: the images.
        data: what :func:`vedette.train.distill.lessons.lessons` made of it.
        taught: the teacher's answers.
        lesson: see there.
        settings: limits of decoding.
        state: a folder for checkpoints.
        say: is told how it goes.

    Raises:
        VedetteError: as :func:`vedette.train.finetune.trainer.fine_tune`.
        OSError: a checkpoint cannot be written.
    """
    outcome = fine_tune(
        data, lesson.student, lesson.options, settings, lesson.seed, Place(state, state), say
    )
    found = agreements(data, outcome)
    caveats = list(outcome.caveats)
    if not _measured_on_labels(pool, data):
        caveats.append(_TEACHER_LABELS)
    part = found["part"]
    if found["equal_decisions"] is not None:
        say(
            f"of {found['images']:,} images of the part {part} the student decides "
            f"{found['equal_decisions']:.1%} as its teacher does{_beyond(found['kappa'])}; "
            f"probabilities {found['mean_distance']:.3f} apart on average"
        )
    return replace(
        outcome,
        summary=f"{lesson.student.card.id} that learned from {lesson.teacher.id}",
        base=_base(outcome.base, lesson.teacher),
        caveats=tuple(caveats),
        options={**outcome.options, "teacher": lesson.teacher.model},
        facts={
            **outcome.facts,
            "teacher": lesson.teacher.model,
            "not_scanned_by_teacher": dict(taught.failed),
            "agreement": found,
        },
    )


_TEACHER_LABELS = Caveat(
    "teacher-labels",
    "The set has no labels to test on: curves, thresholds and metrics are of the teacher's "
    "decisions, and say how well it is imitated, not how often either is right.",
)


def agreements(data: TrainingSet, outcome: Outcome) -> dict[str, Any]:
    """How far the student is from its teacher on images that it has not learned from."""
    examples = data.examples
    part: Part = "test" if len(examples.rows("test")) else "validation"
    rows = examples.rows(part)
    assert examples.soft is not None
    teacher, student = examples.soft[rows], sigmoid(outcome.logits[part]).astype("float32")
    found = {"part": part, **agreement(teacher, student, examples.labels)}
    truth = examples.unsafe[rows]
    return {**found, "f1": {"teacher": _f1(truth, teacher), "student": _f1(truth, student)}}


def _beyond(kappa: float | None) -> str:
    return "" if kappa is None else f" (kappa {kappa:.2f}: 0 is chance)"


def _f1(unsafe: Any, p: Float32) -> float | None:
    """Of unsafe in any category against what the set, or the teacher, says."""
    flagged = (p >= SHIPPED).any(axis=1)
    both = int(flagged.sum()) + int(unsafe.sum())
    return round(2 * int((flagged & unsafe).sum()) / both, 4) if both else None


def _measured_on_labels(pool: Pool, data: TrainingSet) -> bool:
    told = {row.key for row, said in zip(pool.rows, pool.told, strict=True) if said}
    return any(data.examples.keys[at] in told for at in data.examples.rows("test"))


def _base(base: ModelCard, teacher: ModelCard) -> ModelCard:
    """The start's card with the teacher's terms: what it knows comes from there."""
    whole = whole_card(replace(base, needs=(*base.needs, teacher)))
    return replace(whole, embedding=base.embedding)
