"""Where a training works: a hidden folder beside its output, there again after a kill.

The output itself appears at the end, whole. A training that fails with an error leaves nothing;
one that is killed, or stopped by hand, leaves its checkpoints for the same command to go on with.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.bench.journal import digest
from vedette.errors import UsageError, VedetteError
from vedette.models.exported import CARD_FILE

_STARTED = "started.json"
_DATA = "data.sha256"
_HELD = ".held"
"""Locked by the process that works there."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where one training works."""

    out: Path
    """The model folder to be."""
    state: Path
    """A folder of its own for checkpoints; what lies in it is of this very training."""
    resumed: bool
    """Whether an earlier run of the same training left it."""

    def bind(self, data: str) -> bool:
        """Throw checkpoints away that were made on other data; whether some were kept.

        Args:
            data: a hash over everything that is learned from.

        Raises:
            OSError: the note cannot be written.
        """
        note = self.state / _DATA
        kept = self.resumed and note.is_file() and note.read_text(encoding="ascii") == data
        if not kept:
            for path in self.state.iterdir():
                if path.name not in (_STARTED, _HELD):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            note.write_text(data, encoding="ascii")
        return kept


@contextmanager
def workplace(out: Path, asked: Mapping[str, Any], *, overwrite: bool) -> Iterator[Workplace]:
    """A place for one training; removed at its end, kept when it is killed or stopped.

    Args:
        out: the model folder to make.
        asked: everything that the outcome depends on, as JSON values: data, options, seed. Another
            training's checkpoints are thrown away.
        overwrite: replace a model folder that is there.

    Raises:
        UsageError: ``output_exists``; what is there is never replaced if it is no model folder,
            nor while another process makes it.
        VedetteError: ``write_failed``.
    """
    state = out.parent / f".{out.name}.training"
    told = digest([dict(asked)])
    with ExitStack() as stack:
        try:
            _check(out, overwrite)
            if state.is_dir():
                stack.enter_context(_held(state, out))
            resumed = _is_of(state, told)
            if not resumed:
                shutil.rmtree(state, ignore_errors=True)
                state.mkdir(parents=True)
                stack.enter_context(_held(state, out))
                (state / _STARTED).write_text(json.dumps({"digest": told}), encoding="ascii")
        except OSError as error:
            raise VedetteError(
                f"cannot write {state}: {error.strerror or error}", code="write_failed"
            ) from error
        yield from _working(out, state, resumed)


def _working(out: Path, state: Path, resumed: bool) -> Iterator[Workplace]:
    try:
        yield Workplace(out, state, resumed)
    except OSError as error:
        shutil.rmtree(state, ignore_errors=True)
        raise VedetteError(
            f"cannot write {out}: {error.strerror or error}", code="write_failed"
        ) from error
    except Exception:  # not KeyboardInterrupt: who stops it by hand goes on later
        shutil.rmtree(state, ignore_errors=True)
        raise
    shutil.rmtree(state, ignore_errors=True)


@contextmanager
def _held(state: Path, out: Path) -> Iterator[None]:
    """Keep a second training away from the checkpoints of one that is under way.

    A lock of the process: no child has it, so that none outlives a kill of its parent.
    """
    descriptor = os.open(state / _HELD, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise UsageError(
                f"another process makes {out} just now",
                code="output_exists",
                hint="wait for it to end, or name another --out",
            ) from error
        yield
    finally:
        os.close(descriptor)


def replace_folder(made: Path, out: Path) -> None:
    """Move a whole folder to its place, in place of a model folder that is there.

    Raises:
        OSError: it cannot be moved; what was there is there again.
    """
    old = out.parent / f".{out.name}.replaced"
    shutil.rmtree(old, ignore_errors=True)
    there = out.exists()
    if there:
        out.rename(old)
    try:
        made.rename(out)
    except OSError:
        if there:
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _check(out: Path, overwrite: bool) -> None:
    if out.is_file() or out.is_symlink():
        raise UsageError(f"{out} is not a folder", code="output_exists", hint="name another --out")
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / CARD_FILE).is_file():
        raise UsageError(
            f"{out} is no model folder: it is not replaced",
            code="output_exists",
            hint="name another folder with --out",
        )
    if not overwrite:
        raise UsageError(f"{out} is already there", code="output_exists")


def _is_of(state: Path, told: str) -> bool:
    try:
        started = json.loads((state / _STARTED).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(started, dict) and started.get("digest") == told
