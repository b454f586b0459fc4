"""Any bytes at all either decode or fail with a code: nothing else ever comes out."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.corpus import LIMITS, QUIET, flipped
from tests.samples import SAMPLES, sample
from tests.test_decode import SMALL
from vedette.decode import DecodeOptions, decode
from vedette.errors import CODES, DecodeError
from vedette.resize import Fit
from vedette.types import Failure

pytestmark = QUIET

PROFILE = settings(deadline=None, derandomize=True, database=None, max_examples=1000)


def _decodes_or_fails(data: bytes, options: DecodeOptions = SMALL) -> None:
    failure: Failure | None = None
    try:
        for image in decode(data, options):
            assert image.pixels.dtype == np.uint8
            assert image.pixels.ndim == 3
            assert image.pixels.shape[2] == 3
            assert image.pixels.size > 0
            assert image.width > 0
            assert image.height > 0
    except DecodeError as error:
        failure = error.failure()
    if failure is not None:
        assert failure.code in CODES
        assert failure.message.isprintable()


@PROFILE
@given(st.binary(max_size=2000))
def test_any_bytes(data: bytes) -> None:
    _decodes_or_fails(data)


@PROFILE
@given(st.sampled_from(SAMPLES), st.binary(max_size=500))
def test_any_bytes_behind_a_known_head(name: str, rest: bytes) -> None:
    _decodes_or_fails(sample(name)[:32] + rest)


@PROFILE
@given(st.sampled_from(SAMPLES), st.integers(0, 2**32), st.sampled_from((None, Fit(8, "inside"))))
def test_any_wrong_bits(name: str, seed: int, fit: Fit | None) -> None:
    _decodes_or_fails(flipped(sample(name), seed), DecodeOptions(limits=LIMITS, fit=fit))


@PROFILE
@given(st.sampled_from(SAMPLES), st.floats(0, 1), st.binary(max_size=20))
def test_any_cut(name: str, kept: float, rest: bytes) -> None:
    data = sample(name)
    _decodes_or_fails(data[: int(len(data) * kept)] + rest)


@PROFILE
@given(st.sampled_from(SAMPLES), st.floats(0, 1), st.floats(0, 1), st.binary(max_size=40))
def test_any_piece_exchanged(name: str, start: float, end: float, piece: bytes) -> None:
    data = sample(name)
    first, last = sorted((int(len(data) * start), int(len(data) * end)))
    _decodes_or_fails(data[:first] + piece + data[last:])
