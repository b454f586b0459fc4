"""Folders named after classes, as ``SAFE/`` and ``UNSAFE/``, on disk or in a ZIP or a tar."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from vedette.data.archive_names import zip_names
from vedette.data.base import SPLIT, Shard
from vedette.data.keys import MEMBER, to_key, to_path
from vedette.data.labelling import UNLABELLED, Label, Legend, Origin, meaning
from vedette.data.opening import SourceFormat, SourceOptions
from vedette.data.paths import PathSource
from vedette.data.rows import legend_of, split_named
from vedette.errors import UsageError
from vedette.types import Item

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_LOOSE = "."
"""The shard of the files that lie in no folder."""
_PAPERS = frozenset({".md", ".txt", ".json", ".jsonl", ".csv", ".tsv", ".yaml", ".yml", ".py"})
"""What lies beside a set's class folders and is no picture."""
_DEPTH = 3


class ClassFolderSource:
    """The pictures of class folders; the class is the folder's name.

    ``SPLIT`` folders, and one that wraps it all, may stand above or below the class folders: of a
    picture's folders, the class is the one whose name means something. Where two do, they must not
    contradict each other, and what the user or the set's card says of names wins.

    Args:
        path: a folder or an archive.
        options: what the user says.
    """

    def __init__(self, path: Path, options: SourceOptions) -> None:
        self.legend = legend_of(options)
        self._limits = options.limits
        self._root = path if path.is_dir() else path.parent
        self._only = None if path.is_dir() else path.name
        self._judged: tuple[tuple[str, ...], tuple[Label, str | None]] | None = None

    def shards(self) -> Sequence[Shard]:
        """One for each folder and each archive at the top, and one for the files there.

        Raises:
            UsageError: ``bad_source``: the folder cannot be read.
        """
        if self._only is not None:
            return [Shard(to_key(self._only))]
        folders, files = self._listed()
        archives = [name for name in files if _is_archive(name)]
        loose = len(files) > len(archives)
        names = sorted((*folders, *archives))
        return [Shard(to_key(name)) for name in names] + ([Shard(_LOOSE)] if loose else [])

    def read(self, shard: Shard) -> Iterator[Item]:
        """See :class:`vedette.data.base.Source`.

        Raises:
            UsageError: ``unknown_label``: no folder of a picture says what it shows, or two say
                different things.
        """
        if shard.id == _LOOSE:
            _, files = self._listed()
            names = [name for name in files if not _is_archive(name)]
        else:
            names = [to_path(shard.id)]
        for name in names:
            paths = PathSource([self._root / name], self._limits)
            base = str(self._root / name)
            for item in (item for part in paths.shards() for item in paths.read(part)):
                inside = to_path(item.key).removeprefix(base)
                labelled = self._labelled(item, name + inside)
                if labelled is not None:
                    yield labelled

    def find(self, key: str) -> Item | None:
        """See :class:`vedette.data.base.Source`."""
        name = to_path(key)
        if os.path.isabs(name) or ".." in name.split("/") or not name:
            return None
        if self._only is not None and not name.startswith(self._only + MEMBER):
            return None
        path = self._root / name
        if path.is_dir():
            return None
        found = PathSource([self._root], self._limits).find(to_key(str(path)))
        labelled = None if found is None else self._labelled(found, name)
        return labelled if labelled is not None and labelled.key == key else None

    def _listed(self) -> tuple[list[str], list[str]]:
        """The folders and the files at the top, without hidden ones, sorted."""
        try:
            with os.scandir(self._root) as entries:
                seen = [(entry.name, entry.is_dir()) for entry in entries]
        except OSError as error:
            raise UsageError(
                f"cannot read {self._root}: {error.strerror}", code="bad_source"
            ) from error
        named = sorted((name, folder) for name, folder in seen if not _is_left_out(name))
        return [n for n, folder in named if folder], [n for n, folder in named if not folder]

    def _labelled(self, item: Item, name: str) -> Item | None:
        """The item under its name in the set and with its label; None: not part of the set."""
        archive, member = self._parted(item, name)
        *folders, last = PurePosixPath(member if archive else name).parts or ("",)
        if any(map(_is_left_out, (*folders, last))):
            return None
        if archive:
            folders = [*PurePosixPath(archive).parts[:-1], *folders]
        if PurePosixPath(last).suffix.lower() in _PAPERS and not self._meant(folders):
            return None
        label, split = self._of(tuple(folders), _stem(archive) if archive else None)
        meta = {SPLIT: split} if split else {}
        return Item(to_key(name), item.data, label.categories, meta, label.unsafe)

    def _parted(self, item: Item, name: str) -> tuple[str, str]:
        """An archive's name and its member's; two empty ones for a file on disk."""
        at = -1 if isinstance(item.data, Path) else name.find(MEMBER)
        while at >= 0:  # more than one where a folder's name ends in "!"
            if (self._root / name[:at]).is_file():
                return name[:at], name[at + len(MEMBER) :]
            at = name.find(MEMBER, at + 1)
        return "", ""

    def _of(self, folders: tuple[str, ...], archive: str | None) -> tuple[Label, str | None]:
        """What the folders above a picture say; remembered, as neighbours share them."""
        asked = (*folders, archive or "")
        if self._judged is None or self._judged[0] != asked:
            self._judged = asked, self._judge(folders, archive)
        return self._judged[1]

    def _judge(self, folders: Sequence[str], archive: str | None) -> tuple[Label, str | None]:
        splits = [split for name in folders if (split := split_named(name))]
        names = [name for name in folders if not split_named(name)]
        split = splits[0] if splits else None
        # An archive may be called after its class, and hold no folders.
        meant = self._meant(names) or self._meant([archive] if archive else [])
        if not meant:
            if not names:
                return UNLABELLED, split
            raise UsageError(
                f"nothing says which class the folder {'/'.join(names)!r} is",
                code="unknown_label",
                hint=f"say it with --labels '{names[-1]}=safe' (or unsafe, or a category)",
            )
        return _agreed(meant), split

    def _meant(self, names: Iterable[str]) -> list[tuple[str, Label]]:
        """The names that mean something; where some are given, those alone."""
        legend = Legend(self.legend.given, self.legend.origin)
        found: list[str] = []
        for name in names:
            try:
                legend.label(name)
            except UsageError:
                continue
            found.append(name)
        given = [name for name in found if legend.met[name][1] is not Origin.NAME]
        return [(name, self.legend.label(name)) for name in given or found]


