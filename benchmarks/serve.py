"""The service against the bare pipeline, ``vedette scan`` and a plain FastAPI + nudenet service.

    python benchmarks/serve.py [PHOTOS/small] [--quick] [--only latency throughput overload soak]

Everything is on one machine and in one run, in turns, medians of the rounds: ratios count, not
rates. Load comes from a second process (``serve_load.py``, one thread) over loopback; the peer is
``serve_peer.py``. The service runs as it is by default: hardened decoding, decisions kept with one
sync of the disk for all that come at once, the audit in SQLite; and, where it says *inline*, with
``--no-hardened``, like the peer and the default of ``vedette scan``.

latency     one caller: p50 of a request against ``Scanner.scan`` on the same bytes; target 1.5 x
throughput  32 callers: images/s against ``Scanner.scan_many`` (0.8 x), the peer, and, where
            ``--opennsfw2`` names a Python that has it, ``serve_peer_opennsfw2.py`` (4 x either)
overload    three times the capacity: only 200 and 503; p99 of those let in against the bound
            (queue / pace, 3 x); memory; back to normal within 5 s
soak        many requests: growth of the resident memory after the first tenth (3 %)
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import PIL.Image

from vedette import Scanner, ScanOptions, Settings

HERE = Path(__file__).parent
QUEUE = 64
FORMS = {"hardened": True, "inline": False}


@dataclass
class Running:
    """A server under load."""

    port: int
    pid: int
    path: str
    form: bool
    scratch: Path

    def load(self, files: list[Path], **plan: Any) -> dict[str, Any]:
        """What the load generator tells."""
        given = {"port": self.port, "path": self.path, "form": self.form, **plan}
        place = self.scratch / "plan.json"
        place.write_text(json.dumps({**given, "files": [str(file) for file in files]}))
        command = [sys.executable, str(HERE / "serve_load.py"), str(place)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def resident(self) -> int:
        """Bytes of the process and of those below it."""
        return sum(_resident(pid) for pid in _family(self.pid))


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for thread in os.listdir(f"/proc/{pid}/task"):
            if int(thread) != pid:
                children += Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(found for child in children for found in _family(int(child)))]


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


@contextmanager
def service(*, hardened: bool) -> Iterator[Running]:
    """``vedette serve`` as a process."""
    with tempfile.TemporaryDirectory() as scratch, _free_port() as port:
        command = [sys.executable, "-m", "vedette", "serve", "--open", "--queue", str(QUEUE)]
        command += ["--port", str(port), "--model", "nudenet"]
        command += [] if hardened else ["--no-hardened"]
        with _process(command, port, Path(scratch)) as pid:
            yield Running(port, pid, "/v1/scan", False, Path(scratch))


@contextmanager
def peer(python: str, script: str) -> Iterator[Running]:
    """A peer as a process, in an environment that has what it needs."""
    with tempfile.TemporaryDirectory() as scratch, _free_port() as port:
        command = [python, str(HERE / script), str(port)]
        with _process(command, port, Path(scratch)) as pid:
            yield Running(port, pid, "/scan", True, Path(scratch))


@contextmanager
def _free_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    yield port


@contextmanager
def _process(command: list[str], port: int, scratch: Path) -> Iterator[int]:
    with (scratch / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=scratch, stdout=log, stderr=log)
    try:
        for _ in range(1200):
            try:
                with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10):
                    break
            except OSError:
                assert process.poll() is None, (scratch / "log").read_text()
                time.sleep(0.1)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def answered(told: dict[str, Any]) -> list[float]:
    """Seconds of the requests that were answered with 200."""
    return [float(seconds) for seconds in told["latencies"].get("200", ())]


def all_good(told: dict[str, Any]) -> float:
    """Answers per second, all of which must be 200."""
    assert set(told["counts"]) == {"200"}, told["counts"]
    return len(answered(told)) / float(told["wall"])


def scanner(*, hardened: bool) -> Scanner:
    return Scanner("nudenet", settings=Settings(scan=ScanOptions(hardened=hardened)))


def latency(files: list[Path], rounds: int, requests: int) -> None:
    file = files[0]
    data = file.read_bytes()
    for name, hardened in FORMS.items():
        with service(hardened=hardened) as running, scanner(hardened=hardened) as bare:
            ratios, ours, theirs = [], [], []
            for place in range(rounds + 1):
                took = []
                for _ in range(requests):
                    began = time.perf_counter()
                    assert bare.scan(data).failure is None
                    took.append(time.perf_counter() - began)
                told = running.load([file], requests=requests)
                all_good(told)
                if place:  # the first one is to warm up
                    ours.append(statistics.median(answered(told)))
                    theirs.append(statistics.median(took))
                    ratios.append(ours[-1] / theirs[-1])
        print(
            f"latency, {name}: request p50 {statistics.median(ours) * 1e3:.1f} ms, "
            f"Scanner.scan p50 {statistics.median(theirs) * 1e3:.1f} ms: "
            f"{statistics.median(ratios):.2f} x (target at most 1.5 x)",
            flush=True,
        )


def throughput(files: list[Path], rounds: int, requests: int, opennsfw2: str | None) -> None:
    peers = {"nudenet": (sys.executable, "serve_peer.py")}
    if opennsfw2:
        peers["opennsfw2"] = (opennsfw2, "serve_peer_opennsfw2.py")
    many = (files * -(-requests // len(files)))[:requests]
    rates: dict[str, list[float]] = {}

    def bare(name: str, one: Scanner) -> None:
        began = time.perf_counter()
        assert sum(record.failure is None for record in one.scan_many(many)) == requests
        rates.setdefault(f"scan {name}", []).append(requests / (time.perf_counter() - began))

    def served(name: str, running: Running, count: int = requests) -> None:
        told = running.load(files, concurrency=32, requests=count)
        rates.setdefault(name, []).append(all_good(told))

    with (
        service(hardened=True) as guarded,
        service(hardened=False) as inline,
        scanner(hardened=True) as scan_guarded,
        scanner(hardened=False) as scan_inline,
        ExitStack() as stack,
    ):
        others = {name: stack.enter_context(peer(*one)) for name, one in peers.items()}
        for place in range(rounds + 1):
            bare("hardened", scan_guarded)
            served("service hardened", guarded)
            bare("inline", scan_inline)
            served("service inline", inline)
            for name, other in others.items():
                served(f"peer {name}", other, requests // 4 if name == "opennsfw2" else requests)
            if not place:
                rates.clear()  # the first one is to warm up
    middle = {name: statistics.median(found) for name, found in rates.items()}
    for name, rate in middle.items():
        print(f"throughput, {name}: {rate:.1f} images/s")
    for name in FORMS:
        ours = [f"{place:.2f}" for place in _ratios(rates, f"service {name}", f"scan {name}")]
        print(
            f"throughput, {name}: {ours[1]} x vedette scan ({ours[0]} to {ours[2]}; target at "
            "least 0.8 x)",
            flush=True,
        )
        for one in peers:
            low, half, high = _ratios(rates, f"service {name}", f"peer {one}")
            print(
                f"throughput, {name}: {half:.2f} x the service over {one} ({low:.2f} to "
                f"{high:.2f}; target 4 x one of them)",
                flush=True,
            )


def _ratios(rates: dict[str, list[float]], ours: str, theirs: str) -> tuple[float, float, float]:
    """Least, median and greatest of the rounds' own ratios."""
    found = [one / other for one, other in zip(rates[ours], rates[theirs], strict=True)]
    return min(found), statistics.median(found), max(found)


