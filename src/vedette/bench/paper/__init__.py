"""The numbers that UnsafeBench printed, to stand beside ours: its Tables 3 to 7 and 9.

Source: "UnsafeBench: Benchmarking Image Safety Classifiers on Real-World and AI-Generated Images"
(CCS 2025). They are the paper's, not ours. An empty cell there is None here.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from vedette.taxonomy import Category

SOURCES = ("laion5b", "lexica")
"""As the tables spell them; ``all`` is both together."""
EVERY_SOURCE = "all"
OVERALL = "overall"

_ROWS = {
    # Our model of the same published classifier: the row's name.
    "q16": "Q16",
    "multiheaded": "MultiHeaded",
    "sd-filter": "SD_Filter",
    "clip-l14/nsfw-detector": "NSFW_Detector",
    "clip-l14/nsfw-detector-unsafebench": "NSFW_Detector",
    "nudenet": "NudeNet",
}

Row = Mapping[str, str]


def row_of(model: str) -> str | None:
    """The paper's name of a model, by the name that Vedette has for it; None: it is not there."""
    return _ROWS.get(model)


def source_of(name: str) -> str | None:
    """The paper's name of a source: ``LAION-5B`` is ``laion5b``; None: it is neither of the two."""
    folded = "".join(ch for ch in name.casefold() if ch.isalnum())
    return folded if folded in SOURCES else None


def pooled_source(sources: tuple[str, ...]) -> str | None:
    """``all`` where the sources are the paper's two, the one where there is one, else None."""
    named = {source_of(source) for source in sources}
    if named == set(SOURCES):
        return EVERY_SOURCE
    return next(iter(named)) if len(named) == 1 else None


def coverage() -> Mapping[str, frozenset[Category]]:
    """Table 3: the categories that each classifier can be asked about, in the paper's order."""
    return {
        row["classifier"]: frozenset(c for c in Category if row[c.value] == "1")
        for row in _table("table3_coverage")
    }


def f1(source: str, classifier: str, category: Category | None) -> float | None:
    """Table 4: F1 of *unsafe*.

    Args:
        source: ``laion5b``, ``lexica`` or ``all``.
        classifier: the paper's name, see :func:`row_of`.
        category: None is overall.

    Returns:
        0..1; None where the paper has no number.
    """
    column = OVERALL if category is None else category.value
    return _number("table4_effectiveness_f1", {"source": source, "classifier": classifier}, column)


def robust_accuracy(source: str, classifier: str, attack: str) -> float | None:
    """Table 5: share of 500 images that were right which still are, mean of three draws.

    Args:
        source: ``laion5b`` or ``lexica``.
        classifier: the paper's name, see :func:`row_of`.
        attack: ``gn``, ``fgsm``, ``pgd``, ``deepfool``, ``average``; with ``_std`` the deviation.

    Returns:
        0..1; None where the paper has no number.
    """
    return _number("table5_robust_accuracy", {"source": source, "classifier": classifier}, attack)


def perspectivevision_f1(classifier: str, data: str) -> float | None:
    """Table 6: F1 of *unsafe* of PerspectiveVision and GPT-4V.

    Args:
        classifier: ``linear_probing_clip``, ``prompt_learning_clip``, ``lora_llava``, ``gpt-4v``.
        data: ``unsafebench_test``, ``smid``, ``multiheaded``, ``nudenet``, ``self_harm``,
            ``violent_behaviors`` or ``ood_average``.

    Returns:
        0..1; None where the paper has no number.
    """
    return _number("table6_perspectivevision_f1", {"classifier": classifier}, data)


def perspectivevision_robust_accuracy(data: str, attack: str) -> float | None:
    """Table 7: as Table 5, for PerspectiveVision's LoRA.

    Args:
        data: ``unsafebench_test`` or ``multiheaded``.
        attack: ``gn``, ``fgsm``, ``pgd``, ``deepfool`` or ``average``.

    Returns:
        0..1; None where the paper has no number.
    """
    return _number("table7_perspectivevision_robust_accuracy", {"dataset": data}, attack)


def count(source: str, label: str, category: Category | None) -> int | None:
    """Table 9: images of the published data set.

    Args:
        source: ``laion5b`` or ``lexica``.
        label: ``safe`` or ``unsafe``.
        category: None is the total.
    """
    column = "total" if category is None else category.value
    found = _number("table9_counts", {"source": source, "label": label}, column)
    return None if found is None else int(found)


def _number(table: str, where: Mapping[str, str], column: str) -> float | None:
    for row in _table(table):
        if all(row[name] == value for name, value in where.items()):
            text = row.get(column, "")
            return float(text) if text else None
    return None


@cache
def _table(name: str) -> tuple[Row, ...]:
    text = files("vedette.bench.paper").joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
