"""A session at the terminal: keys in, answers out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.annotate.people import desk_of
from tests.pictures import drawn, encoded
from vedette.annotate.annotated import Picture
from vedette.annotate.campaign import Campaign, create_campaign
from vedette.annotate.desk import Desk
from vedette.annotate.preview import Preview
from vedette.annotate.protocol import Protocol, Round, Safety
from vedette.annotate.store import Store
from vedette.annotate.terminal import CATEGORY_KEYS, Session, Tally
from vedette.data.memory import ItemSource
from vedette.taxonomy import Category
from vedette.types import Item


@pytest.fixture
def place(tmp_path: Path) -> str:
    """SQLite only: what is tested here does not depend on the database."""
    return str(tmp_path / "annotations.sqlite")


ITEMS = [Item(f"unsafe/{seed}.png", encoded(drawn(seed, 200, 150))) for seed in range(3)]


def made(store: Store, protocol: Protocol | None = None, items: list[Item] = ITEMS) -> Campaign:
    pictures = [
        Picture(item.key, hashlib.sha256(item.data).hexdigest())
        for item in items
        if isinstance(item.data, bytes)
    ]
    return create_campaign(store, "campaign", pictures, protocol or Protocol(2, 1))


def session(desk: Desk, keys: str, items: list[Item] | None = None) -> tuple[Tally, list[str]]:
    told: list[str] = []
    with Preview() as preview:
        source = ItemSource(ITEMS if items is None else items)
        tally = Session(desk, source, preview, iter(keys), told.append).run()
    assert not preview.path.exists()
    return tally, told


def said(campaign: Campaign, round_: Round = Round.SAFETY) -> list[str]:
    given = [answer for one in campaign.annotated() for answer in one.standing(round_)]
    return [answer.answer for answer in sorted(given, key=lambda g: g.id)]


def test_a_key_is_an_answer(store: Store) -> None:
    campaign = made(store)
    tally, told = session(desk_of(campaign), "sun")

    assert (tally.answered, tally.corrected, tally.failures) == (3, 0, [])
    assert said(campaign) == ["safe", "unsafe", "na"]
    assert told[-1] == "nothing more to do for now"


@pytest.mark.parametrize("keys", ["sq", "s", "s?xxq", "srrrr"])
def test_stopping_leaves_the_rest_unanswered(store: Store, keys: str) -> None:
    campaign = made(store)
    tally, _ = session(desk_of(campaign), keys)

    assert tally.answered == 1
    assert said(campaign) == ["safe"]


def test_z_takes_the_last_answer_back_and_asks_it_again(store: Store) -> None:
    campaign = made(store)
    tally, told = session(desk_of(campaign), "zsuznq")

    assert told.count("there is nothing to take back") == 1
    assert (tally.answered, tally.corrected) == (2, 1)
    assert any(line.endswith("(you said unsafe)") for line in told)
    assert said(campaign) == ["safe", "na"]
    assert sum(len(one.given) for one in campaign.annotated()) == 3


def test_the_preview_is_sharper_on_request_only(store: Store) -> None:
    campaign = made(store)
    seen = []
    with Preview() as preview:

        def keys() -> object:
            for key in "rrsq":
                with PIL.Image.open(preview.path) as shown:
                    pixels = np.asarray(shown.convert("L"), dtype=float)
                seen.append(float(np.abs(np.diff(pixels)).mean()))
                yield key

        Session(desk_of(campaign), ItemSource(ITEMS), preview, keys(), lambda _: None).run()  # type: ignore[arg-type]

    blurred, sharper, sharp, following = seen
    assert blurred < sharper < sharp
    assert following < sharper  # the next picture begins blurred again


def test_definitions_and_keys_are_shown_and_names_of_files_are_not(store: Store) -> None:
    scope = (Category.VIOLENCE, Category.SPAM)
    campaign = made(store, Protocol(2, 1, scope))
    one, other = desk_of(campaign), desk_of(campaign)
    _, told = session(one, "uuu")
    assert [line for line in told if Category.VIOLENCE.definition in line]
    assert not [line for line in told if Category.HATE.definition in line]
    assert len([line for line in told if line.startswith("Keys: s safe")]) == 1

    _, told = session(other, "uuu" + "a?ckkq")
    assert any(line.startswith("  c  Violence: ") for line in told)
    assert said(campaign, Round.CATEGORY) == ["Violence", "Spam", "Spam"]  # a: not in scope
    assert not [line for line in told if "unsafe/" in line]


def test_every_category_has_a_key_that_means_nothing_else() -> None:
    assert list(CATEGORY_KEYS.values()) == list(Category)
    assert not set(CATEGORY_KEYS) & set("sunrzq?")


def test_what_cannot_be_shown_is_told_and_not_answered(store: Store) -> None:
    campaign = made(store)
    data = ITEMS[1].data
    assert isinstance(data, bytes)
    items = [ITEMS[0], Item(ITEMS[1].key, data[:-500])]  # one cut off, one gone
    tally, told = session(desk_of(campaign), "sss", items)

    assert tally.answered == 1
    assert {key for key, _ in tally.failures} == {"unsafe/1.png", "unsafe/2.png"}
    assert sum("; not answered" in line for line in told) == 2
    assert said(campaign) == ["safe"]
    assert [key for key, _ in campaign.progress().unreadable] == ["unsafe/1.png", "unsafe/2.png"]


def test_a_changed_picture_is_not_shown(store: Store) -> None:
    campaign = made(store)
    changed = [Item(item.key, encoded(drawn(9))) for item in ITEMS]
    tally, _ = session(desk_of(campaign), "sss", changed)

    assert tally.answered == 0
    assert len(tally.failures) == 3
    assert {one.outcome.safety for one in campaign.annotated()} == {None}


def test_a_refused_correction_is_told_and_the_session_goes_on(store: Store) -> None:
    campaign = made(store, items=ITEMS[:1])
    one, other = desk_of(campaign), desk_of(campaign)
    session(one, "u")
    _, told = session(other, "uzsaq")

    assert "round one is over: its answers stand" in told
    assert [annotated.outcome.safety for annotated in campaign.annotated()] == [Safety.UNSAFE]
    assert said(campaign, Round.CATEGORY) == ["Hate"]


def test_keys_of_a_terminal_are_read_one_by_one(tmp_path: Path) -> None:
    """In a pseudo-terminal, without Return; the terminal is put back as it was."""
    import os
    import pty
    import subprocess
    import sys

    program = (
        "from vedette.annotate.terminal import keys_of_stdin\n"
        "with keys_of_stdin() as keys:\n"
        "    print('ready', flush=True)\n"
        "    print([next(keys), next(keys)], list(keys))\n"
    )
    ours, theirs = pty.openpty()
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", program], stdin=theirs, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        os.write(ours, b"s\x1b[A\x1bOB\x1b[3~U \x04")
        out, _ = child.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)

    assert out == "['s', 'u'] []\n"
