"""Embeddings by the hash of their image: a backbone runs once for each, whoever asks for it.

A store is a folder of one model's embeddings. Its rows are records of fixed width in files that
are only ever appended to, each by one process: the image's SHA-256, the embedding as float16, and
a checksum over both. A row that a kill, or a full disk, cut in half has no good checksum, and is
not there.
"""

from __future__ import annotations

import json
import re
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256 as sha256_of
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.compile.cache import cache_root
from vedette.errors import InferError, UsageError, VedetteError
from vedette.hub.store import exclusive
from vedette.models.base import Classifier
from vedette.sinks.base import replacing
from vedette.types import Float32

Float16 = NDArray[np.float16]

ABOUT = "store.json"
_FORMAT = "vedette-embedding-store"
_VERSION = 1
_SUFFIX = ".rows"
_MOST_BYTES = 2**16
"""Of :data:`ABOUT`."""
SHARD_ROWS = 65_536
"""Rows of one file, at most."""
AT_ONCE = 64
"""Rows that are written together: what a kill can cost."""


@dataclass(frozen=True, slots=True)
class Space:
    """What embeddings must share to be compared."""

    model: str
    """``id@revision``"""
    precision: str
    """Of the network that gave them: ``fp32``, ``bf16``."""
    dim: int

    def __str__(self) -> str:
        return f"{self.model}, {self.precision}, {self.dim} dimensions"


def space_of(backbone: Classifier) -> Space:
    """The space of the embeddings that a classifier gives.

    Raises:
        UsageError: it gives none.
    """
    if backbone.card.embedding is None:
        raise UsageError(f"{backbone.card.id} gives no embeddings", hint="vedette models list")
    return Space(backbone.card.model, backbone.runtime.split()[-1], backbone.card.embedding)


def default_store(space: Space) -> Path:
    """Where the embeddings of a model are kept unless the user names another folder."""
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", space.model).strip("-.")[:60]
    told = sha256_of(json.dumps(asdict(space), sort_keys=True).encode()).hexdigest()[:12]
    return cache_root() / "embeddings" / f"{slug}-{told}"


