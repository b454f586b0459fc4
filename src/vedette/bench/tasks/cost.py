"""What an answer costs: time on this machine, memory, money.

Timing is the one thing in a result that two runs do not share: the numbers are of this machine, at
this hour. They are told with what they were measured on, and are no part of what is compared to
the bit.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from vedette.bench.evidence import Caveat, Cell, Evidence, Table
from vedette.bench.predictor import Answer
from vedette.bench.sample import sample
from vedette.bench.tasks.base import Context
from vedette.errors import FetchError
from vedette.fetch import open_regular, read_bounded, shown
from vedette.settings import Limits
from vedette.types import Item

MOST_IMAGES = 128
MOST_BYTES = 256 * 2**20
"""Of images held in memory while they are timed."""
MOST_SECONDS = 60.0
"""Of each of the two measurements; at least :data:`LEAST_IMAGES` are timed whatever it takes."""
LEAST_IMAGES = 8
WARM_UP = 4
QUANTILES = {"p50": (0.5, 1), "p95": (0.95, 20), "p99": (0.99, 100)}
"""By name: the share, and the images that it takes to say anything about it."""


class CostTask:
    """Images per second, latency, memory and price."""

    name = "cost"
    summary = "images per second, latency, memory; the price of an endpoint"

    def fits(self, context: Context) -> str | None:
        """See :class:`~vedette.bench.tasks.base.Task`."""
        if context.card.kind == "predictions":
            return "a file of predictions says nothing about the time that they took"
        if not len(context.predictions):
            return "no image was scored"
        return None

    def run(self, context: Context) -> Evidence:
        """See :class:`~vedette.bench.tasks.base.Task`. Another run measures other times.

        Raises:
            VedetteError: the predictor cannot be used any more.
        """
        options = context.options
        rows = sample(context.predictions, min(options.images, MOST_IMAGES), options.seed)
        items = _in_memory(context, [context.predictions.keys[row] for row in rows])
        remote = context.card.kind == "endpoint"
        if remote:
            # As they were answered: measured again, they would be sent and paid for again.
            answers = list(context.predictor.predict(items))
            ms = [answer.ms for answer in answers if answer.ms is not None]
            per_second, timed = None, len(ms)
        else:
            list(context.predictor.predict(items[:WARM_UP]))
            ms = _one_by_one(context, items)
            per_second, timed = _together(context, items)
        return _evidence(context, ms, per_second, timed)


TASK = CostTask()


def _in_memory(context: Context, keys: Sequence[str]) -> list[Item]:
    """The items with their bytes, read once: a disk is not what is measured."""
    items: list[Item] = []
    size = 0
    for key in keys:
        item = context.source.find(key)
        if item is None:
            continue
        if isinstance(item.data, Path):
            try:
                item = replace(item, data=_bytes(item.data, context.settings.limits))
            except FetchError:
                continue  # gone since it was scored; not timed
        if isinstance(item.data, bytes):
            size += len(item.data)
            if size > MOST_BYTES:
                break
            items.append(item)
    return items


def _bytes(path: Path, limits: Limits) -> bytes:
    with open_regular(path) as stream:
        return read_bounded(stream, limits.bytes, shown(path))


def _one_by_one(context: Context, items: Sequence[Item]) -> list[float]:
    """Milliseconds from an image's bytes to its answer, each asked about alone."""
    found: list[float] = []
    end = time.perf_counter() + MOST_SECONDS
    for item in items:
        if len(found) >= LEAST_IMAGES and time.perf_counter() > end:
            break
        begin = time.perf_counter()
        answers = list(context.predictor.predict([item]))
        took = (time.perf_counter() - begin) * 1000
        if _scored(answers):
            found.append(took)
    return found


def _together(context: Context, items: Sequence[Item]) -> tuple[float | None, int]:
    """(images per second when all are given at once, how many were)."""
    if not items:
        return None, 0
    begin = time.perf_counter()
    end = begin + MOST_SECONDS
    scored = 0
    # Some more than once: a few images would measure the start and the end.
    answers = context.predictor.predict(
        replace(item, key=f"{number}/{item.key}")
        for number, item in enumerate(islice(cycle(items), max(len(items), MOST_IMAGES)))
        if number < LEAST_IMAGES or time.perf_counter() < end
    )
    for answer in answers:
        scored += _scored([answer])
    return (scored / (time.perf_counter() - begin) if scored else None), scored


def _scored(answers: Sequence[Answer]) -> int:
    return sum(answer.failure is None for answer in answers)


def _evidence(
    context: Context, ms: Sequence[float], per_second: float | None, timed: int
) -> Evidence:
    latency = {
        name: float(np.quantile(ms, share)) if len(ms) >= least else None
        for name, (share, least) in QUANTILES.items()
    }
    remote = context.card.kind == "endpoint"
    memory = None if remote else peak_memory_mib()
    price = context.card.price_per_1000
    machine = f"{cpu_name()}, {cores()} cores"
    metrics = {
        "images_per_s": _rounded(per_second),
        "latency_ms": {name: _rounded(value) for name, value in latency.items()},
        "images_timed_alone": len(ms),
        "images_timed_together": 0 if remote else timed,
        "peak_memory_mib": _rounded(memory),
        "price_per_1000_usd": price,
        "machine": machine,
        "runtime": context.card.runtime,
    }
    cells = [
        Cell(_rounded(per_second), n=None if remote else timed),
        *(Cell(_rounded(value), n=len(ms)) for value in latency.values()),
        Cell(_rounded(memory), note="the whole process" if memory is not None else ""),
        Cell(price),
    ]
    table = Table(
        name="cost",
        title="Cost",
        columns=["images/s", *(f"{name} ms" for name in QUANTILES), "peak MiB", "USD per 1,000"],
        rows={context.card.name: cells},
        row="model",
        caption=_caption(remote, machine, context.card.runtime),
    )
    return Evidence(metrics, [table], (), _caveats(ms, remote))


def _caption(remote: bool, machine: str, runtime: str) -> str:
    if remote:
        return (
            "Latency as the endpoint answered, from request to answer, network and queue included; "
            "answers are kept and none was asked for again. Images per second depend on the rate "
            "that was allowed and are not given; memory is the service's own. The price is the one "
            "that the user gave."
        )
    return (
        f"Measured on this machine ({machine}), {runtime or 'runtime not stated'}, from bytes in "
        "memory to the answer, decoding included, after a warm-up. Latency: one image at a time. "
        "Images per second: all given at once. Memory: the highest of the whole process since it "
        "started, with the interpreter, the libraries and whatever else it has done. Another "
        "machine, or another hour, gives other numbers."
    )


def _caveats(ms: Sequence[float], remote: bool) -> list[Caveat]:
    least = QUANTILES["p95"][1]
    found = []
    if len(ms) < least:
        what = "answers state a time" if remote else "images could be timed"
        found.append(
            Caveat(
                "few-images-timed",
                f"Only {len(ms)} {what}; percentiles that need more are not given.",
            )
        )
    return found


def peak_memory_mib() -> float | None:
    """The most memory that this process has held so far, in MiB; None where nothing tells it."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """The processor's name, as the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
