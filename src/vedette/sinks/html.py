"""The report page: one file that explains a scan to a person, and loads nothing from anywhere."""

from __future__ import annotations

import base64
import heapq
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import PIL.Image

from vedette.resize import Fit, resize
from vedette.sinks import html_card, html_page, html_parts
from vedette.sinks.base import replacing
from vedette.taxonomy import Category
from vedette.types import Action, FrameScore, Record, UInt8

_THUMBNAIL = Fit(240, "inside")
_QUALITY = 80


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the page shows."""

    title: str = "Vedette report"
    thumbnails: Callable[[Record], UInt8 | None] | None = None
    """Gives the pixels [H, W, 3] of a flagged Record in any size, None where they cannot be had.
    Of a Record with several frames those of :func:`worst_frame`. None: a page without pictures."""
    most_items: int = 500
    """Flagged images that are listed, and likewise files not scanned; the page says how many more
    there are."""


_DEFAULTS = ReportOptions()


def write_html(records: Iterable[Record], path: Path, options: ReportOptions = _DEFAULTS) -> None:
    """The report page of all ``records``, as a new file.

    One pass; what is kept of it are counts and the ``most_items`` severest Records. The same
    Records give the same file.

    Raises:
        VedetteError: ``write_failed``.
    """
    tally = _Tally(_Severest(options.most_items), _Severest(options.most_items))
    for record in records:
        tally.add(record)
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as stream,
    ):
        for part in _page(tally, options):
            stream.write(part)


def worst_frame(record: Record) -> FrameScore | None:
    """The frame with the highest score of any category; None for a still picture."""
    return max(record.timeline, key=lambda f: max(f.p.values(), default=0.0), default=None)


@dataclass(slots=True)
class _Severest:
    """The ``most`` severest of the Records pushed."""

    most: int
    total: int = 0
    _heap: list[tuple[int, float, int, Record, int]] = field(default_factory=list)

    def push(self, record: Record) -> None:
        """Keep ``record`` while there are not ``most`` severer ones; earlier ones go first."""
        self.total += 1
        p = max((reason.p for reason in record.verdict.reasons), default=0.0)
        rank = (record.verdict.action.severity, p, -self.total)
        if len(self._heap) == self.most:
            if not self._heap or rank < self._heap[0][:3]:
                return
            heapq.heappop(self._heap)
        heapq.heappush(self._heap, (*rank, *_slim(record)))

    def kept(self) -> list[tuple[Record, int]]:
        """Severest first; with each, how many regions its frames other than the worst have."""
        return [entry[3:] for entry in sorted(self._heap, reverse=True)]

    @property
    def left_out(self) -> int:
        """How many were not kept."""
        return self.total - len(self._heap)


def _slim(record: Record) -> tuple[Record, int]:
    """``record`` without what the page does not show, and how many regions that leaves out.

    A video has hundreds of frames, and hundreds of videos may be kept.
    """
    worst = worst_frame(record)
    regions = record.regions
    if worst is not None:
        regions = tuple(region for region in regions if region.frame == worst.frame)
    slim = replace(record, embedding=None, timeline=(worst,) if worst else (), regions=regions)
    return slim, len(record.regions) - len(regions)


@dataclass(slots=True)
class _Tally:
    """All that the page says about the Records."""

    flagged: _Severest
    failed: _Severest
    actions: Counter[Action] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    models: set[str] = field(default_factory=set)
    policies: set[str] = field(default_factory=set)
    calibrations: set[str] = field(default_factory=set)
    scored: int = 0
    bins: dict[Category, list[int]] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Count one Record."""
        verdict, failure = record.verdict, record.failure
        self.actions[verdict.action] += 1
        self.models.update(record.models)
        self.policies.add(verdict.policy)
        if record.scores is not None:
            self.scored += 1
            if record.scores.calibrated is not None:
                self.calibrations.add(record.scores.calibrated)
            for category, p in record.scores.as_dict().items():
                bins = self.bins.setdefault(category, [0] * html_parts.BINS)
                bins[min(int(p * html_parts.BINS), html_parts.BINS - 1)] += 1
        if failure is not None:
            self.codes[failure.code] += 1
            self.failed.push(record)
        if verdict.action is not Action.ALLOW and (verdict.reasons or failure is None):
            self.flagged.push(record)


def _page(tally: _Tally, options: ReportOptions) -> Iterator[str]:
    yield html_page.head(html_parts.text(options.title))
    yield html_parts.header(options.title, tally.models, tally.policies, tally.calibrations)
    yield html_parts.summary(tally.actions, tally.failed.total)
    if tally.actions:
        covered = {category: sum(bins) for category, bins in tally.bins.items()}
        yield html_parts.coverage(tally.scored, covered)
        yield html_parts.histograms(tally.bins)
        yield from _flagged(tally, options)
        yield from _failed(tally)
    else:
        yield html_parts.note("There are no Records: nothing was scanned.")
    yield html_page.foot()


def _flagged(tally: _Tally, options: ReportOptions) -> Iterator[str]:
    number = html_parts.count(tally.flagged.total)
    below = "; what was not scanned is listed below" if tally.codes else ""
    yield f"<section>\n<h2>Flagged <small>{number}{below}</small></h2>\n"
    kept = tally.flagged.kept()
    if kept:
        actions = Counter(record.verdict.action for record, _ in kept)
        categories = Counter(
            category
            for record, _ in kept
            for category in {reason.category for reason in record.verdict.reasons}
        )
        yield html_parts.controls(actions, categories, options.thumbnails is not None)
        yield '<div class="cards">\n'
        for record, elsewhere in kept:
            yield html_card.card(record, elsewhere, _picture(record, options))
        yield "</div>\n"
    if not tally.flagged.total:
        yield html_parts.note("No image reached a threshold of the policy.")
    if tally.flagged.left_out:
        yield html_parts.rest(tally.flagged.left_out, "flagged image")
    yield "</section>\n"


def _failed(tally: _Tally) -> Iterator[str]:
    if not tally.codes:
        return
    total = html_parts.count(tally.failed.total, "file")
    yield f"<section>\n<h2>Not scanned <small>{total}, wholly or in part</small></h2>\n"
    listed: dict[str, list[Record]] = {}
    for record, _ in tally.failed.kept():
        if record.failure is not None:
            listed.setdefault(record.failure.code, []).append(record)
    for code, number in sorted(tally.codes.items(), key=lambda item: (-item[1], item[0])):
        yield html_parts.failures(code, number, listed.get(code, []))
    yield "</section>\n"


def _picture(record: Record, options: ReportOptions) -> str:
    if options.thumbnails is None:
        return ""
    pixels = options.thumbnails(record)
    if pixels is None:
        return html_card.absent()
    return html_card.veiled(record, _thumbnail(pixels))


def _thumbnail(pixels: UInt8) -> html_card.Thumbnail:
    height, width = pixels.shape[:2]
    if max(width, height) > _THUMBNAIL.size:
        width, height = _THUMBNAIL.target(width, height)
    stream = io.BytesIO()
    PIL.Image.fromarray(resize(pixels, width, height)).save(stream, "JPEG", quality=_QUALITY)
    data = base64.b64encode(stream.getvalue()).decode()
    return html_card.Thumbnail(f"data:image/jpeg;base64,{data}", width, height)
