from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import crafted
from tests.samples import sample
from vedette import sniff
from vedette.data.archive import read_archive
from vedette.errors import CODES
from vedette.settings import Limits
from vedette.types import Failure, Item

PROFILE = settings(deadline=None, derandomize=True, database=None, max_examples=400)
LIMITS = Limits(bytes=100_000, archive_bytes=300_000, archive_members=20)
PICTURE = sample("png")
MEMBERS = [("a.png", PICTURE), ("b/c.png", sample("jpeg")), ("text", b"prose")]

ZIPS = {
    "stored": crafted.zip_of(MEMBERS, zipfile.ZIP_STORED),
    "deflated": crafted.zip_of(MEMBERS),
    "bzip2": crafted.zip_of(MEMBERS, zipfile.ZIP_BZIP2),
    "lzma": crafted.zip_of(MEMBERS, zipfile.ZIP_LZMA),
}
TAR = crafted.tar_of(MEMBERS)
TARS = {
    "tar": TAR,
    "tar.gz": gzip.compress(TAR, mtime=0),
    "tar.bz2": bz2.compress(TAR),
    "tar.xz": lzma.compress(TAR),
}
ARCHIVES = ZIPS | TARS


def read(data: bytes, limits: Limits = LIMITS) -> list[Item]:
    fmt = sniff.sniff(data[: sniff.HEAD_BYTES])
    assert fmt is not None
    assert fmt.kind == "archive"
    return list(read_archive(io.BytesIO(data), fmt, "x", limits))


def outcome(data: bytes, limits: Limits = LIMITS) -> list[tuple[str, str]]:
    """Each item's key and what became of it: its failure's code, or ``ok``."""
    found = []
    for item in read(data, limits):
        if isinstance(item.data, Failure):
            assert item.data.stage == "fetch"
            assert item.data.message.isprintable()
        found.append((item.key, item.data.code if isinstance(item.data, Failure) else "ok"))
    return found


@pytest.mark.parametrize("name", ARCHIVES)
def test_every_member_is_an_item_with_its_bytes(name: str) -> None:
    items = read(ARCHIVES[name])

    assert [(item.key, item.data) for item in items] == [
        (f"x!/{member}", data) for member, data in MEMBERS
    ]


@pytest.mark.parametrize(
    "data", [crafted.zip_of([]), crafted.tar_of([]), gzip.compress(crafted.tar_of([]))]
)
def test_an_archive_without_members(data: bytes) -> None:
    # A tar of nothing is nothing but zeros, which say nothing of what they are.
    fmt = sniff.sniff(data[: sniff.HEAD_BYTES]) or sniff.TAR

    assert list(read_archive(io.BytesIO(data), fmt, "x", LIMITS)) == []


def test_folders_are_no_items() -> None:
    folder: list[tuple[str | tarfile.TarInfo, bytes]] = [
        crafted.tar_special("folder", tarfile.DIRTYPE),
        ("folder/a", b"b"),
    ]

    assert outcome(crafted.zip_of([("folder/", b""), ("folder/a", b"b")])) == [
        ("x!/folder/a", "ok")
    ]
    assert outcome(crafted.tar_of(folder)) == [("x!/folder/a", "ok")]


def test_repeated_names_have_keys_of_their_own() -> None:
    names = ["a", "a", "a#2", "a", "a#2"]

    with pytest.warns(UserWarning, match="Duplicate name"):
        zipped = crafted.zip_of([(name, b"x") for name in names])
    keys = [key for key, _ in outcome(zipped)]

    assert keys == ["x!/a", "x!/a#2", "x!/a#2#2", "x!/a#3", "x!/a#2#3"]
    assert keys == [key for key, _ in outcome(crafted.tar_of([(n, b"x") for n in names]))]


def test_names_that_lead_elsewhere_are_only_names() -> None:
    names = ["../../x", "/etc/passwd", "C:\\x", "a//b", "\x1b[31m"]

    assert [key for key, _ in outcome(crafted.tar_of([(n, b"x") for n in names]))] == [
        f"x!/{name}" for name in names
    ]


def test_names_that_are_no_text_are_escaped() -> None:
    data = crafted.tar_of([("bad\udcff", b"x")])

    assert outcome(data) == [("x!/bad\\xff", "ok")]


