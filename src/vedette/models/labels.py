"""What the labels of the field's classifiers count for, by name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from vedette.errors import ModelError
from vedette.taxonomy import Category, parse_category

Counts = Mapping[str, tuple[Category, ...]]

_SEXUAL = (Category.SEXUAL,)
_COMMON: dict[str, tuple[Category, ...]] = {
    # Folded as by _fold. Only words that mean one thing whoever trained the model.
    **dict.fromkeys(("safe", "sfw", "normal", "neutral", "drawings", "drawing", "clean"), ()),
    **dict.fromkeys(("nsfw", "porn", "pornography", "hentai", "nude", "nudity", "sexy"), _SEXUAL),
    **dict.fromkeys(("explicit", "sexual", "erotic", "hardcore"), _SEXUAL),
    **dict.fromkeys(("violence", "violent"), (Category.VIOLENCE,)),
    **dict.fromkeys(("gore", "gory", "disturbing", "shocking"), (Category.SHOCKING,)),
    **dict.fromkeys(("hate", "hateful"), (Category.HATE,)),
    "unsafe": tuple(Category),
}


def counts_of(labels: tuple[str, ...], folder: Path) -> Counts:
    """What each label of an unknown checkpoint counts for, in the order of ``labels``.

    A ``labels.toml`` in ``folder`` says it (``[labels]``, each name with a list of categories);
    else the names do, where they are the field's common ones or a category's own.

    Raises:
        ModelError: ``weights_unusable``: a label of which neither says anything.
    """
    said = _said(folder / "labels.toml")
    strange = sorted(said.keys() - set(labels))
    if strange:  # a typo would leave the label with what its name means
        raise ModelError(
            f"{folder.name}: labels.toml names {strange[0]!r}, which is none of its labels",
            code="weights_unusable",
            hint=f"its labels are {', '.join(labels)}",
        )
    counts: dict[str, tuple[Category, ...]] = {}
    for label in labels:
        found = said.get(label, common(label))
        if found is None:
            raise ModelError(
                f"{folder.name}: nothing is known about its label {label!r}",
                code="weights_unusable",
                hint="say what each label counts for in a labels.toml beside the weights",
            )
        counts[label] = found
    if not any(counts.values()):
        raise ModelError(
            f"{folder.name}: none of its labels counts for a category",
            code="weights_unusable",
            hint="say what each label counts for in a labels.toml beside the weights",
        )
    return counts


def ordered(labels: tuple[str, ...], known: Counts, folder: Path) -> Counts:
    """``known`` in the order of a checkpoint's own labels; by name, never by position.

    Raises:
        ModelError: ``weights_unusable``: other labels than the known ones.
    """
    if set(labels) != set(known):
        raise ModelError(
            f"{folder.name}: its labels are {', '.join(labels)}, not {', '.join(known)}",
            code="weights_unusable",
        )
    return {label: known[label] for label in labels}


def common(label: str) -> tuple[Category, ...] | None:
    """What a word counts for that means one thing whoever uses it; None: it is no such word."""
    folded = "".join(ch for ch in label.casefold() if ch.isalnum())
    if folded in _COMMON:
        return _COMMON[folded]
    try:
        return (parse_category(label),)
    except KeyError:
        return None


def _said(path: Path) -> Counts:
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))["labels"]
        return {
            str(label): tuple(parse_category(name) for name in names)
            for label, names in table.items()
        }
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(
            f"{path} is not a table of labels with lists of categories: {error}",
            code="weights_unusable",
        ) from error
