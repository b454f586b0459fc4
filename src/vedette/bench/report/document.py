"""What a report says, before it is HTML, Markdown or lines of a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from vedette.bench.evidence import Caveat, Evidence
from vedette.bench.report.about import about
from vedette.bench.report.checked import check
from vedette.bench.report.figures import Pictures, Plot, plots
from vedette.bench.report.tables import NOTHING, Grid, grids
from vedette.bench.report.thumbnails import Thumbnail
from vedette.bench.result import Result
from vedette.bench.tasks.registry import tasks
from vedette.data.synth.card import NOTICE

MOST_WARNINGS = 200
MOST_WORDS = 1200
"""Characters of a caption or a message; a task is not meant to write a chapter."""


@dataclass(frozen=True, slots=True)
class Warned:
    """One warning, and whose results it is about."""

    code: str
    message: str
    who: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """What one task says, about all models on one data set."""

    anchor: str
    """Unique in the document; letters, digits and hyphens."""
    title: str
    aside: str = ""
    """On which data, under which protocol, where there are several."""
    reading: Sequence[str] = ()
    """Sentences on how to read the numbers below."""
    tables: Sequence[Grid] = ()
    figures: Sequence[Plot | Pictures] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A report."""

    title: str
    lead: str = ""
    """One sentence below the title."""
    notices: Sequence[str] = ()
    """What no reader may miss: that the pictures are stand-ins."""
    warnings: Sequence[Warned] = ()
    judged: bool = True
    """Whether it is said that there are no warnings."""
    about: Sequence[Grid] = ()
    """What was run."""
    sections: Sequence[Section] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)
    """sha256 of pictures, by key, where all results agree on it."""
    thumbnails: Mapping[tuple[str, str], Thumbnail] | None = None
    """By key and sha256; None: no data set was given, and keys are listed."""

    def wanted(self) -> list[tuple[str, str]]:
        """(key, sha256) of the pictures that its figures name, in order."""
        return [
            (key, self.hashes.get(key, ""))
            for section in self.sections
            for figure in section.figures
            if isinstance(figure, Pictures)
            for _, keys, _ in figure.groups
            for key in keys
        ]


def document(results: Sequence[Result], title: str = "Vedette benchmark") -> Document:
    """The report on some results: a section for each task, models beside each other in it.

    Results on different data, or under different protocols, are never put into one table. Tasks
    that nobody here knows come last.

    Raises:
        UsageError: ``bad_result``: a result that is not what its form promises.
    """
    for result in results:
        check(result)
    labels = labelled(results)
    groups: dict[tuple[str, str, str], list[int]] = {}
    order = {name: place for place, name in enumerate(tasks())}
    known = sorted(range(len(results)), key=lambda i: order.get(results[i].task, len(order)))
    for place in known:
        groups.setdefault((results[place].task, *_where(results[place])), []).append(place)
    times = Counter(task for task, _, _ in groups)
    sections = []
    for number, ((task, _, protocol), places) in enumerate(groups.items(), start=1):
        first = results[places[0]].data
        aside = f"on {first.given}, {protocol} protocol" if times[task] > 1 else ""
        members = [(labels[place], results[place].evidence) for place in places]
        sections.append(section(f"section-{number}", headline(task), aside, members))
    where = {_where(result) for result in results}
    warned = _warned([(labels[place], result) for place, result in enumerate(results)])
    if len({data for data, _ in where}) > 1:
        told = "The results rest on different data. Their numbers cannot be compared."
        warned.insert(0, Warned("different-data", told))
    if len({protocol for _, protocol in where}) > 1:
        told = "The results follow different protocols. Their numbers cannot be compared."
        warned.insert(0, Warned("different-protocols", told))
    models = len({result.name for result in results})
    sets = len({result.data.sha256 for result in results})
    asked = len({result.task for result in results})
    counts = ((models, "model"), (asked, "task"), (sets, "data set"))
    return Document(
        title=title,
        lead=", ".join(f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in counts),
        notices=notices(results),
        warnings=warned,
        about=about(results, labels),
        sections=sections,
        hashes=_hashes(results),
    )


def of_evidence(evidence: Evidence, results: Sequence[Result], title: str) -> Document:
    """The report on what was found over several results together."""
    whole = section("section-1", title, "", [("", evidence)])
    return Document(
        title=title,
        notices=notices(results),
        warnings=[Warned(caveat.code, _flat(caveat.message)) for caveat in evidence.warnings],
        about=about(results, labelled(results)),
        sections=[whole],
        hashes=_hashes(results),
    )


