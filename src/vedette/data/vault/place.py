"""Where the vault is, and how its files are made: for their owner only, and put in place whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vedette.errors import UsageError, VedetteError
from vedette.hub.store import user_data

VARIABLE = "VEDETTE_DATA"
IMPORTING = ".importing-"
"""Before the name of a set that is not whole yet."""
DELETING = ".deleting-"
"""Before the name of a set that is being deleted."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


def vault_root() -> Path:
    """The vault's folder: ``$VEDETTE_DATA``, else among the user's data. It may not be there."""
    given = os.environ.get(VARIABLE)
    return Path(given).expanduser() if given else user_data() / "vault"


def check_name(name: str) -> str:
    """``name`` if it can be a set's: it becomes a folder's.

    Raises:
        UsageError: it cannot.
    """
    if not is_name(name):
        raise UsageError(
            f"{name!r} cannot be a set's name",
            hint="use lower-case letters, digits, '.', '_' and '-', 64 at most",
        )
    return name


def is_name(name: str) -> bool:
    """Whether a set can be called so."""
    return _NAME.fullmatch(name) is not None and not name.endswith(".")


def make_private(folder: Path) -> None:
    """Make a folder, and those above it, that only their owner can enter.

    Raises:
        VedetteError: ``write_failed``.
    """
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)  # one that was there is its owner's affair


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What goes wrong with a file of the vault, told as an error of ours.

    Raises:
        VedetteError: ``write_failed``.
    """
    try:
        yield
    except OSError as error:
        raise VedetteError(
            f"cannot write {path}: {error.strerror or error}", code="write_failed"
        ) from error


def create(path: Path) -> int:
    """A descriptor of a new file that only its owner can read. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.open(path, flags, 0o600)


def write_whole(path: Path, data: bytes) -> None:
    """Put a private file in place of what is there, whole or not at all.

    Raises:
        VedetteError: ``write_failed``.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        temporary.unlink(missing_ok=True)
        try:
            with os.fdopen(create(temporary), "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def keep_inside(paths: Iterable[str | os.PathLike[str]], what: str) -> None:
    """Refuse to copy pictures of the vault, whichever way their files are reached.

    Args:
        paths: what is read; patterns are none of our folders.
        what: would be made of it.

    Raises:
        UsageError: one of them leads into the vault, or the vault lies below it.
    """
    root = vault_root().resolve()
    if not root.is_dir():
        return
    for path in map(Path, paths):
        try:
            real = path.resolve()
        except (OSError, ValueError):
            continue  # a name of nothing: the source says so
        if real.is_relative_to(root) or root.is_relative_to(real):
            raise UsageError(
                f"{what} would copy pictures out of the vault in {root}",
                hint="only vedette data export does that; give folders that do not hold the vault",
            )
