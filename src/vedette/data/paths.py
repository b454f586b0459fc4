"""Files, folders, globs and archives by path: what a user points a scan at."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from errno import ENOENT
from fnmatch import fnmatch
from pathlib import Path

from vedette import sniff
from vedette.data.archive import read_archive
from vedette.data.base import Shard
from vedette.data.keys import MEMBER, to_key, to_path
from vedette.data.opening import SourceFormat, SourceOptions
from vedette.errors import FetchError
from vedette.fetch import fetch_error, open_regular
from vedette.settings import Limits
from vedette.types import Failure, Item

_Identity = tuple[int, int]


class PathSource:
    """Every file under the given paths, sorted within each folder.

    Nothing is left out silently: pipes, broken links, unreadable folders and loops of links each
    yield an Item with a Failure.

    Args:
        paths: files, folders, zip or tar archives, or glob patterns.
        limits: for archives.
        exclude: patterns of keys or file names to leave out.
        skip: files and folders to leave out: a scan's own outputs.
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        limits: Limits | None = None,
        exclude: Sequence[str] = (),
        skip: Iterable[Path] = (),
    ) -> None:
        # Patterns are expanded here, all together: two that overlap must not scan a file twice.
        self._paths = _distinct(match for path in paths for match in _matches(os.fspath(path)))
        self._limits = limits or Limits()
        self._exclude = tuple(exclude)
        self._skip = frozenset(os.path.abspath(path) for path in skip)
        self._skip_names = frozenset(os.path.basename(path) for path in self._skip)

    def shards(self) -> Sequence[Shard]:
        """One for each given path, or for each match of a pattern."""
        return [Shard(to_key(path)) for path in self._paths]

    def read(self, shard: Shard) -> Iterator[Item]:
        """See :class:`vedette.data.base.Source`."""
        path = to_path(shard.id)
        if glob.has_magic(path) and not os.path.lexists(path):
            yield Item(shard.id, Failure("fetch", "not_found", "the pattern matches nothing"))
            return
        # An empty name is no file, not the current folder: it is most often an unset variable.
        yield from self._visit(_tidy(path) if path else path)

    def count_files(self) -> int:
        """How many files there are to visit, for a progress bar: archives count as one."""
        return sum(
            1
            for path in self._paths
            for _, _, names in ([("", [], [path])] if os.path.isfile(path) else os.walk(path))
            for _ in names
        )

    def find(self, key: str) -> Item | None:
        """See :class:`vedette.data.base.Source`."""
        path = to_path(key)
        if os.path.lexists(path):
            return Item(key, Path(path))
        at = key.find(MEMBER)
        while at >= 0:  # more than one where a folder's name ends in "!"
            archive = to_path(key[:at])
            if os.path.isfile(archive):
                return next((i for i in self._file(archive, only=key) if i.key == key), None)
            at = key.find(MEMBER, at + 1)
        return None

    def _visit(self, root: str) -> Iterator[Item]:
        """The items of a file or of everything below a folder.

        Without recursion: folders nest deeper than Python's stack.
        """
        # Each entry: a path, and the folders above it as (device, inode).
        left: list[tuple[str, frozenset[_Identity]]] = [(root, frozenset())]
        walked: set[_Identity] = set()
        while left:
            path, above = left.pop()
            key = to_key(path)
            if self._left_out(path, key):
                continue
            try:
                status = os.stat(path)
                if not stat.S_ISDIR(status.st_mode):
                    yield from self._file(path)
                    continue
                here = (status.st_dev, status.st_ino)
                if here in above or (here in walked and os.path.islink(path)):
                    # The second case too: links among n folders would make 2 ** n paths of them.
                    message = "a link to a folder that is scanned under another name"
                    yield Item(key, Failure("fetch", "directory_loop", message))
                    continue
                walked.add(here)
                names = sorted(os.listdir(path), reverse=True)
            except (OSError, ValueError) as error:
                problem = error if isinstance(error, OSError) else OSError(ENOENT, str(error))
                yield Item(key, fetch_error(Path(path), problem).failure())
                continue
            below = above | {here}
            left += [
                (name if path == os.curdir else os.path.join(path, name), below) for name in names
            ]

    def _file(self, path: str, only: str | None = None) -> Iterator[Item]:
        key = to_key(path)
        try:
            with open_regular(Path(path)) as stream:
                try:
                    fmt = sniff.sniff(stream.read(sniff.HEAD_BYTES))
                    stream.seek(0)
                except OSError as error:
                    raise fetch_error(Path(path), error) from error
                if fmt is not None and fmt.kind == "archive":
                    yield from read_archive(stream, fmt, key, self._limits, only)
                    return
        except FetchError as error:
            yield Item(key, error.failure())
            return
        yield Item(key, Path(path))

    def _left_out(self, path: str, key: str) -> bool:
        name = os.path.basename(path)
        if name in self._skip_names and any(_same(path, own) for own in self._skip):
            return True
        return any(fnmatch(key, pattern) or fnmatch(name, pattern) for pattern in self._exclude)


def _tidy(path: str) -> str:
    """``path`` without needless parts. ``..`` stays: behind a link it leads somewhere else."""
    return str(Path(path))


def _same(path: str, own: str) -> bool:
    """Whether both name one file, links followed; a file that is not made yet is none."""
    try:
        return os.path.samefile(path, own)
    except (OSError, ValueError):
        return False


def _matches(path: str) -> list[str]:
    """What a pattern matches, sorted; ``path`` itself where it is none or matches nothing."""
    if os.path.lexists(path) or not glob.has_magic(path):
        return [path]
    return sorted(glob.glob(path, recursive=True, include_hidden=True)) or [path]


def _distinct(paths: Iterable[str]) -> list[str]:
    """``paths`` without those that are named twice or lie in a folder that is named as well."""
    roots: dict[str, str] = {}
    for path in paths:
        roots.setdefault(os.path.abspath(path) if path else "", path)
    return [
        path
        for absolute, path in roots.items()
        if not any(str(parent) in roots for parent in Path(absolute).parents)
    ]


def _open(path: Path, options: SourceOptions) -> PathSource:
    return PathSource([path], options.limits)


FORMATS = (
    SourceFormat("files", "any file, folder or archive; unlabelled", lambda path: True, _open),
)
