"""The parts of the report page as HTML. Every text from outside goes through :func:`text`."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from vedette.errors import CODES
from vedette.taxonomy import Category
from vedette.text import printable
from vedette.types import Action, Record

BINS = 20
"""Bins of a histogram over 0..1."""
_WIDTH, _HEIGHT, _AXIS = 240, 70, 12
"""Of a histogram: user units."""


def text(value: str) -> str:
    """``value`` as HTML text or attribute value, with control and direction characters spelt out.

    File names and messages are somebody else's input: besides markup, a name could carry
    characters that turn the reading direction and make it look like another.
    """
    return html.escape(printable(value))


def count(number: int, noun: str = "image") -> str:
    """``1 image``, ``2,000 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def badge(action: Action) -> str:
    """The action as a coloured word."""
    return f'<span class="badge {action.value}">{action.value}</span>'


def item_name(key: str) -> str:
    """A key with its folder set back, so that the name itself stands out."""
    folder, slash, last = key.rpartition("/")
    before = f'<span class="folder">{text(folder + slash)}</span><wbr>' if slash else ""
    return f'<bdi class="key">{before}{text(last)}</bdi>'


def header(
    title: str, models: Iterable[str], policies: Iterable[str], scaled: Iterable[str]
) -> str:
    """The title and what the Records were made with."""
    facts = [
        f"<span>{name} <b>{', '.join(text(value) for value in sorted(values)) or 'none'}</b></span>"
        for name, values in (("model", models), ("policy", policies), ("calibration", scaled))
    ]
    return f'<header>\n<h1>{text(title)}</h1>\n<p class="facts">{" ".join(facts)}</p>\n</header>\n'


def summary(actions: Mapping[Action, int], failed: int) -> str:
    """The counts."""
    total = sum(actions.values())
    tiles = [
        ("total", total, "images", ""),
        ("allow", actions[Action.ALLOW], "allowed", ""),
        ("review", actions[Action.REVIEW], "to review", ""),
        ("block", actions[Action.BLOCK], "blocked", ""),
        ("failed", failed, "not scanned", "each is also counted as to review or blocked"),
    ]
    out = ['<section class="tiles" aria-label="Counts">\n']
    for name, number, label, small in tiles:
        more = f"<small>{small}</small>" if small and number else ""
        out.append(
            f'<div class="tile {name}" id="count-{name}"><b>{number:,}</b>{label}{more}</div>\n'
        )
    out.append("</section>\n")
    if total:
        out.append('<svg class="split" viewBox="0 0 1 1" preserveAspectRatio="none" role="img" ')
        out.append('aria-label="Shares of allowed, review and blocked">')
        left = 0.0
        for action in Action:
            share = actions[action] / total
            out.append(
                f'<rect class="{action.value}" x="{left:.5f}" y="0" width="{share:.5f}" height="1">'
                f"<title>{action.value}: {share:.1%}</title></rect>"
            )
            left += share
        out.append("</svg>\n")
    return "".join(out)


def coverage(scored: int, covered: Mapping[Category, int]) -> str:
    """Which categories were not looked for: what was not seen for must not pass for absent.

    Args:
        scored: images that have scores.
        covered: for each category, how many of them have one for it.
    """
    if not scored:
        return note("No image was scanned, so nothing was looked for.", warn=True)
    never = [category.value for category in Category if not covered.get(category)]
    partly = [
        f"{category.value} (in {count(scored - covered[category])})"
        for category in Category
        if 0 < covered.get(category, 0) < scored
    ]
    if not never and not partly:
        return note(f"All {len(Category)} categories were looked for.")
    sentences = []
    if never:
        sentences.append(f"<b>Not looked for:</b> {text(', '.join(never))}.")
    if partly:
        sentences.append(f"<b>Not looked for in some images:</b> {text(', '.join(partly))}.")
    sentences.append("An allowed image may show these: the model does not cover them.")
    return note(" ".join(sentences), warn=True)


def histograms(bins: Mapping[Category, Sequence[int]]) -> str:
    """The distribution of each covered category's scores."""
    if not bins:
        return ""
    figures = "".join(
        _histogram(category, bins[category]) for category in Category if category in bins
    )
    return (
        "<section>\n<h2>Scores <small>images by score; bar heights follow the square root of the "
        f'count</small></h2>\n<div class="histograms">\n{figures}</div>\n</section>\n'
    )


