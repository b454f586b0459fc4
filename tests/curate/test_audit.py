"""The audit as a whole: planted defects are found, and what is not wrong is not reported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.curate.sets import ALTERED, altered, flipped, labelled
from tests.pictures import drawn, encoded
from vedette.curate import descriptors
from vedette.curate.audit import Audit, AuditOptions, audit
from vedette.curate.findings import exit_status, findings, silences, to_dict
from vedette.curate.groups import MOST_MEMBERS, Group
from vedette.data.base import SPLIT, Shard
from vedette.data.memory import ItemSource
from vedette.data.splits import Entry, Split, write_split
from vedette.errors import UsageError
from vedette.settings import ScanOptions, Settings
from vedette.taxonomy import Category
from vedette.types import Failure, Item


@pytest.fixture(autouse=True)
def few_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller descriptor, which does for these pictures in a fraction of the time."""
    monkeypatch.setattr(descriptors, "_FILTERS", 64)


def audited(items: Sequence[Item], **options: object) -> Audit:
    return audit(ItemSource(items), AuditOptions(**options))  # type: ignore[arg-type]


def pairs(groups: Sequence[Group]) -> set[tuple[str, str]]:
    return {
        (min(pair), max(pair))
        for group in groups
        for pair in combinations([member.key for member in group.members], 2)
    }


def kinds(found: Audit) -> list[str]:
    return [finding.kind for finding in findings(found)]


Planted = tuple[Audit, set[tuple[str, str]], set[tuple[str, str]], set[str]]


@pytest.fixture(scope="module")
def planted() -> Planted:
    """An audit of a set with planted defects: all pairs of copies, those across splits, flips."""
    items = labelled(450)
    wrong = {item.key for item in items[::20]}
    copies: list[Item] = []
    same = set()
    for number, how in enumerate((*ALTERED, "exact")):
        for item in items[1 + number :: 40]:
            split = "test" if len(copies) % 2 else "train"
            if how == "exact":
                copy = replace(item, key=f"{item.key}#exact", meta={**item.meta, SPLIT: split})
            else:
                copy = altered(item, how, split)
            copies.append(copy)
            same.add((item.key, copy.key))
    items = [flipped(item) if item.key in wrong else item for item in items] + copies
    split_of = {item.key: item.meta[SPLIT] for item in items}
    across = {pair for pair in same if split_of[pair[0]] != split_of[pair[1]]}
    return audited(items), same, across, wrong


def test_planted_copies_are_found_and_no_others(planted: Planted) -> None:
    found, same, _, _ = planted

    assert pairs(found.duplicates.groups) == same
    exact = {pair for pair in same if pair[1].endswith("#exact")}
    assert pairs([group for group in found.duplicates.groups if group.exact]) == exact
    assert found.duplicates.exact_groups == found.duplicates.exact_extra == len(exact)
    assert found.duplicates.near_groups == found.duplicates.near_extra == len(same) - len(exact)
    assert not found.duplicates.contradicting
    distances = [member.bits for group in found.duplicates.groups for member in group.members]
    assert 0 < max(distances) <= found.bits


def test_planted_leaks_are_found_and_no_others(planted: Planted) -> None:
    found, _, across, _ = planted

    assert len(across) > 10
    assert pairs(found.leakage.groups) == across
    (leak,) = found.leakage.leaks
    assert leak.splits == ("test", "train") or leak.splits == ("train", "test")
    assert leak.groups == leak.images == len(across)


def test_planted_wrong_labels_are_found(planted: Planted) -> None:
    found, _, _, wrong = planted
    issues = [issue.key for issue in found.labels.issues[: found.labels.count]]
    hits = wrong & set(issues)

    assert found.labels.judge is not None
    assert found.labels.judge.features == "descriptor"
    assert found.labels.judge.low > found.labels.judge.chance
    assert len(hits) / len(wrong) >= 0.7
    assert len(hits) / len(issues) >= 0.8
    assert set(issues[:10]) <= wrong
    assert [issue.margin for issue in found.labels.issues] == sorted(
        issue.margin for issue in found.labels.issues
    )
    first = found.labels.issues[0]
    assert {first.given, first.suggested} == {"safe", "Violence"}
    assert first.p_suggested > first.p_given


