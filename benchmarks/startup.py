"""How long it takes to start: ``--help``, and the first verdict on one picture.

    python benchmarks/startup.py PHOTO.jpg

Processes of their own, in turns, medians. ``--help`` is held against ``import typer, rich``; the
first verdict, from starting Python to the Record, against the bare session: OpenVINO or ONNX
Runtime imported, the same network loaded, compiled in the same precision and run once on zeros.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from vedette.backends.base import choose
from vedette.models.nudenet import CARD, weights_path

VERDICT = "from vedette import Scanner; Scanner().scan({photo!r})"
BARE = {
    "openvino": """
import sys
sys.modules["openvino_telemetry"] = None  # else OpenVINO reports its import over the network
import numpy, openvino
core = openvino.Core()
model = core.read_model({weights!r})
model.reshape([1, 3, {height}, {width}])
config = {{"INFERENCE_PRECISION_HINT": {precision!r}}}
core.compile_model(model, "CPU", config)(numpy.zeros((1, 3, {height}, {width}), "float32"))
""",
    "onnx": """
import numpy, onnxruntime
session = onnxruntime.InferenceSession({weights!r}, providers=["CPUExecutionProvider"])
session.run(None, {{"images": numpy.zeros((1, 3, {height}, {width}), "float32")}})
""",
}


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def ratio(name: str, ours: list[str], peer: list[str], rounds: int) -> None:
    seconds(ours), seconds(peer)  # files cached
    pairs = [(seconds(ours), seconds(peer)) for _ in range(rounds)]
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"{name}: {mine * 1000:.0f} ms against {theirs * 1000:.0f} ms: {mine / theirs:.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--rounds", type=int, default=11)
    args = parser.parse_args()
    python = [sys.executable, "-c"]
    program = [str(Path(sys.executable).with_name("vedette")), "--help"]
    ratio(
        "--help against import typer, rich", program, [*python, "import typer, rich"], args.rounds
    )
    choice = choose("auto", "auto", CARD.precisions)
    bare = BARE[choice.backend].format(
        weights=str(weights_path()),
        precision={"fp32": "f32", "bf16": "bf16"}[choice.precision],
        height=256,
        width=320,
    )
    verdict = VERDICT.format(photo=str(args.photo))
    name = f"first verdict against the bare session ({choice.backend} {choice.precision})"
    ratio(name, [*python, verdict], [*python, bare], args.rounds)


if __name__ == "__main__":
    main()
