"""Decisions to keep in tests; as a program, a process that keeps them until it is killed.

``python -m tests.serve.audit.made DATABASE SPOOL THREADS [COUNT]`` prints the id of each decision
once it was acknowledged; without COUNT it goes on for ever. ``--speed`` prints decisions per second
instead.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from vedette import wire
from vedette.policy import load_policy
from vedette.serve.audit.keep import Keeper
from vedette.serve.audit.spool import Spool
from vedette.serve.database.store import engine_of
from vedette.serve.services import Decision, Listed
from vedette.types import Action, Failure, Record, Region, Verdict

SECRET = b"a secret of the tests, long enough"
POLICY = load_policy("default").id


def decision(
    name: str | None = None,
    *,
    subject: str | None = None,
    at: float | None = None,
    listed: Listed | None = None,
) -> Decision:
    """A decision about a picture that could not be read, or was on a list."""
    made = name or uuid4().hex
    record = Record(
        key=f"{made}.png",
        sha256=hashlib.sha256(repr(made).encode()).hexdigest(),
        width=640,
        height=480,
        frames=1,
        scores=None,
        regions=(Region("FACE_FEMALE", 0.71, (12, 40, 88, 90)),),
        verdict=Verdict(Action.REVIEW, (), POLICY),
        failure=Failure("decode", "truncated", "it ends before the picture does"),
        models=("dummy@1",),
        times_ms={"decode": 3.1, "infer": 4.0},
    )
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    return Decision(
        id=made,
        request_id=f"request-{made}",
        time=moment.isoformat(),
        key_id="key-1",
        subject=subject,
        record=wire.to_dict(record),
        action=record.verdict.action,
        policy=POLICY,
        policy_sha256="0" * 64,
        listed=listed,
    )


def main() -> None:
    """Keep decisions from several threads; see the top of the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("database")
    parser.add_argument("spool", type=Path)
    parser.add_argument("threads", type=int)
    parser.add_argument("count", type=int, nargs="?", default=sys.maxsize)
    parser.add_argument("--speed", action="store_true")
    given = parser.parse_args()
    engine = engine_of(given.database)
    keeper = Keeper(engine, Spool(given.spool), SECRET)
    begun = time.perf_counter()

    def work() -> None:
        for _ in range(given.count // given.threads):
            one = decision(subject="somebody")
            keeper.keep([one])
            if not given.speed:
                sys.stdout.write(one.id + "\n")
                sys.stdout.flush()

    threads = [threading.Thread(target=work) for _ in range(given.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept_s = time.perf_counter() - begun
    stored = keeper.flush(600)
    if given.speed:
        total_s = time.perf_counter() - begun
        print(f"kept {given.count / kept_s:.0f}/s, stored {given.count / total_s:.0f}/s, {stored}")
    keeper.close()
    engine.dispose()


if __name__ == "__main__":
    main()
