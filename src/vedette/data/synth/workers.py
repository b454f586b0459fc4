"""Drawing in several processes, in order, with flat memory.

Each worker draws every n-th picture and writes it to its pipe; the parent takes them in turn. A
full pipe stops its worker, so nothing piles up, and which worker drew a picture changes nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from itertools import islice
from typing import IO

from vedette.backends.base import cores
from vedette.data.synth.draw import draw
from vedette.data.synth.plan import Plan, Recipe, Spec
from vedette.errors import VedetteError

_ALONE = 200
"""Pictures up to which a second process is not worth its start."""
_LENGTH = 4
"""Bytes that tell the length of the picture after them."""


def specs(plan: Plan) -> Iterator[Spec]:
    """All pictures of a set: the training split's, then the test split's."""
    for split in plan.splits():
        for cell, number in plan.rows(split).tolist():
            yield Spec(cell, number, split)


def drawn(plan: Plan, workers: int = 0) -> Generator[tuple[Spec, bytes], None, None]:
    """Each picture of the set with the bytes of its JPEG, in order.

    Args:
        plan: the set.
        workers: processes; 0 = one for each core.

    Raises:
        VedetteError: ``out_of_memory``: a worker was ended from outside.
    """
    count = workers or cores()
    if count == 1 or plan.recipe.total <= _ALONE:
        for spec in specs(plan):
            yield spec, draw(plan.recipe, spec)
        return
    with ExitStack() as stack:
        started = [stack.enter_context(_started(plan.recipe, k, count)) for k in range(count)]
        for process in started:  # left first: a full pipe keeps a worker that nobody reads
            stack.callback(process.kill)
        for place, spec in enumerate(specs(plan)):
            yield spec, _next(started[place % count])


def _started(recipe: Recipe, number: int, count: int) -> subprocess.Popen[bytes]:
    given = json.dumps([asdict(recipe), number, count])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "vedette.data.synth.workers", given],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _next(process: subprocess.Popen[bytes]) -> bytes:
    pipe = process.stdout
    assert pipe is not None
    head = pipe.read(_LENGTH)
    length = int.from_bytes(head)
    data = pipe.read(length)
    if len(head) < _LENGTH or len(data) < length:
        raise VedetteError(
            f"a process that draws ended with status {process.wait()}",
            code="out_of_memory",
            hint="run again with fewer --workers",
        )
    return data


def work(given: str, out: IO[bytes]) -> None:
    """What a worker does: draw its share of the pictures and write them to ``out``."""
    fields, number, count = json.loads(given)
    recipe = Recipe(**fields)
    for spec in islice(specs(Plan(recipe)), number, None, count):
        data = draw(recipe, spec)
        out.write(len(data).to_bytes(_LENGTH))
        out.write(data)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    try:
        work(sys.argv[1], sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # the parent is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
