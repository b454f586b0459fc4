"""What an operator may choose about the service: section ``[serve]`` of the settings, or options.

docs/serve.md lists them all.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from vedette.errors import SettingsError, UsageError
from vedette.settings import read_section, read_table, validated


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one request may cost. Past a limit it is refused, before the work is done."""

    body_bytes: int = 64 * 2**20
    """Of a request's body, all images together."""
    images: int = 32
    """Images in one request, at most."""
    seconds: float = 30.0
    """From the request's first byte to its answer; then 504, and what is not begun is dropped."""
    body_seconds: float = 20.0
    """To receive the body: slow senders are cut off."""
    json_bytes: int = 96 * 2**20
    """Of a JSON body: base64 makes pictures a third longer."""
    video_bytes: int = 256 * 2**20
    """Of a video's body."""
    video_seconds: float = 120.0
    """Instead of ``seconds``, where a video is scanned."""
    upload_bytes: int = 1024 * 2**20
    """Of a job's archive, which goes to the disk as it arrives."""
    upload_seconds: float = 600.0
    """To receive a job's archive, instead of ``body_seconds``."""
    held_bytes: int = 1024 * 2**20
    """Of all bodies that this process holds at once; past it 503. A job's archive is not held."""
    header_seconds: float = 10.0
    """To receive a request's head; then the connection is closed."""
    header_count: int = 100
    """Header lines of a request, at most."""
    connections: int = 1024
    """Connections to this process at once; further ones are closed."""


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """What URLs a caller may have fetched."""

    enabled: bool = False
    """Off by default: a service that fetches what strangers name is a door into its network."""
    hosts: tuple[str, ...] = ()
    """Only these hosts, and those below a ``.example.org``; empty: any public one."""
    private_hosts: tuple[str, ...] = ()
    """Hosts that may have private addresses: one's own storage. Named one by one."""
    bytes: int = 32 * 2**20
    seconds: float = 10.0
    redirects: int = 3
    ports: tuple[int, ...] = (80, 443)


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What jobs may cost; docs/jobs.md."""

    folder: str = "vedette-jobs"
    """For uploaded images until they are scanned. Replicas that share it share the uploads."""
    items: int = 10_000
    """Images of one job, at most."""
    expanded_bytes: int = 4 * 2**30
    """Of the images of one upload, all together."""
    open: int = 10
    """Jobs of one key that have not ended, at most."""
    hours: float = 48.0
    """A job that has not ended by then is ended as ``expired``."""
    retention_days: float = 7.0
    """Jobs that ended longer ago are deleted, with their results."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How the service runs."""

    host: str = "127.0.0.1"
    port: int = 8080
    models: tuple[str, ...] = ("nudenet",)
    """The first is the default; all are loaded at the start."""
    policies: tuple[str, ...] = ("default", "strict", "permissive", "children")
    """Presets and files that callers may name; the first is the default."""
    calibrations: tuple[str, ...] = ()
    """Files of ``vedette calibrate``, each for one of the models. Empty: the setting
    ``calibration``, if there is one."""
    lists: tuple[str, ...] = ()
    """Files and folders of hash lists, asked before any model; docs/hash-lists.md."""
    queue: int = 64
    """Images admitted and not yet answered, over all requests of this process. Past it: 503."""
    rate: float = 0.0
    """Images per second that a key may ask for which names no rate itself; 0: no limit."""
    open: bool = False
    """Answer callers without a key. Only on a loopback address."""
    database: str = "vedette-service.sqlite"
    """A path (SQLite), or ``postgresql+psycopg://user@host/database``."""
    spool: str = "vedette-spool"
    """A folder for decisions that the database has not taken yet."""
    retention_days: int = 90
    """Decisions older than this are erased; 0: never."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose X-Forwarded-For and -Proto count."""
    limits: RequestLimits = field(default_factory=RequestLimits)
    fetch: FetchOptions = field(default_factory=FetchOptions)
    jobs: JobOptions = field(default_factory=JobOptions)
    tls_certificate: str | None = None
    tls_key: str | None = None
    drain_seconds: float = 20.0
    """After SIGTERM: for requests under way to end; no new ones are taken."""


def load_options(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> ServeOptions:
    """The options of the settings file's sections ``[serve]``, ``[serve.limits]``,
    ``[serve.fetch]`` and ``[serve.jobs]``; the defaults where none is named.

    Raises:
        SettingsError: unreadable, not TOML, an unknown key, a value of the wrong type or sign.
    """
    path, whole = read_table(path, environ)
    table: Any = whole.get("serve", {})
    if not isinstance(table, dict):
        raise SettingsError(f"[serve] of {path} must be a table")
    table = dict(table)
    inner = {
        "limits": read_section(RequestLimits, table.pop("limits", {}), path, "serve.limits"),
        "fetch": read_section(FetchOptions, table.pop("fetch", {}), path, "serve.fetch"),
        "jobs": read_section(JobOptions, table.pop("jobs", {}), path, "serve.jobs"),
    }
    chosen: ServeOptions = replace(read_section(ServeOptions, table, path, "serve"), **inner)
    return chosen


def checked(options: ServeOptions) -> ServeOptions:
    """``options`` themselves, once they can be used together.

    Raises:
        UsageError: open to strangers, half of a certificate, a proxy that is no address, no model,
            no policy, a number that is not positive.
    """
    validated(options, "[serve]")
    validated(options.limits, "[serve.limits]")
    validated(options.fetch, "[serve.fetch]")
    validated(options.jobs, "[serve.jobs]")
    if not options.models or not options.policies:
        raise UsageError("the service needs a model and a policy", hint="see docs/serve.md")
    if options.open and not is_loopback(options.host):
        raise UsageError(
            f"--open on {options.host} would answer anybody on the network",
            hint="make a key with vedette keys create, or listen on 127.0.0.1",
        )
    if (options.tls_certificate is None) != (options.tls_key is None):
        raise UsageError("TLS needs a certificate and its key", hint="give both, or neither")
    _check_certificate(options)
    for proxy in options.trusted_proxies:
        try:
            ip_network(proxy, strict=False)
        except ValueError as error:
            raise UsageError(
                f"{proxy!r} is no address or network", hint="for example 10.0.0.7 or 10.0.0.0/8"
            ) from error
    return options


def _check_certificate(options: ServeOptions) -> None:
    if options.tls_certificate is None:
        return
    try:
        # Without a password: nobody is there to be asked for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            options.tls_certificate, options.tls_key, password=""
        )
    except OSError as error:  # SSLError is one
        raise UsageError(
            f"{options.tls_certificate} cannot be used: {error.strerror or error}",
            hint="give a certificate and its key without a password, both as PEM",
        ) from error


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach a service that listens there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
