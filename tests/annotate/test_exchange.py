"""Annotations through files and back: nothing lost, nothing doubled, bad files named by row."""

from __future__ import annotations

import csv
import json
import random
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.annotate.people import campaign_of, desk_of, work
from tests.pictures import folder_of
from vedette.annotate.annotated import Picture
from vedette.annotate.answers_csv import COLUMNS, read_answers, write_answers, write_labels
from vedette.annotate.campaign import Campaign, create_campaign
from vedette.annotate.exchange import add, chains, parse_time, written
from vedette.annotate.label_studio import config, read_tasks, write_tasks
from vedette.annotate.protocol import Protocol, Round, Safety
from vedette.annotate.store import Store
from vedette.data.base import read_all
from vedette.data.opening import open_source
from vedette.errors import FetchError, UsageError, VedetteError
from vedette.taxonomy import Category

WAYS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "csv": (write_answers, lambda path, campaign: read_answers(path, campaign.protocol)),
    "json": (
        write_tasks,
        lambda path, campaign: read_tasks(path, campaign.protocol, campaign.pseudonym_for),
    ),
}


def busy(store: Store, name: str = "busy") -> Campaign:
    """A campaign with everything: both rounds, thirds, corrections, pictures without answers."""
    rng = random.Random(6)
    campaign = campaign_of(store, 12, name=name)
    desks = [desk_of(campaign) for _ in range(4)]
    for desk in (*desks, *desks, *desks):
        for _ in range(rng.randrange(3, 9)):
            task = desk.next_item()
            if task is None:
                break
            answers = list(Safety) if task.round is Round.SAFETY else ["Hate", "Spam"]
            desk.answer(task, rng.choice(answers))
            last = desk.last()
            if last is not None and rng.random() < 0.4 and not campaign.progress().opened:
                desk.correct(last, rng.choice(list(Safety)))
    assert any(len(c.said) > 1 for one in campaign.annotated() for c in chains(one))
    return campaign


@pytest.mark.parametrize("suffix", WAYS)
def test_a_round_trip_loses_nothing(store: Store, tmp_path: Path, suffix: str) -> None:
    write, read = WAYS[suffix]
    campaign = busy(store)
    before = campaign.annotated()
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    write(before, first)

    entries = read(first, campaign)
    copy = create_campaign(store, "copy", [entry.picture for entry in entries], campaign.protocol)
    added = add(copy, entries)
    after = copy.annotated()
    write(after, second)

    assert first.read_bytes() == second.read_bytes()
    assert [one.picture for one in after] == [one.picture for one in before]
    assert [chains(one) for one in after] == [chains(one) for one in before]
    assert [one.outcome for one in after] == [one.outcome for one in before]
    count = sum(len(one.given) for one in before)
    assert (added.answers + added.corrections, added.known) == (count, 0)
    again = add(copy, read(first, copy))
    assert (again.answers, again.corrections, again.known, again.annotators) == (0, 0, count, 0)


@pytest.mark.parametrize("suffix", WAYS)
def test_what_happened_since_is_added_to_what_is_there(
    store: Store, tmp_path: Path, suffix: str
) -> None:
    write, read = WAYS[suffix]
    campaign = campaign_of(store, 4)
    desk = desk_of(campaign)
    work(desk, lambda _: "safe", most=2)
    write(campaign.annotated(), tmp_path / f"early.{suffix}")
    last = desk.last()
    assert last is not None
    desk.correct(last, "na")
    work(desk, lambda _: "unsafe")
    write(campaign.annotated(), tmp_path / f"late.{suffix}")

    copy = campaign_of(store, 4, name="copy")
    assert add(copy, read(tmp_path / f"early.{suffix}", copy)).answers == 2
    added = add(copy, read(tmp_path / f"late.{suffix}", copy))
    assert (added.answers, added.corrections, added.known) == (2, 1, 2)
    assert add(copy, read(tmp_path / f"early.{suffix}", copy)).known == 2
    write(copy.annotated(), tmp_path / f"copy.{suffix}")
    copied = (tmp_path / f"copy.{suffix}").read_bytes()
    assert copied == (tmp_path / f"late.{suffix}").read_bytes()


