"""The audit as one self-contained page: keys and numbers, no picture, no script, no request."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vedette.curate.audit import Audit
from vedette.curate.balance import Balance
from vedette.curate.findings import exit_status, findings, images, silences
from vedette.curate.groups import Group
from vedette.curate.label_issues import LabelIssues
from vedette.data.synth.card import NOTICE
from vedette.errors import CODES
from vedette.sinks.base import replacing
from vedette.sinks.html_page import STYLE
from vedette.sinks.html_parts import note, text

MOST = 100
"""Groups, issues and failures listed in the page, of each; the JSON has more."""

_STYLE = f"""{STYLE}
table {{ border-collapse: collapse; width: 100%; font-size: .9rem; background: var(--card); }}
th, td {{
  text-align: left; vertical-align: top; padding: .35rem .7rem;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere;
}}
th {{ color: var(--muted); font-weight: 600; }}
td:first-child, .n {{ white-space: nowrap; }}
td.key {{ white-space: normal; }}
.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
.scroll {{
  overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; margin: .75rem 0;
}}
tr.worse td {{ background: var(--block-tint); }}
"""


def write_page(audit: Audit, path: Path, title: str) -> None:
    """Write the page.

    Raises:
        VedetteError: ``write_failed``.
    """
    with replacing(path) as temporary:
        temporary.write_text("".join(page(audit, title)), encoding="utf-8", newline="\n")


def page(audit: Audit, title: str) -> Iterator[str]:
    """The page's HTML, piece by piece."""
    yield _head(f"Audit of {text(title)}")
    yield f"<header>\n<h1>Audit of {text(title)}</h1>\n"
    yield '<p class="muted">Keys and numbers only: this page holds no picture.</p>\n'
    if audit.reading.stand_ins:
        yield f'<p class="note warn">{text(NOTICE)}</p>\n'
    yield "</header>\n"
    yield _tiles(audit)
    yield from _summary(audit)
    yield from _leaks(audit)
    yield from _duplicates(audit)
    yield from _confounds(audit)
    yield from _labels(audit.labels)
    yield from _balance(audit.balance)
    yield from _unreadable(audit)
    yield "</main>\n</body>\n</html>\n"


def _head(title: str) -> str:
    """Everything before the content; ``title`` is HTML already.

    The policy allows our own style by its hash and nothing else, no script and no picture.
    """
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'sha256-{digest}'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="robots" content="noindex">\n'
        # An empty icon, else a browser that has the page from a server asks it for one.
        '<link rel="icon" href="data:,">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
    )


def _tiles(audit: Audit) -> str:
    tiles = [
        ("total", audit.reading.images, "images"),
        ("block", audit.leakage.count, "pictures in two splits"),
        ("block", audit.duplicates.contradicting, "contradicting groups"),
        ("block", len(audit.confounds.leaks), "confounds"),
        ("review", audit.labels.count, "labels likely wrong"),
        ("review", audit.duplicates.exact_extra, "exact copies"),
        ("review", audit.duplicates.near_extra, "near copies"),
        ("failed", audit.reading.failed, "not readable"),
    ]
    inner = "".join(
        f'<div class="tile {kind}"><b>{number:,}</b>{label}</div>\n'
        for kind, number, label in tiles
    )
    return f'<section class="tiles" aria-label="Counts">\n{inner}</section>\n'


def _summary(audit: Audit) -> Iterator[str]:
    found = findings(audit)
    yield "<section>\n<h2>Findings <small>the worst first</small></h2>\n"
    if found:
        rows = [(f.kind, f.what, f.next) for f in found]
        yield _table(("", "what was found", "what to do"), rows)
    elif not exit_status(audit):
        yield note("Nothing was found.")
    for told in silences(audit):
        yield note(f"<b>Not judged:</b> {text(told)}.", warn=True)
    yield "</section>\n"


def _leaks(audit: Audit) -> Iterator[str]:
    if not audit.leakage.leaks:
        return
    yield "<section>\n<h2>Leakage between splits</h2>\n"
    rows = [
        (" and ".join(leak.splits), f"{leak.groups:,}", f"{leak.images:,}")
        for leak in audit.leakage.leaks
    ]
    yield _table(("splits", "pictures in both", "images to take out"), rows, numbers=(1, 2))
    yield from _groups(audit.leakage.groups, audit.leakage.count)
    yield "</section>\n"


def _duplicates(audit: Audit) -> Iterator[str]:
    if not audit.duplicates.groups:
        return
    near = f"hashes up to {audit.bits} of 256 bits apart"
    if audit.embeddings is not None:
        near += f", or embeddings with a cosine of at least {audit.cosine:g}"
    yield f"<section>\n<h2>Duplicates <small>{near}</small></h2>\n"
    yield from _groups(audit.duplicates.groups, audit.duplicates.count)
    yield "</section>\n"


