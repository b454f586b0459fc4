"""What is benchmarked, by the name that a user gives it."""

from __future__ import annotations

import re
from pathlib import Path

from vedette.bench.classifier import ClassifierPredictor
from vedette.bench.endpoints import EndpointOptions, is_endpoint, open_endpoint
from vedette.bench.fingerprints import FILE, Fingerprints, read_fingerprints
from vedette.bench.predictor import Predictor
from vedette.models.base import Classifier
from vedette.models.registry import get
from vedette.settings import Settings


def check_predictor(name: str, settings: Settings, endpoints: EndpointOptions) -> None:
    """Refuse a wrong name, before anything is decoded; no weights are read.

    Raises:
        VedetteError: there is none of that name, or its options cannot be used.
    """
    if is_endpoint(name):
        open_endpoint(name, endpoints, settings).close()
    else:
        get(name)


def open_predictor(name: str, settings: Settings, endpoints: EndpointOptions) -> Predictor:
    """One of our classifiers, an endpoint, a command or a file of predictions.

    Raises:
        VedetteError: there is none of that name, or it cannot be used.
    """
    if is_endpoint(name):
        return open_endpoint(name, endpoints, settings)
    return ClassifierPredictor(name, settings)


def classifier_of(predictor: Predictor) -> Classifier | None:
    """The model behind a predictor, where it is one of ours."""
    return predictor.classifier if isinstance(predictor, ClassifierPredictor) else None


def recorded_training(name: str) -> dict[str, Fingerprints]:
    """Fingerprints of what a model was trained on, where they lie in its folder, by a name for it.

    Of a combination, those of all its members.

    Raises:
        UsageError: ``bad_source``: a file is damaged.
    """
    found = {}
    for member in re.split(r"[(),]|->|\u2192", name):
        folder = member.strip().removeprefix("vit:").removeprefix("gantman:")
        try:
            there = bool(folder) and (Path(folder) / FILE).is_file()
        except (OSError, ValueError):  # a command, or anything else that names no folder
            continue
        if there:
            what = "the set that the model was trained on"
            if folder != name.removeprefix("vit:"):
                what = f"the set that {folder} was trained on"
            found[what] = read_fingerprints(Path(folder) / FILE)
    return found
