"""A command as a predictor: it reads one line for each picture and prints one line of scores."""

from __future__ import annotations

import hashlib
import json
import shlex
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vedette.bench.endpoints.columns import LABEL, columns_of, label_scores
from vedette.bench.endpoints.keys import told
from vedette.bench.endpoints.options import EndpointOptions
from vedette.bench.endpoints.pictures import PictureLimits, encoded, still
from vedette.bench.endpoints.process import Broken, Process
from vedette.bench.endpoints.remote import PROBE
from vedette.bench.endpoints.service import NoAnswer, an_object, probability
from vedette.bench.predictor import Answer, PredictorCard
from vedette.errors import FetchError, ItemError, UsageError, VedetteError
from vedette.settings import Limits
from vedette.taxonomy import Category
from vedette.text import printable
from vedette.types import Failure, Item

_ABOUT = frozenset({"id", "model", "error"})
"""Fields of an answer that are no scores."""


@dataclass(frozen=True, slots=True)
class _Said:
    """One answer of the command."""

    p: Mapping[Category, float]
    model: str


class CommandPredictor:
    """A program that was started once and answers for each picture.

    It is given ``{"id": 1, "path": "…", "sha256": "…"}`` and prints, on one line, an object with a
    score for each category that it knows, or ``unsafe`` or ``label``; ``id`` and ``model`` may come
    back with it, and ``error`` may stand in the place of scores. docs/endpoints.md has an example.

    Args:
        name: as the user gave it.
        command: program and arguments, split as a shell would; no shell runs.
        options: ``timeout_s`` for an answer, ``retries`` for restarts.
        limits: of decoding.

    Raises:
        UsageError: it names no program, or cannot be split.
    """

    def __init__(self, name: str, command: str, options: EndpointOptions, limits: Limits) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise UsageError(f"the command cannot be read: {error}") from error
        if not self._words:
            raise UsageError("command: names no program", hint="command:PROGRAM ARGUMENTS")
        self._name = name
        self._options = options
        self._limits = limits
        self._process: Process | None = None
        self._starts = 0
        self._asked = 0
        self._first: _Said | None = None
        self._stack = ExitStack()
        self._folder: Path | None = None

    @property
    def card(self) -> PredictorCard:
        """Facts for the result; asks about a drawn grey square first, for the coverage.

        Raises:
            VedetteError: the command cannot be used.
        """
        first = self._introduced()
        program = printable(Path(self._words[0]).name)
        called = hashlib.sha256("\0".join(self._words).encode("utf-8", "replace")).hexdigest()[:8]
        return PredictorCard(
            name=self._name,
            model=f"{program}-{called}@{first.model or 'unknown'}",
            covered=tuple(category for category in Category if category in first.p),
            runtime="command",
            facts={"program": program},
        )

    def predict(self, items: Iterable[Item]) -> Iterator[Answer]:
        """See :class:`~vedette.bench.predictor.Predictor`."""
        self._introduced()
        for item in items:
            yield self._answer(item)

    def close(self) -> None:
        """End the program and remove what was written for it."""
        if self._process is not None:
            self._process.close()
            self._process = None
        self._stack.close()
        self._folder = None

    def _introduced(self) -> _Said:
        if self._first is None:
            path = self._scratch() / "probe.png"
            path.write_bytes(encoded(PROBE, PictureLimits()).data)
            try:
                self._first = self._said(path, "")
            except NoAnswer as error:
                raise UsageError(
                    f"{self._name}: {error.message}",
                    code="endpoint_refused",
                    hint="it must print one JSON object a line and flush; see docs/endpoints.md",
                ) from error
        return self._first

    def _answer(self, item: Item) -> Answer:
        sha256 = None
        covered = self._introduced().p.keys()
        try:
            image = still(item, self._limits)
            sha256 = image.sha256
            path = self._path_of(item, image.format)
            begin = time.monotonic()
            said = self._said(path, sha256)
            ms = (time.monotonic() - begin) * 1000
            if said.p.keys() != covered:
                raise NoAnswer("its scores are of other categories than before")
        except ItemError as error:
            return Answer(item.key, sha256 or error.sha256, None, failure=error.failure())
        return Answer(item.key, sha256, {c: said.p[c] for c in covered}, ms=ms)

    def _said(self, path: Path, sha256: str) -> _Said:
        """The command's answer about a picture.

        Raises:
            NoAnswer: none; the program is ended, where it may be out of step.
            VedetteError: ``endpoint_down``: it has ended more often than it may be started.
        """
        if self._process is None:
            if self._starts > self._options.retries:
                raise VedetteError(
                    f"{self._name} ended or answered wrongly {self._starts} times",
                    code="endpoint_down",
                )
            self._starts += 1
        self._asked += 1
        question = json.dumps({"id": self._asked, "path": str(path), "sha256": sha256})
        try:
            if self._process is None:
                self._process = Process(self._words)
            line = self._process.ask(question.encode("ascii"), self._options.timeout_s)
        except Broken as error:
            self._end()
            raise NoAnswer(f"the command: {error}", passing=True) from error
        try:
            fields = an_object(json.loads(line), "the command's answer")
            if fields.get("id", self._asked) != self._asked:
                raise NoAnswer("the command answers another question")
        except (ValueError, RecursionError, NoAnswer) as error:
            self._end()  # the next line may be about any picture
            reason = error.message if isinstance(error, NoAnswer) else "it printed no JSON"
            raise NoAnswer(f"the command: {reason}") from error
        if fields.get("error") is not None:
            raise NoAnswer(f"the command: {told(fields['error'], ()) or 'an error'}")
        return _read(fields)

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def _path_of(self, item: Item, fmt: str) -> Path:
        """A file that the command can open: the item's own, or a copy of its bytes."""
        match item.data:
            case Path() as path:
                return path.resolve()
            case bytes() as data:
                copy = self._scratch() / f"picture.{fmt.lower()}"
                copy.write_bytes(data)
                return copy
            case Failure() as failure:
                raise FetchError(failure.message, code=failure.code)

    def _scratch(self) -> Path:
        if self._folder is None:
            made = tempfile.TemporaryDirectory(prefix="vedette-command-")
            self._folder = Path(self._stack.enter_context(made))
        return self._folder


def _read(fields: Mapping[str, object]) -> _Said:
    scores = {name: value for name, value in fields.items() if name not in _ABOUT}
    p: dict[Category, float] = {}
    try:
        for name, categories in columns_of(scores).items():
            value = scores[name]
            if name.strip().casefold() == LABEL:
                p |= label_scores(value if isinstance(value, str) else repr(value))
            else:
                p |= dict.fromkeys(categories, probability(value, name))
    except ValueError as error:
        raise NoAnswer(f"the command: {error}") from error
    return _Said(p, told(fields.get("model"), ()))
