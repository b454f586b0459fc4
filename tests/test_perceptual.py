"""Perceptual hashes: near pairs are exact, and a hash survives what a picture meets on its way."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pictures import SHARED_PHOTOS, drawn, needs_photos
from vedette import perceptual
from vedette.perceptual import BITS, NEAR, WORDS, clusters, distances, near_pairs, perceptual_hash


def hash_of(picture: PIL.Image.Image) -> perceptual.Hashes:
    return perceptual_hash(np.asarray(picture.convert("RGB")))


def altered(picture: PIL.Image.Image) -> dict[str, PIL.Image.Image]:
    """What happens to pictures that are passed on."""
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=50)
    width, height = picture.size
    return {
        "smaller": picture.resize((max(1, width * 2 // 3), max(1, height * 2 // 3))),
        "larger": picture.resize((width * 3 // 2, height * 3 // 2)),
        "jpeg": PIL.Image.open(stream),
        "brighter": PIL.ImageEnhance.Brightness(picture).enhance(1.15),
        "darker": PIL.ImageEnhance.Brightness(picture).enhance(0.7),
        "contrast": PIL.ImageEnhance.Contrast(picture).enhance(0.8),
    }


def some_hashes(seed: int, count: int, flips: int) -> perceptual.Hashes:
    """Random hashes, and for each some others within ``flips`` bits, at all distances."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**64, (max(1, count // 4), WORDS), dtype=np.uint64)
    rows = base[rng.integers(0, len(base), count)]
    bits = np.unpackbits(np.ascontiguousarray(rows).view(np.uint8), axis=1)
    for row in bits:
        row[rng.choice(BITS, rng.integers(0, flips + 1), replace=False)] ^= 1
    return np.packbits(bits, axis=1).view(np.uint64)


def brute(hashes: perceptual.Hashes, most: int) -> set[tuple[int, int]]:
    a, b = np.triu_indices(len(hashes), 1)
    near = distances(hashes[a], hashes[b]) <= most
    return set(zip(a[near].tolist(), b[near].tolist(), strict=True))


def found(hashes: perceptual.Hashes, most: int) -> set[tuple[int, int]]:
    return {
        pair
        for a, b in near_pairs(hashes, most)
        for pair in zip(a.tolist(), b.tolist(), strict=True)
    }


# Near pairs


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 80),
    flips=st.integers(0, 40),
    most=st.integers(0, NEAR),
)
def test_near_pairs_of_distinct_hashes_are_those_of_brute_force(
    seed: int, count: int, flips: int, most: int
) -> None:
    hashes = np.unique(some_hashes(seed, count, flips), axis=0)

    assert found(hashes, most) == brute(hashes, most)


@given(seed=st.integers(0, 10**6), count=st.integers(1, 60), most=st.integers(0, NEAR))
def test_groups_are_those_of_brute_force_with_equal_hashes_too(
    seed: int, count: int, most: int
) -> None:
    hashes = some_hashes(seed, count, 3)
    pairs = brute(hashes, most)
    a, b = (np.array([pair[i] for pair in sorted(pairs)], np.intp) for i in (0, 1))

    assert found(hashes, most) <= pairs
    together = clusters(count, iter([(a, b)]))
    assert np.array_equal(clusters(count, near_pairs(hashes, most)), together)


def test_a_pair_at_the_very_distance_is_found_wherever_its_bits_differ() -> None:
    rng = np.random.default_rng(1)
    for place in range(NEAR):
        bits = rng.integers(0, 2, (2, BITS)).astype(np.uint8)
        bits[1] = bits[0]
        # Two bits in fifteen of the sixteenths and one in the last: the worst case that there is.
        spread = [16 * piece + (place + 8 * k) % 16 for piece in range(16) for k in range(2)]
        spread.remove(16 * (place % 16) + place % 16)
        bits[1, spread] ^= 1
        hashes = np.packbits(bits, axis=1).view(np.uint64)

        assert len(spread) == NEAR
        assert found(hashes, NEAR) == {(0, 1)}
        assert found(hashes, NEAR - 1) == set()


def test_pairs_come_in_pieces_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = some_hashes(3, 300, 20)
    whole = found(hashes, NEAR)
    monkeypatch.setattr(perceptual, "_AT_ONCE", 500)
    pieces = list(near_pairs(hashes, NEAR))

    assert max(len(a) for a, _ in pieces[1:]) <= 500
    assert found(hashes, NEAR) == whole


@pytest.mark.parametrize("most", [-1, NEAR + 1])
def test_a_distance_that_would_not_be_exact_is_refused(most: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.31"):
        next(iter(near_pairs(np.zeros((2, WORDS), np.uint64), most)))


def test_no_hash_has_no_pairs() -> None:
    assert found(np.zeros((0, WORDS), np.uint64), NEAR) == set()
    assert found(np.zeros((1, WORDS), np.uint64), NEAR) == set()


# Clusters


@given(
    st.integers(1, 40).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=60),
        )
    )
)
def test_clusters_are_the_connected_parts(given_: tuple[int, list[tuple[int, int]]]) -> None:
    count, pairs = given_
    neighbours: dict[int, set[int]] = {row: {row} for row in range(count)}
    for a, b in pairs:
        merged = neighbours[a] | neighbours[b]
        for row in merged:
            neighbours[row] = merged
    left, right = (np.array([pair[i] for pair in pairs], np.intp) for i in (0, 1))
    half = len(pairs) // 2
    pieces = iter([(left[:half], right[:half]), (left[half:], right[half:])])

    assert clusters(count, pieces).tolist() == [min(neighbours[row]) for row in range(count)]


# The hash


def test_a_hash_survives_what_a_picture_meets_on_its_way() -> None:
    for seed in range(25):
        picture = drawn(seed, 200, 150)
        own = hash_of(picture)
        for what, other in altered(picture).items():
            assert distances(own, hash_of(other)) <= NEAR, f"{seed} {what}"


@needs_photos
def test_hashes_of_photographs_survive_too_and_no_two_are_near() -> None:
    hashes = []
    for path in sorted(Path(SHARED_PHOTOS / "small").glob("*.jpg"))[:20]:
        with PIL.Image.open(path) as opened:
            picture = opened.convert("RGB")
        own = hash_of(picture)
        hashes.append(own)
        for what, other in altered(picture).items():
            assert distances(own, hash_of(other)) <= NEAR, f"{path.name} {what}"

    assert len(hashes) == 20
    assert brute(np.stack(hashes), NEAR) == set()


def test_hashes_of_different_pictures_differ_in_about_half_of_their_bits() -> None:
    hashes = np.stack([hash_of(drawn(seed)) for seed in range(60)])
    a, b = np.triu_indices(len(hashes), 1)
    apart = distances(hashes[a], hashes[b])

    assert 90 < apart.mean() < 140
    assert apart.min() > NEAR


def test_a_picture_of_one_colour_has_the_hash_of_none() -> None:
    for colour in (0, 77, 255):
        assert not perceptual_hash(np.full((30, 40, 3), colour, np.uint8)).any()


def test_the_hash_is_the_same_on_every_run_and_half_of_its_bits_are_set() -> None:
    own = hash_of(drawn(5))

    assert own.dtype == np.uint64
    assert own.shape == (WORDS,)
    assert np.array_equal(own, hash_of(drawn(5)))
    assert abs(int(np.bitwise_count(own).sum()) - BITS // 2) <= 1
    tiny = perceptual_hash(np.asarray(drawn(5))[:1, :1])
    assert tiny.shape == (WORDS,)
