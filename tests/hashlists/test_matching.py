"""The nearest hash: exactly what comparing with every one finds."""

from __future__ import annotations

import numpy as np
import pytest

from vedette.hashlists import matching
from vedette.hashlists.matching import NearHashes
from vedette.hashlists.pdq import NEAR
from vedette.perceptual import WORDS, Hashes, distances


def some(seed: int, count: int) -> Hashes:
    return np.random.default_rng(seed).integers(0, 2**64, (count, WORDS), dtype=np.uint64)


def flipped(one: Hashes, bits: int, seed: int = 0) -> Hashes:
    """``one`` with so many bits changed."""
    plain = np.unpackbits(one.view(np.uint8))
    plain[np.random.default_rng(seed).choice(256, bits, replace=False)] ^= 1
    return np.packbits(plain).view(np.uint64)


def brute(hashes: Hashes, wanted: Hashes, most: int) -> tuple[int, int] | None:
    bits = np.stack([distances(hashes, one) for one in wanted]).min(axis=0)
    row = int(bits.argmin())
    return (row, int(bits[row])) if bits[row] <= most else None


@pytest.mark.parametrize("count", [1, 7, matching._INDEXED, matching._INDEXED + 999])
def test_it_finds_what_comparing_with_all_finds(count: int) -> None:
    hashes = some(1, count)
    near = NearHashes(hashes)
    for seed in range(40):
        row = seed * 7919 % count
        wanted = np.stack([flipped(hashes[row], seed, seed), *some(seed + 100, 2)])

        assert near.nearest(wanted) == brute(hashes, wanted, NEAR)
        assert (near.nearest(wanted) is None) == (seed > NEAR)


def test_every_distance_up_to_the_bound_is_found_however_bits_are_spread() -> None:
    hashes = some(2, matching._INDEXED)
    near = NearHashes(hashes)
    for bits in range(NEAR + 1):
        for seed in range(5):
            assert near.nearest(flipped(hashes[9], bits, seed)[None]) == (9, bits)
    worst = np.unpackbits(hashes[9].view(np.uint8)).reshape(16, 16)
    worst[:, :2] ^= 1  # two bits in every sixteenth but the last
    worst[15, 1] ^= 1
    assert near.nearest(np.packbits(worst).view(np.uint64)[None]) == (9, NEAR)


def test_a_stricter_bound_is_kept() -> None:
    hashes = some(3, 100)
    wanted = flipped(hashes[4], 10)[None]

    assert NearHashes(hashes).nearest(wanted, 10) == (4, 10)
    assert NearHashes(hashes).nearest(wanted, 9) is None
    with pytest.raises(ValueError, match="most"):
        NearHashes(hashes).nearest(wanted, NEAR + 1)


def test_hashes_that_are_alike_do_not_make_it_wrong() -> None:
    hashes = some(4, 2 * matching._INDEXED)
    hashes[:, :3] = hashes[0, :3]
    wanted = flipped(hashes[5000], 3)[None]

    assert NearHashes(hashes).nearest(wanted) == brute(hashes, wanted, NEAR)


def test_of_several_the_lowest_row_is_told() -> None:
    hashes = np.concatenate([some(5, 3), some(6, 1), some(6, 1)])

    assert NearHashes(hashes).nearest(some(6, 1)) == (3, 0)
    assert NearHashes(hashes[:0]).nearest(some(6, 1)) is None
