"""Writes docs/models.md from the models' cards and the speeds in docs/speed.json.

    python docs/models_page.py

``pytest tests/test_docs.py`` fails while the page says anything else than the cards.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from vedette.models.base import Checkpoint, ModelCard, ModelEntry
from vedette.models.registry import entries, patterns
from vedette.taxonomy import Category

HERE = Path(__file__).parent
PAGE = HERE / "models.md"
SPEED = HERE / "speed.json"

_PAGES = {
    # The hand-written page of what a module of vedette.models registers.
    "clip": "[CLIP](clip.md), [Heads](heads.md)",
    "exported": "[Exporting](export.md)",
    "expression": "[Combinations](combinations.md)",
    "gantman": "[gantman and open_nsfw](gantman.md)",
    "nudenet": "[nudenet](nudenet.md)",
    "open_nsfw": "[gantman and open_nsfw](gantman.md#open_nsfw)",
    "safety_checker": "[Heads](heads.md#the-stable-diffusion-safety-checker)",
    "trained": "[Training](training.md)",
    "vit": "[ViT classifiers](vit.md)",
}
_HASH_DIGITS = 12
_NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Speeds:
    """What docs/speed.json says; nothing where it is not there."""

    machine: str = ""
    command: str = ""
    images_per_s: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By model and precision."""


def read_speeds(path: Path = SPEED) -> Speeds:
    """The speeds in ``path``, as benchmarks/zoo.py writes them."""
    if not path.is_file():
        return Speeds()
    return Speeds(**json.loads(path.read_text(encoding="utf-8")))


def page() -> str:
    """The whole of docs/models.md."""
    models = entries()
    blocks = [
        "# Models",
        _intro(),
        "## What each model sees",
        *_coverage(models),
        "## Facts",
        *_facts(models, read_speeds()),
        "## Names that stand for many models",
        *_forms(),
    ]
    for name, entry in models.items():
        blocks += _section(f"## {name}", entry.card, _page_of(entry.build.__module__))
    return "\n\n".join(blocks) + "\n"


def _intro() -> str:
    return _filled(
        "This page is made from the models' cards by `python docs/models_page.py`: change the card "
        "and not the page. A card states licence and provenance as they are, doubts included. "
        "Choosing a model, and the commands that list them: [The zoo](zoo.md). Getting their "
        "weights: [Weights](weights.md). A model of your own: [Adding a model](adding-a-model.md)."
    )


def _coverage(models: Mapping[str, ModelEntry]) -> Iterator[str]:
    yield _filled(
        "● stands where one of the model's labels counts for the [category](taxonomy.md). Where "
        "nothing stands, the model does not look, and a Record has no score. ○ stands where a "
        "model was trained on nothing and its numbers mean nothing."
    )
    rows = []
    for name, entry in models.items():
        mark = "●" if _knows(entry.card) else "○"
        seen = entry.card.covered
        rows.append([_link(name), *(mark if category in seen else "" for category in Category)])
    yield _table(["model", *(category.value for category in Category)], rows)
    whole = [
        f"`{name}`"
        for name, entry in models.items()
        if _knows(entry.card) and len(entry.card.covered) == len(Category)
    ]
    yield _filled(
        f"Models that look for all of it: {', '.join(whole) or 'none'}. [Combinations]"
        "(combinations.md) look for what their members look for. That a model looks for a category "
        "does not say how well it finds it."
    )


def _facts(models: Mapping[str, ModelEntry], speeds: Speeds) -> Iterator[str]:
    yield _filled(
        "Licences that end in … are longer: the model's section has the whole, and the terms. "
        "*Commercial* says whether licence and terms, those of the backbone included, admit it. "
        "*Input* is the size that the network is fed: `stretch` makes both sides so long, `cover` "
        "the short side and cuts out the middle, `inside` the long side. *Embedding* has its "
        "dimensions. *Reference* is what the tests hold its outputs against."
    )
    rows = []
    for name, entry in models.items():
        card = entry.card
        speed = speeds.images_per_s.get(name, {})
        rows.append(
            [
                _link(name),
                _beginning(card.licence),
                "yes" if _is_commercial(card) else "**no**",
                f"{card.parameters / 1e6:.1f} M" if card.parameters else _NOTHING,
                f"{card.fit.size} px, {card.fit.mode}",
                str(card.embedding or _NOTHING),
                ", ".join(card.precisions),
                ", ".join(f"{rate:g} {precision}" for precision, rate in speed.items()) or _NOTHING,
                card.reference,
            ]
        )
    names = "model licence commercial parameters input embedding precisions images/s reference"
    yield _table(names.split(), rows)
    if speeds.images_per_s:
        yield _filled(
            f"Images/s are counted from files to Records by `{speeds.command}`; the machine: "
            f"{speeds.machine}. {_NOTHING} stands where nothing was measured. Speed does not "
            "depend on the weights, and most networks were timed at their real size with random "
            "ones."
        )


