"""``vedette serve`` as a process: it starts, answers, replaces a killed worker, ends in order."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from tests.pictures import drawn, encoded
from vedette.calibrate import Calibration, Calibrator
from vedette.cli import app as cli
from vedette.errors import PolicyError, UsageError
from vedette.models.registry import entries
from vedette.policy import load_policy
from vedette.policy_toml import policy_toml
from vedette.serve.options import RequestLimits, ServeOptions
from vedette.serve.start import calibrations_of, listen, policies_of, within
from vedette.settings import Limits, Settings
from vedette.taxonomy import Category

PNG = encoded(drawn(1))
KIND = {"content-type": "image/png"}


class Program:
    """A running ``vedette serve``."""

    def __init__(self, process: subprocess.Popen[str], line: str) -> None:
        self.process, self.line = process, line
        self.url = line.split()[0]

    def scan(self, verify: ssl.SSLContext | bool = True) -> httpx.Response:
        url = f"{self.url}/v1/scan"
        return httpx.post(url, content=PNG, headers=KIND, timeout=60, verify=verify)


@contextmanager
def program(folder: Path, *options: str) -> Iterator[Program]:
    command = [sys.executable, "-m", "vedette", "serve", "--model", "dummy", "--port", "0"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options], cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (folder / "log").read_text()
        yield Program(process, line)
    finally:
        process.stdout.close()
        process.terminate()
        process.wait(60)


def refused(folder: Path, *options: str) -> str:
    """What is said on standard error by a program that cannot start."""
    command = [sys.executable, "-m", "vedette", "serve", *options]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert not done.stdout
    return done.stderr


def test_it_says_where_it_is_answers_and_ends_in_order(tmp_path: Path) -> None:
    with program(tmp_path, "--open", "--policy", "strict", "--policy", "default") as running:
        answer = running.scan()
        ready = httpx.get(f"{running.url}/readyz")
        running.process.send_signal(signal.SIGINT)
        status = running.process.wait(60)
    log = (tmp_path / "log").read_text()

    assert running.line.startswith("http://127.0.0.1:")
    assert running.line.endswith(" models: dummy; policies: strict, default\n")
    assert answer.status_code == ready.status_code == 200
    assert answer.json()["records"][0]["policy"] == "strict@1"
    assert status == 0
    assert "Traceback" not in log
    assert all(line.startswith("{") for line in log.splitlines())
    assert (tmp_path / "vedette-service.sqlite").exists()


def test_scores_are_calibrated_by_the_file_of_the_model(tmp_path: Path) -> None:
    curves = {category.value: Calibrator("platt", (0.0, -9.0)) for category in Category}
    mine = Calibration("mine", entries()["dummy"].card.model, curves)
    (tmp_path / "mine.json").write_text(json.dumps(mine.as_json()))
    policy = replace(load_policy("default"), name="house", calibrated="mine")
    (tmp_path / "house.toml").write_text(policy_toml(policy))
    with program(
        tmp_path, "--open", "--calibration", "mine.json", "--policy", "house.toml"
    ) as running:
        (record,) = running.scan().json()["records"]
        (model,) = httpx.get(f"{running.url}/v1/models").json()["data"]

    assert record["calibrated"] == model["calibrated"] == "mine"
    told = pytest.approx(1 / (1 + math.exp(9)), abs=1e-6)
    assert record["scores"] == dict.fromkeys(curves, told)
    assert record["action"] == "allow"
    assert record["policy"] == policy.id


def test_without_open_a_key_is_needed_and_sigterm_ends_in_order_too(tmp_path: Path) -> None:
    with program(tmp_path) as running:
        assert running.scan().status_code == 401
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    with program(tmp_path, "--open", "--workers", "2", "--no-hardened") as running:
        assert running.line.endswith("; 2 processes\n")
        assert running.scan().status_code == 200
        (first, *others) = workers_of(running.process.pid)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: len(set(workers_of(running.process.pid)) - {first}) == 2)
        now = workers_of(running.process.pid)
        assert len(others) == 1
        assert first not in now
        assert running.scan().status_code == 200
        running.process.terminate()
        assert running.process.wait(60) == 0
    assert not [pid for pid in now if lives(pid)]


def test_who_cannot_be_replaced_yet_leaves_the_others_at_work_and_all_end_with_their_parent(
    tmp_path: Path,
) -> None:
    database, aside = tmp_path / "vedette-service.sqlite", tmp_path / "aside"
    with program(tmp_path, "--open", "--workers", "2", "--no-hardened") as running:
        database.rename(aside)
        database.mkdir()  # a database that is away
        os.kill(workers_of(running.process.pid)[0], signal.SIGKILL)
        wait_for(lambda: '"status": 3' in (tmp_path / "log").read_text())
        assert running.process.poll() is None
        assert running.scan().status_code == 200

        database.rmdir()
        aside.rename(database)
        wait_for(lambda: len(workers_of(running.process.pid)) == 2)
        workers = workers_of(running.process.pid)
        running.process.kill()
        running.process.wait(60)
        wait_for(lambda: not any(map(lives, workers)))  # with their parent


def wait_for(condition: Callable[[], bool]) -> None:
    """Against hangs only."""
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to be")


def workers_of(parent: int) -> list[int]:
    """Processes below another one that serve; not the resource tracker of multiprocessing."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = (place / "stat").read_text().rpartition(")")[2].split()
            if int(told[1]) == parent and b"spawn_main" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
    return sorted(found)


