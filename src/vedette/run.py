"""A whole scan: a source through a Scanner into files, resumable, with actions on the way."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from vedette.actions import FileAction
from vedette.data.base import Source, read_all
from vedette.decode import DecodeOptions, Decoder, InlineDecoder
from vedette.errors import ItemError
from vedette.pipeline import Scanner
from vedette.sinks.base import check_places, writer_for
from vedette.sinks.html import ReportOptions, worst_frame, write_html
from vedette.sinks.jsonl import Journal
from vedette.types import Action, Item, Record, UInt8


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
        named = [path for path in (*self.out, self.html) if path is not None]
        if self.journal is not None and self.journal not in self.out:
            named.append(self.journal)
        return tuple(named)

    def check(self) -> None:
        """Refuse, before anything is scanned, what would only fail or destroy something later.

        Raises:
            UsageError: two outputs in one file, an unknown format, ``output_exists``.
            VedetteError: ``write_failed``: a place that no file can be made in.
            MissingExtraError: a format needs a library that is not installed.
        """
        for path in self.out:
            writer_for(path)
        # To be resumed is only what has a journal: without one, a scan had come to its end.
        resumed = self.resume and self.journal is not None and self.journal.exists()
        check_places(self.files, overwrite=self.overwrite or resumed)


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
    outputs.check()
    summary = Summary()
    if outputs.journal is None:
        for record, item in _scanned(source, scanner, Counter()):
            summary.add(record)
            on_record(record)
            _act(actions, record, item)
        return summary
    with Journal(outputs.journal) as journal:
        done: Counter[str] = Counter()
        if outputs.resume:
            for record in journal.resume(
                (scanner.model.card.model,), scanner.policy.id, scanner.calibrated
            ):
                done[record.key] += 1
                summary.add(record)
                if any(action.wants(record) for action in actions):
                    _act(actions, record, source.find(record.key))
            summary.resumed = summary.total
        else:
            journal.create()
        with closing(_scanned(source, scanner, done)) as scanned:
            for record, item in scanned:
                journal.append(record)
                summary.add(record)
                on_record(record)
                if any(action.wants(record) for action in actions):
                    journal.sync()  # a file may move only when its Record is on the disk
                    _act(actions, record, item)
        journal.close()
        write_derived(
            journal.records, outputs, Thumbnails(source, scanner.decoder), skip=journal.path
        )
    if journal.path not in outputs.out:
        journal.path.unlink()
    return summary


def _scanned(
    source: Source, scanner: Scanner, done: Counter[str]
) -> Generator[tuple[Record, Item], None, None]:
    """Records with their items, without the first ``done[key]`` items of each key."""
    waiting: deque[Item] = deque()

    def left() -> Iterator[Item]:
        for item in read_all(source):
            if done[item.key]:
                done[item.key] -= 1
            else:
                waiting.append(item)
                yield item

    with closing(scanner.scan_many(left())) as records:
        for record in records:
            yield record, waiting.popleft()


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


def _act(actions: Iterable[FileAction], record: Record, item: Item | None) -> None:
    for action in actions:
        if item is not None and action.wants(record):
            action.act(record, item)
