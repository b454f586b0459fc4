"""``vedette train distill``: a small ViT that learns from a large classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vedette.cli.data.common import show_legend
from vedette.cli.train.common import Asked, asks, open_set
from vedette.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from vedette.settings import Settings
    from vedette.train.data import SetOptions, TrainingSet


@asks
def distill(
    asked: Asked,
    teacher: Annotated[
        str, typer.Option("--teacher", help="A model, a folder, or mean(a,b): it is asked once.")
    ],
    student: Annotated[
        str,
        typer.Option("--student", help="vit-tiny, vit-small, vit-mini; a ViT or its folder."),
    ] = "vit-tiny",
    temperature: Annotated[
        float, typer.Option("--temperature", help="Of the teacher's log-odds, 1 or above.")
    ] = 2.0,
    epochs: Annotated[int, typer.Option("--epochs", min=1, max=9999, help="Over the images.")] = 30,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images in a step.")] = 64,
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", help="At its height. [5e-4, 1e-4 for a trained student]"),
    ] = None,
    augment: Annotated[
        Literal["none", "light", "evasion", "strong"],
        typer.Option("--augment", help="How the student's copies are changed."),
    ] = "light",
    patience: Annotated[
        int, typer.Option("--patience", min=0, help="Epochs without progress; 0: never stop.")
    ] = 0,
    int8: Annotated[
        bool, typer.Option("--int8", help="Also write OUT-int8: ONNX in int8, for the edge.")
    ] = False,
    max_drift: Annotated[
        float | None,
        typer.Option("--max-drift", help="Refuse an int8 that moves a probability more. [0.05]"),
    ] = None,
) -> None:
    """Train a small ViT on what a large classifier says about images, which need no labels.

    Where they have some, thresholds and metrics are against those; else against the teacher.
    """
    from vedette.cli.train.common import training
    from vedette.compile.export import MAX_DRIFT, ExportOptions, check_place
    from vedette.compile.quantize import check_libraries
    from vedette.models.registry import check_commercial, get
    from vedette.settings import load_settings
    from vedette.train.distill.distilling import Lesson, distil
    from vedette.train.distill.edge import write_int8
    from vedette.train.distill.lessons import lessons
    from vedette.train.distill.pool import Pool
    from vedette.train.distill.students import options_for, student_named
    from vedette.train.distill.teacher import ask_model

    known = get(teacher).card  # a wrong name is told before anything is decoded
    start = student_named(student)
    options = options_for(start, epochs, batch, learning_rate, augment, patience, temperature)
    settings = load_settings(asked.config)
    if settings.commercial:
        check_commercial(known)
        check_commercial(start.card)
    edge = asked.out.parent / f"{asked.out.name}-int8"
    bound = MAX_DRIFT if max_drift is None else max_drift
    how = ExportOptions("onnx", "int8", bound, asked.overwrite, settings.limits)
    if int8:
        check_place(edge, overwrite=asked.overwrite)
        check_libraries()
    more = {
        "trainer": "distill",
        "teacher": known.model,
        "student": start.card.model,
        **options.as_json(),
    }
    with training(asked, more, _pool) as one:
        pool = one.data
        assert isinstance(pool, Pool)
        taught, asked_of = ask_model(pool, teacher, one.settings, one.place.state, one.say)
        kept = lessons(pool, taught, one.say)
        lesson = Lesson(asked_of, start, options, asked.seed)
        one.finish(distil(pool, kept, taught, lesson, one.settings, one.place.state, one.say), kept)
    if int8:
        typer.echo(f"int8: {write_int8(asked.out, edge, kept, settings, how)}")
        typer.echo(f"wrote {printable(str(edge))}", err=True)


def _pool(
    asked: Asked, settings: Settings, options: SetOptions, say: Callable[[str], None]
) -> TrainingSet:
    from vedette.train.distill.pool import read_pool

    source, options = open_set(asked, settings, options)
    pool = read_pool(asked.data, source, settings, options, say)
    show_legend(source)
    return pool
