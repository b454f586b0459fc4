"""What the part ``calibration`` of a training tells: curves, thresholds, a policy that parses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.outcomes import logits_of
from tests.train.sets import SOURCES
from vedette.calibrate import sigmoid
from vedette.errors import PolicyError, UsageError
from vedette.policy import parse_policy
from vedette.taxonomy import Category
from vedette.train.calibration.labels import by_category, calibrated, first_of_each
from vedette.train.calibration.policy_text import policy_text
from vedette.train.calibration.targets import Target, parse_target
from vedette.train.calibration.thresholds import Chosen, recorded
from vedette.train.examples import PARTS, UNSAFE, Examples
from vedette.train.finishing import FinishOptions
from vedette.types import Action, Scores

PROFILE = settings(deadline=None, derandomize=True, database=None, max_examples=60)
TWO = {"Violence": (Category.VIOLENCE,), "Sexual": (Category.SEXUAL,)}


def examples(n: int, share: float = 0.4, binary: bool = False) -> Examples:
    """``n`` images of the part calibration and as many of test, each alone in its group."""
    rng = np.random.default_rng(2)
    counts = {UNSAFE: tuple(Category)} if binary else TWO
    targets = rng.random((2 * n, len(counts))) < share
    return Examples(
        keys=tuple(f"{i}.png" for i in range(2 * n)),
        labels=tuple(counts),
        counts=counts,
        targets=targets,
        known=np.ones_like(targets),
        unsafe=np.asarray(targets.any(axis=1)),
        category=np.full(2 * n, -1, dtype=np.int64),
        source=tuple(SOURCES[i % 2] for i in range(2 * n)),
        part=np.repeat([PARTS.index("calibration"), PARTS.index("test")], n).astype(np.int64),
        group=np.arange(2 * n, dtype=np.int64),
        left_out={},
    )


@pytest.mark.parametrize("target", ["fpr<=0.05", "recall>=0.9", "cost=5:1"])
@pytest.mark.parametrize("method", ["auto", "temperature", "platt", "beta", "isotonic"])
def test_the_policy_flags_what_reaches_the_thresholds(target: str, method: str) -> None:
    given_set = examples(400)
    logits = logits_of(given_set)
    options = FinishOptions(method, parse_target(target))

    told = calibrated(given_set, logits, "my model", options)

    policy = parse_policy(told.policy, "test")
    assert policy.name == "my-model"
    assert set(policy.categories) == {Category.VIOLENCE, Category.SEXUAL}
    assert told.calibration is not None
    assert told.calibration.name.endswith("on 400 labels of my model")
    assert (told.calibration.model, told.caveats) == ("", [])
    raw = sigmoid(logits["test"]).astype(np.float32)
    p = told.calibration.probabilities(given_set.labels, raw)
    for row in p[:50]:
        scores = Scores(
            np.zeros(len(Category), np.float32),
            np.zeros(len(Category), np.bool_),
            told.calibration.name,
        )
        for k, label in enumerate(given_set.labels):
            scores.p[Category(label).position], scores.covered[Category(label).position] = row[k], 1
        flagged = [
            recorded(row[k : k + 1])[0] >= told.thresholds[label].value
            for k, label in enumerate(given_set.labels)
        ]
        verdict = policy.decide(scores, (), None)
        assert verdict.action is (Action.REVIEW if any(flagged) else Action.ALLOW)
        assert len(verdict.reasons) == sum(flagged)
    on_test = recorded(p[:, 0]) >= told.thresholds["Violence"].value
    truth = given_set.targets[given_set.rows("test"), 0]
    if target == "fpr<=0.05":
        assert on_test[~truth].mean() < 0.08
    if target == "recall>=0.9":
        assert on_test[truth].mean() > 0.87


def test_only_the_part_calibration_is_looked_at() -> None:
    given_set = examples(200)
    logits = dict(logits_of(given_set))
    told = calibrated(given_set, logits, "m", FinishOptions())
    logits["test"] = -logits["test"]

    assert calibrated(given_set, logits, "m", FinishOptions()) == told


def test_the_label_unsafe_counts_for_every_category() -> None:
    given_set = examples(200, binary=True)

    told = calibrated(given_set, logits_of(given_set), "m", FinishOptions())

    rules = parse_policy(told.policy, "test").categories
    assert set(rules) == set(Category)
    assert {rule.review for rule in rules.values()} == {told.thresholds[UNSAFE].value}


@pytest.mark.parametrize("n", [0, 1, 15])
def test_too_few_labels_leave_the_probabilities_and_are_told(n: int) -> None:
    given_set = examples(n)

    told = calibrated(
        given_set, logits_of(given_set), "m", FinishOptions(target=parse_target("fpr<=0.01"))
    )

    assert told.calibration is None
    assert {caveat.code for caveat in told.caveats} == {
        "too-few-to-calibrate",
        "threshold-not-promised",
    }
    assert not any(chosen.kept for chosen in told.thresholds.values())
    assert "299 are needed" in told.caveats[-1].message
    assert "# NOT PROMISED." in told.policy
    parse_policy(told.policy, "test")


def test_logits_that_fall_with_the_labels_are_told() -> None:
    given_set = examples(200)
    logits = {part: -values for part, values in logits_of(given_set).items()}

    told = calibrated(given_set, logits, "m", FinishOptions())

    assert told.calibration is None
    assert {caveat.code for caveat in told.caveats} == {"no-rising-curve"}


def test_none_is_no_calibration_and_no_complaint() -> None:
    given_set = examples(200)
    told = calibrated(given_set, logits_of(given_set), "m", FinishOptions("none"))

    assert (told.calibration, told.caveats) == (None, [])


def test_of_near_duplicates_one_counts() -> None:
    given_set = examples(300)
    copied = dataclasses.replace(given_set, group=given_set.group // 3)

    once = calibrated(given_set, logits_of(given_set), "m", FinishOptions())
    told = calibrated(copied, logits_of(copied), "m", FinishOptions())

    assert once.calibration is not None
    assert told.calibration is not None
    assert once.calibration.of["Violence"].n == 300
    assert 100 <= told.calibration.of["Violence"].n <= 200  # a group may have both classes
    np.testing.assert_array_equal(
        first_of_each(np.array([4, 4, 4, 7]), np.array([True, False, True, False])), [0, 1, 3]
    )


def test_unknown_labels_are_left_out() -> None:
    given_set = examples(300)
    known = given_set.known.copy()
    known[:100, 0] = False

    told = calibrated(
        dataclasses.replace(given_set, known=known), logits_of(given_set), "m", FinishOptions()
    )

    assert told.calibration is not None
    assert [told.calibration.of[label].n for label in given_set.labels] == [200, 300]


CHOSEN = Chosen(0.25, "FPR <= 1 %\n[categories]", True, 5)


@PROFILE
@given(
    st.text(max_size=30),
    st.text(max_size=30),
    st.dictionaries(st.sampled_from(list(Category)), st.floats(1e-6, 1), min_size=1),
    st.sampled_from(["review", "block"]),
)
def test_whatever_the_names_the_policy_parses(
    name: str, note: str, values: dict[Category, float], action: str
) -> None:
    thresholds = {c: dataclasses.replace(CHOSEN, value=value) for c, value in values.items()}

    text = policy_text(
        name, thresholds, action="block" if action == "block" else "review", notes=(note,)
    )

    rules = parse_policy(text, "test").categories
    assert {c: getattr(rule, action) for c, rule in rules.items()} == values


def test_other_thresholds_are_another_version() -> None:
    texts = [
        policy_text("p", {Category.HATE: dataclasses.replace(CHOSEN, value=value)})
        for value in (0.25, 0.25, 0.3)
    ]
    ids = [parse_policy(text, "test").id for text in texts]

    assert ids[0] == ids[1] != ids[2]
    with pytest.raises(PolicyError):
        policy_text("p", {})


def test_of_two_labels_for_one_category_the_lower_threshold_counts() -> None:
    low = dataclasses.replace(CHOSEN, value=0.1)
    counts = {"a": (Category.HATE,), "b": (Category.HATE, Category.SPAM)}

    assert by_category(counts, {"a": CHOSEN, "b": low}) == {
        Category.HATE: low,
        Category.SPAM: low,
    }


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("fpr<=0.01", Target("fpr", 0.01)),
        (" recall >= 0.95 ", Target("recall", 0.95)),
        ("cost=10:1", Target("cost", 10)),
        ("cost=10", Target("cost", 10)),
        ("cost:1:4", Target("cost", 0.25)),
    ],
)
def test_targets_are_read_and_come_back(text: str, wanted: Target) -> None:
    assert parse_target(text) == wanted
    assert parse_target(str(wanted)) == wanted


@pytest.mark.parametrize(
    "text",
    [
        *("", "fpr", "fpr<=0", "fpr<=1", "fpr>=0.1", "fpr<=0.1:2", "recall<=0.9", "recall>=1.5"),
        *("cost=0:1", "cost=1:0", "cost=-1:1", "cost=1e999:1", "cost=.:1", "cost<=3", "f1=1"),
    ],
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_target(text)