def lives(pid: int) -> bool:
    try:
        return "zombie" not in (Path("/proc") / str(pid) / "status").read_text()
    except OSError:
        return False


def test_tls(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    given = ("--tls-certificate", str(certificate), "--tls-key", str(key), "--open")
    with program(tmp_path, *given) as running:
        assert running.url.startswith("https://")
        trust = ssl.create_default_context(cafile=str(certificate))
        assert running.scan(trust).status_code == 200


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--open", "--host", "0.0.0.0"), "would answer anybody"),
        (("--tls-key", "key.pem"), "certificate and its key"),
        (("--tls-key", "key.pem", "--tls-certificate", "no.pem"), "no.pem"),
        (("--trusted-proxy", "*"), "no address or network"),
        (("--policy", "strickt"), "did you mean 'strict'"),
        (("--config", "none.toml"), "cannot read settings"),
    ],
)
def test_what_is_called_wrongly_says_why(options: tuple[str, ...], told: str) -> None:
    done = CliRunner().invoke(cli, ["serve", "--port", "0", *options])

    assert done.exit_code == 2
    assert told in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_cannot_start_says_why(tmp_path: Path, workers: str) -> None:
    told = refused(tmp_path, "--port", "0", "--model", "dumy", "--workers", workers)

    assert "did you mean 'dummy'" in told


def test_an_address_that_is_taken_is_told() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(UsageError, match="cannot listen"),
    ):
        listen(ServeOptions(port=other.getsockname()[1]))
    with pytest.raises(UsageError, match="cannot listen"):
        listen(ServeOptions(host="no.such.host.invalid"))


def test_policies_go_by_their_own_names(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('name = "house"\nversion = 2\n[categories.Sexual]\nblock = 0.5\n')

    assert list(policies_of(("strict", str(path)))) == ["strict", "house"]
    with pytest.raises(UsageError, match="two policies are called 'strict'"):
        policies_of(("strict", "strict"))
    with pytest.raises(PolicyError):
        policies_of((str(tmp_path / "none.toml"),))


def test_nothing_is_decoded_for_longer_than_its_request() -> None:
    options = ServeOptions(limits=RequestLimits(seconds=5, video_seconds=7))

    limits = within(Settings(limits=Limits(seconds=3)), options).limits

    assert (limits.seconds, limits.video_seconds) == (3, 7)


def test_the_services_own_calibrations_win_over_that_of_the_settings(tmp_path: Path) -> None:
    for name in ("one", "two"):
        mine = Calibration(name, "dummy@1", {"Hate": Calibrator("temperature", (2.0,))})
        (tmp_path / name).write_text(json.dumps(mine.as_json()))
    both = ServeOptions(calibrations=(str(tmp_path / "two"),))
    settings = Settings(calibration=str(tmp_path / "one"))

    assert [one.name for one in calibrations_of(settings, ServeOptions())] == ["one"]
    assert [one.name for one in calibrations_of(settings, both)] == ["two"]
    assert calibrations_of(Settings(), ServeOptions()) == []
    with pytest.raises(UsageError) as caught:
        calibrations_of(Settings(calibration=str(tmp_path / "none")), ServeOptions())
    assert caught.value.code == "not_found"
