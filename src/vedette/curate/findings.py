"""An audit in words: what was found, the worst first, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from vedette.curate.audit import Audit
from vedette.curate.label_issues import RARE, LabelIssues
from vedette.errors import CODES

_AGAINST = {
    "source": "collect safe and unsafe from each source alike, and report results by source",
    "format": "re-encode all pictures in one format before training",
    "EXIF": "re-encode all pictures without EXIF before training",
    "bytes": "re-encode all at one size and quality and audit that: what stays is the content's",
    "bytes per pixel": "re-encode all at one quality and audit that: what stays is the content's",
    "frames": "take one frame of each",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with the set."""

    kind: str
    """``leakage``, ``contradictions``, ``confounds``, ``labels``, ``unreadable``, ``duplicates``,
    ``near duplicates`` or ``balance``"""
    what: str
    next: str
    """What to do."""


def findings(audit: Audit) -> tuple[Finding, ...]:
    """All findings: first what makes a measured accuracy untrue, last what is a mere waste."""
    return tuple(_findings(audit))


def exit_status(audit: Audit) -> int:
    """0 nothing found, 1 something was, 3 some images could not be read."""
    if audit.reading.failed:
        return 3
    return 1 if findings(audit) else 0


def silences(audit: Audit) -> tuple[str, ...]:
    """What could not be judged, and why: a check that was not made must not pass for passed."""
    told = []
    if audit.reading.images and len(audit.leakage.splits) < 2:
        told.append("leakage: fewer than two splits are named; --split FILE names them")
    if audit.labels.not_judged:
        told.append(f"labels: {audit.labels.not_judged}")
    if audit.confounds.not_judged:
        told.append(f"confounds: {audit.confounds.not_judged}")
    if audit.labels.candidates and not audit.labels.count:
        told.append(f"labels: the classifier is too weak to name any; {_tested(audit.labels)}")
    if audit.labels.left_out:
        names = ", ".join(f"{name} ({count})" for name, count in audit.labels.left_out)
        told.append(f"labels of rare classes: {names}")
    if audit.embeddings is not None and audit.embeddings.without:
        told.append(f"labels of {images(audit.embeddings.without)} that have no embedding")
    return tuple(told)


def to_dict(audit: Audit) -> dict[str, Any]:
    """The audit as one JSON object, its findings in words first."""
    return {
        "findings": [asdict(finding) for finding in findings(audit)],
        "not_judged": list(silences(audit)),
        **asdict(audit),
    }


def images(count: int, noun: str = "image") -> str:
    """``1 image``, ``2,000 images``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _tested(labels: LabelIssues) -> str:
    """What the test with planted labels came to, in words."""
    test = labels.test
    if test is None:
        return "not tested"
    return (
        f"of {images(test.planted, 'label')} made wrong for a test {test.hits:,} were among "
        f"{test.named:,} named"
    )


def _findings(audit: Audit) -> Iterator[Finding]:
    for leak in audit.leakage.leaks:
        yield Finding(
            "leakage",
            f"{images(leak.groups, 'picture')} in both {leak.splits[0]} and {leak.splits[1]}",
            f"take {images(leak.images)} out of one of them, or split again by groups",
        )
    if audit.duplicates.contradicting:
        yield Finding(
            "contradictions",
            f"{images(audit.duplicates.contradicting, 'picture')} with labels that cannot all "
            "be right",
            "look at each group and correct its labels, or leave it out",
        )
    for rule in audit.confounds.leaks:
        yield Finding(
            "confounds",
            str(rule),
            _AGAINST.get(rule.fact, "crop and resize all pictures to one size before training"),
        )
    if audit.labels.count:
        share = audit.labels.count / audit.labels.judged
        yield Finding(
            "labels",
            f"{images(audit.labels.count, 'label')} likely wrong ({share:.1%} of "
            f"{audit.labels.judged:,}); {_tested(audit.labels)}",
            "have the listed ones annotated again, the first ones first",
        )
    for code, count in audit.reading.failures:
        yield Finding("unreadable", f"{images(count)}: {CODES[code][0]} [{code}]", CODES[code][1])
    yield from _copies(audit)
    if audit.balance.rare:
        few = ", ".join(f"{name} ({count})" for name, count in audit.balance.rare)
        yield Finding("balance", f"fewer than {RARE} images of {few}", "collect more of these")
    if audit.balance.absent:
        missing = ", ".join(f"{name} in {split}" for name, split in audit.balance.absent)
        yield Finding("balance", f"no image of {missing}", "split again by category")


def _copies(audit: Audit) -> Iterator[Finding]:
    found = audit.duplicates
    if found.exact_extra:
        yield Finding(
            "duplicates",
            f"{images(found.exact_extra)} with the bytes of another "
            f"({images(found.exact_groups, 'group')})",
            "keep one of each",
        )
    if found.near_extra:
        yield Finding(
            "near duplicates",
            f"{images(found.near_extra)} that look the same as another "
            f"({images(found.near_groups, 'group')})",
            "keep the largest of each, or keep each group in one split",
        )