def overload(files: list[Path], seconds: float, requests: int) -> None:
    with service(hardened=True) as running:
        running.load(files, concurrency=8, requests=requests // 4)
        capacity = all_good(running.load(files, concurrency=32, requests=requests))
        calm = statistics.median(answered(running.load(files, requests=20)))
        # Once for the pools and buffers that the largest load needs, then what is measured.
        running.load(files, rate=3 * capacity, seconds=min(5.0, seconds))
        before = running.resident()
        told = running.load(files, rate=3 * capacity, seconds=seconds)
        after = running.resident()
        ended = time.perf_counter()
        back = None
        while back is None and time.perf_counter() - ended < 30:
            probe = running.load(files, requests=5)
            fast = statistics.median(answered(probe) or [calm * 9]) < 2 * calm
            if set(probe["counts"]) == {"200"} and fast:
                back = time.perf_counter() - ended
    good = sorted(answered(told))
    p99 = good[int(0.99 * (len(good) - 1))]
    bound = QUEUE / capacity
    refused = told["latencies"].get("503", [0.0])
    print(
        f"overload, {3 * capacity:.0f} requests/s for {seconds:.0f} s on a capacity of "
        f"{capacity:.1f}: answers {told['counts']}, not sent {told['unsent']}\n"
        f"  {len(good) / told['wall']:.1f} images/s were answered; p99 of them {p99:.2f} s, "
        f"{p99 / bound:.2f} x the bound of {bound:.2f} s (target at most 3 x)\n"
        f"  refusals: p50 {statistics.median(refused) * 1e3:.1f} ms\n"
        f"  memory {before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after "
        f"({100 * (after / before - 1):+.1f} %)\n"
        f"  back to normal after {'never' if back is None else f'{back:.1f} s'} (target 5 s)",
        flush=True,
    )
    strange = set(told["counts"]) - {"200", "503"}
    print(f"  other answers: {sorted(strange) if strange else 'none'}", flush=True)


def soak(requests: int) -> None:
    with tempfile.TemporaryDirectory() as folder, service(hardened=True) as running:
        files = drawn(Path(folder), 64, (64, 48))
        running.load(files, concurrency=8, requests=requests // 10)
        start = running.resident()
        began = time.perf_counter()
        seen = []
        for _ in range(9):
            all_good(running.load(files, concurrency=8, requests=requests // 10))
            seen.append(running.resident())
        rate = 9 * (requests // 10) / (time.perf_counter() - began)
    course = ", ".join(f"{one / 2**20:.0f}" for one in seen)
    print(
        f"soak, {requests} requests at {rate:.0f} a second: memory {start / 2**20:.0f} MiB after "
        f"the first tenth, then {course}: {100 * (seen[-1] / start - 1):+.2f} % (target 3 %)",
        flush=True,
    )


def drawn(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """JPEGs of coloured noise over gradients: harmless, and no two alike."""
    rng = np.random.default_rng(7)
    files = []
    for place in range(count):
        coarse = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        picture = PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC)
        files.append(folder / f"{place:04d}.jpg")
        picture.save(files[-1], quality=88)
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="?", type=Path, help="JPEGs; else 640 x 480 are drawn")
    parser.add_argument("--quick", action="store_true", help="a trial: its figures mean little")
    parser.add_argument("--only", nargs="+", default=["latency", "throughput", "overload", "soak"])
    parser.add_argument("--opennsfw2", metavar="PYTHON", help="of an environment that has it")
    parser.add_argument("--soak", type=int, default=200_000, help="requests of the soak")
    args = parser.parse_args()
    rounds, alone, together, seconds = (2, 20, 64, 8.0) if args.quick else (7, 100, 640, 60.0)
    with tempfile.TemporaryDirectory() as scratch:
        files = sorted(args.photos.glob("*.jpg")) if args.photos else []
        files = files or drawn(Path(scratch), 32, (640, 480))
        size = statistics.median(file.stat().st_size for file in files)
        told = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start"
        print(f"{told}; {len(files)} pictures of {size / 2**10:.0f} KiB (median)", flush=True)
        if "latency" in args.only:
            latency(files, rounds, alone)
        if "throughput" in args.only:
            throughput(files, rounds, together, args.opennsfw2)
        if "overload" in args.only:
            overload(files, seconds, together)
        if "soak" in args.only:
            soak(2_000 if args.quick else args.soak)


if __name__ == "__main__":
    main()
