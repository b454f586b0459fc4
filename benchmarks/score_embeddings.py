"""``vedette score-embeddings`` against plain torch, and against reading the file alone.

    python benchmarks/score_embeddings.py --weights clip_autokeras_binary_nsfw.zip

Writes 2,000,000 float16 unit rows of 768 dimensions (3 GB) into a temporary folder, then scores
them with LAION's ViT-L/14 head. All run in one process on the same cores, in turns; the figures are
medians over the rounds. The file is in the page cache for everyone, so that the disk hides nothing.
A round in which other programs took more than 5 % of the cores is run again (Linux).

The peer is the published layers in ``torch.nn.Sequential`` in fp32, its rows from a memory map, at
the batch size that is best for it and with torch free to use all cores. The head's tables, which
cost more in torch than all else, are left out of it: the peer does less, and is wrong by up to
0.155. ``folded`` is the same with the scaling folded into the first layer by hand.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from vedette.backends.base import cores
from vedette.embeddings.base import Chunk, Columns, Matrix, Rows, open_matrix
from vedette.embeddings.run import score_matrix
from vedette.embeddings.scorer import ROWS, Scorer
from vedette.heads.laion import LaionNsfw, read_original

DIM = 768
PEER_BATCHES = (1024, 4096, 8192)
BLOCK = 50_000
MOST_OTHERS = 0.05


@dataclass
class Contender:
    """One thing that is timed: the rates of its rounds, in rows a second."""

    name: str
    run: Callable[[], object]
    count: int
    disturbed: int = 0
    rates: list[float] = field(default_factory=list)

    def round(self, until: float) -> None:
        """One undisturbed round; past ``until`` (time.monotonic), whatever comes."""
        while True:
            while others(lambda: time.sleep(0.2)) > MOST_OTHERS and time.monotonic() < until:
                pass
            started = time.perf_counter()
            disturbed = others(self.run) > MOST_OTHERS
            seconds = time.perf_counter() - started
            if not disturbed or time.monotonic() > until:
                self.disturbed += disturbed
                self.rates.append(self.count / seconds)
                return

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)


def others(work: Callable[[], object]) -> float:
    """The share of all cores that other programs took while ``work`` was done."""
    before, own, started = busy_seconds(), time.process_time(), time.perf_counter()
    work()
    seconds = max(time.perf_counter() - started, 1e-9)
    theirs = busy_seconds() - before - (time.process_time() - own)
    return theirs / (seconds * (os.cpu_count() or 1))


def busy_seconds() -> float:
    """Of all cores together; 0 where the system does not tell."""
    try:
        user, nice, system, _, _, *stolen = Path("/proc/stat").read_text().split()[1:9]
    except OSError:
        return 0.0
    return sum(map(int, (user, nice, system, *stolen))) / os.sysconf("SC_CLK_TCK")


def write_rows(path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    header = {"descr": "<f2", "fortran_order": False, "shape": (count, DIM)}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for first in range(0, count, BLOCK):
            block = rng.standard_normal((min(BLOCK, count - first), DIM), dtype=np.float32)
            block /= np.linalg.norm(block, axis=1, keepdims=True)
            stream.write(block.astype(np.float16).data)


class Scaling(torch.nn.Module):
    """Keras' normalisation, as published: its own pass over the rows."""

    def __init__(self, head: LaionNsfw) -> None:
        super().__init__()
        self.mean, self.std = torch.tensor(head.mean), torch.tensor(head.std)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std


def torch_net(head: LaionNsfw, *, folded: bool) -> torch.nn.Module:
    layers: list[torch.nn.Module] = [] if folded else [Scaling(head)]
    for k, dense in enumerate(head.mlp.layers):
        weight, bias = torch.from_numpy(dense.weight.T.copy()), torch.from_numpy(dense.bias.copy())
        if folded and k == 0:
            weight = weight / torch.tensor(head.std)
            bias = bias - weight @ torch.tensor(head.mean)
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight, linear.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)
        layers.append(linear)
        layers.append(torch.nn.ReLU() if dense.activation == "relu" else torch.nn.Sigmoid())
    return torch.nn.Sequential(*layers).eval()


