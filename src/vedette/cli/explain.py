"""``vedette explain``: what a model's scores of one picture rest on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vedette.text import printable

if TYPE_CHECKING:
    from vedette.explain.occlusion import Relevance
    from vedette.models.base import Classifier
    from vedette.settings import Settings
    from vedette.taxonomy import Category
    from vedette.types import Image, Prediction, Scores

_NOT_SCANNED = 3


def explain(
    image: Annotated[Path, typer.Argument(help="A picture; of a video, its first frame.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="See `vedette models list`. [nudenet]")
    ] = None,
    category: Annotated[
        str | None, typer.Option("--category", help="To explain. [the one with the highest score]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the map, or the regions, as PNG.")
    ] = None,
    grid: Annotated[int, typer.Option("--grid", min=2, max=32, help="Cells along a side.")] = 8,
    orders: Annotated[
        int, typer.Option("--orders", min=2, help="Random orders that the map has to beat.")
    ] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Of the random orders.")] = 0,
    show_picture: Annotated[
        bool, typer.Option("--show-picture", help="Do not blur the picture in the PNG.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a PNG that is already there.")
    ] = False,
    backend: Annotated[
        str | None, typer.Option("--backend", help="auto, onnx or openvino. [auto]")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="auto, fp32 or bf16. [auto]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a model's scores of a picture rest on.

    Regions for a detector; for other models the labels nearest to it, and a map of the cells whose
    covering lowers the score, with a test of whether that map is better than chance.
    """
    from vedette.errors import ItemError
    from vedette.models.base import ModelOptions
    from vedette.models.registry import build
    from vedette.scores import to_scores
    from vedette.settings import load_settings

    _check_place(out, overwrite)
    settings = load_settings(config)
    options = ModelOptions(
        backend or settings.scan.backend,
        precision or settings.scan.precision,
        settings.commercial,
    )
    classifier = build(model or settings.model, options)
    wanted = _category(category, classifier)
    try:
        picture = _decoded(image, classifier, settings)
    except ItemError as error:
        typer.echo(f"error: {printable(error.message)} [{error.code}] - {error.hint}", err=True)
        raise typer.Exit(_NOT_SCANNED) from error
    prepared = classifier.prepare(picture)
    (prediction,) = classifier.infer([prepared])
    scores = to_scores(prediction, classifier.card.labels)
    chosen = wanted or max(scores.as_dict(), key=lambda c: scores[c] or 0.0)
    found: Relevance | None = None
    if not prediction.regions:
        from vedette.explain.occlusion import relevance

        found = relevance(classifier, prepared, chosen, grid=grid, orders=orders, seed=seed)
    told = _told(image, classifier, prediction, scores, chosen, found)
    if out is not None:
        from vedette.explain.drawing import draw

        pixels = picture.pixels if prediction.regions else prepared.pixels
        draw(pixels, found, prediction.regions, sharp=show_picture).save(out, "PNG")
        told["out"] = str(out)
    _print(told, json=json)


def _check_place(out: Path | None, overwrite: bool) -> None:
    from vedette.sinks.base import check_places

    if out is not None:
        check_places([out], overwrite=overwrite)


def _category(name: str | None, model: Classifier) -> Category | None:
    from vedette.errors import UnknownNameError, UsageError
    from vedette.taxonomy import Category, parse_category

    if name is None:
        return None
    try:
        category = parse_category(name)
    except KeyError:
        raise UnknownNameError("category", name, list(Category)) from None
    if category not in model.card.covered:
        raise UsageError(
            f"{model.card.id} does not look for {category}",
            hint=f"it covers {', '.join(model.card.covered)}",
        )
    return category


def _decoded(path: Path, model: Classifier, settings: Settings) -> Image:
    """The first frame, at full size: boxes and cells are of what a viewer shows."""
    from vedette.decode import DecodeOptions, InlineDecoder
    from vedette.errors import DecodeError
    from vedette.types import Item

    decoder = InlineDecoder(
        DecodeOptions(limits=settings.limits, sampling=settings.video, icc=model.icc)
    )
    first = next(iter(decoder.frames(Item(str(path), path))), None)
    if first is None:
        raise DecodeError("the file holds no picture")
    return first


def _told(
    path: Path,
    model: Classifier,
    prediction: Prediction,
    scores: Scores,
    category: Category,
    found: Relevance | None,
) -> dict[str, Any]:
    ranked = sorted(
        zip(prediction.labels, map(float, prediction.probs), strict=True), key=lambda pair: -pair[1]
    )
    told: dict[str, Any] = {
        "image": str(path),
        "model": model.card.model,
        "category": category.value,
        "scores": {c.value: p for c, p in scores.as_dict().items()},
        "labels": [{"label": label, "p": round(p, 6)} for label, p in ranked],
        "regions": [
            {"label": r.label, "score": r.score, "box": list(r.box)} for r in prediction.regions
        ],
    }
    if found is not None:
        deletion = dataclasses.asdict(found.deletion)
        told["map"] = {
            "cells": [[round(float(v), 4) for v in row] for row in found.cells],
            "deletion": {k: round(v, 6) for k, v in deletion.items()},
            "beats_random": found.deletion.beats_random,
        }
    return told


def _print(told: dict[str, Any], *, json: bool) -> None:
    if json:
        import json as writer

        typer.echo(writer.dumps(told, allow_nan=False))
        return
    category = told["category"]
    typer.echo(f"{printable(told['image'])}: {category} {told['scores'][category]:.3f}")
    typer.echo(f"model   {printable(told['model'])}")
    for label in told["labels"][:8]:
        typer.echo(f"label   {label['p']:.3f}  {printable(label['label'])}")
    for region in told["regions"]:
        typer.echo(f"region  {region['score']:.3f}  {printable(region['label'])}  {region['box']}")
    if "map" in told:
        deletion = told["map"]["deletion"]
        better = "better than chance" if told["map"]["beats_random"] else "NOT better than chance"
        typer.echo(
            f"map     {better}: mean probability {deletion['area']:.3f} as its cells are covered "
            f"in order, {deletion['random_mean']:.3f} +- {deletion['random_std']:.3f} at random"
        )
    if "out" in told:
        typer.echo(f"wrote   {printable(told['out'])}")
