"""What the benchmarks share: contenders that take turns, and their medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Contender:
    """One thing that is timed on files: the rates of its rounds."""

    name: str
    run: Callable[[list[Path]], int]
    rates: list[float] = field(default_factory=list)

    def round(self, files: list[Path]) -> None:
        started = time.perf_counter()
        count = self.run(files)
        assert count == len(files), (self.name, count)
        self.rates.append(count / (time.perf_counter() - started))

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)


def take_turns(contenders: Sequence[Contender], files: list[Path], rounds: int) -> None:
    """Warm each one up, then time them in turns, so that a slow minute hits all alike."""
    for contender in contenders:
        contender.run(files[: max(2, len(files) // 8)])  # files cached, shapes compiled
    for _ in range(rounds):
        for contender in contenders:
            contender.round(files)
    for contender in contenders:
        spread = f"{min(contender.rates):.2f} to {max(contender.rates):.2f}"
        print(f"  {contender.name:<34} {contender.rate:8.2f} images/s   ({spread})", flush=True)


def limit(forward: Contender, decode: Contender) -> float:
    """What a pipeline that costs nothing would reach on these cores, images/s."""
    return 1 / (1 / forward.rate + 1 / decode.rate)