def _histogram(category: Category, bins: Sequence[int]) -> str:
    highest = max(bins)
    step = _WIDTH / BINS
    bars = []
    for index, number in enumerate(bins):
        height = max(2.0, _HEIGHT * (number / highest) ** 0.5) if number else 0.0
        x = index * step
        bars.append(
            f'<g><rect class="hit" x="{x:g}" y="0" width="{step:g}" height="{_HEIGHT}"/>'
            f'<rect class="bar" x="{x + 0.75:g}" y="{_HEIGHT - height:.2f}" '
            f'width="{step - 1.5:g}" height="{height:.2f}"/>'
            f"<title>{index / BINS:.2f} to {(index + 1) / BINS:.2f}: {count(number)}</title></g>"
        )
    axis = f'<line x1="0" y1="{_HEIGHT}" x2="{_WIDTH}" y2="{_HEIGHT}"/>' + "".join(
        f'<text x="{_WIDTH * at:g}" y="{_HEIGHT + 10}" text-anchor="{anchor}">{at:g}</text>'
        for at, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    )
    return (
        f'<figure class="histogram"><figcaption>{text(category.value)} '
        f"<small>{count(sum(bins))}</small></figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + _AXIS}" role="img" '
        f'aria-label="Histogram of {text(category.value)} scores">{"".join(bars)}{axis}</svg>'
        "</figure>\n"
    )


def controls(
    actions: Mapping[Action, int], categories: Mapping[Category, int], pictures: bool
) -> str:
    """The filters of the list below, with how many listed images each gives."""
    choices = [("", f"All ({sum(actions.values()):,})")]
    choices += [
        (action.value, f"{action.value.capitalize()} ({actions[action]:,})")
        for action in (Action.BLOCK, Action.REVIEW)
        if actions.get(action)
    ]
    radios = "".join(
        f'<input type="radio" name="action" autocomplete="off" id="action-{value}" value="{value}"'
        f'{"" if value else " checked"}><label for="action-{value}">{label}</label>'
        for value, label in choices
    )
    options = "".join(
        f'<option value="{category.position}">{text(category.value)} '
        f"({categories[category]:,})</option>"
        for category in Category
        if categories.get(category)
    )
    hide = warning = ""
    if pictures:
        hide = (
            '<button type="button" id="hide" title="Escape does the same">Hide all pictures'
            "</button>"
        )
        warning = (
            '<p class="muted">Pictures stay blurred until they are clicked, but this file holds '
            "them: pass it on only to people who may see them.</p>\n"
        )
    return (
        f'{warning}<div class="controls"><fieldset aria-label="Action">{radios}</fieldset>'
        '<select id="category" aria-label="Category" autocomplete="off">'
        f'<option value="">All categories</option>{options}</select>{hide}'
        '<output id="shown"></output></div>\n'
        '<noscript><p class="muted">Without JavaScript the pictures stay blurred and the list '
        "cannot be filtered.</p></noscript>\n"
    )


def failures(code: str, number: int, records: Sequence[Record]) -> str:
    """What was not scanned for one reason: what happened, what to do next, and the files."""
    happened, hint = CODES[code]
    rows = "".join(
        f"<li>{badge(record.verdict.action)}{item_name(record.key)} "
        f'<span class="muted">{text(record.failure.stage)}: '
        f"{text(record.failure.message)}</span></li>"
        for record in records
        if record.failure is not None
    )
    more = rest(number - len(records), "file") if number > len(records) else ""
    return (
        f'<article class="failure"><h3><code>{text(code)}</code> '
        f'<span class="count">{count(number, "file")}</span></h3>'
        f"<p>{text(happened[:1].upper() + happened[1:])}. <b>What to do:</b> {text(hint)}.</p>"
        f"<ul>{rows}</ul>{more}</article>\n"
    )


def rest(number: int, noun: str) -> str:
    """How many are not listed."""
    verb = "is" if number == 1 else "are"
    return note(
        f"{count(number, f'more {noun}')} {verb} not listed here. The Records have them all.",
        warn=True,
    )


def note(sentences: str, *, warn: bool = False) -> str:
    """A paragraph that stands out; ``sentences`` is HTML already."""
    return f'<p class="note{" warn" if warn else ""}">{sentences}</p>\n'
