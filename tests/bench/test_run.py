"""A whole run as a user starts it: results, resuming after kill -9, warnings, the paper's form."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.bench.test_scoring import Stopping
from tests.bench.trained import train
from tests.pictures import drawn, encoded
from vedette.bench.classifier import ClassifierPredictor
from vedette.bench.result import read_result
from vedette.bench.run import Plan, read_set, run, with_fingerprints
from vedette.bench.scoring import read_answers
from vedette.bench.tasks.base import BenchOptions
from vedette.bench.tasks.registry import task_named
from vedette.cli import app
from vedette.data.opening import open_source
from vedette.settings import Settings

TRAINED_ON, DATA = "synth:0.04?difficulty=0", "synth:0.02?difficulty=0&seed=9"
FAST = ("--bootstrap", "100", "--images", "12", "--steps", "4", "--quiet")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("models") / "tiny", TRAINED_ON, epochs=6)


def vedette(*args: object) -> Result:
    return CliRunner().invoke(app, ["bench", *map(str, args)])


def results(out: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted(out.glob("*.json")):
        told = json.loads(path.read_text())
        found[f"{Path(told['model']['name']).name}/{told['task']}"] = told
    return found


def codes(told: dict[str, Any]) -> set[str]:
    return {caveat["code"] for caveat in told["caveats"]}


def test_every_task_gives_a_result_and_the_report_shows_all(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("run", "--data", DATA, "-m", model, "-m", "dummy", "--out", out, *FAST)
    done = vedette(*command)

    assert done.exit_code == 0, done.output
    found = results(out)
    tasks = [line.split()[0] for line in vedette("tasks").output.splitlines()]
    assert set(found) == {f"tiny/{task}" for task in tasks} | {
        f"dummy/{task}" for task in tasks if task != "robustness"
    }
    assert "dummy  robustness: not asked: dummy cannot be differentiated" in done.output
    for name, told in found.items():
        assert "stand-in" in codes(told), name
        assert told["versions"]["vedette"]
        assert told["data"]["split"] == "test"
        assert len(told["predictions"]["key"]) == told["data"]["images"] > 30
        read_result(next(out.glob(f"*--{told['task']}--*.json")))
    assert not (out / ".state").exists()

    page, text = tmp_path / "r.html", tmp_path / "r.md"
    shown = vedette("report", out, "--html", page, "--markdown", text)
    assert shown.exit_code == 0, shown.output
    for title in ("Robust accuracy", "F1: Lexica", "Reliability", "UMAP", "t-SNE"):
        assert title in page.read_text(), title

    before = {path: path.stat().st_mtime_ns for path in out.glob("*.json")}
    again = vedette(*command)
    assert again.output.count("(there already)") == len(before)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.json")} == before
    # Other options are another question.
    other = vedette(*command[:-2], "5", "--quiet", "--task", "coverage")
    assert "(there already)" not in other.output


def comparable(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name != "seconds"}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_killed_in_the_middle_and_started_again_is_the_same(model: Path, tmp_path: Path) -> None:
    def command(out: Path) -> list[str]:
        given = ["run", "--data", DATA, "-m", str(model), "--task", "robustness"]
        options = ["--bootstrap", "100", "--images", "32", "--steps", "10", "--quiet"]
        return [sys.executable, "-m", "vedette", "bench", *given, *options, "--out", str(out)]

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(command(whole), check=True, capture_output=True)
    kills = 0
    for lines in (4, 12):
        process = subprocess.Popen(
            command(cut), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end:
            journal = next(cut.glob(".state/*/robustness-*/robustness.jsonl"), None)
            if journal is not None and journal.read_bytes().count(b"\n") >= lines:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
        kills += process.wait() == -signal.SIGKILL
        if lines == 4:  # what a power cut may leave
            journal = next(cut.glob(".state/*/robustness-*/robustness.jsonl"))
            with journal.open("ab") as stream:
                stream.write(b'["fgsm/0.0')
    assert kills == 2
    kept = next(cut.glob(".state/*/robustness-*/robustness.jsonl")).read_bytes().count(b"\n")
    assert kept >= 12
    subprocess.run(command(cut), check=True, capture_output=True, env=os.environ)

    (a,), (b,) = results(whole).values(), results(cut).values()
    assert comparable(a) == comparable(b)
    attacks = {one["attack"] for one in a["metrics"]["attacks"]}
    assert attacks >= {"pgd", "deepfool", "apgd-ce", "apgd-margin", "fab", "square", "worst"}


def test_a_set_that_shares_pictures_with_the_training_set_says_so_on_top(
    model: Path, tmp_path: Path
) -> None:
    honest = tmp_path / "honest"
    vedette("run", "--data", DATA, "-m", model, "--task", "coverage", "--out", honest, *FAST)
    assert "overlap-with-training" not in codes(results(honest)["tiny/coverage"])

    # The whole of what it was trained on, as a set without a split of its own.
    part = tmp_path / "set"
    CliRunner().invoke(
        app, ["data", "synth", "--scale", "0.04", "--difficulty", "0", "--out", str(part)]
    )
    split = tmp_path / "split.jsonl"
    CliRunner().invoke(app, ["data", "split", str(part), "--test", "0.5", "--out", str(split)])
    out = tmp_path / "out"
    done = vedette(
        "run", "--data", part, "--split", split, "-m", model, "--task", "coverage",
        "--out", out, *FAST,
    )  # fmt: skip
    told = results(out)["tiny/coverage"]

    assert done.exit_code == 0, done.output
    (caveat,) = [one for one in told["caveats"] if one["code"] == "overlap-with-training"]
    assert "the set that the model was trained on" in caveat["message"]
    shown = vedette("report", out).output
    assert shown.index("overlap-with-training") < shown.index("Coverage")
    given = vedette(
        "run", "--data", part, "-m", "dummy", "--task", "coverage", "--trained-on", part,
        "--out", tmp_path / "third", *FAST,
    )  # fmt: skip
    assert given.exit_code == 0, given.output
    assert "overlap-with-training" in codes(results(tmp_path / "third")["dummy/coverage"])


def test_the_papers_tables_come_out_in_form(model: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    CliRunner().invoke(app, ["data", "synth", "--scale", "0.02", "--out", str(hub)])
    out = tmp_path / "official"
    tasks = [t for name in ("coverage", "effectiveness", "robustness") for t in ("--task", name)]
    done = vedette(
        "run", "--data", hub, "--protocol", "official", "-m", model, *tasks, "--out", out, *FAST
    )

    assert done.exit_code == 0, done.output
    found = results(out)
    tables = {t["like"]: t for told in found.values() for t in told["tables"] if t["like"]}
    assert {"Table 3", "Table 4", "Table 5"} <= set(tables)
    fifth = tables["Table 5"]
    assert fifth["columns"] == ["GN", "FGSM", "PGD", "DeepFool", "Average"]
    assert list(fifth["rows"]) == ["Laion5B", "Lexica"]
    for cells in fifth["rows"].values():
        values = [cell["value"] for cell in cells]
        assert values[0] == 1.0  # noise that nobody can see
        assert values[4] == pytest.approx(sum(values[:4]) / 4, abs=1e-5)
    told = found["tiny/robustness"]
    assert "official-protocol" in codes(told)
    assert told["data"]["split"] == ""
    keys = told["predictions"]["key"]
    assert len(keys) == told["data"]["images"] > 190  # training and test images together


def test_what_cannot_be_run_is_said(tmp_path: Path) -> None:
    out = tmp_path / "out"
    unlabelled = tmp_path / "pictures"
    unlabelled.mkdir()
    (unlabelled / "a.png").write_bytes(b"no picture")
    for given, exit_code, said in (
        (("--data", DATA, "-m", "dummy", "--task", "robustness"), 3, "not asked"),
        (("--data", DATA, "-m", "dummy", "--task", "robustnes"), 2, "robustness"),
        (("--data", DATA, "-m", "dumy"), 2, "dummy"),
        (("--data", unlabelled, "-m", "dummy"), 2, "no labelled image"),
        (("--data", tmp_path / "nothing", "-m", "dummy"), 2, "[not_found]"),
    ):
        done = vedette("run", *given, "--out", out, *FAST)
        assert (done.exit_code, said in done.output) == (exit_code, True), done.output


def only(out: Path) -> dict[str, Any]:
    (path,) = out.glob("*.json")
    return dict(json.loads(path.read_text()))


def interrupted(data: str, out: Path) -> list[str]:
    """Score a set and stop in the middle; the keys that were answered."""
    _, source = open_source(data)
    bench = with_fingerprints(read_set(data, source, None, official=False), Settings())
    options = BenchOptions(bootstrap=100, images=12, steps=4)
    inner = ClassifierPredictor("dummy", Settings())
    stopping = Stopping(inner, 5)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(bench, stopping, Plan(out, (task_named("coverage"),), options, Settings()))
    finally:
        inner.close()
    return stopping.asked


def test_nothing_is_taken_over_from_another_set_or_another_training_set(tmp_path: Path) -> None:
    """Keys are the same in both sets; pictures are not."""
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    task = ("-m", "dummy", "--task", "coverage")
    first, second = "synth:0.01?seed=1", "synth:0.01?seed=2"
    stopped = interrupted(first, out)
    (journal,) = out.glob(".state/*/test.jsonl")
    assert len(list(read_answers(journal))) == len(stopped) == 5
    vedette("run", "--data", second, *task, "--out", out, *FAST)
    vedette("run", "--data", second, *task, "--out", fresh, *FAST)

    assert comparable(only(out)) == comparable(only(fresh))
    assert set(stopped) <= set(only(out)["predictions"]["key"])  # the names are the same
    # And of the first set, the same command goes on with what was answered.
    vedette("run", "--data", first, *task, "--out", out, *FAST)
    assert not (out / ".state").exists()
    next(path for path in out.glob("*.json") if f'"{first}"' in path.read_text()).unlink()

    # A training set that becomes known later is another result.
    again = vedette("run", "--data", second, *task, "--trained-on", second, "--out", out, *FAST)
    assert "(there already)" not in again.output
    assert "overlap-with-training" in codes(only(out))


def test_another_protocol_replaces_no_result(tmp_path: Path) -> None:
    task = ("--data", "synth:0.01", "-m", "dummy", "--task", "coverage", "--out", tmp_path, *FAST)
    for protocol in ("sound", "official", "sound"):
        assert vedette("run", *task, "--protocol", protocol).exit_code == 0
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_split_of_another_set_is_refused(tmp_path: Path) -> None:
    for name, seed in (("a", "1"), ("b", "2")):
        given = ("data", "synth", "--scale", "0.01", "--seed", seed, "--out", tmp_path / name)
        CliRunner().invoke(app, [*map(str, given)])
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "safe").mkdir()
    split = tmp_path / "split.jsonl"
    CliRunner().invoke(
        app, ["data", "split", str(tmp_path / "a"), "--folds", "3", "--out", str(split)]
    )
    done = vedette(
        "run", "--data", tmp_path / "a", "--split", split, "-m", "dummy", "--out", tmp_path / "r"
    )

    assert done.exit_code == 2
    assert "puts no image of the set into test" in done.output


def test_pictures_that_cannot_be_scored_show_in_the_exit_status(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for name in ("safe", "unsafe"):
        (folder / name).mkdir(parents=True)
        for k in range(3):
            (folder / name / f"{k}.png").write_bytes(encoded(drawn(k + 10 * len(name))))
    (folder / "safe" / "cut.png").write_bytes(encoded(drawn(99))[:80])
    task = ("-m", "dummy", "--task", "coverage", "--out", tmp_path / "out", *FAST)

    done = vedette("run", "--data", folder, *task)

    assert done.exit_code == 3, done.output
    told = only(tmp_path / "out")
    assert "not-scored" in codes(told)
    assert len(told["predictions"]["key"]) == 6
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no picture")
    nothing = vedette("run", "--data", folder, *task)
    assert (nothing.exit_code, "no image could be scored" in nothing.output) == (3, True)


def test_a_damaged_result_is_made_again(tmp_path: Path) -> None:
    task = ("--data", "synth:0.01", "-m", "dummy", "--task", "coverage", "--out", tmp_path, *FAST)
    vedette("run", *task)
    (path,) = tmp_path.glob("*.json")
    before = path.read_text()
    path.write_text(before[:500])

    assert vedette("run", *task).exit_code == 0
    assert comparable(json.loads(path.read_text())) == comparable(json.loads(before))


def test_an_empty_part_has_no_fingerprints(tmp_path: Path) -> None:
    done = vedette("fingerprints", "synth:0.01", "--part", "trian", "--out", tmp_path / "f.jsonl")

    assert done.exit_code == 2
    assert "test, train" in done.output
    assert not (tmp_path / "f.jsonl").exists()
