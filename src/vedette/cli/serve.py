"""``vedette serve``: the pipeline behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vedette.text import printable


def serve(
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on. [127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="0: any free one. [8080]")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Repeatable; the first is the default. [nudenet]"),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", "-p", help="A preset or a file. Repeatable. [all presets]"),
    ] = None,
    calibration: Annotated[
        list[str] | None,
        typer.Option("--calibration", help="A file of `vedette calibrate`. Repeatable."),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes; each has its own models.")
    ] = 1,
    database: Annotated[
        str | None,
        typer.Option("--database", help="A SQLite file, or postgresql+psycopg://user@host/name."),
    ] = None,
    spool: Annotated[
        str | None,
        typer.Option("--spool", help="Folder for decisions on their way to the database."),
    ] = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Answer without a key; on a loopback address only.")
    ] = False,
    tls_certificate: Annotated[
        str | None, typer.Option("--tls-certificate", help="PEM file, with its chain.")
    ] = None,
    tls_key: Annotated[str | None, typer.Option("--tls-key", help="PEM file.")] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option("--trusted-proxy", help="Address or network of a proxy. Repeatable."),
    ] = None,
    lists: Annotated[
        list[str] | None,
        typer.Option("--lists", help="A file or a folder of hash lists. Repeatable."),
    ] = None,
    queue: Annotated[
        int | None, typer.Option("--queue", min=1, help="Images waiting at once, at most. [64]")
    ] = None,
    no_hardened: Annotated[
        bool, typer.Option("--no-hardened", help="Decode without guarded worker processes.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Serve the pipeline over HTTP until Ctrl-C or SIGTERM.

    Exit status: 0 ended as asked, 2 it cannot start as called.
    """
    import dataclasses

    from vedette.serve.options import checked, load_options
    from vedette.serve.start import listen, policies_of
    from vedette.serve.start import serve as run
    from vedette.serve.workers import serve_with_workers
    from vedette.settings import load_settings

    settings = load_settings(config)
    scan = dataclasses.replace(settings.scan, hardened=not no_hardened)
    settings = dataclasses.replace(settings, scan=scan)
    chosen = {
        "host": host,
        "port": port,
        "models": tuple(model) if model else None,
        "policies": tuple(policy) if policy else None,
        "calibrations": tuple(calibration) if calibration else None,
        "database": database,
        "spool": spool,
        "open": open_ or None,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "trusted_proxies": tuple(trusted_proxy) if trusted_proxy else None,
        "lists": tuple(lists) if lists else None,
        "queue": queue,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    options = checked(dataclasses.replace(load_options(config), **given))  # type: ignore[arg-type]
    policies = policies_of(options.policies)  # what is misspelt is told before models are loaded
    listening = listen(options, workers)
    address, bound = listening.getsockname()[:2]
    scheme = "https" if options.tls_certificate else "http"
    shown = f"[{address}]" if ":" in address else address

    def ready() -> None:
        told = f"{scheme}://{shown}:{bound} models: {', '.join(options.models)}"
        processes = f"; {workers} processes" if workers > 1 else ""
        typer.echo(printable(f"{told}; policies: {', '.join(policies)}{processes}"))

    if workers == 1:
        run(settings, options, listening, ready)
    else:
        serve_with_workers(settings, options, workers, listening, ready)
