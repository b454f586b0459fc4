"""One service for all attacks; at the end it has neither grown nor told, and goes down in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serve.hostile.site import Site
from tests.serve.hostile.target import MARK, Target

GROWTH = 192 * 2**20
"""Bytes that the process may grow by over all attacks: what the allocators of its threads keep of
the largest bodies, once they have been objects."""


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """The attackers' own web server, and the one inside that must never be asked."""
    with Site() as running:
        yield running


@pytest.fixture(scope="package")
def target(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("hostile")
    ports = (str(site.port), str(site.inside))
    command = [sys.executable, "-m", "tests.serve.hostile.process", *ports]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (folder / "log").read_text()
        told = json.loads(line)
        with httpx.Client(base_url=f"http://127.0.0.1:{told['port']}", timeout=60) as client:
            made = Target(told["port"], told["key"], process.pid, folder, client)
            for _ in range(8):  # threads and decode workers are there before it is weighed
                made.is_up()
            before = made.resident()
            yield made
            grown = made.resident() - before
    finally:
        process.stdout.close()
        process.terminate()
        status = process.wait(60)
    assert status == 0, made.log()
    assert grown < GROWTH, f"{grown / 2**20:.0f} MiB"
    is_discreet(made)


def is_discreet(target: Target) -> None:
    """The log is JSON lines without a key's secret, a name or a query of an attack."""
    log = target.log()
    lines = [json.loads(line) for line in log.splitlines()]
    assert len(lines) > 20
    assert target.key not in log
    assert target.key.split("_", 2)[2] not in log
    assert MARK not in log
    assert not [line for line in lines if line["event"] == "defect"]


@pytest.fixture(autouse=True)
def _survives(target: Target) -> Iterator[None]:
    """After each attack a harmless picture is scanned as ever."""
    yield
    target.is_up()


def _environment() -> dict[str, str]:
    root = str(Path(__file__).parents[3])
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": root if not known else f"{root}{os.pathsep}{known}"}
