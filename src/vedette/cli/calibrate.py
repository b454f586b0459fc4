"""``vedette calibrate``: curves and thresholds from stored Records and labels, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vedette.cli.data.common import Card, Format, opened, show_legend
from vedette.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette.calibrate import Calibration
    from vedette.data.base import Source
    from vedette.taxonomy import Category
    from vedette.train.calibration.records import Counts
    from vedette.train.calibration.stored import Found

_NOT_PROMISED = 3
CALIBRATION = "calibration.json"
POLICY = "policy.toml"


def calibrate(
    records: Annotated[Path, typer.Argument(help="Records of a scan by one model (.jsonl).")],
    labels: Annotated[
        str, typer.Option("--labels", help="The pictures' labels: any labelled source.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for calibration.json and policy.toml.")
    ],
    target: Annotated[
        str, typer.Option("--target", help="Keep this: fpr<=0.01, recall>=0.95 or cost=10:1.")
    ] = "cost=1:1",
    method: Annotated[
        Literal["auto", "temperature", "platt", "beta", "isotonic", "none"],
        typer.Option("--method", help="Of the curves."),
    ] = "auto",
    confidence: Annotated[
        float, typer.Option("--confidence", help="How surely the target is kept, 0.5..0.9999.")
    ] = 0.95,
    base_rate: Annotated[
        list[str] | None,
        typer.Option("--base-rate", help="Your share of unsafe images: 0.01 or Sexual=0.002."),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option("--category", help="Only this; can be repeated. [all labelled and covered]"),
    ] = None,
    action: Annotated[
        Literal["review", "block"],
        typer.Option("--action", help="What the policy does from the threshold on."),
    ] = "review",
    fmt: Format = "auto",
    meaning: Annotated[
        str | None,
        typer.Option("--meaning", help="What the labels mean: 0=safe,1=Violence, or a .toml file."),
    ] = None,
    card: Card = None,
    part: Annotated[
        str | None, typer.Option("--part", help="Use only images of this part of the set.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option("--split", help="A file of `vedette data split` with --part.")
    ] = None,
    near: Annotated[
        bool, typer.Option("--near", help="Decode the pictures, and count near-duplicates once.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the two files if they are there.")
    ] = False,
) -> None:
    """Calibrate stored Records by labels, and choose thresholds that keep a target.

    Exit status: 0 every threshold keeps the target, 2 wrong usage, 3 too few labels to promise it
    for some category: what is written is the best there is.
    """
    from vedette.settings import load_settings
    from vedette.train.calibration.policy_text import policy_text
    from vedette.train.calibration.records import matched
    from vedette.train.calibration.stored import CalibrateOptions, calibrate_records, thresholds_of
    from vedette.train.calibration.targets import parse_target

    _check(out, confidence, overwrite=overwrite)
    wanted = _categories(category)
    options = CalibrateOptions(
        parse_target(target), method, confidence, _base_rates(base_rate), wanted, _short(labels)
    )
    source = _of_part(opened(labels, fmt, meaning, card, config), split, part)
    near_settings = load_settings(config) if near else None
    found = matched(records, source, part if split is None else None, near=near_settings)
    show_legend(source)
    calibration, results = calibrate_records(found, options)
    text = policy_text(
        out.resolve().name,
        thresholds_of(results),
        action=action,
        notes=(
            f"Thresholds for {options.target}, chosen on the labels of {options.name}.",
            "Each promise is for its category alone: several together flag more safe images.",
            f"For scores of {found.model}, "
            + ("as they are." if calibration is None else f"calibrated by {CALIBRATION}."),
        ),
        calibrated=None if calibration is None else calibration.name,
    )
    _tell(found.model, found.counts, results)
    _write(out, calibration, text)
    if not all(one.chosen.kept for one in results.values()):
        raise typer.Exit(_NOT_PROMISED)


def _check(out: Path, confidence: float, *, overwrite: bool) -> None:
    """Refuse, before anything is read, what could only fail at the end."""
    from vedette.errors import UsageError, VedetteError
    from vedette.sinks.base import check_places

    if not 0.5 <= confidence <= 0.9999:
        raise UsageError(f"a confidence of {confidence:g} is not in 0.5..0.9999")
    if out.is_dir():
        check_places([out / CALIBRATION, out / POLICY], overwrite=overwrite)
    elif out.exists() or not out.resolve().parent.is_dir():
        what = "it is a file" if out.exists() else f"there is no folder {out.parent}"
        raise VedetteError(f"cannot write {out}: {what}", code="write_failed")


def _short(labels: str) -> str:
    """What the labels are called in the calibration's name: without the way to them."""
    return Path(labels).name or labels