def test_the_exported_tasks_are_label_studios(store: Store, tmp_path: Path) -> None:
    campaign = busy(store)
    path = tmp_path / "a.json"
    write_tasks(campaign.annotated(), path, "https://pictures.example/")
    interface = ET.fromstring(config(campaign.protocol))
    controls = {
        element.get("name"): {choice.get("value") for choice in element}
        for element in interface.iter("Choices")
    }
    (image,) = interface.iter("Image")

    assert controls == {"safety": set(Safety), "category": set(Category)}
    for task in json.loads(path.read_text()):
        assert task["data"][str(image.get("value")).removeprefix("$")].startswith("https://")
        for annotation in task["annotations"]:
            assert "completed_by" not in annotation  # would have to be an account there
            for region in annotation["result"]:
                assert region["to_name"] == image.get("name")
                assert region["type"] == "choices"
                (choice,) = region["value"]["choices"]
                assert choice in controls[region["from_name"]]


def theirs(key: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    """A task as Label Studio exports it."""
    return {"id": 7, "data": {"image": key}, "annotations": list(annotations), "predictions": []}


def by(account: object, *picked: str, **more: object) -> dict[str, Any]:
    regions = [
        {"id": "x1", "type": "choices", "from_name": "any", "value": {"choices": [choice]}}
        for choice in picked
    ]
    fixed = {"completed_by": account, "result": regions, "was_cancelled": False}
    return {"id": 1, "created_at": "2024-03-09T22:16:08.728353Z", **fixed, **more}


def test_what_people_did_in_label_studio_comes_in_under_pseudonyms(
    store: Store, tmp_path: Path
) -> None:
    campaign = campaign_of(store, 3)
    person = {"id": 12, "email": "someone@example.org", "first_name": "Some", "last_name": "One"}
    path = tmp_path / "export.json"
    tasks = [
        theirs("000.png", by(11, "unsafe", "Hate"), by(person, "Unsafe", "Hate")),
        theirs("001.png", by(11, "N/A"), by(person, "safe", was_cancelled=True)),
    ]
    path.write_text(json.dumps(tasks))

    added = add(campaign, read_tasks(path, campaign.protocol, campaign.pseudonym_for))
    assert (added.answers, added.annotators) == (5, 2)
    one, other, third = campaign.annotated()
    assert one.outcome.category is Category.HATE
    assert [answer.answer for answer in other.given] == ["na"]
    assert third.given == ()
    assert "someone" not in str(campaign.annotated())
    again = add(campaign, read_tasks(path, campaign.protocol, campaign.pseudonym_for))
    assert (again.answers, again.corrections, again.known) == (0, 0, 5)

    tasks[1]["annotations"][0] = by(11, "safe", updated_at="2024-03-10T00:00:00Z")
    path.write_text(json.dumps(tasks))
    changed = add(campaign, read_tasks(path, campaign.protocol, campaign.pseudonym_for))
    assert (changed.answers, changed.corrections) == (0, 1)
    assert [answer.answer for answer in campaign.annotated()[1].given] == ["na", "safe"]


BAD_TASKS: list[tuple[object, str]] = [
    ({"data": {}}, "is no list of tasks"),
    ([5], "task 1: its task is no object"),
    ([theirs("a"), {"data": {}}], "task 2: its data has neither"),
    ([theirs("a"), theirs("a")], "task 2: the picture 'a' is there twice"),
    ([theirs("a", by(1, "maybe"))], "task 1: 'maybe' is no answer"),
    ([theirs("a", by(None, "safe"))], "task 1: an annotation does not say who"),
    ([theirs("a", by(True, "safe"))], "task 1: an annotation does not say who"),
    ([theirs("a", by(1, "safe", created_at="soon"))], "task 1: 'soon' is no time"),
    ([theirs("a", by(1, "safe", created_at=None))], "task 1: None is no time"),
    ([theirs("a", by(1, "safe", "unsafe"))], "answers round 1 twice"),
    ([theirs("a", by(1, "safe"), by(1, "safe"))], "answers round 1 twice"),
    ([theirs("a", {"result": 5})], "task 1: its result is no list"),
    ([theirs("a", by(1, "safe", result=[{"type": "choices"}]))], "task 1: its value is no"),
    (
        [theirs("a", by(1, "safe", result=[{"type": "choices", "value": {"choices": [1]}}]))],
        "1 choices where there is to be one",
    ),
    ([theirs("a\0")], "task 1: its key has characters"),
    ([{"data": {"key": 5}}], "task 1: its key is no text"),
]


@pytest.mark.parametrize(("tasks", "told"), BAD_TASKS)
def test_bad_tasks_are_refused_by_their_place(tmp_path: Path, tasks: object, told: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(tasks))

    with pytest.raises(UsageError) as caught:
        read_tasks(path, Protocol(), str)

    assert caught.value.code == "bad_annotations"
    assert told in caught.value.message
    assert "bad.json" in caught.value.message


def own(**changed: object) -> list[dict[str, Any]]:
    """A task of ours, something in its meta changed."""
    meta = {
        "annotator": "a-abcd",
        "order": 0,
        "answers": [{"answer": "safe", "at": "2024-01-01T00:00:00Z"}],
        **changed,
    }
    region = {"type": "choices", "value": {"choices": ["safe"]}, "meta": meta}
    return [{"data": {"key": "a"}, "annotations": [{"result": [region]}]}]


@pytest.mark.parametrize(
    ("tasks", "told"),
    [
        (own(annotator="Jo Smith"), "no pseudonym"),
        (own(order="x"), "no order"),
        (own(answers=[]), "not the last"),
        (own(answers=[{"answer": "na", "at": "2024-01-01"}]), "not the last"),
        (own(answers=[{"answer": "Hate", "at": "2024-01-01"}]), "no answer of round 1"),
        (own(answers=[{"answer": "safe", "at": 5}]), "5 is no time"),
        (own(answers=[5]), "its answer is no object"),
    ],
)
def test_a_meta_of_ours_that_was_changed_is_refused(
    tmp_path: Path, tasks: object, told: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(tasks))
    with pytest.raises(UsageError, match="task 1") as caught:
        read_tasks(path, Protocol(), str)

    assert told in caught.value.message


ROW = {
    **dict.fromkeys(COLUMNS, ""),
    "key": "a",
    "annotator": "a-abcd",
    "round": "1",
    "answer": "safe",
    "at": "2024-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{**ROW, "answer": "maybe"}], "row 2: 'maybe' is no answer"),
        ([ROW, {**ROW, "key": "b", "round": "3"}], "row 3: '3' is no round"),
        ([{**ROW, "annotator": "Jo Smith"}], "row 2: 'Jo Smith' is no pseudonym"),
        ([{**ROW, "annotator": ""}], "row 2: it does not say whose"),
        ([{**ROW, "at": "yesterday"}], "row 2: 'yesterday' is no time"),
        ([{**ROW, "at": "1969-12-31T23:59:59Z"}], "row 2: '1969-12-31T23:59:59Z' is no time"),
        ([{**ROW, "key": ""}], "row 2: it has no key"),
        ([ROW, {**ROW, "key": "b"}, ROW], "row 4: the picture 'a' is there twice"),
        ([ROW, {**ROW, "sha256": "0"}], "row 3: the picture 'a' is there twice"),
    ],
)
def test_bad_rows_are_refused_by_their_number(
    tmp_path: Path, rows: list[dict[str, str]], told: str
) -> None:
    path = tmp_path / "bad.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)

    with pytest.raises(UsageError) as caught:
        read_answers(path, Protocol())

    assert caught.value.code == "bad_annotations"
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "row 1: the columns are not key, sha256"),
        (b"key,answer\n", "row 1: the columns are not"),
        (b"\xff\xfe", "is not UTF-8: byte 0"),
        (",".join(COLUMNS).encode() + b"\na,b\n", "row 2: 2 cells, not 8"),
        (",".join(COLUMNS).encode() + b'\n"a', "is not CSV"),
        (",".join(COLUMNS).encode() + b"\n" + b"a" * 200_000, "is not CSV"),
    ],
)
def test_what_is_no_csv_of_answers(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_answers(path, Protocol())

    assert told in caught.value.message


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_bytes_end_in_anything_but_an_error(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    for read in (lambda: read_answers(path, Protocol()), lambda: read_tasks(path, Protocol(), str)):
        with suppress(VedetteError):
            read()  # type: ignore[no-untyped-call]


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "key", "image", "annotations", "result", "value", "choices"])
            | st.sampled_from(["type", "meta", "annotator", "answers", "completed_by"]),
            inner | st.just("choices"),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(_ANY, max_size=3))
