"""What each choice of the CPU sessions is worth, on NudeNet's network alone.

    python benchmarks/sessions.py PHOTOS/small

Every row is two ways of running the same tensors on all cores, in turns, medians of the rounds:
the way the sessions do it, and the way they do not.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from vedette.backends.base import Array, PixelNorm, choose, cores, open_session
from vedette.backends.openvino import OpenVinoSession, cpu_has_bf16, import_openvino
from vedette.decode import DecodeOptions, InlineDecoder
from vedette.models.nudenet import CARD, NudeNet, weights_path
from vedette.types import Item

ROUNDS, IMAGES = 7, 240
Runner = Callable[[list[Array]], None]


def rates(runners: dict[str, tuple[Runner, list[Array]]]) -> dict[str, float]:
    """Images/s of each runner on its tensors, in turns."""
    seen: dict[str, list[float]] = {name: [] for name in runners}
    for run, tensors in runners.values():
        run(tensors)  # shapes compiled
    for _ in range(ROUNDS):
        for name, (run, tensors) in runners.items():
            started = time.perf_counter()
            run(tensors)
            seen[name].append(len(tensors) / (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in seen.items()}


def as_session(backend: str, precision: str) -> Runner:
    """One image at a time on each of the session's streams: what a scan does."""
    session = open_session(weights_path(), PixelNorm(), choose(backend, precision, CARD.precisions))

    def run(tensors: list[Array]) -> None:
        with ThreadPoolExecutor(session.streams) as pool:
            list(pool.map(lambda tensor: session.run({"images": tensor}), tensors))

    return run


def as_one_network(precision: str, shape: list[int]) -> Runner:
    """One network with a stream for each core, on an AsyncInferQueue; -1 for dynamic axes."""
    openvino = import_openvino()
    core = openvino.Core()
    model = core.read_model(str(weights_path()))
    model.reshape(shape)
    hint = {"fp32": "f32", "bf16": "bf16"}[precision]
    config = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": cores()}
    queue = openvino.AsyncInferQueue(core.compile_model(model, "CPU", config), cores())

    def run(tensors: list[Array]) -> None:
        for tensor in tensors:
            planes = tensor.transpose(0, 3, 1, 2).astype(np.float32)
            queue.start_async({0: planes})
        queue.wait_all()

    return run


def as_shared_streams(precision: str) -> Runner:
    """A network for each shape, each with a stream for each core, pinned as OpenVINO likes."""
    core = import_openvino().Core()
    session = OpenVinoSession(weights_path(), PixelNorm(), precision)
    networks: dict[tuple[int, ...], Any] = {}
    stream = session._idle.get()
    config = {**stream._config, "NUM_STREAMS": cores(), "INFERENCE_NUM_THREADS": cores()}
    del config["ENABLE_CPU_PINNING"]

    def one(tensor: Array) -> None:
        networks[tensor.shape].create_infer_request().infer({0: tensor})

    def run(tensors: list[Array]) -> None:
        for tensor in tensors:
            if tensor.shape not in networks:
                model = stream._model.clone()
                model.reshape(list(tensor.shape))
                networks[tensor.shape] = core.compile_model(model, "CPU", config)
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(one, tensors))

    return run


def as_batches(size: int) -> Runner:
    """Batches in ONNX Runtime, each on all cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(
        str(weights_path()), options, providers=["CPUExecutionProvider"]
    )

    def run(tensors: list[Array]) -> None:
        for at in range(0, len(tensors), size):
            batch = np.concatenate(tensors[at : at + size])
            planes = batch.transpose(0, 3, 1, 2).astype(np.float32) / 255
            session.run(None, {"images": planes})

    return run


def prepared(folder: Path) -> list[Array]:
    """The photographs as the default mode feeds them, in their order."""
    model = NudeNet(open_session(weights_path(), PixelNorm(), choose("onnx", "fp32", ("fp32",))))
    decoder = InlineDecoder(DecodeOptions(fit=CARD.fit))
    files = sorted(folder.glob("*.jpg"))
    images = (next(iter(decoder.frames(Item(str(file), file)))) for file in files)
    tensors = [model.prepare(image).pixels[None] for image in images]
    return (tensors * -(-IMAGES // len(tensors)))[:IMAGES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    mixed = prepared(parser.parse_args().folder)
    precision = "bf16" if cpu_has_bf16() else "fp32"
    rng = np.random.default_rng(0)

    def same(height: int) -> list[Array]:
        return [rng.integers(0, 255, (1, height, 320, 3), dtype=np.uint8)] * IMAGES

    session = as_session("openvino", precision)
    found = rates(
        {
            f"openvino {precision}, 320 x 320": (session, same(320)),
            f"openvino {precision}, 320 x 256": (session, same(256)),
            f"openvino {precision}, 320 x 224": (session, same(224)),
            "320 x 256, one dynamic network": (
                as_one_network(precision, [1, 3, -1, -1]),
                same(256),
            ),
            "photographs of mixed shapes, streams of their own": (session, mixed),
            "photographs of mixed shapes, shared streams": (as_shared_streams(precision), mixed),
            "onnx fp32, one image on each core": (as_session("onnx", "fp32"), same(320)),
            "onnx fp32, batches of 8 on all cores": (as_batches(8), same(320)),
        }
    )
    for name, rate in found.items():
        print(f"  {name:<52} {rate:7.1f} images/s")


if __name__ == "__main__":
    main()
