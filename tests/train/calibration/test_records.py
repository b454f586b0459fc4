"""Stored Records and labels come together by key and by content, and nothing else does."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.pictures import drawn, encoded
from tests.test_wire import FULL
from tests.train.calibration.planted import smooth
from vedette.calibrate import read_calibration
from vedette.data.base import SPLIT, Shard
from vedette.errors import UsageError
from vedette.policy import Policy, Rule
from vedette.settings import Settings
from vedette.sinks.jsonl import write_jsonl
from vedette.taxonomy import Category
from vedette.train.calibration.records import Matched, columns, matched
from vedette.train.calibration.stored import CalibrateOptions, calibrate_records, shifted
from vedette.train.calibration.targets import Target, parse_target
from vedette.types import Action, Failure, Item, Record, Scores

SEXUAL, VIOLENCE = Category.SEXUAL, Category.VIOLENCE
PASSES = Policy("passes", "1", {VIOLENCE: Rule(None, 1.0)})


@dataclass
class Listed:
    """A source of items that are there already."""

    items: Sequence[Item]

    def shards(self) -> Sequence[Shard]:
        return [Shard("all")]

    def read(self, shard: Shard) -> Iterator[Item]:
        yield from self.items

    def find(self, key: str) -> Item | None:
        return next((item for item in self.items if item.key == key), None)


def content(key: str) -> bytes:
    return f"bytes of {key}".encode()


def record(key: str, p: dict[Category, float], data: bytes | None = None) -> Record:
    values = np.zeros(len(Category), dtype=np.float32)
    covered = np.zeros(len(Category), dtype=np.bool_)
    for category, value in p.items():
        values[category.position], covered[category.position] = value, True
    sha256 = hashlib.sha256(content(key) if data is None else data).hexdigest()
    return PASSES.apply(
        dataclasses.replace(
            FULL,
            key=key,
            sha256=sha256,
            frames=1,
            scores=Scores(values, covered),
            models=("m@1",),
            failure=None,
            timeline=(),
        )
    )


def item(key: str, labels: frozenset[Category] | None, **more: object) -> Item:
    return dataclasses.replace(Item(key, content(key), labels), **more)  # type: ignore[arg-type]


def written(tmp_path: Path, records: Sequence[Record]) -> Path:
    path = tmp_path / "r.jsonl"
    write_jsonl(records, path)
    return path


def both(key: str, p: float = 0.5) -> Record:
    return record(key, {VIOLENCE: p, SEXUAL: p / 2})


def test_records_and_labels_come_together(tmp_path: Path) -> None:
    broken = dataclasses.replace(both("broken"), failure=Failure("decode", "truncated", "it ends"))
    place = written(
        tmp_path, [both("a", 0.1), both("b"), both("c"), both("d"), broken, both("a"), both("e")]
    )
    source = Listed(
        [
            item("a", frozenset({VIOLENCE})),
            item("elsewhere/c", frozenset(), data=content("c")),  # by content
            item("again/c", frozenset(), data=content("c")),
            item("b", frozenset(), data=b"another picture by now"),
            item("d", frozenset(), data=Failure("fetch", "not_found", "gone")),  # by key alone
            item("unlabelled", None),
            item("broken", frozenset()),
            item("new", frozenset()),
        ]
    )

    found = matched(place, source)

    assert found.model == "m@1"
    assert found.keys == ("a", "elsewhere/c", "d")
    np.testing.assert_allclose(found.p[:, VIOLENCE.position], [0.1, 0.5, 0.5])
    told = found.counts
    assert (told.matched, told.failed, told.unlabelled) == (3, 1, 1)
    assert (told.unscored, told.changed, told.repeated) == (2, 1, 2)


def test_only_images_of_the_part_count(tmp_path: Path) -> None:
    place = written(tmp_path, [both("a"), both("b")])
    source = Listed(
        [item("a", frozenset(), meta={SPLIT: "test"}), item("b", frozenset(), meta={SPLIT: "dev"})]
    )

    assert matched(place, source, "dev").keys == ("b",)
    with pytest.raises(UsageError) as caught:
        matched(place, source, "validation")
    assert "dev, test" in caught.value.hint


def test_copies_share_a_group_and_near_duplicates_when_asked(tmp_path: Path) -> None:
    picture, other = drawn(1, 80, 60), drawn(2, 80, 60)
    files = {
        "a": encoded(picture, "PNG"),
        "b": encoded(picture, "PNG"),
        "c": encoded(picture, "JPEG"),
        "d": encoded(other, "PNG"),
    }
    place = written(tmp_path, [record(k, {VIOLENCE: 0.5}, data) for k, data in files.items()])
    source = Listed([Item(key, data, frozenset()) for key, data in files.items()])

    alike = matched(place, source).group
    near = matched(place, source, near=Settings()).group

    assert alike[0] == alike[1] != alike[2] != alike[3]
    assert near[0] == near[1] == near[2] != near[3]


@pytest.mark.parametrize("what", ["models", "two", "calibrated", "failed", "strangers"])
def test_what_cannot_be_calibrated_is_refused(tmp_path: Path, what: str) -> None:
    records = [both("a"), both("b")]
    scores = records[1].scores
    assert scores is not None
    records[1] = {
        "models": dataclasses.replace(records[1], models=("m@2",)),
        "two": dataclasses.replace(records[1], models=("m@1", "m@2")),
        "calibrated": dataclasses.replace(
            records[1], scores=dataclasses.replace(scores, calibrated="before")
        ),
    }.get(what, records[1])
    if what == "failed":
        failure = Failure("decode", "truncated", "it ends")
        records = [dataclasses.replace(one, failure=failure) for one in records]
    labels = [item("x" if what == "strangers" else "a", frozenset())]

    with pytest.raises(UsageError) as caught:
        matched(written(tmp_path, records), Listed(labels))
    wanted = "too_few_labels" if what in ("failed", "strangers") else "bad_calibration"
    assert caught.value.code == wanted


def found_of(tmp_path: Path, labels: Sequence[Item], records: Sequence[Record]) -> Matched:
    return matched(written(tmp_path, records), Listed(labels))


def test_columns_are_the_categories_that_are_labelled_and_covered(tmp_path: Path) -> None:
    labels = [
        item("a", frozenset({VIOLENCE, Category.HATE})),
        item("b", frozenset()),
        item("c", None, unsafe=True),  # unsafe, nobody says why
    ]
    found = found_of(tmp_path, labels, [both("a"), both("b"), both("c")])

    categories, targets, known = columns(found, None)

    assert categories == (VIOLENCE,)
    assert targets[:, 0].tolist() == [True, False, False]
    assert known[:, 0].tolist() == [True, True, False]
    wanted, targets, _ = columns(found, (SEXUAL,))  # safe for it: that is what the labels say
    assert (wanted, targets.any()) == ((SEXUAL,), np.False_)
    with pytest.raises(UsageError, match="no score for Hate"):
        columns(found, (Category.HATE,))


def test_labels_that_say_unsafe_only_need_a_category(tmp_path: Path) -> None:
    labels = [item("a", None, unsafe=True), item("b", frozenset())]
    found = found_of(tmp_path, labels, [both("a"), both("b")])

    with pytest.raises(UsageError) as caught:
        columns(found, None)
    assert "--category" in caught.value.hint
    categories, targets, _ = columns(found, (SEXUAL,))
    assert (categories, targets[:, 0].tolist()) == ((SEXUAL,), [True, False])


def test_one_score_for_all_needs_none(tmp_path: Path) -> None:
    labels = [item("a", None, unsafe=True), item("b", frozenset())]
    same = [record(key, {VIOLENCE: 0.4, SEXUAL: 0.4}) for key in "ab"]

    categories, targets, _ = columns(found_of(tmp_path, labels, same), None)

    assert categories == (VIOLENCE, SEXUAL)
    assert targets.tolist() == [[True, True], [False, False]]


def many(tmp_path: Path, n: int = 1200) -> Matched:
    p, unsafe = smooth(n, 0.3, 6)
    records = [record(str(i), {VIOLENCE: float(p[i])}) for i in range(n)]
    labels = [item(str(i), frozenset({VIOLENCE} if unsafe[i] else ())) for i in range(n)]
    return found_of(tmp_path, labels, records)


def test_a_calibration_and_thresholds_come_out(tmp_path: Path) -> None:
    found = many(tmp_path)
    options = CalibrateOptions(parse_target("fpr<=0.02"), name="mine")

    calibration, results = calibrate_records(found, options)

    assert calibration is not None
    assert calibration.model == "m@1"
    assert "on 1,200 labels of mine, " in calibration.name
    one = results[VIOLENCE]
    before, after = one.ece
    assert before is not None
    assert after is not None
    assert after < before / 2
    assert one.chosen.kept
    assert one.fpr is not None
    assert one.fpr <= 0.02
    assert (one.unsafe + one.safe, one.base_rate, one.precision) == (1200, None, None)


def test_safe_images_alone_are_enough_for_an_fpr(tmp_path: Path) -> None:
    records = [both(str(i), (i + 1) / 400) for i in range(300)]
    labels = [item(str(i), frozenset()) for i in range(300)]
    found = found_of(tmp_path, labels, records)

    calibration, results = calibrate_records(found, CalibrateOptions(parse_target("fpr<=0.01")))

    assert calibration is None
    assert list(results) == [VIOLENCE, SEXUAL]
    assert [one.chosen.kept for one in results.values()] == [True, True]
    assert results[VIOLENCE].chosen.value == pytest.approx(0.750001)
    assert (results[VIOLENCE].recall, results[VIOLENCE].why[:7]) == (None, "too few")


def test_the_users_base_rate_moves_probabilities_and_costs_alone(tmp_path: Path) -> None:
    found = many(tmp_path)

    def asked(target: Target, rate: float | None) -> tuple[float, float, float]:
        rates = {} if rate is None else {VIOLENCE: rate}
        calibration, results = calibrate_records(
            found, CalibrateOptions(target, "platt", base_rates=rates)
        )
        assert calibration is not None
        one = results[VIOLENCE]
        assert one.recall is not None
        return float(calibration.of["Violence"](np.array(0.9))), one.recall, one.precision or -1

    plain, rare = (asked(Target("fpr", 0.05), rate) for rate in (None, 0.002))
    assert rare[0] < plain[0] / 10
    assert rare[1] == plain[1]  # the same images are flagged
    assert 0 < rare[2] < 0.1
    assert asked(Target("cost", 1), 0.002)[1] < asked(Target("cost", 1), None)[1]


def test_shifting_makes_the_mean_probability_the_base_rate(tmp_path: Path) -> None:
    found = many(tmp_path)
    calibration, _ = calibrate_records(found, CalibrateOptions(Target(), "platt"))
    assert calibration is not None
    curve = calibration.of["Violence"]
    p, unsafe = smooth(60_000, 0.3, 77)
    rare = np.concatenate([p[~unsafe], p[unsafe][:1000]])

    share = 1000 / len(rare)
    assert shifted(curve, share)(rare).mean() == pytest.approx(share, rel=0.15)
    assert curve(rare).mean() > 2 * share


def test_written_and_read_it_decides_as_it_was_chosen(tmp_path: Path) -> None:
    import json

    found = many(tmp_path)
    for method in ("platt", "isotonic", "temperature", "beta"):
        calibration, results = calibrate_records(
            found, CalibrateOptions(parse_target("recall>=0.9"), method)
        )
        assert calibration is not None
        (tmp_path / "c.json").write_text(json.dumps(calibration.as_json()))
        read = read_calibration(tmp_path / "c.json", categories=True)
        policy = Policy("p", "1", {VIOLENCE: Rule(None, results[VIOLENCE].chosen.value)})
        flagged = [
            policy.apply(read.record(record(str(i), {VIOLENCE: float(p)}))).verdict.action
            is Action.BLOCK
            for i, p in enumerate(found.p[:, VIOLENCE.position])
        ]
        truth = np.array([row.unsafe for row in found.rows])
        assert np.array(flagged)[truth].mean() == results[VIOLENCE].recall
        assert np.array(flagged)[~truth].mean() == results[VIOLENCE].fpr
