"""What a user may say about a fine-tuning, and what is refused."""

from __future__ import annotations

import json

import pytest

from tests.train.finetune import sets
from vedette.errors import UnknownNameError, UsageError
from vedette.train.finetune.options import Stage, parse_budget, parse_stages


def test_stages_go_from_the_head_downwards() -> None:
    assert parse_stages("head:1, last4:2,all:5") == (Stage(0, 1), Stage(4, 2), Stage(None, 5))
    assert [one.name for one in parse_stages("head:1,last12:2,all:5")] == ["head", "last12", "all"]


@pytest.mark.parametrize(
    "given", ["", "head", "head:0", "last0:1", "tail:3", "all:1,head:1", "last4:1,last2:1", "all:x"]
)
def test_what_is_no_list_of_stages_is_refused(given: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_stages(given)
    assert "head:1" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "value"), [("2/255", 2 / 255), ("0.008", 0.008), (".5/255", 0.5 / 255)]
)
def test_a_budget_is_a_share_of_the_range(given: str, value: float) -> None:
    assert parse_budget(given) == value


@pytest.mark.parametrize("given", ["", "0", "2/256", "-1/255", "255/255", "1e-3", "nan"])
def test_what_is_no_budget_is_refused(given: str) -> None:
    with pytest.raises(UsageError):
        parse_budget(given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("layer_decay", 1.5),
        ("warmup", -0.1),
        ("label_smoothing", 2.0),
        ("evasion", float("nan")),
        ("batch", 0),
        ("stages", ()),
    ],
)
def test_numbers_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError):
        sets.options(**{name: value})


@pytest.mark.parametrize("name", ["augment", "cache", "precision", "class_weights"])
def test_unknown_words_are_refused(name: str) -> None:
    with pytest.raises(UnknownNameError):
        sets.options(**{name: "lihgt"})


def test_only_what_decides_the_outcome_is_told() -> None:
    told = sets.options().as_json()

    assert json.loads(json.dumps(told)) == told
    assert told["stages"] == ["all:3"]
    assert told == sets.options(cache="disk", workers=7, checkpoint_steps=3).as_json()
    assert told != sets.options(batch=8).as_json()
