"""From what a user names, ``openai:omni-moderation-latest``, to a predictor."""

from __future__ import annotations

import os
from pathlib import Path

from vedette.bench.endpoints.command import CommandPredictor
from vedette.bench.endpoints.openai import OpenAI
from vedette.bench.endpoints.options import EndpointOptions
from vedette.bench.endpoints.rekognition import Rekognition
from vedette.bench.endpoints.remote import RemotePredictor
from vedette.bench.endpoints.safesearch import SafeSearch
from vedette.bench.endpoints.service import Service
from vedette.bench.endpoints.table import FilePredictor
from vedette.bench.predictor import Predictor
from vedette.errors import UnknownNameError, UsageError
from vedette.settings import Settings

_FORMS = (
    ("openai:MODEL", "a moderation endpoint of OpenAI's form; sends it the pictures"),
    ("rekognition:REGION", "AWS Rekognition's moderation labels; sends it the pictures"),
    ("safesearch", "Google's SafeSearch; sends it the pictures"),
    ("command:PROGRAM ARGS", "a program here that prints a line of scores for each picture"),
    ("predictions:FILE", "CSV, JSONL or Parquet of scores by key or sha256"),
)
_PREFIXES = tuple(form.partition(":")[0] for form, _ in _FORMS)


def forms() -> list[tuple[str, str]]:
    """What can be named, and what it is, for help."""
    return list(_FORMS)


def is_endpoint(name: str) -> bool:
    """Whether a name is of one of :func:`forms`, and so no model of ours."""
    return name.partition(":")[0] in _PREFIXES


def open_endpoint(name: str, options: EndpointOptions, settings: Settings) -> Predictor:
    """The predictor of that name. Nothing is sent yet.

    Args:
        name: of one of :func:`forms`.
        options: how it is asked.
        settings: for the limits of decoding.

    Raises:
        UnknownNameError: no such form.
        UsageError: it cannot be used as it is named or configured.
        VedetteError: ``write_failed``: no answers can be kept.
    """
    form, _, rest = name.partition(":")
    if form not in _PREFIXES:
        raise UnknownNameError("endpoint", form, _PREFIXES)
    limits = settings.limits
    if form == "predictions":
        if not rest:
            raise UsageError("predictions: names no file", hint="predictions:FILE")
        return FilePredictor(name, Path(rest).expanduser(), limits)
    if form == "command":
        return CommandPredictor(name, rest, options, limits)
    service: Service
    if form == "openai":
        service = OpenAI(rest, options.base_url, os.environ)
    elif form == "rekognition":
        service = Rekognition(rest, options.base_url, os.environ)
    else:
        service = SafeSearch(options.base_url, os.environ)
    return RemotePredictor(name, service, options, limits)