def _groups(groups: Sequence[Group], count: int) -> Iterator[str]:
    rows = []
    for number, group in enumerate(groups[:MOST], start=1):
        for member in group.members:
            how = "same bytes" if member.same_file else f"{member.bits} bits"
            first = member is group.members[0]
            cells = (
                str(number) if first else "",
                member.key,
                member.label,
                member.split,
                "" if first else how,
            )
            rows.append(("worse" if group.contradicting else "", cells))
        if group.count > len(group.members):
            left = group.count - len(group.members)
            rows.append(("", ("", f"and {images(left, 'more image')}", "", "", "")))
    yield _coloured(("", "key", "label", "split", "distance to the first"), rows, (0, 4))
    yield from _rest(count, "group")


def _confounds(audit: Audit) -> Iterator[str]:
    if not audit.confounds.rules:
        return
    yield "<section>\n<h2>Confounds <small>one question about the file, tested on "
    yield f"{audit.confounds.unsafe + audit.confounds.safe:,} held-out pictures</small></h2>\n"
    rows = [
        (
            "worse" if rule.leak else "",
            (rule.rule, f"{rule.accuracy:.2f}", f"{rule.low:.2f} to {rule.high:.2f}"),
        )
        for rule in audit.confounds.rules
    ]
    yield _coloured(("rule", "balanced accuracy", "99 % interval"), rows, (1, 2))
    least = 0.5 + audit.confounds.margin
    yield f'<p class="muted">Reported where the interval lies above {least:.2f}.</p>\n</section>\n'


def _labels(labels: LabelIssues) -> Iterator[str]:
    if labels.judge is None:
        return
    judge = labels.judge
    yield "<section>\n<h2>Labels <small>confident learning</small></h2>\n"
    yield note(
        f"Judged by a linear discriminant on the {text(judge.features)} ({judge.dim} dimensions), "
        f"{judge.folds} folds: balanced accuracy {judge.accuracy:.2f} "
        f"({judge.low:.2f} to {judge.high:.2f}), chance {judge.chance:.2f}. "
        "The lower it is, the more of these are its mistakes."
    )
    if labels.joint:
        yield "<h3>Labelled as the row, confidently looking like the column</h3>\n"
        rows = [
            (name, *(f"{count:,}" for count in counts))
            for name, counts in zip(labels.classes, labels.joint, strict=True)
        ]
        yield _table(("", *labels.classes), rows, numbers=tuple(range(1, len(labels.classes) + 1)))
    if labels.test is not None:
        test = labels.test
        yield note(
            f"Tested with {images(test.planted, 'label')} made wrong on purpose: {test.found:,} of "
            f"them were among {images(test.candidates, 'candidate')}, and {test.hits:,} among the "
            f"{test.named:,} that would be named. Of the set's own {labels.candidates:,} "
            f"candidates {labels.count:,} are named."
        )
    if labels.count:
        rows = [
            (
                issue.key,
                f"{issue.given} ({issue.p_given:.2f})",
                f"{issue.suggested} ({issue.p_suggested:.2f})",
                issue.split,
                f"{issue.margin:.2f}",
            )
            for issue in labels.issues[: min(MOST, labels.count)]
        ]
        yield _table(("key", "label", "looks like", "split", "margin"), rows, numbers=(4,))
        yield from _rest(labels.count, "label")
    yield "</section>\n"


def _balance(counted: Balance) -> Iterator[str]:
    yield "<section>\n<h2>Balance</h2>\n"
    rows = [(c.label, c.source, c.split, f"{c.images:,}") for c in counted.cells[:MOST]]
    yield _table(("class", "source", "split", "images"), rows, numbers=(3,))
    yield from _rest(len(counted.cells), "row")
    yield "</section>\n"


def _unreadable(audit: Audit) -> Iterator[str]:
    if not audit.reading.failures:
        return
    yield "<section>\n<h2>Not readable</h2>\n"
    rows = [(f"{n:,}", code, CODES[code][0], CODES[code][1]) for code, n in audit.reading.failures]
    yield _table(("images", "code", "what happened", "what to do"), rows, numbers=(0,))
    listed = [(u.key, u.code, u.message) for u in audit.reading.unreadable[:MOST]]
    yield _table(("key", "code", "message"), listed)
    yield from _rest(audit.reading.failed, "image")
    yield "</section>\n"


def _rest(count: int, noun: str) -> Iterator[str]:
    if count > MOST:
        yield note(f"{images(count - MOST, f'more {noun}')} not listed here.", warn=True)


def _table(
    head_cells: Sequence[str], rows: Iterable[Sequence[str]], numbers: tuple[int, ...] = ()
) -> str:
    return _coloured(head_cells, [("", row) for row in rows], numbers)


def _coloured(
    head_cells: Sequence[str],
    rows: Iterable[tuple[str, Sequence[str]]],
    numbers: tuple[int, ...] = (),
) -> str:
    """A table; every cell is text and is escaped here."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if place in numbers else ''}>{text(cell)}</{tag}>"
            for place, cell in enumerate(cells)
        )

    body = "".join(
        f"<tr{f' class={kind}' if kind else ''}>{line(cells, 'td')}</tr>\n" for kind, cells in rows
    )
    return (
        f'<div class="scroll"><table>\n<thead><tr>{line(head_cells, "th")}</tr></thead>\n'
        f"<tbody>\n{body}</tbody>\n</table></div>\n"
    )
