"""The stand-in set as a source, drawn in memory."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.test_sources import (  # run again here, on this source
    test_reading_again_is_the_same,
    test_shards_are_the_whole_and_can_be_read_alone,
    test_what_was_yielded_is_found_again,
    test_yields_something_with_keys_of_its_own,
)
from vedette.data.base import CATEGORY, SOURCE, SPLIT, TEXT, Source, read_all
from vedette.data.labelling import SAFE
from vedette.data.opening import SourceOptions, open_source
from vedette.data.synth.plan import Recipe
from vedette.data.synth.source import SynthSource, parse_recipe
from vedette.decode import decode_item
from vedette.decoding import DecodeOptions
from vedette.errors import UnknownNameError, UsageError, VedetteError
from vedette.taxonomy import Category

__all__ = [
    "test_reading_again_is_the_same",
    "test_shards_are_the_whole_and_can_be_read_alone",
    "test_what_was_yielded_is_found_again",
    "test_yields_something_with_keys_of_its_own",
]


@pytest.fixture
def source() -> Source:
    return SynthSource(Recipe(scale=0.065, size=32))


def test_has_several_shards(source: Source) -> None:
    assert [shard.id for shard in source.shards()] == ["train-00000", "train-00001", "test-00000"]


def test_items_say_what_they_are() -> None:
    fmt, source = open_source("synth:unsafebench?scale=0.01&seed=3&difficulty=0.5&size=64")
    items = list(read_all(source))

    assert fmt.name == "synth"
    assert len(items) == 101
    for item in items:
        prefix, where, _, label, _ = item.key.split("/")
        assert prefix == "stand-in"
        assert where == item.meta[SOURCE].lower()
        assert item.meta[SOURCE] in ("Laion5B", "Lexica")
        assert item.meta[SPLIT] in ("train", "test")
        assert item.meta[TEXT]
        assert item.unsafe == (label == "unsafe")
        category = Category(item.meta[CATEGORY])
        assert item.labels == (frozenset({category}) if item.unsafe else frozenset())
        assert item.meta["stand_in"] == (
            "synth@1 like=unsafebench scale=0.01 seed=3 difficulty=0.5 size=64"
        )


def test_items_decode() -> None:
    _, source = open_source("unsafebench?scale=0.001&size=48", "synth")

    for item in read_all(source):
        (image,) = decode_item(item, DecodeOptions())
        assert image.format == "JPEG"


def test_nothing_given_but_the_set_is_the_default_recipe() -> None:
    assert parse_recipe("unsafebench") == Recipe()


@pytest.mark.parametrize(
    ("given_text", "said"),
    [
        ("unsafebench?scale=much", "scale"),
        ("unsafebench?seed=0.5", "seed"),
        ("unsafebench?seed=" + "9" * 5000, "seed"),
        ("unsafebench?size=", "size"),
        ("unsafebench?scale=1e400", "scale"),
    ],
)
def test_a_value_that_is_no_number_is_refused(given_text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        open_source(f"synth:{given_text}")


@pytest.mark.parametrize("given_text", ["", "smid", "unsafebench?dificulty=1"])
def test_an_unknown_name_is_refused(given_text: str) -> None:
    with pytest.raises(UnknownNameError):
        open_source(f"synth:{given_text}")


@given(st.text(max_size=30), st.sampled_from(["", "unsafebench?", "unsafebench?scale="]))
def test_any_text_is_a_recipe_or_refused(text: str, start: str) -> None:
    with suppress(VedetteError):
        assert parse_recipe(start + text).total > 0


def test_labels_of_its_own_cannot_be_said_otherwise() -> None:
    with pytest.raises(UsageError, match="its own"):
        open_source("synth:unsafebench", options=SourceOptions(labels={"Unsafe": SAFE}))
