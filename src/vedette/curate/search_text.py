"""Captions searched by words: BM25 in two passes, so that memory does not grow with captions.

Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with
Lucene's inverse document frequency, which is never negative. The first pass counts, the second
scores; only the words of the queries are ever counted. The libraries that we know of keep all
captions, or an index of them, in memory or on disk, which a search that is run once can do without.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from vedette.curate.captions import Captions
from vedette.curate.hits import Best, Entry, Hit, least_of
from vedette.errors import UsageError
from vedette.types import Item

Float64 = NDArray[np.float64]

K1 = 1.2
"""How soon a repeated word stops to count."""
B = 0.75
"""How much a long caption counts for less."""
_AT_ONCE = 2048
_WORD = re.compile(r"\w+")
_LONGEST = 10_000
"""Characters of a caption that are read."""


def words(text: str) -> list[str]:
    """The words of a text: letters and digits of any script, folded; nothing is stemmed."""
    folded = unicodedata.normalize("NFKC", text[:_LONGEST]).casefold()
    return _WORD.findall(folded.replace("_", " "))


@dataclass(frozen=True, slots=True, eq=False)
class _Counts:
    """What the first pass has found out."""

    captions: int
    mean_length: float
    """Words of a caption."""
    with_word: NDArray[np.int64]
    """Captions that have each word of the queries: [words]."""


class CaptionSearch:
    """Captions as a :class:`vedette.curate.hits.Collection`."""

    def __init__(self, captions: Captions) -> None:
        self._captions = captions
        self.name = captions.name
        self.measure = "bm25"

    def search(self, queries: Sequence[str], top: int) -> list[list[Hit]]:
        """See :class:`vedette.curate.hits.Collection`. What shares no word with a query is no
        hit; ties are in order of the keys.

        Raises:
            UsageError: the captions cannot be read, or there are none.
        """
        asked = [words(query) for query in queries]
        number = {word: n for n, word in enumerate(sorted({w for query in asked for w in query}))}
        counts = _count(self._captions, number)
        rarity = np.log1p((counts.captions - counts.with_word + 0.5) / (counts.with_word + 0.5))
        weights = np.zeros((len(number), len(queries)), np.float64)
        for column, query in enumerate(asked):
            for word, times in Counter(query).items():
                weights[number[word], column] = times * rarity[number[word]]
        best: list[Best[str, Entry]] = [Best(top) for _ in queries]
        for entries in _batches(self._captions):
            scores = _scores(entries, number, weights, counts.mean_length)
            rows, columns = np.nonzero((scores > 0) & (scores >= least_of(best)))
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                entry = entries[row]
                best[column].offer(float(scores[row, column]), entry.key, entry)
        return [[Hit(entry, score) for score, _, entry in found] for found in best]

    def pictures(self, entries: Sequence[Entry]) -> Iterator[Item]:
        """See :class:`vedette.curate.hits.Collection`."""
        return self._captions.pictures(entries)


def _count(captions: Captions, number: dict[str, int]) -> _Counts:
    total = length = 0
    with_word = np.zeros(len(number), np.int64)
    for entry in captions.read():
        found = words(entry.text or "")
        if not found:
            continue
        total += 1
        length += len(found)
        for word in number.keys() & set(found):
            with_word[number[word]] += 1
    if not total:
        raise UsageError(
            f"there are no captions in {captions.name}",
            hint="see docs/collect.md for what a collection is; name the column with --text",
        )
    return _Counts(total, length / total, with_word)


def _batches(captions: Captions) -> Iterator[list[Entry]]:
    entries = captions.read()
    while batch := list(islice(entries, _AT_ONCE)):
        yield batch


def _scores(
    entries: Sequence[Entry], number: dict[str, int], weights: Float64, mean_length: float
) -> Float64:
    """float64 [entries, queries]"""
    times = np.zeros((len(entries), len(number)), np.float64)
    for row, entry in enumerate(entries):
        found = words(entry.text or "")
        norm = K1 * (1 - B + B * len(found) / mean_length)
        for word, count in Counter(word for word in found if word in number).items():
            times[row, number[word]] = count * (K1 + 1) / (count + norm)
    scores: Float64 = times @ weights
    return scores
