"""Lists in a running service: what a list stops reaches no model, and is stored nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.classifiers import Habit
from tests.hashlists.made import listed, passed_on, png
from tests.serve.doubles import KEY, RememberedAudit
from tests.serve.served import served
from vedette.errors import VedetteError
from vedette.hashlists.entries import Kind, Match
from vedette.hashlists.lists import HashLists
from vedette.serve.engine import Engine
from vedette.serve.options import JobOptions, ServeOptions
from vedette.serve.start import build
from vedette.settings import Settings

HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/octet-stream"}


def test_a_quarantined_picture_reaches_no_model_and_is_not_answered_with(tmp_path: Path) -> None:
    listed(tmp_path, "grave", Kind.QUARANTINE, Match.PDQ, png(1))
    listed(tmp_path, "ours", Kind.ALLOW, Match.SHA256, png(2))
    seen: list[int] = []
    engine = Engine([Habit(lambda batch: seen.append(len(batch)))], Settings(), 8)
    audit = RememberedAudit()
    lists = HashLists([tmp_path], Settings())
    try:
        with served(lists=lists, engine=engine, audit=audit) as running:

            def scan(data: bytes) -> dict[str, Any]:
                url = f"{running.url}/v1/scan"
                (record,) = httpx.post(url, content=data, headers=HEADERS).json()["records"]
                found: dict[str, Any] = record
                return found

            stopped, allowed = scan(passed_on(1)), scan(png(2))
            assert not seen
            listed(tmp_path, "ours", Kind.ALLOW, Match.SHA256, png(3))
            assert lists.refresh()
            scanned = scan(png(2))
    finally:
        lists.close()

    assert stopped["action"] == "block"
    assert stopped["listed"] == {"list": "grave", "kind": "quarantine", "match": "pdq"}
    assert stopped["scores"] is None or stopped["scores"] == {}
    assert (allowed["action"], allowed["listed"]["list"]) == ("allow", "ours")
    assert scanned["listed"] is None
    assert seen == [1]
    kept = audit.kept[0]
    assert kept.listed is not None
    assert kept.listed.entry == "entry 0"
    assert "embedding" not in kept.record or kept.record["embedding"] is None


def test_the_program_takes_lists_and_refuses_broken_ones(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    path = listed(folder, "grave", Kind.QUARANTINE, Match.SHA256, png(1))
    command = [
        sys.executable,
        "-m",
        "vedette",
        "serve",
        "--model",
        "dummy",
        "--port",
        "0",
        "--open",
    ]
    process = subprocess.Popen(
        [*command, "--open", "--lists", str(folder)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[0]
        answer = httpx.post(
            f"{url}/v1/scan", content=png(1), headers={"content-type": "image/png"}, timeout=60
        )
        assert answer.json()["records"][0]["listed"]["list"] == "grave"
    finally:
        process.stdout.close()
        process.terminate()
        process.wait(60)
    options = ServeOptions(
        models=("dummy",),
        lists=(str(folder),),
        database=str(tmp_path / "service.sqlite"),
        spool=str(tmp_path / "spool"),
        jobs=JobOptions(folder=str(tmp_path / "jobs")),
    )
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(VedetteError) as caught:
        build(Settings(), options)
    assert caught.value.code == "bad_list"