def _forms() -> Iterator[str]:
    yield _filled("`--model` takes these forms too. Their cards are made when one is named.")
    rows = [
        [f"`{pattern.form}`", pattern.summary, _page_of(pattern.entry.__module__) or _NOTHING]
        for pattern in patterns()
    ]
    yield _table(["form", "what it is", "page"], rows)


def _section(heading: str, card: ModelCard, more: str) -> Iterator[str]:
    yield heading
    yield _filled(f"{card.summary[:1].upper()}{card.summary[1:]}." + (f" See {more}." * bool(more)))
    rows = [
        ["card", f"`{card.id}`, revision `{card.revision}`"],
        ["licence", card.licence],
        ["terms", card.terms],
        ["commercial use", "admitted" if _is_commercial(card) else "**not admitted**"],
        ["trained on", card.trained_on],
        ["source", card.source],
    ]
    if card.needs:
        needed = ", ".join(_link(other.id) for other in card.needs)
        rows.append(["runs on", f"{needed}; its terms bind too"])
    rows += _weights(card)
    yield _table(["fact", ""], rows)
    yield from _labels(card)


def _weights(card: ModelCard) -> Iterator[list[str]]:
    weights = card.weights
    if weights is not None:
        yield ["weights from", weights.url or f"`{weights.repo}` at `{weights.revision}`"]
        files = (_file(weights, file.path, file.sha256) for file in weights.files)
        yield ["files", "; ".join(files)]
    elif card.sha256 is not None:
        origin = f"`vedette[{card.extra}]`" if card.extra else "its package"
        yield ["weights", f"come with {origin}; SHA-256 `{card.sha256[:_HASH_DIGITS]}…`"]
    elif not card.needs:
        yield ["weights", "none"]


def _file(weights: Checkpoint, path: str, sha256: str | None) -> str:
    if sha256 is not None:
        return f"`{path}` `{sha256[:_HASH_DIGITS]}…`"
    if weights.url is None:
        return f"`{path}` (its first pull pins it)"
    return (
        f"`{path}` (no hash is known, so it is not pulled: put it in place [yourself](weights.md))"
    )


def _labels(card: ModelCard) -> Iterator[str]:
    if not card.labels:
        yield "It gives embeddings and judges nothing by itself: heads run on it."
        return
    if all(counted == (label,) for label, counted in card.labels.items()):
        yield f"Labels: the names of the {len(card.labels)} categories themselves."
        return
    by_counts: dict[tuple[Category, ...], list[str]] = {}
    for label, counted in card.labels.items():
        by_counts.setdefault(counted, []).append(label)
    rows = [
        [_runs(labels), ", ".join(counted) or "nothing by itself"]
        for counted, labels in sorted(by_counts.items(), key=lambda item: not item[0])
    ]
    yield _table(["label", "counts for"], rows)


def _runs(labels: list[str]) -> str:
    """The labels as code; those that differ in a number only as "first to last"."""
    shown = []
    for _, group in groupby(labels, lambda label: re.sub(r"\d+$", "#", label)):
        run = list(group)
        if len(run) > 2:
            shown.append(f"`{run[0]}` to `{run[-1]}`")
        else:
            shown += [f"`{label}`" for label in run]
    return ", ".join(shown)


def _is_commercial(card: ModelCard) -> bool:
    return card.commercial and all(_is_commercial(needed) for needed in card.needs)


def _knows(card: ModelCard) -> bool:
    return card.trained_on != "nothing"


def _page_of(module: str) -> str:
    return _PAGES.get(module.removeprefix("vedette.models."), "")


def _beginning(licence: str) -> str:
    """Up to the first doubt, which the section spells out."""
    first = re.split(r"[:;,]", licence, maxsplit=1)[0]
    return first if first == licence else f"{first} …"


def _link(name: str) -> str:
    return f"[`{name}`](#{anchor(name)})"


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _table(names: list[str], rows: list[list[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    escaped = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |".replace("| --- ", "|---") for line in escaped)


def _filled(paragraph: str) -> str:
    return textwrap.fill(paragraph, 100, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
