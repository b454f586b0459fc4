"""A few-shot training on planted features: which images it sees, what comes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.train.sets import planted
from vedette.errors import UsageError
from vedette.heads.trained import TrainedMlp, read_head
from vedette.models.dummy import CARD as DUMMY
from vedette.models.over import HEAD
from vedette.taxonomy import Category
from vedette.train.features import Features
from vedette.train.scarce.few_shot import FewShotOptions, check_options, learn_few_shot
from vedette.train.scarce.shots import drawn


def test_as_many_of_each_class_are_drawn_and_the_seed_says_which() -> None:
    data, _ = planted()
    examples = data.examples

    rows = drawn(examples, 8, 7)
    assert np.array_equal(rows, drawn(examples, 8, 7))
    assert not np.array_equal(rows, drawn(examples, 8, 8))
    assert set(rows.tolist()) <= set(examples.rows("train").tolist())
    assert examples.targets[rows].sum(axis=0).tolist() == [8, 8, 8]
    assert (~examples.unsafe[rows]).sum() == 8
    assert len(drawn(examples, None, 7)) == len(examples.rows("train"))


def test_of_copies_one_is_seen() -> None:
    data, _ = planted()
    examples = replace(data.examples, group=data.examples.group // 2)

    rows = drawn(examples, None, 7)
    facts = np.column_stack([examples.group[rows], examples.targets[rows]])
    assert len(np.unique(facts, axis=0)) == len(rows) < len(examples.rows("train"))


@pytest.mark.parametrize("shots", [1, 7])
def test_fewer_than_eight_of_a_class_are_refused(shots: int) -> None:
    data, _ = planted()

    with pytest.raises(UsageError) as caught:
        drawn(data.examples, shots, 7)
    assert caught.value.code == "too_few_labels"


def test_eight_copies_of_one_image_are_too_few() -> None:
    data, _ = planted()
    examples = data.examples
    group = np.where(examples.targets[:, 0], 0, examples.group + 1)

    with pytest.raises(UsageError, match="Hate: 1 with it") as caught:
        drawn(replace(examples, group=group), None, 7)
    assert caught.value.code == "too_few_labels"


def test_the_head_that_is_written_gives_the_logits_that_are_told(tmp_path: Path) -> None:
    data, rows = planted(distance=6.0)
    features = Features(rows, "dummy", DUMMY)
    outcome = learn_few_shot(data, features, FewShotOptions(shots=8), 7)
    again = learn_few_shot(data, features, FewShotOptions(shots=8), 7)

    outcome.write(tmp_path)
    head = read_head(tmp_path / HEAD, outcome.parts["head"])
    assert isinstance(head, TrainedMlp)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for part in ("validation", "calibration", "test"):
        own = data.examples.rows(part)
        np.testing.assert_allclose(head.logits(unit[own]), outcome.logits[part], atol=1e-5)
        assert np.array_equal(outcome.logits[part], again.logits[part])
    test = data.examples.rows("test")
    right = (outcome.logits["test"] > 0) == data.examples.targets[test]
    assert right.mean() > 0.85
    assert outcome.facts["learned_from"] == 32
    assert outcome.facts["labels"]["Hate"]["unsafe"] == 8
    assert not outcome.caveats


def test_labels_that_the_features_know_nothing_of_are_named() -> None:
    data, rows = planted(categories=(Category.HATE,))
    noise = np.random.default_rng(3).normal(size=rows.shape).astype(np.float32)
    told = [
        learn_few_shot(data, Features(noise, "dummy", DUMMY), FewShotOptions(8), seed).caveats
        for seed in range(10)
    ]

    assert any(caveat.code == "nothing-learned" for one in told for caveat in one)


def test_unknown_targets_are_left_out() -> None:
    data, rows = planted()
    known = data.examples.known.copy()
    known[data.examples.targets[:, 1], 0] = False
    hidden = replace(data, examples=replace(data.examples, known=known))
    wild = rows.copy()
    wild[data.examples.targets[:, 1]] += 1000

    features, other = Features(rows, "dummy", DUMMY), Features(wild, "dummy", DUMMY)
    one = learn_few_shot(hidden, features, FewShotOptions(), 7).facts["labels"]["Hate"]
    two = learn_few_shot(hidden, other, FewShotOptions(), 7).facts["labels"]["Hate"]
    assert one == two


def test_priors_that_cannot_be_are_refused_before_any_work() -> None:
    with pytest.raises(UsageError, match="no text tower"):
        check_options("dummy", FewShotOptions(prior="texts"))
    with pytest.raises(UsageError, match="two priors"):
        check_options("clip-l14", FewShotOptions(prior="texts", start=Path("x")))
