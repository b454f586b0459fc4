"""Where weights are kept: the store, a mirror in the hub's place, and the hub's own caches.

``VEDETTE_MODELS`` is a folder, which then is the store, or an address, which then takes the hub's
place while the store stays where it is. docs/weights.md has the layouts.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vedette.errors import UsageError, VedetteError
from vedette.models.base import Checkpoint

VARIABLE = "VEDETTE_MODELS"

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PART = re.compile(r"[\w][\w .+=@-]*", re.ASCII)
"""One part of a path: nothing that leads elsewhere or that some file system reads otherwise."""
_TRUE = frozenset({"1", "on", "yes", "true"})


def store_root() -> Path:
    """The folder that weights are pulled to and looked for in first. It may not be there yet."""
    given = os.environ.get(VARIABLE, "")
    if given and not _is_address(given):
        return Path(given).expanduser()
    return user_data() / "models"


def user_data() -> Path:
    """Where programs keep the user's data on this system, with Vedette's name below it."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "vedette"


def endpoint() -> str | None:
    """The address to pull from in the hub's place; None for the hub itself."""
    given = os.environ.get(VARIABLE, "")
    address = given if given and _is_address(given) else os.environ.get("HF_ENDPOINT", "")
    return address.rstrip("/") or None


def is_offline() -> bool:
    """Whether the user has forbidden the hub's libraries to use the network."""
    given = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return given.lower() in _TRUE


def repo_folder(checkpoint: Checkpoint) -> Path:
    """The checkpoint's folder in the store.

    Raises:
        UsageError: a repository, revision or file that could lead out of it.
    """
    check_checkpoint(checkpoint)
    return store_root() / checkpoint.repo


def snapshots(checkpoint: Checkpoint) -> Iterator[tuple[Path, str]]:
    """Folders of that revision in the hub's own cache layout, with their commits.

    The store may be laid out so, and the user's cache of the hub is looked into: what another
    program has fetched is not fetched again.
    """
    check_checkpoint(checkpoint)
    for cache in (store_root(), _hub_cache()):
        repo = cache / f"models--{checkpoint.repo.replace('/', '--')}"
        commit = _commit(repo, checkpoint.revision)
        if commit is not None:
            yield repo / "snapshots" / commit, commit


def is_commit(revision: str) -> bool:
    """Whether it names one state of a repository for ever, as a branch or a tag does not."""
    return _COMMIT.fullmatch(revision) is not None


def check_checkpoint(checkpoint: Checkpoint) -> None:
    """Refuse names that would lead out of the store.

    Raises:
        UsageError: such a repository, revision or file.
    """
    if not _REPO.fullmatch(checkpoint.repo) or "--" in checkpoint.repo:
        raise UsageError(f"{checkpoint.repo!r} is not a repository of models", hint="owner/name is")
    if not _REVISION.fullmatch(checkpoint.revision):
        raise UsageError(f"{checkpoint.revision!r} is no revision of {checkpoint.repo}")
    for file in checkpoint.files:
        if not is_plain_path(file.path):
            raise UsageError(f"{file.path!r} is not a path inside {checkpoint.repo}")


def is_plain_path(path: str) -> bool:
    """Whether ``path`` stays inside the folder that it is taken from, on every system."""
    parts = path.split("/")
    return all(_PART.fullmatch(part) and part[-1] not in ". " for part in parts)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Keep other processes of Vedette out of a block; waits until they have left it.

    Raises:
        VedetteError: ``write_failed``: no file can be made there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # which also lets the next one in


def cannot_write(path: Path, error: OSError) -> VedetteError:
    """The error for a place in the store that cannot be written."""
    return VedetteError(
        f"cannot write {path}: {error.strerror or error}",
        code="write_failed",
        hint=f"check the disk and the permissions, or set {VARIABLE} to another folder",
    )


def _is_address(given: str) -> bool:
    scheme, separator, _ = given.partition("://")
    if separator and scheme not in ("http", "https"):
        raise UsageError(
            f"{VARIABLE}={given}: an address must begin with https:// or http://",
            hint=f"set {VARIABLE} to a folder, or to the address of a mirror of the hub",
        )
    return bool(separator)


def _hub_cache() -> Path:
    """Where huggingface_hub keeps what it fetches, by its own rules, without importing it."""
    environ = os.environ
    given = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    if not given:
        base = environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
        home = environ.get("HF_HOME") or os.path.join(base, "huggingface")
        given = os.path.join(home, "hub")
    return Path(os.path.expandvars(os.path.expanduser(given)))


def _commit(repo: Path, revision: str) -> str | None:
    """The commit that ``revision`` is, as the cache has it."""
    if is_commit(revision):
        return revision
    try:
        with repo.joinpath("refs", revision).open("r", encoding="ascii") as stream:
            named = stream.read(64).strip()
    except (OSError, UnicodeDecodeError):
        return None
    return named if is_commit(named) else None
