"""Which keys of a source come twice, and where each is: 16 bytes a row, whatever their length."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable

import numpy as np


class KeyIndex:
    """The keys of all rows of a source, in order, by their hashes.

    Two keys with one hash of 64 bits would look like one key that comes twice: the second row gets
    its number added, and nothing is lost.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        hashes = np.asarray(array("Q", map(_hash, keys)), dtype=np.uint64)
        self._order = np.argsort(hashes, kind="stable")
        self._sorted = hashes[self._order]
        again = self._sorted[1:] == self._sorted[:-1]
        self._later = np.zeros(len(hashes), dtype=bool)
        self._later[self._order[1:]] = again
        self._shared = self._later.copy()
        self._shared[self._order[:-1]] |= again

    def __len__(self) -> int:
        return len(self._order)

    def comes_again(self, row: int) -> bool:
        """Whether an earlier row has the key of this one."""
        return bool(self._later[row])

    def is_shared(self, row: int) -> bool:
        """Whether another row has the key of this one."""
        return bool(self._shared[row])

    def rows(self, key: str) -> list[int]:
        """The rows that have ``key``, in order; who reads one should look whether it does."""
        wanted = np.uint64(_hash(key))
        first = np.searchsorted(self._sorted, wanted, side="left")
        last = np.searchsorted(self._sorted, wanted, side="right")
        return sorted(int(row) for row in self._order[first:last])

    def unique(self, key: str, row: int) -> str:
        """``key`` with the row's number behind it, so that no row has it.

        The number stands last and no two rows share it, so two made keys never meet.
        """
        made = f"{key}#{row}"
        while self.rows(made):
            made = f"{made}#{row}"
        return made


def _hash(key: str) -> int:
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
