"""``vedette calibrate`` as a user runs it, and what it makes under ``scan`` and ``decide``."""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.cli.test_cli import vedette
from tests.pictures import folder_of
from vedette import Scanner
from vedette.calibrate import Calibration, Calibrator, read_calibration
from vedette.cli import app
from vedette.errors import UsageError
from vedette.models.dummy import CARD, Dummy
from vedette.policy import load_policy
from vedette.taxonomy import Category
from vedette.wire import read_jsonl

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
COUNT = 150
COMMON = ("--labels", "labels", "--out", "made")


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, their Records, and a folder of classes that the scores know something about."""
    place = tmp_path_factory.mktemp("scanned")
    folder_of(place / "pictures", COUNT)
    done = vedette("scan", "pictures", "-m", "dummy", "-q", "--out", "r.jsonl", cwd=place)
    assert done.returncode in (0, 1)
    rng = np.random.default_rng(0)
    for name in ("safe", "violence"):
        (place / "labels" / name).mkdir(parents=True)
    records = list(read_jsonl(place / "r.jsonl"))
    p = np.array([one.scores.p[Category.VIOLENCE.position] for one in records if one.scores])
    unsafe = p + rng.normal(scale=p.std(), size=COUNT) > np.quantile(p, 0.6)
    for one, label in zip(records, unsafe, strict=True):
        name = Path(one.key).name
        shutil.copy(
            place / "pictures" / name, place / "labels" / ("violence" if label else "safe") / name
        )
    return place


@pytest.fixture
def place(scanned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with nothing made yet, and where the commands run."""
    for name in ("pictures", "labels", "r.jsonl"):
        (tmp_path / name).symlink_to(scanned / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclasses.dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def run(*args: str) -> Done:
    """A command in this process: starting one takes longer than what it does."""
    result = CliRunner().invoke(app, args)
    return Done(result.exit_code, result.stdout, result.stderr)


def test_curves_thresholds_and_promises_are_written(place: Path) -> None:
    done = vedette("calibrate", "r.jsonl", *COMMON, "--target", "recall>=0.9", cwd=place)

    assert done.returncode == 0, done.stderr
    first, head, row, promise = done.stdout.splitlines()
    assert first == f"{COUNT} labelled Records of dummy@1"
    assert head.split()[:4] == ["category", "unsafe", "safe", "curve"]
    assert row.split()[0] == "Violence"
    assert promise.startswith("Violence: recall >= 90 % with 95 % confidence on ")
    calibration = read_calibration(place / "made" / "calibration.json", categories=True)
    policy = load_policy(str(place / "made" / "policy.toml"))
    assert (calibration.model, list(calibration.of)) == ("dummy@1", ["Violence"])
    assert policy.name == "made"
    assert f"# {promise.removeprefix('Violence: ')}" in (place / "made/policy.toml").read_text()


def test_scan_and_decide_apply_them_alike(place: Path) -> None:
    assert vedette("calibrate", "r.jsonl", *COMMON, cwd=place).returncode == 0
    both = ("--policy", "made/policy.toml", "--calibration", "made/calibration.json", "-q")

    decided = vedette("decide", "r.jsonl", *both, "--out", "decided.jsonl", cwd=place)
    again = vedette("scan", "pictures", "-m", "dummy", *both, "--out", "again.jsonl", cwd=place)

    assert decided.returncode == again.returncode == 1
    calibration = read_calibration(place / "made" / "calibration.json", categories=True)
    pairs = zip(read_jsonl(place / "decided.jsonl"), read_jsonl(place / "again.jsonl"), strict=True)
    actions = set()
    for one, other in pairs:
        assert (one.scores, one.verdict) == (other.scores, other.verdict)
        assert one.scores is not None
        assert one.scores.calibrated == calibration.name
        actions.add(one.verdict.action.value)
    assert actions == {"allow", "review"}


def test_the_settings_name_a_calibration_too(place: Path) -> None:
    assert run("calibrate", "r.jsonl", *COMMON).returncode == 0
    (place / "v.toml").write_text('model = "dummy"\ncalibration = "made/calibration.json"\n')

    done = run("scan", "pictures/0000.png", "--config", "v.toml", "--json")

    assert json.loads(done.stdout)["calibrated"].startswith("platt on 150 labels of labels, ")


def test_a_scan_is_not_resumed_under_another_calibration(place: Path) -> None:
    assert run("calibrate", "r.jsonl", *COMMON).returncode == 0
    scan = ("scan", "pictures", "-m", "dummy", "-q", "--out", "again.jsonl", "--resume")
    assert run(*scan).returncode in (0, 1)

    done = run(*scan, "--calibration", "made/calibration.json")

    assert done.returncode == 2
    assert "[resume_mismatch]" in done.stderr


def test_too_few_labels_for_the_target_are_told_and_written(place: Path) -> None:
    done = run("calibrate", "r.jsonl", *COMMON, "--target", "fpr<=0.01", "--action", "block")

    assert done.returncode == 3
    assert "Violence: NOT PROMISED: FPR <= " in done.stdout
    assert "299 are needed to promise 1 %" in done.stdout
    assert "# NOT PROMISED." in (place / "made" / "policy.toml").read_text()
    rule = load_policy(str(place / "made" / "policy.toml")).categories[Category.VIOLENCE]
    assert rule.review is None
    assert rule.block is not None


def test_a_base_rate_of_ones_own_is_told_with_the_precision_to_expect(place: Path) -> None:
    done = run(
        *("calibrate", "r.jsonl", *COMMON, "--base-rate", "0.5", "--base-rate", "violence=0.001"),
        *("--target", "cost=20:1", "--method", "platt"),
    )

    assert done.returncode == 0
    assert "precision" in done.stdout
    assert "at a base rate of 0.001 " in done.stdout
    curve = read_calibration(place / "made/calibration.json", categories=True).of["Violence"]
    assert curve.shift < -5


def test_none_writes_a_policy_alone_and_removes_an_old_calibration(place: Path) -> None:
    assert run("calibrate", "r.jsonl", *COMMON).returncode == 0
    refused = run("calibrate", "r.jsonl", *COMMON, "--method", "none")
    done = run("calibrate", "r.jsonl", *COMMON, "--method", "none", "--overwrite")

    assert "[output_exists]" in refused.stderr
    assert done.returncode == 0
    assert "as they are" in (place / "made" / "policy.toml").read_text()
    assert not (place / "made" / "calibration.json").exists()


def test_an_old_calibration_is_never_beside_a_policy_that_could_not_be_replaced(
    place: Path,
) -> None:
    assert run("calibrate", "r.jsonl", *COMMON).returncode == 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        done = run("calibrate", "r.jsonl", *COMMON, "--target", "recall>=0.9", "--overwrite")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert done.returncode == 2
    assert "[write_failed]" in done.stderr
    assert not (place / "made" / "calibration.json").exists()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--target", "f1>=0.9"), "usage"),
        (("--confidence", "1"), "usage"),
        (("--base-rate", "2"), "usage"),
        (("--base-rate", "Kittens=0.1"), "unknown_name"),
        (("--category", "Kittens"), "unknown_name"),
        (("--part", "validation"), "usage"),
        (("--split", "none.jsonl"), "usage"),
        (("--out", "no/such/place"), "write_failed"),
        (("--out", "r.jsonl"), "write_failed"),
        (("--labels", "pictures"), "too_few_labels"),
        (("--labels", "nowhere"), "not_found"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    place: Path, more: tuple[str, ...], code: str
) -> None:
    done = run("calibrate", "r.jsonl", *COMMON, *more)

    assert done.returncode == 2
    assert f"[{code}]" in done.stderr.splitlines()[-1]
    assert not (place / "made").exists()


def test_calibrated_records_are_refused(place: Path) -> None:
    assert run("calibrate", "r.jsonl", *COMMON).returncode == 0
    both = ("--policy", "default", "--calibration", "made/calibration.json", "-q")
    run("decide", "r.jsonl", *both, "--out", "decided.jsonl")

    twice = ("calibrate", "decided.jsonl", *COMMON, "--overwrite")
    for again in (twice, ("decide", "decided.jsonl", *both)):
        done = run(*again)
        assert done.returncode == 2
        assert "[bad_calibration]" in done.stderr


class Calibrated(Dummy):
    """The dummy, calibrated by itself."""

    card = dataclasses.replace(CARD, calibrated="its own")


def test_another_models_calibration_and_a_second_one_are_refused() -> None:
    curve = {"Violence": Calibrator("platt", (1.0, 0.5))}
    for model, calibration in (
        (Dummy(), Calibration("c", "nudenet@1", curve)),
        (Calibrated(), Calibration("c", "dummy@1", curve)),
    ):
        with pytest.raises(UsageError) as caught:
            Scanner(model, calibration=calibration)
        assert caught.value.code == "bad_calibration"
    with Scanner(Calibrated()) as scanner:
        assert scanner.calibrated == "its own"


def test_frames_are_calibrated_as_the_file_is() -> None:
    curve = {c.value: Calibrator("platt", (0.5, 1.0)) for c in Category}
    calibration = Calibration("c", "dummy@1", curve)
    with Scanner("dummy") as plain, Scanner("dummy", calibration=calibration) as calibrated:
        before, after = (s.scan(PICTURES / "moving.gif") for s in (plain, calibrated))

    stored = calibration.record(before)
    assert after.frames > 1
    assert after.scores == stored.scores
    assert after.timeline == stored.timeline
    assert after.timeline[0].p != before.timeline[0].p
