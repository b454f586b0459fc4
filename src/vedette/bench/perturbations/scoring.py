"""A predictor asked about perturbed pictures: image after image, kept on the way, resumable.

One image with all its perturbations is one line of a journal. A run that was killed goes on after
the last whole line, and finds what an uninterrupted one finds: what is random about a picture
follows from its key, the kind and the seed, whatever was done before.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import PIL.Image

from vedette.backends.base import cores
from vedette.bench.journal import Journal, digest
from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.pixels import as_jpeg, through_jpeg
from vedette.bench.predictions import SHIPPED, Bools, Ints, Predictions
from vedette.bench.predictor import Answer
from vedette.bench.tasks.base import Context
from vedette.errors import ItemError, ModelError
from vedette.types import Failure, Item, UInt8

MOST_SIDE = 512
"""px: a picture whose long side is longer is reduced before it is perturbed, as sites do; the clean
picture that it is compared with is reduced as well."""
CLEAN = "clean"
"""In place of a kind's name: the picture without a change, written as the changed ones are."""
_JOURNAL = "answers.jsonl"


@dataclass(frozen=True, slots=True)
class Variant:
    """One picture to ask about: a kind at a severity, or the clean one."""

    kind: Perturbation | None
    severity: int = 0

    @property
    def name(self) -> str:
        """Of its key: ``grid@2``, ``clean``."""
        return f"{self.kind.name}@{self.severity}" if self.kind else CLEAN

    @property
    def level(self) -> float:
        """The kind's parameter; 0 for the clean picture."""
        return self.kind.levels[self.severity - 1] if self.kind else 0.0


def variants_of(kinds: Sequence[Perturbation]) -> list[Variant]:
    """The clean picture, then every kind at each of its severities."""
    each = [Variant(kind, at) for kind in kinds for at in range(1, len(kind.levels) + 1)]
    return [Variant(None), *each]


def random_for(key: str, kind: str, seed: int) -> np.random.Generator:
    """Random numbers of one picture and kind.

    The severities of a kind share them: its noise grows with the severity, and is not another one.
    """
    digest = hashlib.sha256(f"{seed}\0{kind}\0{key}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16]))


def file_of(pixels: UInt8, variant: Variant, key: str, seed: int) -> bytes:
    """The perturbed picture as a file: a PNG, or the JPEG itself where JPEG is what is done.

    Args:
        pixels: uint8 [h, w, 3].
        variant: what is done to it.
        key: of the picture; its random numbers follow from it.
        seed: see :func:`random_for`.
    """
    if variant.kind is not None:
        if variant.kind.apply is through_jpeg:
            return as_jpeg(pixels, variant.level)
        rng = random_for(key, variant.kind.name, seed)
        pixels = variant.kind.apply(pixels, variant.level, rng)
    stream = io.BytesIO()
    # Level 1: a third larger than the default, several times as fast.
    PIL.Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def reduced(pixels: UInt8) -> UInt8:
    """At most :data:`MOST_SIDE` px on the long side."""
    height, width = pixels.shape[:2]
    share = MOST_SIDE / max(height, width)
    if share >= 1:
        return pixels
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.array(PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.LANCZOS))


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What was said about every variant of every sampled image."""

    variants: Sequence[Variant]
    flagged: Bools
    """bool [images, variants]: the decision as UnsafeBench asks; false where there is none."""
    scored: Bools
    """bool [images, variants]: there is an answer."""
    codes: Mapping[str, int]
    """How often which error code stood in place of an answer, sorted."""

    def columns(self, name: str) -> list[int]:
        """Of a kind's severities, from mild to severe; of the clean picture."""
        wanted = [(v.kind.name if v.kind else CLEAN) == name for v in self.variants]
        return [column for column, is_one in enumerate(wanted) if is_one]