def _categories(names: list[str] | None) -> tuple[Category, ...] | None:
    return None if not names else tuple(_category(name) for name in names)


def _category(name: str) -> Category:
    from vedette.errors import UnknownNameError
    from vedette.taxonomy import Category, parse_category

    try:
        return parse_category(name)
    except KeyError:
        raise UnknownNameError("category", name, [c.value for c in Category]) from None


def _base_rates(given: list[str] | None) -> dict[Category, float]:
    from vedette.errors import UsageError
    from vedette.taxonomy import Category

    rates: dict[Category, float] = {}
    own: dict[Category, float] = {}
    for text in given or ():
        name, _, number = text.rpartition("=")
        try:
            rate = float(number)
        except ValueError:
            rate = 0.0
        if not 0 < rate < 1:
            raise UsageError(f"{text!r} is no base rate", hint="use 0.01, or Sexual=0.002")
        if name:
            own[_category(name.strip())] = rate
        else:
            rates = dict.fromkeys(Category, rate)
    return rates | own


def _of_part(source: Source, split: Path | None, part: str | None) -> Source:
    from vedette.data.splits import SplitSource, read_split
    from vedette.errors import UsageError

    if split is None:
        return source
    if part is None:
        raise UsageError("--split needs --part", hint="name the part that no training has seen")
    return SplitSource(source, read_split(split), part)


def _tell(model: str, counts: Counts, results: Mapping[Category, Found]) -> None:
    from vedette.train.calibration.stored import lines

    typer.echo(f"{counts.matched:,} labelled Records of {printable(model)}")
    left_out = (
        (counts.failed, "Records with a failure"),
        (counts.unlabelled, "Records without a label"),
        (counts.unscored, "labelled images without a Record"),
        (counts.changed, "images changed since they were scanned"),
        (counts.repeated, "repetitions"),
    )
    for count, what in left_out:
        if count:
            typer.echo(f"left out: {count:,} {what}", err=True)
    rows = lines(results)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *rest = zip(row, widths, strict=True)
        cells = [f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in rest)]
        typer.echo("  ".join(cells).rstrip())
    for category, one in results.items():
        said = "" if one.chosen.kept else "NOT PROMISED: "
        typer.echo(f"{category}: {said}{one.chosen.promised}")
        if one.why:
            typer.echo(f"{category}: no curve: {one.why}", err=True)


def _write(out: Path, calibration: Calibration | None, policy: str) -> None:
    from json import dumps

    from vedette.errors import VedetteError
    from vedette.sinks.base import replacing

    files = {POLICY: policy}
    if calibration is not None:
        told = dumps(calibration.as_json(), indent=1, allow_nan=False)
        files[CALIBRATION] = told + "\n"
    try:
        out.mkdir(exist_ok=True)
        # An old one does not go with the new policy, not even for the moment between both.
        (out / CALIBRATION).unlink(missing_ok=True)
    except OSError as error:
        raise VedetteError(
            f"cannot write {out}: {error.strerror or error}", code="write_failed"
        ) from error
    for name, text in files.items():
        with replacing(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {printable(str(out / name))}", err=True)