def _agreed(meant: Sequence[tuple[str, Label]]) -> Label:
    """The one label that several folders say, the most specific one."""
    chosen, label = meant[0]
    for name, other in meant[1:]:
        if other.unsafe == label.unsafe and other.categories in (None, label.categories):
            continue
        if other.unsafe == label.unsafe and label.categories is None:
            chosen, label = name, other
            continue
        raise UsageError(
            f"a picture lies in {chosen!r} ({label}) and in {name!r} ({other})",
            code="unknown_label",
            hint=f"say which one is the class: --labels '{name}=...', for every class",
        )
    return label


def _is_left_out(name: str) -> bool:
    """Hidden files, and what macOS and Windows leave behind."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _is_archive(name: str) -> bool:
    return name.lower().endswith(_ARCHIVES)


def _stem(archive: str) -> str:
    name = PurePosixPath(archive).name
    end = next((end for end in sorted(_ARCHIVES, key=len)[::-1] if name.lower().endswith(end)), "")
    return name[: len(name) - len(end)]


def _look_like_classes(folders: Iterable[str]) -> bool:
    """Whether there are two folder names that mean different things."""
    labels = {name: meaning(name) for name in folders if not name.strip().isdigit()}
    return len({str(label) for label in labels.values() if label is not None}) > 1


def _fits(path: Path) -> bool:
    if not path.is_dir():
        return path.is_file() and _look_like_classes(_archive_folders(path))
    names: set[str] = set()
    for folder, below, files in os.walk(path):
        depth = len(Path(folder).relative_to(path).parts)
        below[:] = [name for name in below if depth < _DEPTH - 1 and not _is_left_out(name)]
        names.update(below)
        if depth == 0:
            zips = [path / name for name in files if name.lower().endswith(".zip")]
            names.update(name for found in zips[:8] for name in _archive_folders(found))
    return _look_like_classes(names)


def _archive_folders(path: Path) -> set[str]:
    return {part for name in zip_names(path) for part in name.split("/")[:-1][:_DEPTH]}


def _open(path: Path, options: SourceOptions) -> ClassFolderSource:
    if not path.exists():
        raise UsageError(f"there is no {path}", code="not_found")
    return ClassFolderSource(path, options)


FORMATS = (
    SourceFormat("classes", "folders named after classes, on disk or in archives", _fits, _open),
)