def ask(context: Context, rows: Ints, kinds: Sequence[Perturbation]) -> Said:
    """Score ``rows`` of the context's predictions clean and under each of ``kinds``.

    An image that cannot be opened any more has a failure in place of each answer.

    Raises:
        VedetteError: the predictor gave up, or answers another question than it was asked;
            ``write_failed``: the journal cannot be written. Whole images that were answered are
            kept.
    """
    variants = variants_of(kinds)
    chosen = context.predictions.rows(rows)
    asked = dict(zip(chosen.keys, (int(at) for at in chosen.category), strict=True))
    plan, fits = _plan(context, chosen, variants), partial(_answers, len(variants))
    journal = Journal(context.state / _JOURNAL, plan, fits)
    left = [key for key in chosen.keys if key not in journal.lines]
    with journal:
        answers = context.predictor.predict(_items(context, left, variants))
        for key in left:
            said: list[bool | str] = []
            for variant in variants:
                answer = next(answers, None)
                if answer is None or answer.key != _key(key, variant):
                    raise ModelError(
                        f"{context.card.name} did not answer about {_key(key, variant)} in turn",
                        code="model_output_invalid",
                        hint="report it to the authors of this predictor",
                    )
                said.append(_decision(answer, asked[key], chosen.covered))
            journal.write(key, said)
            if len(journal.lines) % max(1, len(chosen) // 10) == 0:
                context.say(f"{len(journal.lines)} of {len(chosen)} images")
    return _said([journal.lines[key] for key in chosen.keys], variants)


def _key(key: str, variant: Variant) -> str:
    return f"{key}#{variant.name}"


def _items(context: Context, keys: Sequence[str], variants: Sequence[Variant]) -> Iterator[Item]:
    """Every variant of every image, in order, made in threads shortly before it is taken."""
    seed, workers = context.options.seed, cores()
    waiting: deque[tuple[str, Future[bytes]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="vedette-perturb")
    try:
        for key in keys:
            opened = _opened(context, key)
            for variant in variants:
                name = _key(key, variant)
                if isinstance(opened, Failure):
                    yield from _made(waiting, 0)
                    yield Item(name, opened)
                else:
                    waiting.append((name, pool.submit(file_of, opened, variant, key, seed)))
                    yield from _made(waiting, 2 * workers)
        yield from _made(waiting, 0)
    finally:  # also where the predictor gives up
        pool.shutdown(cancel_futures=True)


def _made(waiting: deque[tuple[str, Future[bytes]]], left: int) -> Iterator[Item]:
    """The first ones, until only so many are left."""
    while len(waiting) > left:
        name, future = waiting.popleft()
        yield Item(name, future.result())


def _opened(context: Context, key: str) -> UInt8 | Failure:
    try:
        return reduced(context.pixels(key))
    except ItemError as error:
        return error.failure()
    except KeyError:
        return Failure("fetch", "not_found", "the set has no such image any more")


def _decision(answer: Answer, category: int, covered: Bools) -> bool | str:
    """Whether it was called unsafe, as UnsafeBench asks; the error's code where it was not scored.

    About the image's own category, and about any where it has none: as
    :attr:`~vedette.bench.predictions.Predictions.flagged_asked`.
    """
    if answer.p is None:
        return answer.failure.code if answer.failure else "model_failed"
    flagged = answer.flagged
    if flagged is None:
        flagged = frozenset(c for c, p in answer.p.items() if p >= SHIPPED)
    if category >= 0:
        return any(c.position == category for c in flagged)
    return any(bool(covered[c.position]) for c in flagged)


def _said(lines: Sequence[Sequence[bool | str]], variants: Sequence[Variant]) -> Said:
    shape = (len(lines), len(variants))
    codes = Counter(one for line in lines for one in line if isinstance(one, str))
    return Said(
        variants=variants,
        flagged=np.array([[one is True for one in line] for line in lines], bool).reshape(shape),
        scored=np.array(
            [[not isinstance(one, str) for one in line] for line in lines], bool
        ).reshape(shape),
        codes=dict(sorted(codes.items())),
    )


def _plan(context: Context, chosen: Predictions, variants: Sequence[Variant]) -> str:
    """A digest of all that the answers follow from: a journal of another plan is of no use."""
    told = [
        [context.options.seed, MOST_SIDE, context.card.name],
        [context.card.model, context.card.sha256, context.card.runtime],
        [[variant.name, variant.level] for variant in variants],
        list(zip(chosen.keys, chosen.sha256, map(int, chosen.category), strict=True)),
    ]
    return digest(told)


def _answers(count: int, said: object) -> bool:
    """Whether it is a decision, or an error's code, for each of ``count`` variants."""
    whole = isinstance(said, list) and len(said) == count
    return whole and all(isinstance(one, bool | str) for one in cast("list[object]", said))
