"""Every model of the zoo, from the command line to the Records, as a user runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import zoo
from tests.pictures import folder_of
from vedette import Category
from vedette.models.vit import FALCONSAI

MODELS = [
    "falconsai",
    "marqo-384",
    "adamcodd",
    "clip-l14/nsfw-detector",
    "clip-b32/nsfw-detector",
    "q16",
    "multiheaded",
    "sd-filter",
    "clip-b32/zero-shot",
    "any(q16,nudenet)",
    "cascade(marqo-384 → falconsai)",
    "gantman",
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = folder_of(tmp_path_factory.mktemp("pictures"), 6)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return folder


def vedette(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vedette", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("model", MODELS)
def test_it_scans_a_folder(model: str, pictures: Path, store: Path, tmp_path: Path) -> None:
    if model == "gantman" and not (zoo.SHARED / "nsfwjs-mobilenet-v2").is_dir():
        pytest.skip("its weights are not beside this checkout")
    out = tmp_path / "r.jsonl"
    done = vedette("scan", pictures, "--model", model, "--out", out, "--embeddings")

    assert done.returncode == 3, done.stderr  # one file is no picture
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(records) == 7
    scanned = [r for r in records if r["failure"] is None]
    assert len(scanned) == 6
    (failed,) = [r for r in records if r["failure"] is not None]
    assert failed["action"] != "allow"
    for record in scanned:
        assert record["scores"]
        assert set(record["scores"]) <= {category.value for category in Category}
        assert all(0 <= p <= 1 for p in record["scores"].values())
        assert "embedding" in record
        assert "local-" in record["models"][0] or model == "gantman"
    if model.startswith("cascade"):
        deciders = {record["labels"]["Sexual"].split(":")[0] for record in scanned}
        assert deciders <= {"marqo-384", "falconsai"}
        assert "went on to falconsai" in done.stderr
    if model.startswith("any"):
        assert {label.split(":")[0] for r in scanned for label in r["labels"].values()} == {
            "q16",
            "nudenet-320n",
        }


def test_swapped_labels_are_read_by_name(
    pictures: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert FALCONSAI.weights is not None
    repo = FALCONSAI.weights.repo
    swapped = tmp_path / "store"
    zoo.relabelled(store / repo, swapped / repo)
    told = []
    for place in (store, swapped):
        monkeypatch.setenv("VEDETTE_MODELS", str(place))
        if place == swapped:
            trusted = vedette("models", "verify", "falconsai", "--trust")
            assert trusted.returncode == 0, trusted.stderr
        done = vedette("scan", pictures, "-m", "falconsai", "--json", "--precision", "fp32")
        records = [json.loads(line) for line in done.stdout.splitlines()]
        told.append([(r["key"], r["action"], r["scores"], r.get("labels")) for r in records])

    assert told[0] == told[1]
    assert len({json.dumps(scores) for _, _, scores, _ in told[0]}) > 3


@pytest.mark.parametrize("damage", ["truncated", "other", "missing"])
def test_bad_weights_are_refused_before_anything_is_scanned(
    damage: str, pictures: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "store"
    shutil.copytree(store, place)
    assert FALCONSAI.weights is not None
    weights = place / FALCONSAI.weights.repo / "model.safetensors"
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        weights.write_bytes(b"\0" * 100)
    monkeypatch.setenv("VEDETTE_MODELS", str(place))
    before = sorted(tmp_path.rglob("*"))

    done = vedette("scan", pictures, "-m", "falconsai", "--out", tmp_path / "r.jsonl")

    assert done.returncode == 2
    code = "weights_missing" if damage == "missing" else "weights_altered"
    assert f"[{code}]" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_commercial_use_is_refused_by_the_settings(
    pictures: Path, store: Path, tmp_path: Path
) -> None:
    config = tmp_path / "vedette.toml"
    config.write_text("commercial = true\n")

    refused = vedette("scan", pictures, "-m", "any(q16,falconsai)", "--config", config)
    allowed = vedette("scan", pictures, "-m", "falconsai", "--config", config, "-q")

    assert refused.returncode == 2
    assert "[terms_refused]" in refused.stderr
    assert allowed.returncode == 3


def test_an_export_from_the_command_line(pictures: Path, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "int8"
    done = vedette(
        *("models", "export", "marqo-384", "--out", out, "--format", "onnx"),
        *("--precision", "int8", "--calibrate", folder_of(tmp_path / "many", 16)),
        *("--max-drift", "0.5"),
    )

    assert done.returncode == 0, done.stderr
    assert "probabilities moved by at most" in done.stdout
    assert "Apache-2.0" in done.stdout
    scanned = vedette("scan", pictures, "--model", out, "--json")
    records = [json.loads(line) for line in scanned.stdout.splitlines()]
    assert sum(record["failure"] is None for record in records) == 6
