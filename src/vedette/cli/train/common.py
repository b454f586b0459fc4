"""What the training commands share: their options, and the way from a set to a model folder."""

from __future__ import annotations

import functools
import inspect
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vedette.cli.data.common import (
    Card,
    Data,
    Format,
    Labels,
    check_commercial_set,
    opened,
    set_card,
    show_legend,
)
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.data.base import Source
    from vedette.settings import Settings
    from vedette.train.data import SetOptions, TrainingSet
    from vedette.train.finishing import Outcome
    from vedette.train.workplace import Workplace

Out = Annotated[Path, typer.Option("--out", "-o", help="The model folder to make.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of all random numbers.")]
SplitFile = Annotated[
    Path | None, typer.Option("--split", help="A file of `vedette data split`. [the set's own]")
]
Categories = Annotated[
    list[str] | None,
    typer.Option("--category", help="Learn only this; can be repeated. [all with enough images]"),
]
CalibrationMethod = Annotated[
    str,
    typer.Option("--calibration", help="auto, temperature, platt, beta, isotonic or none."),
]
TargetOption = Annotated[
    str,
    typer.Option("--target", help="Of the thresholds: fpr<=0.01, recall>=0.95 or cost=10:1."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a model folder that is already there.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
]
_PLACE = 2
"""How many of the shared options stand before a command's own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What every training is asked; :func:`asks` makes options of the fields."""

    data: Data
    out: Out
    seed: Seed = 7
    split: SplitFile = None
    category: Categories = None
    calibration: CalibrationMethod = "auto"
    target: TargetOption = "cost=1:1"
    fmt: Format = "auto"
    labels: Labels = None
    card: Card = None
    overwrite: Overwrite = False
    quiet: Quiet = False
    config: Config = None


def asks(command: Callable[..., None]) -> Callable[..., None]:
    """A command ``(asked, its own options…)`` with the options that every training has.

    Typer reads a command's options from its signature: this one has the set and the folder first,
    then the command's own, then the rest of :class:`Asked`.
    """
    first, *own = inspect.signature(command, eval_str=True).parameters.values()
    shared = inspect.signature(Asked, eval_str=True).parameters
    if first.annotation is not Asked:
        raise TypeError(f"{command.__name__} does not ask for what every training asks")
    place, rest = list(shared.values())[:_PLACE], list(shared.values())[_PLACE:]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [one.replace(kind=keyword) for one in (*place, *own, *rest)]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(Asked(**{name: given.pop(name) for name in shared}), **given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


ReadSet = Callable[["Asked", "Settings", "SetOptions", Callable[[str], None]], "TrainingSet"]
"""Makes the set that a training is asked for; the last argument shows a line to a person."""


@dataclass(frozen=True, slots=True)
class Training:
    """One training under way."""

    asked: Asked
    settings: Settings
    place: Workplace
    data: TrainingSet
    started: float

    def say(self, line: str) -> None:
        """Show progress."""
        if not self.asked.quiet:
            typer.echo(printable(line), err=True)

    def finish(self, outcome: Outcome, data: TrainingSet | None = None) -> None:
        """Write the model folder, and say what was measured.

        Args:
            outcome: what came out.
            data: where it is not all of the set: some images gave no embedding.
        """
        from vedette.train.calibration.targets import parse_target
        from vedette.train.finishing import FinishOptions, finish

        options = FinishOptions(
            self.asked.calibration,
            parse_target(self.asked.target),
            self.asked.seed,
            printable(shlex.join(["vedette", *sys.argv[1:]])),
        )
        found = finish(self.place, data or self.data, outcome, options, self.started)
        typer.echo(found.line)
        for caveat in found.caveats:
            typer.echo(f"warning: {printable(caveat.message)}", err=True)
        typer.echo(f"wrote {printable(str(self.place.out))}", err=True)


@contextmanager
def training(
    asked: Asked, more: Mapping[str, Any], read: ReadSet | None = None
) -> Iterator[Training]:
    """A training on a set; whatever can be refused is refused before its pictures are read.

    Args:
        asked: see there.
        more: the trainer's own options as JSON values: another training does not go on where this
            one was killed.
        read: makes the set; None: it is one of pictures.
    """
    from vedette.train.workplace import workplace

    settings, set_options, whole = _checked(asked, more)
    with workplace(asked.out, whole, overwrite=asked.overwrite) as place:
        started = time.monotonic()
        say = _silent if asked.quiet else _say
        data = (read or _pictures)(asked, settings, set_options, say)
        if place.bind(data.learned_from):
            say("going on where an earlier run of this training was")
        elif place.resumed:
            say("the set has changed since an earlier run of this training: it begins anew")
        yield Training(asked, settings, place, data, started)


def _pictures(
    asked: Asked, settings: Settings, options: SetOptions, say: Callable[[str], None]
) -> TrainingSet:
    from vedette.train.data import read_training_set

    source, options = open_set(asked, settings, options)
    data = read_training_set(asked.data, source, settings, options, say)
    show_legend(source)
    return data


def open_set(asked: Asked, settings: Settings, options: SetOptions) -> tuple[Source, SetOptions]:
    """The set's source, and what it says itself: which published set it was imported as.

    Raises:
        UsageError: ``terms_refused``, before a picture is read; what opening it raises.
    """
    source = opened(asked.data, asked.fmt, asked.labels, asked.card, asked.config)
    card = set_card(asked.data, asked.card, source)
    check_commercial_set(card, commercial=settings.commercial)
    return source, replace(options, card=card)


def _checked(asked: Asked, more: Mapping[str, Any]) -> tuple[Settings, SetOptions, dict[str, Any]]:
    from vedette.calibrate import METHODS
    from vedette.data.splits import read_split
    from vedette.errors import UnknownNameError, UsageError
    from vedette.extras import require
    from vedette.settings import load_settings
    from vedette.taxonomy import Category, parse_category
    from vedette.text import is_utf8
    from vedette.train.calibration.targets import parse_target
    from vedette.train.data import SetOptions

    for given in (asked.data, str(asked.out)):
        if not is_utf8(given):
            raise UsageError(
                f"{given}: not a name in UTF-8, which the model's card is written in",
                hint="rename it, or name it by a link",
            )
    require("matplotlib", extra="train")  # for the report: not only after hours of training
    settings = load_settings(asked.config)
    if asked.calibration not in ("auto", "none", *METHODS):
        raise UnknownNameError("calibration", asked.calibration, ("auto", "none", *METHODS))
    target = parse_target(asked.target)
    categories: list[Category] = []
    for name in asked.category or ():
        try:
            categories.append(parse_category(name))
        except KeyError:
            raise UnknownNameError("category", name, [c.value for c in Category]) from None
    options = SetOptions(
        asked.seed,
        read_split(asked.split) if asked.split is not None else None,
        tuple(categories) or None,
        set_card(asked.data, asked.card),
    )
    check_commercial_set(options.card, commercial=settings.commercial)
    whole = {
        **more,
        "data": asked.data,
        "format": asked.fmt,
        "labels": asked.labels,
        "set": asked.card,
        "seed": asked.seed,
        "split": None if options.split is None else options.split.sha256,
        "categories": [category.value for category in categories],
        "calibration": asked.calibration,
        "target": str(target),
    }
    return settings, options, whole


def _say(line: str) -> None:
    typer.echo(printable(line), err=True)


def _silent(line: str) -> None:
    """Nothing is shown."""