# Members that fail alone


def test_members_that_are_no_files() -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    members: list[tuple[str | tarfile.TarInfo, bytes]] = [
        crafted.tar_special("soft", tarfile.SYMTYPE, "/etc/passwd"),
        crafted.tar_special("hard", tarfile.LNKTYPE, "a"),
        crafted.tar_special("char", tarfile.CHRTYPE),
        crafted.tar_special("block", tarfile.BLKTYPE),
        crafted.tar_special("pipe", tarfile.FIFOTYPE),
        ("a", b"x"),
    ]

    assert outcome(crafted.zip_of([(link, b"/etc/passwd"), ("a", b"x")])) == [
        ("x!/link", "link_in_archive"),
        ("x!/a", "ok"),
    ]
    assert [code for _, code in outcome(crafted.tar_of(members))] == ["link_in_archive"] * 5 + [
        "ok"
    ]


def test_an_encrypted_member() -> None:
    assert outcome(crafted.zip_encrypted("a")) == [("x!/a", "encrypted")]


def test_a_wrong_checksum_costs_one_member() -> None:
    assert outcome(crafted.zip_wrong_checksum("a", "b")) == [("x!/a", "corrupt"), ("x!/b", "ok")]


def test_an_unknown_compression_costs_one_member() -> None:
    data = bytearray(crafted.zip_of([("a", b"x"), ("b", b"x")]))
    data[8] = data[data.index(b"PK\x01\x02") + 10] = 97

    assert outcome(bytes(data)) == [("x!/a", "unsupported_format"), ("x!/b", "ok")]


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_in_an_archive_is_not_opened(name: str) -> None:
    members = [("inner", ARCHIVES[name]), ("a", b"x")]

    for data in (crafted.zip_of(members), crafted.tar_of(members)):
        assert outcome(data) == [("x!/inner", "nested_archive"), ("x!/a", "ok")]


def test_a_member_larger_than_the_limit_costs_one_member() -> None:
    large = bytes(LIMITS.bytes + 1)
    members = [("a", large), ("b", large[1:])]

    for data in (crafted.zip_of(members), crafted.tar_of(members)):
        assert outcome(data) == [("x!/a", "too_many_bytes"), ("x!/b", "ok")]


