"""Asking all lists: the gravest hit counts, and what could not be looked at is never allowed."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.hashlists.made import animation, listed, passed_on, picture, png, turned
from tests.pictures import encoded
from vedette.decode import InlineDecoder
from vedette.errors import DecodeError, ItemError, UsageError, VedetteError
from vedette.hashlists.entries import Kind, Listed, Match
from vedette.hashlists.lists import HashLists, file_sha256
from vedette.hashlists.pdq import PdqHash, pdq
from vedette.settings import Limits, ScanOptions, Settings
from vedette.types import Image, Item, UInt8

ALLOW, BLOCK, QUARANTINE = Kind
SHA, PDQ = Match
BROKEN = png(1)[:-200]
"""A picture that ends early."""


def opened(folder: Path, settings: Settings | None = None) -> HashLists:
    return HashLists([folder], settings or Settings(), every_s=0)


def ask(lists: HashLists, data: bytes) -> Listed | None:
    return lists.check(Item("a", data), sha256(data).hexdigest())


def kind(hit: Listed | None) -> tuple[str, str] | None:
    return None if hit is None else (hit.kind, hit.match)


@pytest.fixture(params=[False, True], ids=["inline", "hardened"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings(scan=ScanOptions(hardened=request.param))


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is decoded inside fails the test."""

    def decode(*_: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr("vedette.decode.InlineDecoder.frames", decode)


def test_without_lists_nothing_is_found_or_decoded(undecoded: None) -> None:
    lists = HashLists([], Settings())

    assert ask(lists, png(1)) is None
    assert lists.lists == []
    lists.close()


def test_exact_lists_know_the_file_and_no_other(tmp_path: Path, undecoded: None) -> None:
    listed(tmp_path, "ours", BLOCK, SHA, png(0), png(1))
    lists = opened(tmp_path)

    hit = ask(lists, png(1))
    assert hit is not None
    assert (hit.list, hit.kind, hit.match, hit.distance) == ("ours", "block", "sha256", 0)
    assert hit.entry == "entry 1"
    assert ask(lists, png(2)) is None
    assert ask(lists, passed_on(1)) is None


def test_lists_of_pdq_know_the_picture(tmp_path: Path, settings: Settings) -> None:
    listed(tmp_path, "known", BLOCK, PDQ, png(0), png(1))
    lists = opened(tmp_path, settings)

    for data in (png(1), passed_on(1), turned(1)):
        hit = ask(lists, data)
        assert hit is not None
        assert (hit.list, hit.match, hit.entry) == ("known", "pdq", "entry 1")
        assert hit.distance <= 31
    assert ask(lists, png(2)) is None
    lists.close()


def test_paths_are_checked_like_bytes(tmp_path: Path) -> None:
    listed(tmp_path / "lists", "known", BLOCK, PDQ, png(1))
    file = tmp_path / "a.jpg"
    file.write_bytes(passed_on(1))

    assert opened(tmp_path / "lists").check(Item("a", file), file_sha256(file)) is not None
    with pytest.raises(ItemError):
        file_sha256(tmp_path / "none")


@pytest.mark.parametrize("exact", [None, ALLOW, BLOCK, QUARANTINE])
@pytest.mark.parametrize("look", [None, ALLOW, BLOCK, QUARANTINE])
def test_the_gravest_hit_counts(tmp_path: Path, exact: Kind | None, look: Kind | None) -> None:
    listed(tmp_path, "other", QUARANTINE, PDQ, png(50))
    if exact is not None:
        listed(tmp_path, "by-file", exact, SHA, png(1))
    if look is not None:
        listed(tmp_path, "by-look", look, PDQ, png(1))

    kinds = [one for one in (exact, look) if one is not None]
    gravest = max(kinds, key=lambda one: one.severity, default=None)
    hit = ask(opened(tmp_path), png(1))
    assert (hit.kind if hit else None) == gravest
    if exact == gravest and hit is not None:
        assert hit.match == "sha256"


def test_of_two_lists_of_a_kind_the_nearer_entry_is_told(tmp_path: Path) -> None:
    listed(tmp_path, "a", BLOCK, PDQ, passed_on(1))
    listed(tmp_path, "b", BLOCK, PDQ, png(1))
    hit = ask(opened(tmp_path), png(1))

    assert hit is not None
    assert (hit.list, hit.distance) == ("b", 0)


def test_what_is_quarantined_by_its_file_is_never_decoded(tmp_path: Path, undecoded: None) -> None:
    listed(tmp_path, "grave", QUARANTINE, SHA, png(1))
    listed(tmp_path, "known", QUARANTINE, PDQ, png(2))

    assert kind(ask(opened(tmp_path), png(1))) == ("quarantine", "sha256")


def test_a_hit_ends_the_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(pixels: UInt8) -> PdqHash:
        seen.append(1)
        return pdq(pixels)

    monkeypatch.setattr("vedette.hashlists.lists.pdq", counted)
    listed(tmp_path, "grave", QUARANTINE, PDQ, png(2))

    assert kind(ask(opened(tmp_path), animation(1, 2, 3, 4, 5))) == ("quarantine", "pdq")
    assert len(seen) == 2


# What cannot be decoded


@pytest.mark.parametrize("exact", [None, ALLOW])
def test_what_cannot_be_decoded_is_never_allowed(
    tmp_path: Path, exact: Kind | None, settings: Settings
) -> None:
    listed(tmp_path, "known", BLOCK, PDQ, png(9))
    if exact is not None:
        listed(tmp_path, "ours", exact, SHA, BROKEN)
    lists = opened(tmp_path, settings)

    with pytest.raises(DecodeError):
        ask(lists, BROKEN)
    with pytest.raises(DecodeError):
        ask(lists, b"not a picture at all")
    lists.close()


def test_exact_lists_stop_what_cannot_be_decoded(tmp_path: Path) -> None:
    listed(tmp_path, "known", QUARANTINE, PDQ, png(9))
    listed(tmp_path, "ours", BLOCK, SHA, BROKEN)

    assert kind(ask(opened(tmp_path), BROKEN)) == ("block", "sha256")


def test_frames_before_a_failure_count_against_a_picture_never_for_it(tmp_path: Path) -> None:
    data = animation(1, 2, 3)
    cut = data[: len(data) * 3 // 4]
    listed(tmp_path / "block", "known", BLOCK, PDQ, png(1))
    listed(tmp_path / "allow", "known", ALLOW, PDQ, png(1), png(2), png(3))

    assert kind(ask(opened(tmp_path / "block"), cut)) == ("block", "pdq")
    assert kind(ask(opened(tmp_path / "allow"), data)) == ("allow", "pdq")
    with pytest.raises(DecodeError):
        ask(opened(tmp_path / "allow"), cut)


def test_limits_hold_here_too(tmp_path: Path) -> None:
    listed(tmp_path, "known", BLOCK, PDQ, png(4))
    lists = opened(tmp_path, Settings(limits=replace(Limits(), frames=2)))

    with pytest.raises(DecodeError) as caught:
        ask(lists, animation(1, 2, 3, 4))
    assert caught.value.code == "too_many_frames"


# Frames


def test_one_listed_frame_stops_an_animation(tmp_path: Path) -> None:
    listed(tmp_path, "known", BLOCK, PDQ, png(3))

    assert kind(ask(opened(tmp_path), animation(1, 2, 3, 4))) == ("block", "pdq")


def test_one_listed_frame_does_not_allow_an_animation(tmp_path: Path) -> None:
    listed(tmp_path, "ours", ALLOW, PDQ, png(1), png(2))
    lists = opened(tmp_path)

    assert kind(ask(lists, animation(1, 2))) == ("allow", "pdq")
    assert ask(lists, animation(1, 3)) is None
    assert ask(lists, animation(3, 1)) is None


def test_a_video_is_stopped_by_its_frames_and_never_allowed_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = InlineDecoder.frames

    def sampled(self: InlineDecoder, item: Item) -> Iterator[Image]:
        return (replace(image, frames=0) for image in real(self, item))

    monkeypatch.setattr(InlineDecoder, "frames", sampled)
    listed(tmp_path / "allow", "ours", ALLOW, PDQ, png(1))
    listed(tmp_path / "block", "ours", BLOCK, PDQ, png(1))

    assert ask(opened(tmp_path / "allow"), png(1)) is None
    assert kind(ask(opened(tmp_path / "block"), png(1))) == ("block", "pdq")


def test_turned_pictures_are_stopped_and_not_allowed(tmp_path: Path) -> None:
    listed(tmp_path / "allow", "ours", ALLOW, PDQ, png(1))

    assert ask(opened(tmp_path / "allow"), turned(1)) is None


def test_pictures_without_detail_are_on_no_list(tmp_path: Path) -> None:
    plain = encoded(picture(1).resize((1, 1)).resize((300, 200)))
    listed(tmp_path, "known", ALLOW, PDQ, plain)
    listed(tmp_path, "known", BLOCK, PDQ, plain)

    assert ask(opened(tmp_path), plain) is None


# Files that change


def test_files_that_change_are_loaded_anew(tmp_path: Path) -> None:
    listed(tmp_path, "ours", BLOCK, SHA, png(1))
    lists = opened(tmp_path)
    assert not lists.refresh()

    listed(tmp_path, "ours", BLOCK, SHA, png(2))
    added = listed(tmp_path, "more", QUARANTINE, SHA, png(3))
    kept = lists.lists
    assert lists.refresh()
    assert ask(lists, png(1)) is None
    assert kind(ask(lists, png(2))) == ("block", "sha256")
    assert kind(ask(lists, png(3))) == ("quarantine", "sha256")
    assert kept[0].count == 1

    same = {one.path: one for one in lists.lists}
    added.unlink()
    assert lists.refresh()
    assert ask(lists, png(3)) is None
    assert all(same[one.path] is one for one in lists.lists), "what has not changed stays open"


def test_the_files_are_looked_at_by_themselves(tmp_path: Path) -> None:
    listed(tmp_path, "ours", BLOCK, SHA, png(1))
    lists = HashLists([tmp_path], Settings(), every_s=0.01)
    try:
        listed(tmp_path, "ours", BLOCK, SHA, png(2))
        waiting = threading.Event()
        for _ in range(1000):
            if ask(lists, png(2)) is not None:
                break
            waiting.wait(0.01)
        assert ask(lists, png(2)) is not None
    finally:
        lists.close()
    assert not [one for one in threading.enumerate() if one.name == "vedette-hashlists"]


def test_a_list_that_breaks_stays_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = listed(tmp_path, "ours", BLOCK, SHA, png(1))
    lists = opened(tmp_path)
    broken = tmp_path / "new"
    broken.write_bytes(b"nonsense")
    broken.replace(path)
    with caplog.at_level(logging.ERROR):
        lists.refresh()
        lists.refresh()

    assert ask(lists, png(1)) is not None
    assert len(caplog.records) == 1, "it is told once"
    listed(tmp_path, "ours", BLOCK, SHA, png(2))
    assert lists.refresh()
    assert ask(lists, png(1)) is None


def test_lists_of_a_folder_that_has_gone_stay_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed(tmp_path / "lists", "ours", BLOCK, SHA, png(1))
    lists = opened(tmp_path / "lists")
    shutil.rmtree(tmp_path / "lists")
    with caplog.at_level(logging.ERROR):
        assert not lists.refresh()

    assert ask(lists, png(1)) is not None
    assert len(caplog.records) == 1


def test_checks_go_on_while_lists_are_replaced(tmp_path: Path) -> None:
    listed(tmp_path, "ours", BLOCK, SHA, png(1))
    lists = opened(tmp_path)
    done = threading.Event()
    missed: list[object] = []

    def check() -> None:
        while not done.is_set():
            if ask(lists, png(1)) is None:
                missed.append(1)

    threads = [threading.Thread(target=check) for _ in range(3)]
    for thread in threads:
        thread.start()
    for seed in range(2, 20):
        listed(tmp_path, "ours", BLOCK, SHA, png(1), *[str(seed).encode()] * seed)
        lists.refresh()
    done.set()
    for thread in threads:
        thread.join()

    assert not missed


def test_a_start_with_lists_that_are_not_there_fails(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        opened(tmp_path / "none")
    assert caught.value.code == "not_found"
    path = listed(tmp_path, "ours", BLOCK, SHA, png(1))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(VedetteError) as other:
        opened(tmp_path)
    assert other.value.code == "bad_list"


def test_only_lists_of_a_folder_are_read_and_files_can_be_named(tmp_path: Path) -> None:
    path = listed(tmp_path, "ours", BLOCK, SHA, png(1))
    tmp_path.joinpath("notes.txt").write_text("not a list")
    tmp_path.joinpath(".ours-half.hashlist").write_text("half")
    lists = HashLists([tmp_path, path], Settings(), every_s=0)

    assert [one.path for one in lists.lists] == [path]
