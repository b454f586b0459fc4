"""Labelling in a terminal: a preview file to open beside it, and one key for each answer."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from vedette.annotate.desk import Desk, Task
from vedette.annotate.preview import BLURS, Preview, frames_of, sheet
from vedette.annotate.protocol import Round, Safety
from vedette.data.base import Source
from vedette.decode import DecodeOptions, Decoder, InlineDecoder
from vedette.errors import FetchError, ItemError, UsageError
from vedette.taxonomy import Category
from vedette.types import UInt8

SAFETY_KEYS = {"s": Safety.SAFE, "u": Safety.UNSAFE, "n": Safety.NA}
CATEGORY_KEYS = {"abcdefghijk"[category.position]: category for category in Category}
"""One letter for each category in the taxonomy's order, whatever is in scope."""
SHARPER, UNDO, HELP, QUIT = "r", "z", "?", "q"
_END = "\x04"
"""What a terminal sends for the end of input (Ctrl-D)."""
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;]*[ -/]*[@-~]|O.|.)?")
"""What it sends for arrows and function keys."""

Keys = Iterator[str]
"""Keys as they are pressed; ends where the input does."""
Say = Callable[[str], None]


@dataclass(slots=True)
class Tally:
    """What a session did."""

    answered: int = 0
    corrected: int = 0
    failures: list[tuple[str, ItemError]] = field(default_factory=list)
    """Pictures that could not be shown, with their keys. They stay unanswered."""


class Session:
    """One annotator at work.

    Args:
        desk: of the annotator.
        source: where the pictures are.
        preview: what is looked at.
        keys: what is pressed.
        say: prints a line.
        decoder: with its limits.
    """

    def __init__(
        self,
        desk: Desk,
        source: Source,
        preview: Preview,
        keys: Keys,
        say: Say,
        decoder: Decoder | None = None,
    ) -> None:
        self._desk, self._source, self._preview = desk, source, preview
        self._keys, self._say = keys, say
        self._decoder = decoder or InlineDecoder(DecodeOptions())
        self._explained: set[Round] = set()
        self.tally = Tally()

    def run(self) -> Tally:
        """Ask until there is nothing to ask for now, or the annotator has had enough."""
        again: Task | None = None
        while True:
            task = again or self._desk.next_item()
            again = None
            if task is None:
                self._say("nothing more to do for now")
                return self.tally
            frames = self._frames(task)
            if frames is None:
                continue
            key = self._ask(task, frames)
            if key == QUIT:
                return self.tally
            if key == UNDO:
                again = self._desk.last()
                if again is None:
                    self._say("there is nothing to take back")
            else:
                self._answer(task, self._meaning(task.round)[key])

    def _frames(self, task: Task) -> list[UInt8] | None:
        """What there is to see; None where that failed, which is told and recorded."""
        try:
            item = self._source.find(task.key)
            if item is None:
                raise FetchError("the picture is not there any more", code="not_found")
            return frames_of(item, task.sha256, self._decoder)
        except ItemError as error:
            self._preview.clear()
            self._say(f"{task.key}: {error.message} [{error.code}]; not answered")
            self.tally.failures.append((task.key, error))
            if task.answer is None:
                self._desk.report(task, error)
            return None

    def _ask(self, task: Task, frames: list[UInt8]) -> str:
        """The key of an answer, or :data:`UNDO` or :data:`QUIT`."""
        sharpness = 0
        self._preview.show(sheet(frames, sharpness))
        if task.round not in self._explained:
            self._explain(task.round)
        own = f" (you said {task.answer})" if task.answer is not None else ""
        asked = "safe, unsafe or N/A?" if task.round is Round.SAFETY else "which category?"
        many = f", {len(frames)} frames or views of it" if len(frames) > 1 else ""
        self._say(f"{self._preview.path}{many}: {asked}{own}")
        for key in self._keys:
            if key in self._meaning(task.round) or key in (UNDO, QUIT):
                return key
            if key == SHARPER:
                sharpness = min(sharpness + 1, len(BLURS) - 1)
                self._preview.show(sheet(frames, sharpness))
                self._say(f"sharpness {sharpness + 1} of {len(BLURS)}")
            else:
                self._explain(task.round)
        return QUIT

    def _answer(self, task: Task, said: str) -> None:
        try:
            if task.answer is None:
                self._desk.answer(task, said)
                self.tally.answered += 1
            else:
                self._desk.correct(task, said)
                self.tally.corrected += said != task.answer
        except UsageError as refused:
            self._say(f"{refused.message}: {refused.hint}")
        else:
            self._say(f"  {said}")

    def _meaning(self, round_: Round) -> dict[str, str]:
        if round_ is Round.SAFETY:
            return {key: said.value for key, said in SAFETY_KEYS.items()}
        scope = self._desk.protocol.categories
        return {key: said.value for key, said in CATEGORY_KEYS.items() if said in scope}

    def _explain(self, round_: Round) -> None:
        """The definitions of what is in scope, and the keys."""
        self._explained.add(round_)
        scope = self._desk.protocol.categories
        if round_ is Round.SAFETY:
            self._say("A picture is unsafe if any of these fits it:")
        else:
            self._say("The picture is unsafe. Which of these fits it most?")
        for key, category in CATEGORY_KEYS.items():
            if category in scope:
                shown = f"{key}  " if round_ is Round.CATEGORY else ""
                self._say(f"  {shown}{category}: {category.definition}")
        answers = "s safe, u unsafe, n N/A, " if round_ is Round.SAFETY else ""
        self._say(f"Keys: {answers}r sharper, z take the last answer back, ? this text, q stop")


@contextmanager
def keys_of_stdin() -> Iterator[Keys]:
    """Keys as they are pressed in a terminal; from anything else, the characters of its lines."""
    if not sys.stdin.isatty() or sys.platform == "win32":
        yield (key for line in sys.stdin for key in line.casefold() if not key.isspace())
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield _pressed(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _pressed(descriptor: int) -> Keys:
    """Not by way of ``sys.stdin``: an arrow is three characters, and its last one is an answer."""
    while typed := os.read(descriptor, 64):
        for key in _SEQUENCE.sub("", typed.decode("utf-8", "replace")):
            if key == _END:
                return
            if not key.isspace():
                yield key.casefold()
