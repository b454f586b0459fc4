"""Which training images a few-shot training gets to see: as many of each class, drawn by a seed."""

from __future__ import annotations

import numpy as np

from vedette.errors import UsageError
from vedette.train.examples import LEAST, Examples, Ints


def drawn(examples: Examples, shots: int | None, seed: int) -> Ints:
    """int64 rows of the part ``train``, rising: of near-duplicates one image each.

    A class is a label, or safe. An image with two labels is drawn for one and counts for both, so
    that a label may end with a few images more.

    Args:
        examples: the set.
        shots: images of each class, or all that it has if it has fewer; None: all.
        seed: of the draw.

    Raises:
        UsageError: ``too_few_labels``: fewer than :data:`vedette.train.examples.LEAST` asked for,
            or not as many different images on either side of a label.
    """
    if shots is not None and shots < LEAST:
        raise UsageError(
            f"{shots} images of a class are too few to learn from: {LEAST} are needed",
            code="too_few_labels",
        )
    train = examples.rows("train")
    kept = _first_of_each(examples, train)
    if shots is not None:
        chosen: set[int] = set()
        for number, members in enumerate(_classes(examples, kept)):
            random = np.random.default_rng([seed, number])
            chosen.update(random.permutation(members)[:shots].tolist())
        kept = np.array(sorted(chosen), dtype=np.int64)
    _enough(examples, kept)
    return kept


def _first_of_each(examples: Examples, rows: Ints) -> Ints:
    """Of near-duplicates with the same labels the first. Copies would vouch for each other."""
    facts = np.column_stack([examples.group[rows], examples.targets[rows], examples.known[rows]])
    _, first = np.unique(facts, axis=0, return_index=True)
    return rows[np.sort(first)]


def _classes(examples: Examples, rows: Ints) -> list[Ints]:
    """Rows of each label, and at the end of safe images."""
    labelled = examples.targets[rows] & examples.known[rows]
    found = [rows[labelled[:, k]] for k in range(len(examples.labels))]
    return [*found, rows[~examples.unsafe[rows]]]


def _enough(examples: Examples, rows: Ints) -> None:
    few = []
    for k, label in enumerate(examples.labels):
        told = examples.targets[rows, k][examples.known[rows, k]]
        unsafe, safe = int(told.sum()), int((~told).sum())
        if min(unsafe, safe) < LEAST:
            few.append(f"{label}: {unsafe} with it and {safe} without")
    if few:
        raise UsageError(
            f"too few different images to learn from, {LEAST} are needed on either side; copies of "
            f"one image count once: {'; '.join(few)}",
            code="too_few_labels",
            hint="label more images (vedette train next says which), or name the others with "
            "--category",
        )
