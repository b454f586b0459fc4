"""Bodies: what is sent is what the service reads, and a file is never held whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette import ClientOptions, Item
from vedette.client.body import Body, FilePart, file_part, form
from vedette.client.wanted import Picture, batches, picture_of, sent_key
from vedette.errors import FetchError
from vedette.serve.multipart import parse_form
from vedette.types import Failure

_TEXT = st.text(max_size=40)


@given(
    fields=st.dictionaries(st.sampled_from(["model", "policy", "subject"]), _TEXT),
    images=st.lists(st.tuples(_TEXT.filter(bool), st.binary(max_size=60)), max_size=4),
)
def test_a_form_is_read_as_it_was_made(
    fields: dict[str, str], images: list[tuple[str, bytes]]
) -> None:
    body = form(fields, images)

    parts = parse_form(b"".join(body.pieces()), body.content_type, 10)

    assert {p.name: p.data.decode() for p in parts if p.filename is None} == fields
    assert [(p.filename, p.data) for p in parts if p.filename is not None] == images
    assert body.size == sum(map(len, body.pieces()))


def test_names_that_are_no_unicode_are_sent_all_the_same() -> None:
    key = sent_key("a\udcff" + "x" * 600, 3)

    body = form({}, [(key, b"")])

    (part,) = parse_form(b"".join(body.pieces()), body.content_type, 10)
    assert part.filename == key == "a?" + "x" * 510
    assert sent_key("", 3) == "3"


def test_a_file_is_read_in_pieces_and_again_for_each_attempt(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(3 * 2**20 + 5)

    body = Body("application/octet-stream", (file_part(path),))

    for _ in range(2):
        sizes = [len(piece) for piece in body.pieces()]
        assert max(sizes) <= 2**18
        assert sum(sizes) == body.size == 3 * 2**20 + 5


@pytest.mark.parametrize("size", [1, 9])
def test_a_file_of_another_length_is_not_sent_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")

    with pytest.raises(FetchError, match="changed"):
        list(Body("", (FilePart(path, size),)).pieces())


def test_what_is_no_regular_file_has_failed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path / "pipe", tmp_path / "gone", tmp_path, Path("a\0b")):
        assert isinstance(picture_of(path).content, Failure)


def test_pictures_go_together_with_their_neighbours_of_one_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"12345")
    images: list[Any] = [
        b"1",
        path,
        "https://a.example/?secret",
        "HTTP://b.example",
        b"2",
        tmp_path,
        b"3",
    ]

    found = [[picture.kind for picture in batch] for batch in batches(images, ClientOptions())]

    assert found == [["content"] * 2, ["url"] * 2, ["content"], ["failure"], ["content"]]
    assert "secret" not in repr(Picture("k", "https://a.example/?secret"))


def test_bytes_and_images_of_a_request_are_bounded() -> None:
    images = [Item(str(n), b"x" * size) for n, size in enumerate((4, 4, 4, 20, 1, 1, 1, 1))]

    options = ClientOptions(images=3, request_bytes=10)

    assert [[p.size for p in batch] for batch in batches(images, options)] == [
        [4, 4],
        [4],
        [20],
        [1, 1, 1],
        [1],
    ]
