"""TensorFlow.js models: its own answers on small networks, and files that are not what they say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.formats.networks import run
from tests.golden.patterns import TFJS, pattern
from vedette.errors import ModelError
from vedette.formats.keras import to_onnx
from vedette.formats.tfjs import read_tfjs, tfjs_files

NAMES = ("chain", "graph", "nested", "chain_exact")
"""Stored as uint8, uint16, float16 and float32."""


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_tensorflow_js(name: str) -> None:
    network = to_onnx(*read_tfjs(TFJS / name))
    images = pattern(network.height, network.width, 1)[None].astype(np.float32) / 255
    probabilities, embedding = run(network, images)
    golden = json.loads((TFJS / name / "golden.json").read_text())
    np.testing.assert_allclose(probabilities[0], golden["probabilities"], atol=1e-5)
    np.testing.assert_allclose(embedding[0], golden["embedding"], rtol=1e-5, atol=1e-5)
    assert (network.labels, network.dim) == (probabilities.shape[1], embedding.shape[1])


def test_the_files_of_a_model() -> None:
    names = [path.name for path in tfjs_files(TFJS / "chain")]
    assert names == ["model.json", "shard1", "shard2"]


def copied(folder: Path, edit: Callable[[dict[str, Any]], None] | None = None) -> Path:
    shutil.copytree(TFJS / "chain", folder, dirs_exist_ok=True)
    if edit is not None:
        manifest = json.loads((folder / "model.json").read_text())
        edit(manifest)
        (folder / "model.json").write_text(json.dumps(manifest))
    return folder


def refused(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        to_onnx(*read_tfjs(folder))
    return caught.value


@pytest.mark.parametrize(
    "path",
    [
        *("../shard1", "/shard1", "a/../../shard1", "..", "", ".", "\\\\host\\shard1"),
        *("..\\shard1", "C:shard1", "file:shard1", "shard1\0"),
    ],
)
def test_a_shard_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "shard1").write_bytes((TFJS / "chain" / "shard1").read_bytes())

    def edit(manifest: dict[str, Any]) -> None:
        manifest["weightsManifest"][0]["paths"][0] = path

    folder = copied(tmp_path / "model", edit)
    error = refused(folder)
    assert error.code == "weights_unusable"
    assert "not inside the model's folder" in error.message
    with pytest.raises(ModelError):
        tfjs_files(folder)


def test_a_shard_below_the_folder_is_read(tmp_path: Path) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        manifest["weightsManifest"][0]["paths"][0] = "below/shard1"

    folder = copied(tmp_path, edit)
    (folder / "below").mkdir()
    (folder / "shard1").rename(folder / "below" / "shard1")
    assert len(read_tfjs(folder)[1]) == len(read_tfjs(TFJS / "chain")[1])


@pytest.mark.parametrize("name", ["model.json", "shard1", "shard2"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = copied(tmp_path)
    (folder / name).unlink()
    error = refused(folder)
    assert error.code == "weights_missing"
    assert name in error.message


@pytest.mark.parametrize("change", [-1, 1, -10_000])
def test_a_shard_of_another_size_is_refused(tmp_path: Path, change: int) -> None:
    folder = copied(tmp_path)
    data = (folder / "shard2").read_bytes()
    (folder / "shard2").write_bytes(data + b"!" if change > 0 else data[:change])
    assert "the manifest says 608" in refused(folder).message


def weight(index: int, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["weightsManifest"][0]["weights"][index].update(changes)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda m: m.update(format="graph-model"), "graph-model"),
        (lambda m: m.update(format=None), "not a layers-model"),
        (lambda m: m.pop("weightsManifest"), "not a list"),
        (lambda m: m.pop("modelTopology"), "not an object"),
        (lambda m: m["modelTopology"].update(model_config=[]), "not an object"),
        (weight(0, dtype="int32"), "int32"),
        (weight(0, shape=[1 << 20, 1 << 20]), "asks for"),
        (weight(0, shape=[-1]), "no usable number"),
        (weight(0, shape=[1] * 70), "too many sides"),
        (weight(0, quantization={"dtype": "uint4"}), "uint4"),
        (weight(0, quantization={"dtype": "uint8", "scale": 1}), "min"),
        (weight(1, quantization={"dtype": "uint8", "scale": float("nan"), "min": 0}), "scale"),
        (lambda m: m["weightsManifest"].append(m["weightsManifest"][0]), "two weights"),
    ],
)
def test_manifests_that_are_not_read_are_refused(
    tmp_path: Path, edit: Callable[[dict[str, Any]], None], words: str
) -> None:
    error = refused(copied(tmp_path, edit))
    assert error.code == "weights_unusable"
    assert words in error.message


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a": 1e999}'])
def test_what_is_no_json_is_refused(tmp_path: Path, text: bytes) -> None:
    folder = copied(tmp_path)
    (folder / "model.json").write_bytes(text)
    assert refused(folder).code == "weights_unusable"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("tfjs"))


MODEL = (TFJS / "chain" / "model.json").read_bytes()


@given(at=st.integers(0, len(MODEL) - 1), byte=st.integers(0, 255), cut=st.booleans())
def test_damaged_topologies_are_refused_or_read(
    scratch: Path, at: int, byte: int, cut: bool
) -> None:
    damaged = MODEL[:at] if cut else MODEL[:at] + bytes([byte]) + MODEL[at + 1 :]
    (scratch / "model.json").write_bytes(damaged)
    assert outcome(scratch) in ("read", "weights_unusable", "weights_missing")
    assert not cut or at >= len(MODEL.rstrip()) or outcome(scratch) == "weights_unusable"


def outcome(folder: Path) -> str:
    try:
        to_onnx(*read_tfjs(folder))
    except ModelError as error:
        return error.code
    return "read"
