"""Archives that try something are refused whole, by a code; honest ones pass."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.layouts import class_tar, class_zip, picture
from vedette.data.archive_check import check_archives
from vedette.errors import FetchError
from vedette.settings import Limits

PICTURE = picture(1)


def zipped(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, PICTURE)
    return stream.getvalue()


def tarred(*names: str, kind: bytes = tarfile.REGTYPE, mode: str = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        for name in names:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = "/etc/hostname"
            info.size = len(PICTURE) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(PICTURE))
    return stream.getvalue()


def linked() -> bytes:
    return of_kind(stat.S_IFLNK)


def of_kind(kind: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/hostname")
    return stream.getvalue()


def encrypted() -> bytes:
    data = bytearray(zipped("a.png"))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def wrong_checksum() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.png", PICTURE)
    data = bytearray(stream.getvalue())
    data[60] ^= 1
    return bytes(data)


def bomb() -> bytes:
    """Members that share one piece of compressed zeros, in the manner of 42.zip's successors."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(40):
            archive.writestr(f"{number}.png", bytes(2**20))
    return stream.getvalue()


def a_million_entries() -> bytes:
    """A directory of a million and one members, in 46 MB of the same line."""
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *([0] * 6), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    count = 1_000_001
    size = count * len(entry)
    first = b"PK\x03\x04" + bytes(26)
    at = len(first)
    zip64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, at)
    where = struct.pack("<4sLQL", b"PK\x06\x07", 0, at + size, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return first + entry * count + zip64 + where + end


def many_entries() -> bytes:
    return zipped(*(f"{n}.png" for n in range(60)))


COMPOSED, DECOMPOSED = "é.png", unicodedata.normalize("NFD", "é.png")
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip up": (lambda: zipped("SAFE/../../x.png"), "unsafe_path"),
    "zip absolute": (lambda: zipped("/etc/x.png"), "unsafe_path"),
    "zip backslash": (lambda: zipped("..\\x.png"), "unsafe_path"),
    "zip drive": (lambda: zipped("C:x.png"), "unsafe_path"),
    "tar up": (lambda: tarred("../x.png"), "unsafe_path"),
    "tar absolute": (lambda: tarred("/x.png"), "unsafe_path"),
    "tar.gz up": (lambda: tarred("a/../../x.png", mode="w:gz"), "unsafe_path"),
    "zip link": (linked, "link_in_archive"),
    "tar link": (lambda: tarred("a.png", kind=tarfile.SYMTYPE), "link_in_archive"),
    "tar hard link": (lambda: tarred("a.png", kind=tarfile.LNKTYPE), "link_in_archive"),
    "tar device": (lambda: tarred("a.png", kind=tarfile.CHRTYPE), "link_in_archive"),
    "encrypted": (encrypted, "encrypted"),
    "bomb": (bomb, "archive_bomb"),
    "many entries": (many_entries, "archive_bomb"),
    "a million entries": (a_million_entries, "archive_bomb"),
    "truncated zip": (lambda: zipped("a.png", "b.png")[:-30], "corrupt_archive"),
    "truncated tar": (lambda: tarred("a.png", "b.png")[:1300], "corrupt_archive"),
    "truncated tar.gz": (lambda: tarred("a.png", mode="w:gz")[:-20], "corrupt_archive"),
    "wrong checksum": (wrong_checksum, "corrupt"),
    "case": (lambda: zipped("SAFE/a.png", "safe/A.png"), "duplicate_names"),
    "normal form": (lambda: zipped(COMPOSED, DECOMPOSED), "duplicate_names"),
    "tar twice": (lambda: tarred("a.png", "a.png"), "duplicate_names"),
    "dot folder": (lambda: tarred("a.png", "./a.png"), "duplicate_names"),
    "empty folder name": (lambda: zipped("x/a.png", "x//a.png"), "duplicate_names"),
    "backslash twin": (lambda: zipped("x/a.png", "x\\a.png"), "duplicate_names"),
    "trailing dots": (lambda: zipped("a.png", "a.png. ."), "duplicate_names"),
    "sharp s": (lambda: zipped("ß.png", "SS.png"), "duplicate_names"),
    "file and folder": (lambda: tarred("a", "a/b.png"), "duplicate_names"),
    "folder and file": (lambda: tarred("a/b.png", "a"), "duplicate_names"),
    "zip device": (lambda: of_kind(stat.S_IFCHR), "link_in_archive"),
    "zip pipe": (lambda: of_kind(stat.S_IFIFO), "link_in_archive"),
}
LIMITS = Limits(archive_bytes=2**25, archive_members=50)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("inside", [False, True], ids=["itself", "in a folder"])
def test_hostile_archives_are_refused_with_a_code(tmp_path: Path, name: str, inside: bool) -> None:
    make, code = HOSTILE[name]
    path = tmp_path / "in" / "deep" / "set.archive"
    path.parent.mkdir(parents=True)
    path.write_bytes(make())
    limits = Limits() if name == "a million entries" else LIMITS

    with pytest.raises(FetchError) as caught:
        check_archives(tmp_path / "in" if inside else path, limits)

    assert caught.value.code == code, caught.value
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["set.archive"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice_in_a_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped("a.png", "a.png"))

    with pytest.raises(FetchError) as caught:
        check_archives(tmp_path, LIMITS)
    assert caught.value.code == "duplicate_names"


def test_honest_archives_pass(tmp_path: Path) -> None:
    class_zip(tmp_path / "a.zip")
    class_tar(tmp_path / "b.tar")
    (tmp_path / "c.png").write_bytes(PICTURE)
    with tarfile.open(tmp_path / "d.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "c.png", "./x/c.png")

    assert check_archives(tmp_path, LIMITS) == 3
    assert check_archives(tmp_path / "c.png", LIMITS) == 0


def test_a_compressed_text_beside_pictures_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    (tmp_path / "notes.txt.gz").write_bytes(gzip.compress(b"taken in the garden" * 100))

    assert check_archives(tmp_path, LIMITS) == 0


def test_a_folder_may_be_named_twice(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("./", "x", "x/"):
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)

    assert check_archives(tmp_path, LIMITS) == 1
