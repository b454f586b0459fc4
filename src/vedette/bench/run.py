"""A run: one set, some predictors, some tasks, a result file for each pair of them.

Everything that takes long is kept in ``OUT/.state`` while it is made, so that the same command
after a kill goes on where it was; finished results are not made again.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vedette.bench.evidence import Caveat, Evidence
from vedette.bench.fingerprints import Fingerprints, fingerprints, groups, overlap
from vedette.bench.journal import digest
from vedette.bench.opening import classifier_of
from vedette.bench.predictions import Predictions
from vedette.bench.predictor import Predictor, PredictorCard
from vedette.bench.result import DataCard, Result, read_result, versions, write_result
from vedette.bench.scoring import Labelled, labelled, predictions, score, set_hash
from vedette.bench.tasks.base import BenchOptions, Context, Task
from vedette.data.base import SPLIT, Source, read_all
from vedette.data.splits import Split
from vedette.data.synth.plan import is_stand_in
from vedette.errors import UsageError, VedetteError
from vedette.settings import Settings

_STATE = ".state"
_TEST, _TRAIN, _VALIDATION = "test", "train", ("validation", "val", "dev")
_VERSION = 1
"""Of what a task's numbers mean: another one, and finished results are made again."""


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """A set as it is benchmarked."""

    given: str
    source: Source
    rows: tuple[Labelled, ...]
    """Of the images that are scored."""
    validation: tuple[Labelled, ...]
    """Of others, to choose thresholds on."""
    split: str
    """Name of the part that ``rows`` is; ``""``: the whole set."""
    stand_in: bool
    set_id: str = ""
    prints: Fingerprints | None = None
    """Of all images of both parts."""

    def hashes(self, rows: Sequence[Labelled]) -> list[str | None]:
        """SHA-256 of those images' bytes, in hex; None where a picture cannot be read."""
        assert self.prints is not None
        told = zip(self.prints.keys, self.prints.sha256, strict=True)
        known = {key: words.astype("<u8").tobytes().hex() for key, words in told}
        return [known.get(row.key) for row in rows]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does."""

    out: Path
    tasks: tuple[Task, ...]
    options: BenchOptions
    settings: Settings
    say: Callable[[str], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class Done:
    """One result, or why there is none."""

    model: str
    task: str
    path: Path | None
    why_not: str = ""
    """In one sentence, where the task cannot be asked of this predictor."""
    kept: bool = False
    """Whether it was there already."""
    caveats: int = 0
    failed: int = 0
    """Images that could not be scored."""
    broke_off: bool = False
    """Whether the task began, and an error ended it."""


def read_set(
    given: str, source: Source, split: Split | None, official: bool, set_id: str = ""
) -> Bench:
    """The labelled images of a set, and which part of them is benchmarked.

    Where a split says so, or the set itself, only its part ``test`` is; thresholds are chosen on
    ``validation``, else on as many of ``train`` as the test has. The official protocol takes all.

    Raises:
        UsageError: there is no labelled image; ``bad_source``.
    """
    stand_in = False
    rows: list[Labelled] = []
    strange = 0
    for row, item in labelled(read_all(source), SPLIT):
        stand_in = stand_in or is_stand_in(item)
        part = row.split.casefold() if split is None else (split.of(row.key) or "")
        strange += split is not None and not part
        rows.append(replace(row, split=part))
    if not rows:
        raise UsageError(
            "there is no labelled image in the set",
            hint="say what its labels mean with --labels; see vedette data stats",
        )
    parts = {row.split for row in rows}
    if split is not None and not official and _TEST not in parts:
        raise UsageError(
            f"the split puts no image of the set into {_TEST}: {strange:,} of {len(rows):,} images "
            "are not in it at all",
            code="bad_source",
            hint="give the split of this very set, with a part called test",
        )
    if official or _TEST not in parts:
        return Bench(given, source, tuple(rows), (), "", stand_in, set_id)
    test = tuple(row for row in rows if row.split == _TEST)
    validation = tuple(row for row in rows if row.split in _VALIDATION)
    if not validation:
        train = [row for row in rows if row.split == _TRAIN]
        lots = sorted(train, key=lambda row: hashlib.sha256(row.key.encode()).digest())
        drawn = {row.key for row in lots[: len(test)]}
        validation = tuple(row for row in train if row.key in drawn)
    return Bench(given, source, test, validation, _TEST, stand_in, set_id)


def with_fingerprints(bench: Bench, settings: Settings) -> Bench:
    """The set with the hashes of its pictures: one decode of each.

    Raises:
        VedetteError: the source cannot be read.
    """
    keys = {row.key for row in (*bench.rows, *bench.validation)}
    whole = fingerprints(bench.source, settings)
    at = np.array([k for k, key in enumerate(whole.keys) if key in keys], dtype=np.intp)
    kept = Fingerprints(
        tuple(whole.keys[k] for k in at.tolist()), whole.sha256[at], whole.perceptual[at]
    )
    found = replace(bench, prints=kept)
    if not bench.validation:
        return found
    # A copy of a test image would carry its label over to where thresholds are chosen.
    keys_of_all = [row.key for row in (*bench.rows, *bench.validation)]
    group = groups(kept, keys_of_all)
    tested = set(group[: len(bench.rows)].tolist())
    apart = group[len(bench.rows) :].tolist()
    rows = [row for row, one in zip(bench.validation, apart, strict=True) if one not in tested]
    return replace(found, validation=tuple(rows))


def run(
    bench: Bench,
    predictor: Predictor,
    plan: Plan,
    training: Mapping[str, Fingerprints] | None = None,
) -> list[Done]:
    """All tasks for one predictor.

    Args:
        bench: see :func:`with_fingerprints`.
        predictor: is closed by the caller.
        plan: what to do.
        training: fingerprints of sets that the model is known to have been trained on, by a name
            for people.

    Raises:
        VedetteError: with what to do about it; finished results stay.
    """
    assert bench.prints is not None
    card = predictor.card
    data = _data(bench, training or {})
    found, left = _finished(card, data, plan)
    if not left:  # hours, or money, that nobody has to spend twice
        return [found[task.name] for task in plan.tasks]
    # Whatever an answer follows from: of other pictures, labels or weights nothing is taken over.
    told_by = digest([_card(card), asdict(data), repr(plan.settings), versions()])
    own = plan.out / _STATE / f"{slug(card.name, card.model)}-{told_by[:12]}"
    _make(own)
    plan.say(f"{card.name}: scoring {len(bench.rows):,} images")
    answers = score(bench.source, bench.rows, predictor, own / "test.jsonl")
    told = predictions(bench.rows, answers, card.covered, bench.prints)
    validation: Predictions | None = None
    if bench.validation:
        plan.say(f"{card.name}: scoring {len(bench.validation):,} images to choose thresholds on")
        more = score(bench.source, bench.validation, predictor, own / "validation.jsonl")
        validation = predictions(bench.validation, more, card.covered, bench.prints)
    caveats = _caveats(bench, told, card, training or {})
    for task in left:
        context = Context(
            predictions=told,
            validation=validation,
            card=card,
            predictor=predictor,
            classifier=classifier_of(predictor),
            source=bench.source,
            settings=plan.settings,
            options=plan.options,
            state=own / f"{task.name}-{digest(_options(plan))[:12]}",
            say=plan.say,
            embedded_by=card.model if told.embedding is not None else "",
        )
        found[task.name] = _one(task, context, data, plan, caveats)
    if not any(done.broke_off for done in found.values()):
        shutil.rmtree(own, ignore_errors=True)
    return [found[task.name] for task in plan.tasks]


def _finished(
    card: PredictorCard, data: DataCard, plan: Plan
) -> tuple[dict[str, Done], list[Task]]:
    """Results that are there and would come out the same; and the tasks that are left."""
    found: dict[str, Done] = {}
    left = []
    for task in plan.tasks:
        path = _path(card, task, data, plan)
        try:
            before = read_result(path) if path.exists() else None
        except UsageError:  # damaged, or of another version: made again
            before = None
        now = (_card(card), data, _options(plan), versions())
        if before is None or now != (before.model, before.data, before.options, before.versions):
            left.append(task)
            continue
        failed = len(before.predictions.failed)
        notes = len(before.evidence.warnings)
        found[task.name] = Done(card.name, task.name, path, "", True, notes, failed)
    return found, left


def _path(card: PredictorCard, task: Task, data: DataCard, plan: Plan) -> Path:
    """Another set or other options are another result, and replace none."""
    asked = digest([data.given, data.sha256, data.split, _options(plan)])[:8]
    return plan.out / f"{slug(card.name, card.model)}--{task.name}--{asked}.json"


def _options(plan: Plan) -> dict[str, Any]:
    """As they stand in a result."""
    return {**asdict(plan.options), "numbers": _VERSION}


def _data(bench: Bench, training: Mapping[str, Fingerprints]) -> DataCard:
    """What a result says of the set: all that a number may hang on."""
    facts = {
        "validation": {
            "images": len(bench.validation),
            "sha256": set_hash(bench.validation, bench.hashes(bench.validation)),
            "from": sorted({row.split for row in bench.validation}),
        },
        "trained_on": {name: digest(_words(prints)) for name, prints in sorted(training.items())},
    }
    return DataCard(
        given=bench.given,
        sha256=set_hash(bench.rows, bench.hashes(bench.rows)),
        images=len(bench.rows),
        stand_in=bench.stand_in,
        set_id=bench.set_id,
        split=bench.split,
        facts=facts,
    )


def _words(prints: Fingerprints) -> list[Any]:
    return [prints.sha256.tolist(), prints.perceptual.tolist()]


def _one(
    task: Task, context: Context, data: DataCard, plan: Plan, caveats: Sequence[Caveat]
) -> Done:
    card = context.card
    failed = len(context.predictions.failed)
    if not len(context.predictions):
        why = "no image could be scored"
        return Done(card.name, task.name, None, why, failed=failed, broke_off=True)
    unfit = task.fits(context)
    if unfit is not None:
        return Done(card.name, task.name, None, unfit, failed=failed)
    plan.say(f"{card.name}: {task.name}")
    _make(context.state)
    started = time.monotonic()
    try:
        evidence = task.run(context)
    except VedetteError as error:  # the other tasks, and the other models, are asked all the same
        why = f"{error.message} - {error.hint} [{error.code}]"
        return Done(card.name, task.name, None, why, failed=failed, broke_off=True)
    seen: dict[tuple[str, str], Caveat] = {}
    for caveat in (*caveats, *evidence.warnings):
        seen.setdefault((caveat.code, caveat.message), caveat)
    whole = Evidence(evidence.metrics, evidence.tables, evidence.figures, tuple(seen.values()))
    result = Result(
        task=task.name,
        model=_card(card),
        data=data,
        options=_options(plan),
        predictions=context.predictions,
        evidence=whole,
        versions=versions(),
        seconds=time.monotonic() - started,
    )
    path = _path(card, task, data, plan)
    write_result(path, result)
    shutil.rmtree(context.state, ignore_errors=True)
    return Done(card.name, task.name, path, caveats=len(whole.warnings), failed=failed)


def finish(out: Path) -> None:
    """Remove the folder of unfinished work if there is none."""
    with suppress(OSError):  # another run's is in it
        (out / _STATE).rmdir()


def _card(card: PredictorCard) -> dict[str, Any]:
    """As it stands in a result."""
    return dict(json.loads(json.dumps(asdict(card), default=str)))


def _caveats(
    bench: Bench, told: Predictions, card: PredictorCard, training: Mapping[str, Fingerprints]
) -> list[Caveat]:
    found = []
    third_party = card.facts.get("sends_images_to")
    if third_party:
        found.append(Caveat("third-party", f"The images were sent to {third_party}."))
    if bench.stand_in:
        found.append(
            Caveat(
                "stand-in",
                "The set is a drawn stand-in: its numbers show that the program works and say "
                "nothing about real images.",
            )
        )
    assert bench.prints is not None
    scored = {row.key for row in bench.rows}
    for name, prints in training.items():
        shared = [key for key in overlap(bench.prints, prints) if key in scored]
        if shared:
            found.append(
                Caveat(
                    "overlap-with-training",
                    f"{len(shared):,} of {len(scored):,} images are in {name}, or look like one "
                    f"that is: {', '.join(shared[:3])}{' …' if len(shared) > 3 else ''}. "
                    "The numbers are too good.",
                )
            )
    if told.failed:
        found.append(
            Caveat(
                "not-scored",
                f"{len(told.failed):,} of {len(bench.rows):,} images could not be scored and are "
                "in no number.",
            )
        )
    return found


def slug(name: str, model: str) -> str:
    """A file name for a model: readable, and of its own for each model."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", name.rpartition("/")[2] or name).strip("-.")[:60]
    told = hashlib.sha256(f"{name}\0{model}".encode()).hexdigest()[:8]
    return f"{plain or 'model'}-{told}"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VedetteError(
            f"cannot make {folder}: {error.strerror}", code="write_failed"
        ) from error
