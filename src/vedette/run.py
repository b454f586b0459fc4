"""A whole scan: a source through a Scanner into files, resumable, with actions on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from vedette.actions import FileAction
from vedette.data.base import Source, read_all
from vedette.decode import DecodeOptions, Decoder, InlineDecoder
from vedette.errors import ItemError, UsageError
from vedette.pipeline import Scanner
from vedette.sinks.base import writer_for
from vedette.sinks.html import ReportOptions, worst_frame, write_html
from vedette.sinks.jsonl import Journal
from vedette.types import Action, Record, UInt8


@dataclass(frozen=True, slots=True)
class Outputs:
    """Which files a scan writes."""

    out: tuple[Path, ...] = ()
    """``.jsonl``, ``.csv`` or ``.parquet``"""
    html: Path | None = None
    thumbnails: bool = True
    resume: bool = False
    overwrite: bool = False

    @property
    def journal(self) -> Path | None:
        """The file that Records are appended to, None where nothing is written.

        A ``.jsonl`` output is its own journal; for the others it is a file beside the first one,
        removed once they are made.
        """
        for path in self.out:
            if path.suffix.lower() == ".jsonl":
                return path
        first = self.out[0] if self.out else self.html
        return first.with_name(first.name + ".journal.jsonl") if first else None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that may come to be, the journal included."""
        named = (*self.out, self.html, self.journal)
        return tuple(path for path in named if path is not None)


@dataclass(slots=True)
class Summary:
    """Counts of a scan, Records of earlier runs included where it was resumed."""

    actions: Counter[Action] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    resumed: int = 0

    @property
    def total(self) -> int:
        """Records."""
        return self.actions.total()

    def add(self, record: Record) -> None:
        """Count one Record."""
        self.actions[record.verdict.action] += 1
        if record.failure is not None:
            self.failures[record.failure.code] += 1

    @property
    def exit_status(self) -> int:
        """0 all allowed, 1 something flagged, 3 something could not be scanned."""
        if self.failures:
            return 3
        return 1 if self.actions[Action.REVIEW] or self.actions[Action.BLOCK] else 0


def run_scan(
    source: Source,
    scanner: Scanner,
    outputs: Outputs,
    actions: Sequence[FileAction] = (),
    on_record: Callable[[Record], None] = lambda record: None,
) -> Summary:
    """Scan ``source``; write every Record as it comes, then act on its file.

    Stopped at any point, even by SIGKILL, it leaves a journal of whole Records that ``resume``
    continues to the same files as an uninterrupted run.

    Raises:
        UsageError: ``output_exists``, ``resume_mismatch``, an unknown format.
        VedetteError: ``write_failed``.
    """
    for path in outputs.out:
        writer_for(path)  # an unknown format must not come up after hours
    summary = Summary()
    if outputs.journal is None:
        for record in scanner.scan_many(read_all(source)):
            summary.add(record)
            on_record(record)
            _act(actions, record, source)
        return summary
    if not (outputs.resume or outputs.overwrite):
        for file in outputs.files:
            if file.exists():
                raise UsageError(f"{file} is already there", code="output_exists")
    with Journal(outputs.journal) as journal:
        done: set[str] = set()
        if outputs.resume:
            done = journal.resume((scanner.model.card.model,), scanner.policy.id)
            summary.resumed = len(done)
            for record in journal.records():
                summary.add(record)
                _act(actions, record, source)
        else:
            journal.create(overwrite=outputs.overwrite)
        items = (item for item in read_all(source) if item.key not in done)
        with closing(scanner.scan_many(items)) as records:
            for record in records:
                journal.append(record)
                summary.add(record)
                on_record(record)
                _act(actions, record, source)
        journal.close()
        write_derived(journal.records, outputs, Thumbnails(source, scanner.decoder), journal.path)
    if journal.path not in outputs.out:
        journal.path.unlink()
    return summary


def write_derived(
    records: Callable[[], Iterator[Record]],
    outputs: Outputs,
    thumbnails: Thumbnails,
    skip: Path | None,
) -> None:
    """Every output except ``skip``, made from stored Records in one pass each."""
    for path in outputs.out:
        if path != skip:
            writer_for(path)(records(), path)
    if outputs.html is not None:
        options = ReportOptions(thumbnails=thumbnails if outputs.thumbnails else None)
        write_html(records(), outputs.html, options)


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Finds a flagged Record's picture again, for the report."""

    source: Source
    decoder: Decoder = field(default_factory=lambda: InlineDecoder(DecodeOptions()))

    def __call__(self, record: Record) -> UInt8 | None:
        """The pixels of its first, or its worst, frame; None where it cannot be had any more."""
        item = self.source.find(record.key)
        if item is None or record.frames == 0:
            return None
        worst = worst_frame(record)
        wanted = worst.frame if worst is not None else 0
        try:
            frames = self.decoder.frames(item)
            return next((image.pixels for image in frames if image.frame == wanted), None)
        except ItemError:
            return None


def _act(actions: Iterable[FileAction], record: Record, source: Source) -> None:
    if not actions or record.verdict.action is Action.ALLOW:
        return
    item = source.find(record.key)
    if item is not None:
        for action in actions:
            action.act(record, item)