def test_what_is_named_is_what_the_test_with_planted_labels_gives_reason_to_believe(
    planted: Planted,
) -> None:
    found, _, _, _ = planted
    test = found.labels.test

    assert test is not None
    assert test.margin is not None
    assert test.hits * 2 >= test.named > 0
    assert found.labels.candidates == len(found.labels.issues) >= found.labels.count
    named, others = (
        [issue.margin for issue in some]
        for some in (
            found.labels.issues[: found.labels.count],
            found.labels.issues[found.labels.count :],
        )
    )
    assert max(named) <= test.margin
    assert all(margin >= test.margin for margin in others)


def test_a_weak_classifier_names_no_label_and_says_so() -> None:
    """Labels that follow the picture in six of ten cases only."""
    rng = np.random.default_rng(3)
    items = [flipped(item) if rng.random() < 0.36 else item for item in labelled(400)]
    found = audited(items, precision=0.9)

    assert found.labels.judge is not None
    assert found.labels.candidates > 20
    assert found.labels.count < found.labels.candidates / 4
    if not found.labels.count:
        assert any("too weak to name any" in line for line in silences(found))
    everything = audited(items, precision=0)
    assert everything.labels.count == everything.labels.candidates == found.labels.candidates


def test_the_worst_is_told_first_and_the_status_says_that_something_was_found(
    planted: Planted,
) -> None:
    found, _, _, _ = planted

    assert kinds(found)[0] == "leakage"
    assert kinds(found).index("labels") < kinds(found).index("duplicates")
    assert exit_status(found) == 1


def test_a_split_file_says_which_split_an_image_is_in(tmp_path: Path) -> None:
    items = labelled(40)
    copy = replace(items[8], key="copy")
    entries = [
        Entry(item.key, "0" * 64, item.key, "fold-1" if item.key < "0020" else "fold-2")
        for item in (*items, copy)
    ]
    write_split(tmp_path / "split", Split({"fold-1": 0.5, "fold-2": 0.5}, 0, None, tuple(entries)))
    found = audited([*items, copy], split=tmp_path / "split")

    assert set(found.leakage.splits) == {"fold-1", "fold-2"}
    assert pairs(found.leakage.groups) == {("0008", "copy")}
    assert found.leakage.count == 1


def test_a_set_without_defects_has_no_copies_leaks_or_contradictions() -> None:
    found = audited(labelled(200))

    assert not {"duplicates", "near duplicates", "leakage", "contradictions"} & set(kinds(found))
    assert found.labels.count <= 2


def test_the_same_call_gives_the_same_audit_whatever_the_threads() -> None:
    items = labelled(60)
    settings = Settings(scan=ScanOptions(in_flight=3, in_flight_bytes=10_000))

    one = audited(items, workers=1)
    assert audited(items, workers=4) == one
    assert audited(items, workers=2, settings=settings) == one


def test_copies_with_other_labels_contradict_each_other() -> None:
    items = labelled(40)
    copy = replace(flipped(items[3]), key="copy")
    other = replace(items[6], key="other", labels=frozenset([Category.SPAM]), unsafe=True)
    unlabelled = replace(items[9], key="unlabelled", labels=None, unsafe=None)
    found = audited([*items, copy, other, unlabelled])

    wrong = [group for group in found.duplicates.groups if group.contradicting]
    assert found.duplicates.contradicting == 2
    assert pairs(wrong) == {("0003", "copy"), ("0006", "other")}
    assert wrong == list(found.duplicates.groups[:2])
    assert {member.label for member in wrong[0].members} == {"Violence", "safe"}
    assert "contradictions" in kinds(found)


def test_of_a_large_group_some_are_named_and_at_least_one_of_each_split() -> None:
    (item,) = labelled(1)
    copies = [
        replace(item, key=f"{n:03d}", meta={SPLIT: "test" if n == 90 else "train"})
        for n in range(100)
    ]
    found = audited(copies)

    (group,) = found.leakage.groups
    assert (group.count, len(group.members)) == (100, MOST_MEMBERS + 1)
    assert group.members[-1].key == "090"
    (leak,) = found.leakage.leaks
    assert (leak.groups, leak.images) == (1, 1)
    assert found.duplicates.exact_extra == 99


