"""Kinds by name, with typos answered and duplicates refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.noise import PERTURBATIONS
from vedette.bench.perturbations.registry import (
    collect,
    level_of,
    names,
    perturbation,
    perturbations,
)
from vedette.errors import UnknownNameError, UsageError

IMAGENET_C = {
    *("gaussian-noise", "shot-noise", "impulse-noise"),
    *("defocus-blur", "glass-blur", "motion-blur", "zoom-blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic-transform", "pixelate", "jpeg"),
}


def test_the_fifteen_of_imagenet_c_have_five_severities() -> None:
    known = perturbations()

    assert set(names()) >= IMAGENET_C
    assert all(len(known[name].levels) == 5 for name in IMAGENET_C)


def test_names_are_sorted_and_families_are_filled() -> None:
    assert list(names()) == sorted(names())
    counts = Counter(kind.family for kind in perturbations().values())
    corruptions = {"noise": 3, "blur": 4, "weather": 4, "digital": 4}
    assert counts == {**corruptions, "evasion": 18, "style": 3}


def test_a_typo_is_answered_with_what_was_meant() -> None:
    with pytest.raises(UnknownNameError) as caught:
        perturbation("gausian-noise")

    assert caught.value.hint == "did you mean 'gaussian-noise'?"
    assert perturbation("gaussian-noise").family == "noise"


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="two perturbations are called 'gaussian-noise'"):
        collect([*PERTURBATIONS, PERTURBATIONS[0]])


def test_there_is_no_severity_0() -> None:
    kind = perturbation("grid")

    assert [level_of(kind, at) for at in (1, 2, 3)] == [2, 3, 4]
    for severity in (0, 4, -1):
        with pytest.raises(UsageError) as caught:
            level_of(kind, severity)
        assert caught.value.hint == "its severities are 1 to 3"


@pytest.mark.parametrize("name", ["defocus-blur", "snow", "elastic-transform"])
@pytest.mark.parametrize("level", [0, 6, 1.5])
def test_a_severity_that_imagenet_c_lacks_is_refused(name: str, level: float) -> None:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="no severity"):
        perturbation(name).apply(pixels, level, np.random.default_rng(1))


@pytest.mark.parametrize("kind", perturbations().values(), ids=lambda kind: kind.name)
def test_its_page_lists_every_kind_with_its_levels(kind: Perturbation) -> None:
    page = Path(__file__).parents[3].joinpath("docs", "corruptions.md").read_text(encoding="utf-8")
    levels = ", ".join(f"{level:g}" for level in kind.levels)

    assert f"| `{kind.name}` | {kind.family} | {kind.summary[:-1]} | {levels} |" in page
