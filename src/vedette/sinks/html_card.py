"""A flagged image on the report page: its picture behind a veil, and why it was flagged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vedette.sinks.html_parts import badge, count, item_name, text
from vedette.types import Reason, Record, Region

_SHA_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture made small."""

    uri: str
    """``data:image/jpeg;base64,…``"""
    width: int
    """px"""
    height: int
    """px"""


def card(record: Record, elsewhere: int, picture: str) -> str:
    """One flagged image.

    Args:
        record: with the regions of the frame that is shown.
        elsewhere: how many regions its other frames have.
        picture: HTML of :func:`veiled` or :func:`absent`, or empty.
    """
    action = record.verdict.action.value
    reasons = record.verdict.reasons
    positions = sorted({reason.category.position for reason in reasons})
    out = [
        f'<article class="card {action}" data-action="{action}" ',
        f'data-categories="{" ".join(map(str, positions))}">',
        f'<div class="picture">{picture}</div>' if picture else "",
        f'<div class="body"><h3>{badge(record.verdict.action)}',
        f"{item_name(record.key)}</h3>",
    ]
    if reasons:
        out.append(f'<ul class="reasons">{"".join(map(_reason, reasons))}</ul>')
    else:
        out.append("<p>The policy asks for a category that the model does not look for.</p>")
    if record.failure is not None:
        out.append(f'<p class="partly">Scanned in part: {text(record.failure.message)}</p>')
    if record.regions:
        out.append(f'<ol class="regions">{_legend(record.regions)}</ol>')
    if elsewhere:
        out.append(f'<p class="facts">{count(elsewhere, "more region")} in its other frames</p>')
    out.append(f'{_moment(record)}<p class="facts">{_facts(record)}</p></div></article>\n')
    return "".join(out)


def _reason(reason: Reason) -> str:
    what = text(reason.category.value)
    if reason.label is not None:
        what = f'<span class="label">{text(reason.label)}</span> <span class="muted">{what}</span>'
    words = f'<div class="muted">{text(reason.text)}</div>' if reason.text else ""
    return (
        f'<li><div class="line"><span>{what}</span>'
        f"<span><b>{reason.p:.2f}</b> \u2265 {reason.threshold:g}</span></div>"
        '<svg class="gauge" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="p" width="{100 * reason.p:.1f}" height="6"/>'
        f'<rect class="threshold" x="{100 * reason.threshold - 0.4:.1f}" width="0.8" height="6"/>'
        f"</svg>{words}</li>"
    )


def _legend(regions: Sequence[Region]) -> str:
    return "".join(
        f'<li class="line"><span><span class="number">{number}</span>'
        f'<span class="label">{text(region.label)}</span></span>'
        f"<span>{region.score:.2f}</span></li>"
        for number, region in enumerate(regions, start=1)
    )


def _moment(record: Record) -> str:
    """Where in a file of several frames the highest score is."""
    if not record.timeline:
        return ""
    worst = record.timeline[0]
    category, p = max(worst.p.items(), key=lambda item: item[1], default=(None, 0.0))
    score = f" ({text(category.value)} {p:.2f})" if category else ""
    at = "" if worst.time_s is None else f" at {_clock(worst.time_s)}"
    return (
        f'<p class="facts">highest score in frame <b>{worst.frame:d}{at}</b>{score}; '
        f"{count(record.frames, 'frame')} scanned</p>"
    )


def _clock(seconds: float) -> str:
    tenths = round(seconds * 10)
    hours, minutes, rest = tenths // 36000, tenths // 600 % 60, tenths % 600 / 10
    return f"{hours:d}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes:d}:{rest:04.1f}"


def _facts(record: Record) -> str:
    facts = []
    if record.width and record.height:
        facts.append(f"{record.width:d} \u00d7 {record.height:d} px")
    if record.format:
        facts.append(text(record.format))
    if record.sha256:
        sha = text(record.sha256)
        facts.append(f'sha256 <code title="{sha}">{sha[:_SHA_SHOWN]}\u2026</code>')
    return " ".join(f"<span>{fact}</span>" for fact in facts)


def veiled(record: Record, thumbnail: Thumbnail) -> str:
    """The picture behind its veil, and the regions' boxes on top of it."""
    return (
        '<button type="button" class="thumb" aria-pressed="false" '
        f'aria-label="Show picture of {text(record.key)}"><span class="frame">'
        # Dragging would carry an unveiled copy of the picture under the pointer.
        f'<img src="{thumbnail.uri}" width="{thumbnail.width}" height="{thumbnail.height}" alt="" '
        f'draggable="false">{_boxes(record, thumbnail)}</span></button>'
    )


def absent() -> str:
    """In place of a picture that cannot be had."""
    return '<div class="absent">no picture</div>'


def _boxes(record: Record, thumbnail: Thumbnail) -> str:
    """The boxes as an SVG in px of the original: the page's policy allows no style attributes."""
    if not record.regions or not record.width or not record.height:
        return ""
    unit = max(record.width, record.height) / max(thumbnail.width, thumbnail.height)
    out = [
        f'<svg class="boxes" viewBox="0 0 {record.width:d} {record.height:d}" '
        'preserveAspectRatio="none" aria-hidden="true">'
    ]
    for number, region in enumerate(record.regions, start=1):
        x, y, w, h = region.box
        at = f'x="{x:d}" y="{y:d}" width="{w:d}" height="{h:d}"'
        out.append(
            f"<g><title>{text(region.label)} {region.score:.2f}</title>"
            f'<rect class="under" {at}/><rect {at}/>'
            f'<text x="{x + 4 * unit:.1f}" y="{y + 14 * unit:.1f}" font-size="{12 * unit:.1f}" '
            f'stroke-width="{3 * unit:.1f}">{number}</text></g>'
        )
    out.append("</svg>")
    return "".join(out)
