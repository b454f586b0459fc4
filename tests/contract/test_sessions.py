"""Every backend gives what fp32 ONNX Runtime gives, within its stated tolerance."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from vedette.backends.base import Array, Choice, PixelNorm, Session, choose, open_session
from vedette.backends.openvino import cpu_has_bf16
from vedette.errors import ModelError, UnknownNameError, VedetteError
from vedette.models.nudenet import weights_path

# Stated in docs/backends.md. Absolute difference of a score (0..1) from fp32 ONNX Runtime.
TOLERANCE = {"fp32": 1e-4, "bf16": 0.03}
CHOICES = [Choice("onnx", "fp32"), Choice("openvino", "fp32"), Choice("openvino", "bf16")]


@pytest.fixture(scope="module")
def reference() -> Callable[[Array], Array]:
    """The network run by ONNX Runtime directly, on float input made here."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(
        str(weights_path()), options, providers=["CPUExecutionProvider"]
    )

    def run(pixels: Array) -> Array:
        planes = pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255
        return np.asarray(session.run(None, {"images": planes})[0])

    return run


@pytest.fixture(scope="module", params=CHOICES, ids=lambda c: f"{c.backend}-{c.precision}")
def session(request: pytest.FixtureRequest) -> Session:
    choice: Choice = request.param
    if choice.precision == "bf16" and not cpu_has_bf16():
        pytest.skip("this CPU does not compute bf16 natively")
    return open_session(weights_path(), PixelNorm(), choice)


def pixels(count: int, height: int, width: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (count, height // 16, width // 16, 3))
    return coarse.repeat(16, axis=1).repeat(16, axis=2).astype(np.uint8)


@pytest.mark.parametrize("shape", [(320, 320), (224, 320), (320, 256)])
def test_agrees_with_the_reference(
    session: Session, reference: Callable[[Array], Array], shape: tuple[int, int]
) -> None:
    batch = pixels(3, *shape)
    scores = session.run({"images": batch})["output0"][:, 4:]
    assert scores.shape[0] == 3
    difference = np.abs(scores - reference(batch)[:, 4:]).max()
    assert difference <= TOLERANCE[session.precision]


def test_an_image_does_not_depend_on_its_batch(session: Session) -> None:
    batch = pixels(5, 256, 320)
    together = session.run({"images": batch})["output0"]
    alone = [session.run({"images": batch[i : i + 1]})["output0"][0] for i in range(5)]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_is_thread_safe(session: Session) -> None:
    batches = [pixels(2, 224 if seed % 2 else 256, 320, seed) for seed in range(12)]
    expected = [session.run({"images": batch})["output0"] for batch in batches]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda b: session.run({"images": b})["output0"], batches * 3))
    for result, wanted in zip(results, expected * 3, strict=True):
        np.testing.assert_array_equal(result, wanted)


def test_norm_is_applied_per_channel(reference: Callable[[Array], Array]) -> None:
    norm = PixelNorm(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    batch = pixels(1, 320, 320)
    outputs = [
        open_session(weights_path(), norm, Choice(backend, "fp32")).run({"images": batch})[
            "output0"
        ]
        for backend in ("onnx", "openvino")
    ]
    # The same normalisation made by hand, undone on the way into the reference's own / 255.
    wanted = (batch / 255 - np.array(norm.mean)) / np.array(norm.std) * 255
    for output in outputs:
        assert np.abs(output - reference(wanted))[:, 4:].max() <= TOLERANCE["fp32"]
    assert np.abs(outputs[0] - reference(batch)).max() > 0.1  # it does change something


def test_garbage_weights_are_a_model_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    for backend in ("onnx", "openvino"):
        with pytest.raises(ModelError, match=r"broken\.onnx") as caught:
            open_session(path, None, Choice(backend, "fp32"))
        assert caught.value.code == "backend_failed"


def test_auto_is_settled_by_what_the_cpu_computes() -> None:
    expected = "bf16" if cpu_has_bf16() else "fp32"
    assert choose("auto", "auto", ("fp32", "bf16")) == Choice("openvino", expected)
    assert choose("auto", "auto", ("fp32",)) == Choice("openvino", "fp32")
    assert choose("onnx", "auto", ("fp32", "bf16")) == Choice("onnx", "fp32")


@pytest.mark.parametrize(
    ("backend", "precision", "error"),
    [
        ("onx", "auto", UnknownNameError),
        ("auto", "int4", UnknownNameError),
        ("auto", "int8", ModelError),
        ("onnx", "bf16", ModelError),
    ],
)
def test_what_cannot_be_chosen(backend: str, precision: str, error: type[VedetteError]) -> None:
    with pytest.raises(error):
        choose(backend, precision, ("fp32", "bf16"))


def test_a_precision_that_the_card_does_not_admit() -> None:
    with pytest.raises(ModelError, match="changes its verdicts"):
        choose("openvino", "bf16", ("fp32",))


@pytest.mark.parametrize("first", ["", "import openvino_telemetry;"])
def test_openvinos_telemetry_is_kept_out(first: str) -> None:
    """OpenVINO's package sends an event when it is imported, if that package can be."""
    script = f"{first}" + (
        "import sys;"
        "from vedette.backends.openvino import cpu_has_bf16;"
        "from vedette import Scanner;"
        "before = 'openvino_telemetry' in sys.modules;"
        "cpu_has_bf16(); Scanner(model='nudenet').close();"
        "import openvino.tools.ovc as ovc;"
        "assert type(ovc.telemetry).__module__ == 'openvino.tools.ovc.telemetry_stub';"
        "assert ('openvino_telemetry' in sys.modules) is before"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.skipif(sys.platform == "darwin", reason="there the runtime may have an accelerator")
def test_a_backend_that_is_not_used_is_not_loaded() -> None:
    script = (
        "import sys; from vedette import Scanner; s = Scanner(model='nudenet');"
        "assert s.model.runtime.startswith('openvino'), s.model.runtime;"
        "assert 'onnxruntime' not in sys.modules; s.close()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
