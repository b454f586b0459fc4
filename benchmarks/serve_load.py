"""A load generator for the service and its peer, in a process of its own: ``serve.py`` starts it.

    python benchmarks/serve_load.py PLAN.json

It speaks HTTP/1.1 over plain sockets on connections that are kept, because a client library would
cost as much as what is measured, and prints one JSON object. Closed loop (``concurrency``): each
connection sends the next request once the last one is answered. Open loop (``rate``): requests come
at a fixed rate, whatever the answers do, on as many connections as that takes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path

BOUNDARY = "----load"


@dataclass(frozen=True)
class Plan:
    """What to send."""

    port: int
    path: str
    files: list[str]
    form: bool = False
    """A form with a field ``image``, else the bytes themselves."""
    concurrency: int = 1
    requests: int = 0
    """Closed loop: as many and no more."""
    rate: float = 0.0
    """Open loop: requests per second."""
    seconds: float = 0.0
    connections: int = 512
    """Open loop: at most; a request that finds none is counted as ``unsent``."""
    interval: float = 0.0
    """Closed loop: seconds to wait after each answer."""


@dataclass
class Told:
    """What came back."""

    latencies: dict[int, list[float]] = field(default_factory=dict)
    """Seconds, by status; 0: no answer."""
    unsent: int = 0
    wall: float = 0.0

    def add(self, status: int, seconds: float) -> None:
        self.latencies.setdefault(status, []).append(seconds)


class Line:
    """One connection, made anew where the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """The status of the answer; 0: none came."""
        if self._ends is not None and self._ends[0].at_eof():
            self.close()  # idle for so long that the server has closed it, as any client sees
        try:
            if self._ends is None:
                self._ends = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._ends
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return 0
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        if self._ends is not None:
            self._ends[1].close()
        self._ends = None


def requests_of(plan: Plan) -> list[bytes]:
    """One for each file, ready to be sent."""
    made = []
    for file in plan.files:
        body, kind = Path(file).read_bytes(), "image/jpeg"
        if plan.form:
            part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a"'
            body = part.encode() + b"\r\n\r\n" + body + f"\r\n--{BOUNDARY}--\r\n".encode()
            kind = f"multipart/form-data; boundary={BOUNDARY}"
        head = f"POST {plan.path} HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\n"
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        made.append(head.encode() + body)
    return made


async def closed(plan: Plan, told: Told) -> None:
    """Each connection sends one request after the other."""
    sent, files = count(), cycle(requests_of(plan))

    async def work() -> None:
        line = Line(plan.port)
        while next(sent) < plan.requests:
            request = next(files)
            began = time.perf_counter()
            told.add(await line.ask(request), time.perf_counter() - began)
            if plan.interval:
                await asyncio.sleep(plan.interval)
        line.close()

    await asyncio.gather(*(work() for _ in range(plan.concurrency)))


async def opened(plan: Plan, told: Told) -> None:
    """Requests at a fixed rate; latency counts from when one was due."""
    files = cycle(requests_of(plan))
    idle = [Line(plan.port) for _ in range(plan.connections)]
    under_way: set[asyncio.Task[None]] = set()

    async def one(line: Line, due: float) -> None:
        told.add(await line.ask(next(files)), time.perf_counter() - due)
        idle.append(line)

    began = time.perf_counter()
    for number in range(int(plan.rate * plan.seconds)):
        due = began + number / plan.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        if not idle:
            told.unsent += 1
            continue
        task = asyncio.ensure_future(one(idle.pop(), due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    for line in idle:
        line.close()


async def main() -> None:
    plan = Plan(**json.loads(Path(sys.argv[1]).read_text()))
    told = Told()
    began = time.perf_counter()
    await (opened if plan.rate else closed)(plan, told)
    told.wall = time.perf_counter() - began
    counts = Counter({status: len(found) for status, found in told.latencies.items()})
    print(
        json.dumps(
            {
                "wall": told.wall,
                "unsent": told.unsent,
                "counts": counts,
                "latencies": told.latencies,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
