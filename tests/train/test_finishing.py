from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.train import outcomes, sets
from vedette.bench.fingerprints import FILE, read_fingerprints
from vedette.data.cards import card_named
from vedette.data.opening import open_source
from vedette.errors import ModelError, VedetteError
from vedette.models.base import ModelOptions
from vedette.models.exported import CARD_FILE
from vedette.models.registry import build, check_commercial, get
from vedette.models.trained import CALIBRATION, POLICY, REPORT, TRAINING, read_manifest
from vedette.pipeline import Scanner
from vedette.policy import load_policy
from vedette.settings import Settings
from vedette.train.calibration.targets import Target
from vedette.train.data import SetOptions, TrainingSet, read_training_set
from vedette.train.finishing import FinishOptions, Outcome, finish
from vedette.train.measured import Measured
from vedette.train.workplace import workplace
from vedette.types import Image


def finished(
    out: Path, data: TrainingSet, outcome: Outcome, options: FinishOptions | None = None
) -> Measured:
    with workplace(out, {"seed": 1}, overwrite=True) as place:
        return finish(place, data, outcome, options or FinishOptions(), time.monotonic())


@pytest.fixture(scope="module")
def planted() -> TrainingSet:
    return sets.planted(per_category=300, safe=600)[0]


@pytest.fixture(scope="module")
def folder(planted: TrainingSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "mine"
    finished(out, planted, outcomes.outcome_of(planted), FinishOptions(command="vedette train x"))
    return out


def test_the_folder_has_all_that_the_docs_name(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}

    assert names == {CARD_FILE, "head.safetensors", CALIBRATION, POLICY, TRAINING, REPORT}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_folder_is_a_model(folder: Path) -> None:
    with Scanner(str(folder), str(folder / POLICY)) as scanner:
        record = scanner.scan(np.full((40, 40, 3), 200, np.uint8))

    assert record.failure is None
    assert record.models == (f"mine@{read_manifest(folder).card.revision}",)
    assert record.scores is not None
    assert record.scores.calibrated == read_manifest(folder).card.calibrated
    assert set(record.scores.as_dict()) == set(read_manifest(folder).card.covered)


def test_the_folder_applies_its_calibration(folder: Path, planted: TrainingSet) -> None:
    model = build(str(folder), ModelOptions())
    image = np.full((40, 40, 3), 90, np.uint8)
    (prediction,) = model.infer([model.prepare(Image(image, "", 40, 40, "PNG"))])
    head = outcomes.head_over_dummy(planted.examples.labels)
    assert prediction.embedding is not None
    raw = head.scores(prediction.embedding[None])[0]

    calibration = read_manifest(folder).calibration()
    assert calibration is not None
    assert prediction.probs == pytest.approx(calibration.probabilities(head.labels, raw), abs=1e-6)
    assert np.abs(prediction.probs - raw).max() > 1e-3


def test_the_card_carries_terms_and_what_was_measured(folder: Path) -> None:
    card = get(str(folder)).card

    assert card.measured.startswith("unsafe F1 0.")
    assert "planted" in card.trained_on
    assert [needed.id for needed in card.needs] == ["dummy"]
    assert card.revision.startswith("trained-")


def test_a_set_that_forbids_commercial_use_binds_the_model(
    planted: TrainingSet, tmp_path: Path
) -> None:
    bound = replace(planted, card=card_named("unsafebench"))

    finished(tmp_path / "out", bound, outcomes.outcome_of(bound))

    with pytest.raises(ModelError) as caught:
        check_commercial(get(str(tmp_path / "out")).card)
    assert caught.value.code == "terms_refused"


def test_the_account_says_how_to_do_it_again(folder: Path, planted: TrainingSet) -> None:
    told = json.loads((folder / TRAINING).read_text())

    assert told["command"] == "vedette train x"
    assert told["data"]["images"]["test"] == len(planted.examples.rows("test"))
    assert [one["epoch"] for one in told["history"]] == [1, 2, 3]
    f1 = told["metrics"]["overall"]["f1"]
    assert 0 < f1["low"] <= f1["value"] <= f1["high"] <= 1
    assert set(told["thresholds"]) == set(planted.examples.labels)


def test_the_policy_asks_about_every_label(folder: Path, planted: TrainingSet) -> None:
    policy = load_policy(folder / POLICY)

    assert {category.value for category in policy.categories} == set(planted.examples.labels)


def test_calibration_mends_logits_that_are_too_sure(planted: TrainingSet, tmp_path: Path) -> None:
    outcome = outcomes.outcome_of(planted, noise=2.0)
    sure = replace(outcome, logits={part: 6 * z for part, z in outcome.logits.items()})

    found = finished(tmp_path / "out", planted, sure)

    for before, after in found.ece.values():
        assert before is not None
        assert after is not None
        assert after < before


def test_the_same_outcome_gives_the_same_revision(planted: TrainingSet, tmp_path: Path) -> None:
    revisions = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        finished(tmp_path / name / "out", planted, outcomes.outcome_of(planted))
        revisions.add(read_manifest(tmp_path / name / "out").card.revision)

    assert len(revisions) == 1


def test_scores_that_are_no_numbers_leave_nothing(planted: TrainingSet, tmp_path: Path) -> None:
    outcome = outcomes.outcome_of(planted)
    outcome.logits["test"][0, 0] = np.nan

    with pytest.raises(VedetteError) as caught:
        finished(tmp_path / "out", planted, outcome)

    assert caught.value.code == "training_failed"
    assert list(tmp_path.iterdir()) == []


def test_weights_that_cannot_be_written_leave_nothing(planted: TrainingSet, tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        with open("/dev/full", "wb") as full:
            full.write(b"x" * 2**20)

    with pytest.raises(VedetteError) as caught:
        finished(tmp_path / "out", planted, replace(outcomes.outcome_of(planted), write=write))

    assert caught.value.code == "write_failed"
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_calibration(planted: TrainingSet, tmp_path: Path) -> None:
    options = FinishOptions(calibration="none", target=Target("recall", 0.9))

    finished(tmp_path / "out", planted, outcomes.outcome_of(planted), options)

    assert not (tmp_path / "out" / CALIBRATION).exists()
    assert get(str(tmp_path / "out")).card.calibrated is None


def test_a_set_of_pictures_is_fingerprinted_but_for_its_test(tmp_path: Path) -> None:
    _, source = open_source("synth:0.05")
    data = read_training_set("synth:0.05", source, Settings(), SetOptions())

    found = finished(tmp_path / "out", data, outcomes.outcome_of(data))

    examples = data.examples
    known = read_fingerprints(tmp_path / "out" / FILE)
    assert len(known) == len(examples) - len(examples.rows("test"))
    assert {caveat.code for caveat in found.caveats} >= {"stand-in"}
    page = (tmp_path / "out" / REPORT).read_text()
    assert page.count("data:image/jpeg;base64,") >= 1
    assert "stand-in: drawn pictures" in page


def test_what_a_kill_left_of_a_half_written_folder_is_not_in_the_next(
    planted: TrainingSet, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    with workplace(out, {"seed": 1}, overwrite=True) as place:
        (place.state / "model").mkdir()
        (place.state / "model" / "half").write_text("x")
        finish(place, planted, outcomes.outcome_of(planted), FinishOptions(), time.monotonic())

    assert not (out / "half").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
