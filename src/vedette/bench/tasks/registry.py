"""Which tasks there are: ours, and those of entry points ``vedette.tasks``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from vedette.bench.tasks.base import Task
from vedette.errors import UnknownNameError, UsageError

_MODULES = (
    "effectiveness",
    "calibration",
    "coverage",
    "robustness",
    "corruptions",
    "styles",
    "shift",
    "clusters",
    "confidence",
    "cost",
)
"""In the order in which a report has them."""


@cache
def tasks() -> Mapping[str, Task]:
    """All tasks by name, in the order in which a run does them.

    Raises:
        UsageError: two have one name, or a third party's is no task.
    """
    found: dict[str, Task] = {}
    for module in _MODULES:
        task = cast(Task, import_module(f"vedette.bench.tasks.{module}").TASK)
        found[task.name] = task
    for point in sorted(entry_points(group="vedette.tasks"), key=lambda p: p.name):
        task = cast(Task, point.load())
        if not isinstance(getattr(task, "name", None), str) or not callable(
            getattr(task, "run", None)
        ):
            raise UsageError(f"the entry point {point.name} of vedette.tasks is no task")
        if task.name in found:
            raise UsageError(f"two tasks are called {task.name!r}")
        found[task.name] = task
    return found


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        UnknownNameError: there is none.
    """
    known = tasks()
    if name not in known:
        raise UnknownNameError("task", name, known)
    return known[name]