def test_the_same_drawing_in_other_colours_is_another_picture() -> None:
    picture = drawn(1)
    red, green, blue = (np.asarray(picture)[:, :, i] for i in range(3))
    swapped = np.stack([blue, red, green], axis=2)
    grey = np.asarray(picture.convert("L"))
    # Adjusted so that the brightness, which the hash sees, stays the same.
    shift = grey.astype(float) - np.asarray(PIL.Image.fromarray(swapped).convert("L"))
    swapped = np.clip(swapped + shift[:, :, None], 0, 255).astype(np.uint8)
    items = [Item("a", encoded(picture)), Item("b", encoded(PIL.Image.fromarray(swapped)))]
    found = audited(items)

    assert not found.duplicates.groups


def test_flat_pictures_are_no_copies_of_each_other() -> None:
    items = [
        Item(f"{n}", encoded(PIL.Image.fromarray(np.full((40, 40, 3), 20 * n, np.uint8))))
        for n in range(9)
    ]
    found = audited([*items, Item("again", items[4].data)])

    assert pairs(found.duplicates.groups) == {("4", "again")}


# What could not be read


def test_what_cannot_be_read_is_named_and_never_counted_as_sound() -> None:
    items = labelled(30)
    data = items[0].data
    assert isinstance(data, bytes)
    broken = [
        Item("cut", data[: len(data) // 2], frozenset()),
        Item("text", b"no picture", frozenset()),
        Item("text2", b"no picture", frozenset()),
        Item("gone", Path("no such file"), frozenset()),
        Item("lost", Failure("fetch", "encrypted", "an encrypted member"), frozenset()),
        Item("nothing", b""),
    ]
    found = audited([*items, *broken])

    assert exit_status(found) == 3
    assert found.reading.images == 36
    assert found.reading.failed == 6
    assert dict(found.reading.failures)["unsupported_format"] == 2
    codes = {u.key: u.code for u in found.reading.unreadable}
    assert codes["cut"] == "truncated"
    assert codes["gone"] == "not_found"
    assert codes["lost"] == "encrypted"
    assert codes["nothing"] == "empty"
    # Equal bytes are equal bytes, whether or not they are a picture; what was not read is nothing.
    assert pairs(found.duplicates.groups) == {("text", "text2")}
    assert found.labels.judged == 30


def test_failures_are_counted_beyond_those_that_are_named() -> None:
    items = [Item(f"{n}", b"no picture" + bytes([n])) for n in range(20)]
    found = audited(items, most=5)

    assert found.reading.failed == 20
    assert len(found.reading.unreadable) == 5


# Sets with little in them


def test_an_empty_set() -> None:
    found = audited([])

    assert found.reading.images == 0
    assert findings(found) == ()
    assert exit_status(found) == 0
    assert found.labels.not_judged == "no image has a label"
    assert found.confounds.not_judged


def test_an_unlabelled_set_is_not_judged_by_labels_and_says_so() -> None:
    items = [Item(item.key, item.data) for item in labelled(30)]
    found = audited(items)

    assert exit_status(found) == 0
    assert found.balance.unlabelled == 30
    told = silences(found)
    assert any("labels" in line for line in told)
    assert any("confounds" in line for line in told)
    assert any("leakage" in line for line in told)


def test_a_set_of_one_class_is_not_judged_and_says_so() -> None:
    items = [replace(item, labels=frozenset(), unsafe=False) for item in labelled(30)]
    found = audited(items)

    assert found.labels.judge is None
    assert "fewer than two classes" in found.labels.not_judged
    assert found.labels.classes == ("safe",)


def test_rare_classes_are_left_out_and_told() -> None:
    items = labelled(60)
    items[1] = replace(items[1], labels=frozenset([Category.SPAM]), unsafe=True)
    found = audited(items)

    assert found.labels.classes == ("safe", "Violence")
    assert found.labels.left_out == (("Spam", 1),)
    assert found.labels.judged == 59
    assert ("Spam", 1) in found.balance.rare
    assert ("Spam", "test") in found.balance.absent


def test_labels_that_no_picture_shows_are_not_judged() -> None:
    rng = np.random.default_rng(0)
    items = [
        Item(f"{n}", encoded(drawn(n, 60, 45), "JPEG"), frozenset(_some(rng))) for n in range(120)
    ]
    found = audited(items)

    assert "no better than chance" in found.labels.not_judged
    assert found.labels.issues == ()


def _some(rng: np.random.Generator) -> list[Category]:
    return [Category.HATE] if rng.random() < 0.5 else []


def test_binary_labels_are_judged_as_safe_and_unsafe() -> None:
    items = [
        Item(i.key, i.data, None if i.unsafe else i.labels, {}, i.unsafe) for i in labelled(90)
    ]
    found = audited(items)

    assert found.labels.classes == ("safe", "unsafe")
    assert found.balance.unsafe == 30


# Embeddings


def vectors(items: Sequence[Item]) -> np.ndarray:
    """Embeddings that know the true class of :func:`labelled`."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((len(items), 16))
    rows[:, 0] += [6 if int(item.key) % 3 == 0 else -6 for item in items]
    return rows.astype(np.float32)


def test_embeddings_in_the_order_of_the_images_judge_labels(tmp_path: Path) -> None:
    items = labelled(120)
    path = tmp_path / "e.npy"
    rows = vectors(items)
    rows[50] = rows[10] * 2 + 0.001
    np.save(path, rows)
    items[7] = flipped(items[7])
    found = audited(items, embeddings=path)

    assert found.labels.judge is not None
    assert found.labels.judge.features == "embeddings"
    assert found.labels.judge.dim == 16
    assert found.labels.issues[0].key == "0007"
    assert ("0010", "0050") in pairs(found.duplicates.groups)
    assert found.embeddings is not None
    assert found.embeddings.images == 120


def test_embeddings_are_found_by_their_keys(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    items = labelled(120)
    rows = vectors(items)
    order = np.random.default_rng(1).permutation(120)[:110]
    keys = [items[n].key for n in order] + ["no such image"]
    lists = [*rows[order].tolist(), rows[0].tolist()]
    lists[3] = None
    parquet.write_table(arrow.table({"key": keys, "embedding": lists}), tmp_path / "e.parquet")
    items[int(order[5])] = flipped(items[int(order[5])])
    found = audited(items, embeddings=tmp_path)

    assert found.embeddings is not None
    assert (found.embeddings.images, found.embeddings.without) == (109, 11)
    assert found.embeddings.unused == 1
    assert found.labels.judged == 109
    assert found.labels.issues[0].key == items[int(order[5])].key
    assert any("no embedding" in line for line in silences(found))


@pytest.mark.parametrize(
    ("rows", "hint"),
    [
        (np.zeros((5, 4), np.float32), "column key"),
        (np.full((12, 4), np.nan, np.float32), "make that embedding again"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(
    tmp_path: Path, rows: np.ndarray, hint: str
) -> None:
    np.save(tmp_path / "e.npy", rows)
    with pytest.raises(UsageError) as raised:
        audited(labelled(12), embeddings=tmp_path / "e.npy", scratch=tmp_path)

    assert hint in raised.value.hint
    assert not list(tmp_path.glob("vedette-*"))


@pytest.mark.parametrize(
    "options",
    [
        {"bits": 32},
        {"bits": -1},
        {"cosine": 1.5},
        {"precision": -0.1},
        {"most": 0},
        {"workers": -1},
        {"embeddings": Path("no such file.npy")},
    ],
)
def test_options_out_of_range_are_refused_before_anything_is_read(
    options: dict[str, object],
) -> None:
    class Untouched(ItemSource):
        def read(self, shard: Shard) -> Iterator[Item]:
            raise AssertionError("read")

    with pytest.raises(UsageError):
        audit(Untouched([]), AuditOptions(**options))  # type: ignore[arg-type]


# What stays


def test_nothing_stays_on_disk(tmp_path: Path) -> None:
    audited(labelled(30), scratch=tmp_path)
    assert not list(tmp_path.iterdir())

    class Breaks(ItemSource):
        def read(self, shard: Shard) -> Iterator[Item]:
            yield from super().read(shard)
            raise UsageError("the source breaks off")

    with pytest.raises(UsageError, match="breaks off"):
        audit(Breaks(labelled(5)), AuditOptions(scratch=tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_json_has_the_findings_and_their_evidence(planted: Planted) -> None:
    found, same, _, _ = planted
    told = json.loads(json.dumps(to_dict(found), allow_nan=False))

    assert told["findings"][0]["kind"] == "leakage"
    assert len(told["duplicates"]["groups"]) == len(same)
    assert told["labels"]["issues"][0]["margin"] == found.labels.issues[0].margin
    assert told["confounds"]["rules"][0]["low"] == found.confounds.rules[0].low
