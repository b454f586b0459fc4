"""A split puts every picture in one part, groups together, strata even; its file holds it to it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.data.base import SPLIT, read_all
from vedette.data.memory import ItemSource
from vedette.data.splits import Entry, Split, SplitSource, read_split, sha256_of, write_split
from vedette.data.stratify import Sample, assign, k_folds, train_test
from vedette.errors import UnknownNameError, UsageError
from vedette.types import Failure, Item


def sample(number: int, stratum: str = "", group: str | None = None) -> Sample:
    key = f"{number:06d}"
    return Sample(key, hashlib.sha256(key.encode()).hexdigest(), group or key, stratum)


alone = st.lists(st.integers(0, 6), min_size=40, max_size=200).map(
    lambda strata: [sample(n, f"s{stratum}") for n, stratum in enumerate(strata)]
)
grouped = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 4)), min_size=30, max_size=80).map(
    lambda groups: [
        sample(100 * g + n, f"s{(stratum + n % 2) % 5}", f"g{g}")
        for g, (size, stratum) in enumerate(groups)
        for n in range(size)
    ]
)
shapes = st.sampled_from([train_test(0.2), train_test(0.2, 0.1), k_folds(2), k_folds(5)])
seeds = st.integers(0, 2**32)


@given(alone, shapes, seeds)
def test_pictures_that_are_alone_come_out_even(
    samples: list[Sample], fractions: dict[str, float], seed: int
) -> None:
    part = assign(samples, fractions, seed)
    k = len(fractions)

    assert sorted(part) == [s.key for s in samples]
    sizes = Counter(part.values())
    cells = Counter((s.stratum, part[s.key]) for s in samples)
    strata = Counter(s.stratum for s in samples)
    for name, fraction in fractions.items():
        assert abs(sizes[name] - fraction * len(samples)) < max(k - 1, 1)
        for stratum, count in strata.items():
            assert abs(cells[stratum, name] - fraction * count) < k


@given(grouped, shapes, seeds)
def test_no_group_is_in_two_parts(
    samples: list[Sample], fractions: dict[str, float], seed: int
) -> None:
    part = assign(samples, fractions, seed)

    assert sorted(part) == sorted(s.key for s in samples)
    places: dict[str, set[str]] = {}
    for s in samples:
        places.setdefault(s.group, set()).add(part[s.key])
    assert all(len(parts) == 1 for parts in places.values())
    sizes = Counter(part.values())
    for name, fraction in fractions.items():
        assert abs(sizes[name] - fraction * len(samples)) <= 8 + 0.02 * len(samples)


@given(grouped, st.randoms(use_true_random=False))
def test_the_order_of_the_set_does_not_matter(samples: list[Sample], shuffler: object) -> None:
    mixed = samples.copy()
    shuffler.shuffle(mixed)  # type: ignore[attr-defined]

    assert assign(mixed, train_test(0.3), 7) == assign(samples, train_test(0.3), 7)


def test_small_strata_do_not_add_up_to_a_small_part() -> None:
    samples = [sample(n, f"s{n // 2}") for n in range(400)]
    pairs = [sample(n, f"s{n // 2}", f"g{n // 2}") for n in range(400)]

    for given_ in (samples, pairs):
        sizes = Counter(assign(given_, train_test(0.2), 1).values())
        assert sizes["test"] == pytest.approx(80, abs=8)


def test_what_groups_leave_uneven_is_made_good() -> None:
    rng = np.random.default_rng(3)
    samples = [sample(n, f"s{n % 4}", f"g{n // 25}") for n in range(250)]
    samples += [sample(1000 + n, f"s{int(rng.integers(4))}") for n in range(750)]
    part = assign(samples, k_folds(5), 2)

    assert all(abs(size - 200) <= 5 for size in Counter(part.values()).values())
    cells = Counter((s.stratum, part[s.key]) for s in samples)
    for stratum, count in Counter(s.stratum for s in samples).items():
        for fold in k_folds(5):
            assert cells[stratum, fold] == pytest.approx(count / 5, abs=5)


def test_another_seed_is_another_split() -> None:
    samples = [sample(n, "a") for n in range(100)]

    assert assign(samples, train_test(0.2), 1) == assign(samples, train_test(0.2), 1)
    assert assign(samples, train_test(0.2), 1) != assign(samples, train_test(0.2), 2)


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(UsageError, match="too few: test gets none"):
        assign([sample(n, group="all") for n in range(50)], train_test(0.2), 0)
    with pytest.raises(UsageError, match="'000001'") as caught:
        assign([sample(1), sample(1)], train_test(0.5), 0)
    assert caught.value.code == "bad_source"


@pytest.mark.parametrize(
    "make",
    [
        lambda: train_test(0),
        lambda: train_test(1),
        lambda: train_test(0.5, 0.5),
        lambda: train_test(0.5, -0.1),
        lambda: train_test(float("nan")),
        lambda: k_folds(1),
    ],
)
def test_fractions_that_leave_nothing_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        make()


# The file

ITEMS = [Item(f"{n}.png", bytes([n]) * 9, meta={"source": "drawn"}) for n in range(10)]


def made(items: list[Item]) -> Split:
    samples = [
        Sample(item.key, str(sha256_of(item)), str(sha256_of(item))[:16], "") for item in items
    ]
    part = assign(samples, train_test(0.2), 7)
    entries = [Entry(s.key, s.sha256, s.group, part[s.key]) for s in samples]
    broken = Entry("broken.png", None, None, None, "not_found")
    return Split(train_test(0.2), 7, 31, tuple(sorted([*entries, broken], key=lambda e: e.key)))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "split.jsonl"
    write_split(path, made(ITEMS))
    return path


def test_is_read_as_it_was_written(written: Path) -> None:
    split = read_split(written)

    assert split == made(ITEMS)
    assert split.of("broken.png") is None
    assert split.of("nobody.png") is None
    assert split.parts == ("train", "test")
    assert split.others("test") == ("train",)
    assert [entry.failure for entry in split.excluded] == ["not_found"]
    header = json.loads(written.read_text().splitlines()[0])
    assert header["counts"]["test"] == {"images": 2, "groups": 2}
    assert header["excluded"] == 1


def test_says_how_a_set_differs(written: Path) -> None:
    split = read_split(written)
    broken = Item("broken.png", Failure("fetch", "not_found", "gone"))

    assert not split.check(ItemSource([*ITEMS, broken]))
    now = [
        Item("0.png", b"other"),
        Item("1.png", Failure("fetch", "unreadable", "no")),
        *ITEMS[3:],
        Item("broken.png", b"mended"),
        Item("more.png", b"more"),
    ]
    differences = split.check(ItemSource(now))
    assert differences
    assert differences.missing == ("2.png",)
    assert differences.new == ("more.png",)
    assert differences.changed == ("0.png", "broken.png")
    assert differences.unreadable == ("1.png",)


def test_a_file_is_hashed_late(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 10**6)

    assert sha256_of(Item("a", path)) == hashlib.sha256(b"abc" * 10**6).hexdigest()
    assert sha256_of(Item("b", tmp_path / "b")) is None
    assert sha256_of(Item("folder", tmp_path)) is None


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda lines: lines[:-1], "cut off or altered"),
        (lambda lines: ["{}"], "not the header"),
        (lambda lines: lines[1:], "not the header"),
        (lambda lines: [lines[0].replace('"version": 1', '"version": 2'), *lines[1:]], "version"),
        (lambda lines: [lines[0].replace('"seed": 7', '"seed": "x"'), *lines[1:]], "fractions"),
        (lambda lines: [*lines, lines[-1]], "not in order"),
        (lambda lines: [lines[0], *lines[:0:-1]], "not in order"),
        (lambda lines: [*lines, "[]"], "not an object"),
        (lambda lines: [*lines, "{"], "not JSON"),
        (lambda lines: [*lines, "[" * 10**5], "not JSON"),
        (lambda lines: [*lines, '{"key": "z"}'], "neither a part"),
        (lambda lines: [*lines, '{"key": 1, "failure": "empty"}'], "neither a part"),
        (lambda lines: [x.replace('"part": "test"', '"part": "no"') for x in lines], "not know"),
        (lambda lines: [x.replace('"train"}', '"test"}', 1) for x in lines], "altered"),
        (lambda lines: [x.replace('"2.png"', '"2.pnh"', 1) for x in lines], "altered"),
    ],
)
def test_a_file_that_was_changed_is_refused(
    written: Path, change: Callable[[list[str]], list[str]], why: str
) -> None:
    written.write_text("\n".join(change(lines_of(written))) + "\n", encoding="utf-8")

    with pytest.raises(UsageError, match=why) as caught:
        read_split(written)
    assert caught.value.code == "bad_source"


def test_a_group_in_two_parts_is_refused(tmp_path: Path) -> None:
    entries = (Entry("a", "1" * 64, "g", "train"), Entry("b", "2" * 64, "g", "test"))
    write_split(tmp_path / "s", Split(train_test(0.5), 0, 31, entries))

    with pytest.raises(UsageError, match="in two parts"):
        read_split(tmp_path / "s")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_split(tmp_path / "none")
    assert caught.value.code == "not_found"
    with pytest.raises(UsageError, match="cannot be read"):
        read_split(tmp_path)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe{}")
    with pytest.raises(UsageError, match="not text"):
        read_split(tmp_path / "bytes")


@given(st.text(max_size=400) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_any_text_is_a_split_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text('{"format": "vedette-split", "version": 1}\n' + text, errors="replace")

    with pytest.raises(UsageError):
        read_split(path)


# The source


def test_a_part_is_a_source_with_its_name_in_meta() -> None:
    split = made(ITEMS)
    test = list(read_all(SplitSource(ItemSource(ITEMS), split, "test")))
    train = list(read_all(SplitSource(ItemSource(ITEMS), split, split.others("test"))))

    assert sorted(item.key for item in [*test, *train]) == [item.key for item in ITEMS]
    assert {item.meta[SPLIT] for item in test} == {"test"}
    assert {item.meta[SPLIT] for item in train} == {"train"}
    assert {item.meta["source"] for item in test} == {"drawn"}


def test_a_part_that_is_not_there_is_refused() -> None:
    split = made(ITEMS)
    with pytest.raises(UnknownNameError, match="tset"):
        SplitSource(ItemSource(ITEMS), split, "tset")
    with pytest.raises(UnknownNameError, match="tset"):
        split.others("tset")
