"""From settings to a running service: what it works with, made in order and closed in reverse."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.calibrate import Calibration, read_calibration
from vedette.errors import UsageError
from vedette.policy import Policy, load_policy
from vedette.serve.app import create_app
from vedette.serve.engine import Engine
from vedette.serve.logs import log_to_stderr
from vedette.serve.options import ServeOptions, checked
from vedette.serve.server import run_on_loop, server_for
from vedette.serve.services import Services
from vedette.serve.sockets import SHARES, bound
from vedette.settings import Settings

if TYPE_CHECKING:
    from uvicorn import Server

    from vedette.models.base import Classifier

_BACKLOG = 2048
_SWITCH_S = 0.0005
"""How long a thread may keep the others from Python: here they are many, each with little to do. At
the usual 5 ms a thread of the model waits for its turn while a core is idle."""


def policies_of(names: tuple[str, ...]) -> Mapping[str, Policy]:
    """Policies by the name that callers use: a preset's, or the one that stands in its file.

    Raises:
        UsageError: one that cannot be used, or two of one name.
    """
    found: dict[str, Policy] = {}
    for name in names:
        policy = load_policy(name)
        if policy.name in found:
            raise UsageError(f"two policies are called {policy.name!r}", hint="rename one of them")
        found[policy.name] = policy
    return found


def calibrations_of(settings: Settings, options: ServeOptions) -> list[Calibration]:
    """The calibrations of the service, or else the one of the settings.

    Raises:
        UsageError: ``bad_calibration``: a file that is none.
    """
    given = options.calibrations or ((settings.calibration,) if settings.calibration else ())
    return [read_calibration(Path(name), categories=True) for name in given]


def build(
    settings: Settings, options: ServeOptions, models: tuple[str | Classifier, ...] | None = None
) -> Services:
    """All that the endpoints work with, ready: database, models, lists, keys.

    Args:
        settings: of the pipeline; its limits in time are lowered to the service's own.
        options: of the service.
        models: instead of the options' own, for Classifiers that have no name.

    Raises:
        VedetteError: a model, a policy, the database or the spool cannot be used.
    """
    from vedette.hashlists.lists import HashLists
    from vedette.serve.audit.keep import open_audit
    from vedette.serve.database.store import open_database
    from vedette.serve.fetching import UrlFetcher
    from vedette.serve.jobs.opening import open_jobs
    from vedette.serve.jobs.runner import JobRunner
    from vedette.serve.keys import KeyStore
    from vedette.serve.limiter import RateLimiter

    checked(options)
    with ExitStack() as made:  # what was made is closed again where a later step fails
        policies = policies_of(options.policies)
        curves = calibrations_of(settings, options)
        database = open_database(options.database)
        made.callback(database.dispose)
        audit = made.enter_context(closing(open_audit(database, options)))
        fetcher = made.enter_context(closing(UrlFetcher(options.fetch)))
        lists = made.enter_context(closing(HashLists(options.lists, within(settings, options))))
        engine = Engine(models or options.models, within(settings, options), options.queue, curves)
        made.callback(engine.close)
        engine.warm()
        keys = made.enter_context(closing(KeyStore(database)))
        limiter = made.enter_context(closing(RateLimiter(database, options.rate or None)))
        jobs = open_jobs(database, options)
        services = Services(
            options=options,
            engine=engine,
            policies=policies,
            keys=keys,
            limiter=limiter,
            fetcher=fetcher,
            lists=lists,
            audit=audit,
            jobs=jobs,
        )
        # On an event loop of its own, to which a fetcher belongs.
        other = UrlFetcher(options.fetch)
        made.enter_context(closing(JobRunner(services, jobs, other, other)))
        services.closing.append(made.pop_all())
    return services


def within(settings: Settings, options: ServeOptions) -> Settings:
    """``settings`` for a service: nothing is decoded for longer than anybody waits for it.

    An image whose caller has gone is decoded to the end of its frame; that, too, must end.
    """
    limits = dataclasses.replace(
        settings.limits,
        seconds=min(settings.limits.seconds, options.limits.seconds),
        video_seconds=min(settings.limits.video_seconds, options.limits.video_seconds),
    )
    return dataclasses.replace(settings, limits=limits)


def listen(options: ServeOptions, workers: int = 1) -> socket.socket:
    """The socket that the service listens on.

    For several workers, on Linux, it only holds the address: each listens on one of its own
    (:mod:`vedette.serve.sockets`).

    Raises:
        UsageError: the address cannot be used, e.g. another program has it.
    """
    try:
        family, *_, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # Without sharing at first: a port that another service shares is not ours to join.
        alone = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        if workers == 1 or not SHARES:
            return alone
        with alone:
            place = alone.getsockname()
        return bound(family, place)
    except OSError as error:
        where = f"{options.host} port {options.port}"
        raise UsageError(f"cannot listen on {where}: {error.strerror}") from error


def serve(
    settings: Settings,
    options: ServeOptions,
    listening: socket.socket,
    ready: Callable[[], None] | None = None,
) -> None:
    """Run the service in this process until SIGTERM or Ctrl-C; then end in good order.

    Args:
        settings: of the pipeline.
        options: of the service.
        listening: see :func:`listen`; closed at the end.
        ready: called once it takes requests.

    Raises:
        VedetteError: see :func:`build`.
    """
    log_to_stderr()
    with listening:
        services = build(settings, options)
        server = server_for(create_app(services), options, services.engine)
        sys.setswitchinterval(_SWITCH_S)
        run_on_loop(_until_the_end(server, listening, ready))


async def _until_the_end(
    server: Server, listening: socket.socket, ready: Callable[[], None] | None
) -> None:
    running = asyncio.ensure_future(server.serve(sockets=[listening]))
    while ready is not None and not server.started and not running.done():
        await asyncio.sleep(0.01)
    if ready is not None and server.started:
        ready()
    await running
