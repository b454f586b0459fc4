"""``vedette bench run``: classifiers on a data set, a result file for each and each task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vedette.cli.data.common import Card, Format, Labels, opened, show_legend
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.bench.endpoints import EndpointOptions
    from vedette.bench.fingerprints import Fingerprints
    from vedette.bench.run import Done
    from vedette.settings import Settings

_NOT_ALL = 3
DATA = typer.Option("--data", help="Labelled set: a path, vault:NAME, synth:0.2.")
MODEL = typer.Option(
    "--model", "-m", help="A model, an endpoint, a file of predictions; can be repeated."
)
TASK = typer.Option(
    "--task", help="Only this task; can be repeated. See `vedette bench tasks`. [all that fit]"
)


def run(
    data: Annotated[str, DATA],
    model: Annotated[list[str], MODEL],
    task: Annotated[list[str] | None, TASK] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result files.")] = Path(
        "results"
    ),
    protocol: Annotated[
        Literal["sound", "official"],
        typer.Option("--protocol", help="official: the choices of UnsafeBench's published code."),
    ] = "sound",
    split: Annotated[
        Path | None, typer.Option("--split", help="A file of `vedette data split`.")
    ] = None,
    trained_on: Annotated[
        list[str] | None,
        typer.Option("--trained-on", help="A set the models were trained on, or its fingerprints."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all random numbers.")] = 7,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, max=100_000, help="Resamples behind intervals.")
    ] = 5_000,
    images: Annotated[
        int | None,
        typer.Option(
            "--images", min=1, max=10_000, help="Images to attack and to change. [100, or 500]"
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", min=1, max=10_000, help="Gradient steps of an attack.")
    ] = 100,
    clusters: Annotated[
        int | None, typer.Option("--clusters", min=1, help="Clusters of errors. [by silhouette]")
    ] = None,
    endpoint_url: Annotated[
        str | None, typer.Option("--endpoint-url", help="Address of an endpoint of your own.")
    ] = None,
    rate: Annotated[
        float, typer.Option("--rate", min=0.001, help="Requests to an endpoint, per second.")
    ] = 2.0,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", min=0, help="Stop before this many USD.")
    ] = None,
    price: Annotated[
        float | None, typer.Option("--price", min=0, help="USD for one image at an endpoint.")
    ] = None,
    fmt: Format = "auto",
    labels: Labels = None,
    card: Card = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Benchmark classifiers on a labelled set. The same command goes on after an interruption.

    Exit status: 0 done, 2 wrong usage, 3 done, and a task broke off, one that was asked for by name
    cannot be asked of some model, or some images could not be scored.
    """
    from vedette.bench.opening import check_predictor, open_predictor, recorded_training
    from vedette.bench.run import Plan, finish, read_set, with_fingerprints
    from vedette.bench.run import run as run_tasks
    from vedette.bench.tasks.base import BenchOptions
    from vedette.bench.tasks.registry import task_named, tasks
    from vedette.data.splits import read_split
    from vedette.settings import load_settings

    settings = load_settings(config)
    chosen = tuple(task_named(name) for name in task) if task else tuple(tasks().values())
    few = 500 if protocol == "official" else 100
    options = BenchOptions(
        protocol, seed, bootstrap, few if images is None else images, steps, clusters
    )
    say = _silent if quiet else _say
    plan = Plan(out, chosen, options, settings, say)
    source = opened(data, fmt, labels, card, config)
    parts = read_split(split) if split is not None else None
    bench = read_set(data, source, parts, protocol == "official", _set_id(data, card))
    show_legend(source)
    endpoints = _endpoints(endpoint_url, rate, max_cost, price)
    for name in dict.fromkeys(model):  # a wrong name is told before hours of decoding
        check_predictor(name, settings, endpoints)
    say(f"{data}: {len(bench.rows):,} images; looking for copies among them")
    bench = with_fingerprints(bench, settings)
    training = _training(trained_on or (), settings, config)
    complete = True
    for name in dict.fromkeys(model):
        predictor = open_predictor(name, settings, endpoints)
        try:
            found = run_tasks(bench, predictor, plan, {**training, **recorded_training(name)})
        finally:
            predictor.close()
        complete = _told(found, bool(task)) and complete
    finish(out)
    if any(out.glob("*.json")):
        typer.echo(f"vedette bench report {out} --html report.html shows them", err=True)
    if not complete:
        raise typer.Exit(_NOT_ALL)


def _say(line: str) -> None:
    typer.echo(printable(line), err=True)


def _silent(line: str) -> None:
    """Nothing is shown."""


def _told(found: list[Done], named: bool) -> bool:
    """Print what there is now; whether all that was asked for is."""
    complete = True
    for done in found:
        if done.path is None:
            typer.echo(
                f"{printable(done.model)}  {done.task}: not asked: {printable(done.why_not)}"
            )
            complete = complete and not named and not done.broke_off
            continue
        complete = complete and not done.failed
        notes = f"  {done.caveats} warnings" if done.caveats else ""
        kept = "  (there already)" if done.kept else ""
        typer.echo(
            f"{printable(done.model)}  {done.task}: {printable(str(done.path))}{notes}{kept}"
        )
    return complete


def _set_id(data: str, card: str | None) -> str:
    from vedette.data.cards import card_named, recognised

    if card is not None:
        return "" if card == "none" else card_named(card).id
    known = recognised(data)
    return "" if known is None else known.id


def _training(
    given: list[str] | tuple[()], settings: Settings, config: Path | None
) -> dict[str, Fingerprints]:
    from vedette.bench.fingerprints import FILE, fingerprints, read_fingerprints

    found = {}
    for one in given:
        path = Path(one)
        if path.name.endswith(FILE) or (path.is_file() and path.suffix == ".jsonl"):
            found[one] = read_fingerprints(path)
        else:
            found[one] = fingerprints(opened(one, "auto", None, None, config), settings)
    return found


def _endpoints(
    url: str | None, rate: float, max_cost: float | None, price: float | None
) -> EndpointOptions:
    from vedette.bench.endpoints import EndpointOptions

    return EndpointOptions(base_url=url, rate=rate, max_cost=max_cost, price=price)