def test_no_json_ends_in_anything_but_an_error(tmp_path_factory: Any, tasks: list[object]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(tasks))
    with suppress(UsageError):
        read_tasks(path, Protocol(), str)


def test_deep_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text("[" * 200_000)
    with pytest.raises(UsageError, match="is not JSON"):
        read_tasks(path, Protocol(), str)


def test_an_import_that_fails_leaves_nothing(store: Store, tmp_path: Path) -> None:
    campaign = campaign_of(store, 2)
    path = tmp_path / "a.csv"
    rows = [{**ROW, "key": "000.png"}, {**ROW, "key": "gone.png"}]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)

    with pytest.raises(UsageError, match=r"row 3: the campaign has no picture 'gone.png'"):
        add(campaign, read_answers(path, campaign.protocol))
    assert sum(len(one.given) for one in campaign.annotated()) == 0
    assert campaign.progress().annotators == {}


def test_other_bytes_and_other_histories_are_refused(store: Store, tmp_path: Path) -> None:
    campaign = campaign_of(store, 1)
    desk = desk_of(campaign, "a-abcd")
    work(desk, lambda _: "na")
    for changed in ({"sha256": "f" * 64}, {}):
        path = tmp_path / "a.csv"
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerow({**ROW, "key": "000.png", **changed})
        told = "other bytes" if changed else "answered otherwise"
        with pytest.raises(UsageError, match=told):
            add(campaign, read_answers(path, campaign.protocol))