def peer(path: Path, net: torch.nn.Module, batch: int) -> Callable[[], object]:
    def run() -> None:
        rows = np.load(path, mmap_mode="c")  # torch warns of arrays that cannot be written to
        scores = np.empty(len(rows), np.float32)
        with torch.inference_mode():
            for first in range(0, len(rows), batch):
                block = torch.from_numpy(rows[first : first + batch]).float()
                scores[first : first + batch] = net(block)[:, 0].numpy()

    return run


def ours(matrix: Matrix, scorer: Scorer, out: Path) -> Callable[[], object]:
    return lambda: score_matrix(matrix, scorer, out)


def reading(matrix: Matrix) -> Callable[[], object]:
    """Every row into a few buffers, on all cores, and nothing else."""
    buffers: queue.LifoQueue[Rows] = queue.LifoQueue()
    for _ in range(cores()):
        buffers.put(np.empty((ROWS, DIM), matrix.dtype))

    def one(chunk: Chunk) -> None:
        buffer = buffers.get()
        chunk.load(buffer[: chunk.rows])
        buffers.put(buffer)

    def run() -> None:
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(one, matrix.chunks(ROWS)))

    return run


def peak_memory(path: Path, weights: Path, out: Path) -> float:
    """MB of the whole program on that file, as the system counts it for a fresh address space.

    Not ``ru_maxrss``, which begins with what the parent had when it started the program.
    """
    words = ["score-embeddings", path, "--head", "laion-nsfw-l14", "--weights", weights]
    words += ["--out", out, "--overwrite", "--quiet"]
    code = (
        "import atexit\n"
        "atexit.register(lambda: print(open('/proc/self/status').read()))\n"
        "from vedette.cli import main\n"
        "main()"
    )
    command = [sys.executable, "-c", code, *map(str, words)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (line,) = [line for line in told.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def compare(folder: Path, weights: Path, rows: int, rounds: int, patience: float) -> None:
    big, small, out = folder / "big.npy", folder / "small.npy", folder / "scores.npy"
    write_rows(small, rows // 10)
    write_rows(big, rows)
    memory = [peak_memory(path, weights, out) for path in (small, big)]
    head = read_original(weights)
    matrix = open_matrix(big, Columns())
    scorers = [Scorer(head, matrix.dtype, precision) for precision in ("auto", "fp32")]
    mine = [Contender(f"vedette {s.engine}", ours(matrix, s, out), rows) for s in scorers]
    peers = [
        Contender(f"torch fp32, batch {b}", peer(big, torch_net(head, folded=False), b), rows)
        for b in PEER_BATCHES
    ]
    folded = Contender("torch fp32 folded", peer(big, torch_net(head, folded=True), 4096), rows)
    read = Contender("reading only", reading(matrix), rows)
    contenders = [read, *mine, *peers, folded]
    for contender in contenders:
        contender.run()
    until = time.monotonic() + patience
    for _ in range(rounds):
        for contender in contenders:
            contender.round(until)
    for contender in contenders:
        spread = f"{min(contender.rates) / 1e6:.2f} to {max(contender.rates) / 1e6:.2f}"
        gigabytes = contender.rate * DIM * 2 / 1e9
        print(
            f"  {contender.name:<24} {contender.rate / 1e6:6.2f} M rows/s   ({spread})   "
            f"{gigabytes:5.2f} GB/s   disturbed rounds: {contender.disturbed}"
        )
    best = max(peers, key=lambda c: c.rate)
    for contender in mine:
        print(
            f"  {contender.name}: {contender.rate / best.rate:.2f} x {best.name}, "
            f"{contender.rate / folded.rate:.2f} x folded; "
            f"{100 * contender.rate / read.rate:.1f} % of the read bandwidth"
        )
    print(f"  bf16 moved a probability of random rows by at most {scorers[0].drift or 0:.4f}")
    print(f"  peak memory: {memory[0]:.0f} MB for {rows // 10} rows, {memory[1]:.0f} MB for {rows}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=300, help="Seconds to wait for quiet.")
    parser.add_argument("--folder", type=Path, help="Where the temporary folder is made.")
    args = parser.parse_args()
    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        needed = args.rows * DIM * 2 * 1.2
        if shutil.disk_usage(name).free < needed:
            raise SystemExit(f"{name} needs {needed / 1e9:.1f} GB; name another with --folder")
        print(f"{cores()} cores; {args.rows} rows; medians of {args.rounds} rounds")
        compare(Path(name), args.weights, args.rows, args.rounds, args.patience)


if __name__ == "__main__":
    main()