class EmbeddingStore:
    """One model's embeddings by the hash of their image. Several processes may use one at once.

    Args:
        folder: of the store; made where it is not there.
        space: of the embeddings.

    Raises:
        UsageError: ``resume_mismatch``: the store is of another model.
        VedetteError: ``write_failed``, ``unreadable``.
    """

    def __init__(self, folder: Path, space: Space) -> None:
        self.folder = folder
        self.space = space
        self._dtype = np.dtype(
            [("sha256", "S32"), ("row", "<f2", (space.dim,)), ("checksum", "<u4")]
        )
        self._stream: FileIO | None = None
        self._own = 0
        self._waiting: list[bytes] = []
        self._new: dict[bytes, tuple[int, int]] = {}
        """File and row of what was added since the store was opened."""
        with _reading(folder), exclusive(folder / ".held"):
            _check(folder, space)
        with _reading(folder):
            self._files = sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX)
            digests, places = self._loaded()
        order = np.argsort(digests, kind="stable")
        self._digests, self._places = digests[order], places[order]

    def __len__(self) -> int:
        return len(np.unique(self._digests)) + len(self._new)

    def __contains__(self, sha256: str) -> bool:
        return self._place(bytes.fromhex(sha256)) is not None

    def add(self, sha256: str, embedding: Float32) -> None:
        """Keep one embedding; it is on its way to the disk after :data:`AT_ONCE` of them.

        Args:
            sha256: of the image's bytes, hex.
            embedding: float32 [dim].

        Raises:
            InferError: ``model_output_invalid``: a value that float16 cannot hold, or not as many
                values as the model's card says.
            VedetteError: ``write_failed``.
        """
        digest = bytes.fromhex(sha256)
        if self._place(digest) is not None:
            return
        if embedding.shape != (self.space.dim,):
            raise InferError(
                f"an embedding of the shape {embedding.shape}, not ({self.space.dim},)",
                code="model_output_invalid",
            )
        with np.errstate(over="ignore"):
            half = embedding.astype("<f2")
        if not np.isfinite(half).all():
            raise InferError(
                f"an embedding with a value of {np.abs(embedding).max():.4g}: float16 holds "
                f"{np.finfo(np.float16).max:.0f} at most",
                code="model_output_invalid",
            )
        if self._stream is None or self._own >= SHARD_ROWS:
            self._begin()
        told = digest + half.tobytes()
        self._waiting.append(told + zlib.crc32(told).to_bytes(4, "little"))
        self._new[digest] = len(self._files) - 1, self._own
        self._own += 1
        if len(self._waiting) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what was added.

        Raises:
            VedetteError: ``write_failed``.
        """
        waiting, self._waiting = self._waiting, []
        if self._stream is None or not waiting:
            return
        left = memoryview(b"".join(waiting))
        try:
            while left:  # a disk that is nearly full takes a part, and says so only the next time
                left = left[self._stream.write(left) :]
        except OSError as error:
            for told in waiting:
                del self._new[told[:32]]
            # What follows half a row would be read at the wrong place: this file has its end here.
            self._stream.close()
            self._stream = None
            raise _cannot_write(self.folder, error) from error

    def rows(self, hashes: Sequence[str]) -> Float16:
        """The embeddings of images: float16 [n, dim], in the order of their hashes.

        Raises:
            KeyError: there is none of that image.
            VedetteError: ``unreadable``, ``write_failed``.
        """
        self.flush()
        places = np.empty((len(hashes), 2), dtype=np.int64)
        for at, sha256 in enumerate(hashes):
            place = self._place(bytes.fromhex(sha256))
            if place is None:
                raise KeyError(sha256)
            places[at] = place
        out = np.empty((len(hashes), self.space.dim), dtype=np.float16)
        with _reading(self.folder):
            for number in np.unique(places[:, 0]).tolist():
                mine = np.flatnonzero(places[:, 0] == number)
                # Only whole rows: another process may be about to write, or may have been killed.
                last = int(places[mine, 1].max())
                records = np.memmap(self._files[number], self._dtype, mode="r", shape=(last + 1,))
                out[mine] = records["row"][places[mine, 1]]
        return out

    def close(self) -> None:
        """Write what was added, and close the file.

        Raises:
            VedetteError: ``write_failed``.
        """
        try:
            self.flush()
        finally:
            if self._stream is not None:
                self._stream.close()
                self._stream = None

    def __enter__(self) -> EmbeddingStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _place(self, digest: bytes) -> tuple[int, int] | None:
        if digest in self._new:
            return self._new[digest]
        at = int(np.searchsorted(self._digests, np.bytes_(digest)))
        # As bytes: numpy takes the zeros at a text's end away.
        if self._digests[at : at + 1].tobytes() != digest:
            return None
        number, row = self._places[at].tolist()
        return number, row

    def _begin(self) -> None:
        """A new file, which no other process writes to."""
        self.close()
        path = self.folder / f"{uuid.uuid4().hex}{_SUFFIX}"
        try:
            self._stream = path.open("xb", buffering=0)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        self._files.append(path)
        self._own = 0

    def _loaded(self) -> tuple[Any, NDArray[np.int64]]:
        """Hashes [n] and places [n, 2] of all rows with a good checksum."""
        digests, places = [np.empty(0, "S32")], [np.empty((0, 2), np.int64)]
        for number, path in enumerate(self._files):
            count = path.stat().st_size // self._dtype.itemsize
            records = np.fromfile(path, self._dtype, count)
            good = np.flatnonzero(_checked(records))
            digests.append(records["sha256"][good])
            places.append(np.stack([np.full(len(good), number), good], axis=1).astype(np.int64))
        return np.concatenate(digests), np.concatenate(places)


def _checked(records: Any) -> NDArray[np.bool_]:
    told = records.view(np.uint8).reshape(len(records), records.dtype.itemsize)[:, :-4]
    sums = np.fromiter((zlib.crc32(row) for row in told), np.uint32, len(records))
    return np.asarray(sums == records["checksum"])


def _check(folder: Path, space: Space) -> None:
    """Say what the store is of, or refuse one that is of something else."""
    path = folder / ABOUT
    told = {"format": _FORMAT, "version": _VERSION, **asdict(space)}
    if not path.exists():
        if any(one.suffix == _SUFFIX for one in folder.iterdir()):
            raise UsageError(f"{folder} has rows and no {ABOUT}", code="resume_mismatch")
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        return
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            raise ValueError("no file, or too large")
        found = json.loads(path.read_bytes())
        if found["format"] != _FORMAT or found["version"] != _VERSION:
            raise ValueError(f"format {found['format']!r}, version {found['version']!r}")
        there = Space(str(found["model"]), str(found["precision"]), int(found["dim"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{path} is no store of embeddings: {error}",
            code="resume_mismatch",
            hint="name another folder with --store",
        ) from error
    if there != space:
        raise UsageError(
            f"{folder} holds embeddings of {there}, not of {space}",
            code="resume_mismatch",
            hint="name another folder with --store, one for each model",
        )


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VedetteError(
            f"cannot read {folder}: {error.strerror or error}", code="unreadable"
        ) from error


def _cannot_write(folder: Path, error: OSError) -> VedetteError:
    return VedetteError(
        f"cannot write {folder}: {error.strerror or error}",
        code="write_failed",
        hint="check the disk, or name another folder with --store",
    )