def test_gigabytes_of_zeros_take_no_memory() -> None:
    data = crafted.zip_of_zeros("a", 2)
    tracemalloc.start()
    found = outcome(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found == [("x!/a", "too_many_bytes")]
    assert peak < 20 * 2**20


# Limits of the archive


def test_nothing_comes_after_a_bomb() -> None:
    part = bytes(70_000)
    members = [(str(number), part) for number in range(6)]
    for data in (crafted.zip_of(members), crafted.tar_of(members)):
        assert outcome(data) == [(f"x!/{i}", "ok") for i in range(4)] + [("x", "archive_bomb")]


def test_bytes_of_members_that_fail_count_as_read_and_no_more() -> None:
    small = crafted.zip_of([(f"{i}.zip", crafted.zip_of([])) for i in range(20)])
    large = crafted.zip_of([(f"{i}", bytes(LIMITS.bytes + 1)) for i in range(20)])

    assert [code for _, code in outcome(small)] == ["nested_archive"] * 20
    assert [code for _, code in outcome(large)] == ["too_many_bytes"] * 2 + ["archive_bomb"]


def test_sparse_members_count_in_full() -> None:
    header, end = crafted.tar_sparse("s", 90_000)

    assert [code for _, code in outcome(header * 5 + end)] == ["ok"] * 3 + ["archive_bomb"]


def test_too_many_members() -> None:
    members = [(str(number), b"") for number in range(21)]

    assert outcome(crafted.zip_of(members)) == [("x", "archive_bomb")]
    assert outcome(crafted.tar_of(members)) == [(f"x!/{i}", "ok") for i in range(20)] + [
        ("x", "archive_bomb")
    ]
    assert len(outcome(crafted.zip_of(members[1:]))) == 20


def test_a_directory_too_large_for_the_memory_is_not_parsed() -> None:
    data = crafted.zip_of([(f"{number:0200}", b"") for number in range(40_000)], 0)
    tracemalloc.start()
    found = outcome(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found == [("x", "archive_bomb")]
    assert peak < 30 * 2**20


def test_a_claimed_size_is_not_believed() -> None:
    for data in (crafted.tar_claiming("a", 2**40), gzip.compress(crafted.tar_claiming("a", 2**40))):
        assert outcome(data) == [("x!/a", "truncated"), ("x", "archive_bomb")]
    for data in (crafted.tar_huge_header(2**33), gzip.compress(crafted.tar_huge_header(2**33))):
        assert outcome(data) == [("x", "archive_bomb")]


# Archives that break off


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_archive_says_so(name: str, kept: float) -> None:
    data = ARCHIVES[name]

    found = outcome(data[: int(len(data) * kept)])

    if name == "tar" and kept > 0.5:  # its last nine tenths are zeros behind the end mark
        assert found[:3] == [(f"x!/{member}", "ok") for member, _ in MEMBERS]
    else:
        assert found[-1] == ("x", "corrupt_archive")
    assert {code for _, code in found[:-1]} <= {"ok", "truncated", "corrupt"}


@pytest.mark.parametrize("at", ["end", "boundary", "header"])
def test_a_tar_that_stops_between_members_says_so(at: str) -> None:
    first = 512 + -(-len(PICTURE) // 512) * 512
    data = bytearray(TAR)
    if at == "end":
        del data[first:]  # nothing where the next header belongs
    elif at == "boundary":
        del data[first + 100 :]
    else:
        data[first + 10] ^= 1  # its checksum is wrong: tarfile would take it for the end

    assert outcome(bytes(data)) == [("x!/a.png", "ok"), ("x", "corrupt_archive")]


def test_what_stands_behind_the_end_of_a_tar_is_not_passed_over() -> None:
    found = outcome(TAR + TAR)

    assert [code for _, code in found] == ["ok"] * 3 + ["corrupt_archive"]


def test_a_wrong_checksum_at_the_end_of_the_stream() -> None:
    data = bytearray(TARS["tar.gz"])
    data[-6] ^= 1

    assert outcome(bytes(data))[-1] == ("x", "corrupt_archive")


def test_members_that_the_directory_hides_are_not_passed_over() -> None:
    assert outcome(crafted.zip_unlisted("a", "b"))[-1] == ("x", "corrupt_archive")


def test_a_packed_picture_is_no_archive() -> None:
    assert outcome(gzip.compress(PICTURE)) == [("x", "corrupt_archive")]


@PROFILE
@given(st.sampled_from(sorted(ARCHIVES)), st.floats(0, 1), st.floats(0, 1), st.binary(max_size=30))
def test_any_damage_leaves_items_or_a_failure(
    name: str, start: float, end: float, piece: bytes
) -> None:
    data = ARCHIVES[name]
    first, last = sorted((int(len(data) * start), int(len(data) * end)))
    damaged = data[:4] + (data[4:first] + piece + data[last:])
    fmt = sniff.ZIP if name in ZIPS else sniff.sniff(data[: sniff.HEAD_BYTES])
    assert fmt is not None

    items = list(read_archive(io.BytesIO(damaged), fmt, "x", LIMITS))

    assert items
    assert len({item.key for item in items}) == len(items)
    for item in items:
        assert isinstance(item.data, bytes) or item.data.code in CODES  # type: ignore[union-attr]


def test_members_that_pose_as_folders_or_have_no_name() -> None:
    data = crafted.zip_of(
        [("photo.jpg/", PICTURE), ("", PICTURE), ("folder/", b""), ("a.png", PICTURE)]
    )

    assert outcome(data) == [("x!/photo.jpg/", "ok"), ("x!/", "ok"), ("x!/a.png", "ok")]


@pytest.mark.parametrize("name", ARCHIVES)
def test_one_member_is_read_alone(name: str) -> None:
    fmt = sniff.sniff(ARCHIVES[name][: sniff.HEAD_BYTES])
    assert fmt is not None

    found = list(read_archive(io.BytesIO(ARCHIVES[name]), fmt, "x", LIMITS, only="x!/b/c.png"))

    assert [(item.key, item.data) for item in found] == [("x!/b/c.png", sample("jpeg"))]