@given(st.integers(0, 253_402_300_799_999_999))
def test_times_come_back(at_us: int) -> None:
    assert parse_time(written(at_us), "") == at_us


def test_labels_are_a_data_set_that_vedette_reads(store: Store, tmp_path: Path) -> None:
    folder_of(tmp_path, 5)
    names = [f"{n:04}.png" for n in range(5)]
    campaign = create_campaign(
        store, "c", [Picture(name, "", "Lexica", "Hate") for name in names], Protocol()
    )
    said = dict(zip(names, ("safe", "unsafe", "unsafe", "na"), strict=False))
    for desk in [desk_of(campaign) for _ in range(2)] * 2:
        while (task := desk.next_item()) is not None:
            if task.round is Round.SAFETY and task.key in said:
                desk.answer(task, said[task.key])
            elif task.round is Round.CATEGORY and task.key == names[1]:
                desk.answer(task, "Spam")
            else:
                desk.report(task, FetchError("gone", code="not_found"))

    assert write_labels(campaign.annotated(), tmp_path / "labels.csv") == 3
    _, source = open_source(str(tmp_path / "labels.csv"))
    found = {Path(item.key).name: item for item in read_all(source)}
    assert sorted(found) == names[:3]
    assert found[names[0]].labels == frozenset()
    assert found[names[1]].labels == frozenset([Category.SPAM])
    assert (found[names[2]].unsafe, found[names[2]].labels) == (True, None)