def section(
    anchor: str, title: str, aside: str, members: Sequence[tuple[str, Evidence]]
) -> Section:
    """One section; captions that several of its tables share are said once, at its head."""
    tables = grids([(label, table) for label, one in members for table in one.tables])
    figures = plots([(label, figure) for label, one in members for figure in one.figures])
    captions = Counter(grid.caption for grid in tables if grid.caption)
    shared = [caption for caption, times in captions.items() if times > 1]
    reading = [" ".join(said)] if (said := _conventions(tables)) else []
    reading += [f"{_subjects(caption, tables)}: {_flat(caption)}" for caption in shared]
    kept = [
        replace(grid, caption="" if grid.caption in shared else _flat(grid.caption))
        for grid in tables
    ]
    return Section(anchor, title, aside, reading, kept, figures)


def _subjects(caption: str, tables: Sequence[Grid]) -> str:
    """The titles of the tables that have this caption."""
    titles = list(dict.fromkeys(grid.subject for grid in tables if grid.caption == caption))
    more = f" and {len(titles) - 4} more" if len(titles) > 4 else ""
    return ", ".join(f"\u201c{title}\u201d" for title in titles[:4]) + more


def _conventions(tables: Sequence[Grid]) -> list[str]:
    """How cells are to be read, as far as there are such cells."""
    cells = [cell for grid in tables for row in grid.rows for cell in row.cells]
    said = []
    if any(cell.low is not None and cell.high is not None for cell in cells):
        said.append(
            "Brackets hold the 95 % interval: another sample of such images would give "
            "another number, most likely within it."
        )
    if any(cell.paper is not None for cell in cells):
        said.append("\u201cpaper\u201d is what UnsafeBench printed for the same measurement.")
    if any(cell.value is None for cell in cells):
        said.append(f"\u201c{NOTHING}\u201d: outside the coverage, or nothing to measure it on.")
    return said


def headline(task: str) -> str:
    """A task's name as a heading."""
    words = task.replace("_", " ").replace("-", " ").strip() or "unnamed task"
    return words[:1].upper() + words[1:]


def labelled(results: Sequence[Result]) -> list[str]:
    """What to call each result's model: names that two models share are told apart."""
    whose: dict[str, dict[tuple[str, str], None]] = {}
    for result in results:
        whose.setdefault(result.name, {}).setdefault(_identity(result))
    out = []
    taken: Counter[tuple[str, str, str, str]] = Counter()
    for result in results:
        label = _clipped(result.name)
        same = list(whose[result.name])
        if len(same) > 1:
            label += f" ({same.index(_identity(result)) + 1})"
        # Two runs of one model, in one section: with other seeds, say.
        where = (result.task, label, *_where(result))
        taken[where] += 1
        out.append(label if taken[where] == 1 else f"{label}, run {taken[where]}")
    return out


def notices(results: Sequence[Result]) -> list[str]:
    """That a set is a stand-in, where one is."""
    sets = dict.fromkeys(result.data.given for result in results if result.data.stand_in)
    return [f"{name}: {NOTICE}. No number here says anything about image safety." for name in sets]


def _warned(results: Sequence[tuple[str, Result]]) -> list[Warned]:
    """All warnings, those of one wording once."""
    who: dict[Caveat, dict[str, dict[str, None]]] = {}
    for label, result in results:
        for caveat in result.evidence.warnings:
            task = headline(result.task).lower()
            who.setdefault(caveat, {}).setdefault(task, {}).setdefault(label)
    total = len({(label, result.task) for label, result in results})
    found = []
    for one, by_task in who.items():
        names = tuple(f"{task}: {', '.join(labels)}" for task, labels in by_task.items())
        if 1 < total == sum(map(len, by_task.values())):
            names = ("all results",)
        found.append(Warned(one.code, _flat(one.message), names))
    return found


def _where(result: Result) -> tuple[str, str]:
    return result.data.sha256, str(result.options.get("protocol", "sound"))


def _identity(result: Result) -> tuple[str, str]:
    return str(result.model.get("model", "")), str(result.model.get("sha256", ""))


def _hashes(results: Iterable[Result]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for result in results:
        for key, sha256 in zip(result.predictions.keys, result.predictions.sha256, strict=True):
            found.setdefault(key, set()).add(sha256)
    return {key: next(iter(hashes)) for key, hashes in found.items() if len(hashes) == 1}


def _clipped(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}\u2026"


def _flat(text: str) -> str:
    """Sentences on one line, however their author broke them."""
    return " ".join(text.split())


def clipped(text: str) -> str:
    """A caption or message, bounded."""
    return text if len(text) <= MOST_WORDS else f"{text[: MOST_WORDS - 1]}\u2026"
