"""The audit of a data set: what is in it twice, wrong, unreadable, or gives its labels away.

One pass over the source; everything after it works on facts that are on disk, removed at the end.
The result keeps its evidence: distances, margins, intervals, so that a stored audit can be cut at
other thresholds without reading the pictures again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vedette.curate.balance import Balance, balance
from vedette.curate.confounds import Confounds, confounds
from vedette.curate.duplicates import DuplicateOptions, Duplicates, same_pictures, summarise
from vedette.curate.facts import Store
from vedette.curate.given import Matched, load_embeddings
from vedette.curate.label_issues import PRECISION, IssueOptions, LabelIssues, label_issues
from vedette.curate.leakage import Leakage, leakage
from vedette.curate.reading import ReadOptions, read_into
from vedette.data.base import Shard, Source
from vedette.data.splits import read_split
from vedette.data.synth.plan import is_stand_in
from vedette.embeddings.base import Columns, open_matrix
from vedette.errors import UsageError
from vedette.perceptual import NEAR
from vedette.settings import Settings
from vedette.types import Failure, Item


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What an audit goes by."""

    settings: Settings = field(default_factory=Settings)
    workers: int = 0
    """Decode threads; 0: one for each core."""
    seed: int = 0
    bits: int = NEAR
    """Bits of 256 in which the hashes of one picture may differ."""
    embeddings: Path | None = None
    """A ``.npy`` or Parquet file, or a folder of such files."""
    cosine: float = 0.96
    """From which on two embeddings show the same picture."""
    precision: float = PRECISION
    """Of the labels that are named as wrong, the share that has to be wrong in the test with wrong
    labels that were planted; 0 names every candidate of confident learning."""
    split: Path | None = None
    """A split file (:mod:`vedette.data.splits`) that says which split each image is in, instead of
    the source."""
    most: int = 1000
    """Groups, issues and failures named, of each; the counts are of all."""
    scratch: Path | None = None
    """Where the temporary folder is made; None: where the system has them."""

    def check(self) -> None:
        """Refuse what could only fail once all pictures are read.

        Raises:
            UsageError: a number out of its range, embeddings that cannot be opened.
            MissingExtraError: these are Parquet, and pyarrow is not installed.
        """
        if not 0 <= self.bits <= NEAR:
            raise UsageError(f"{self.bits} bits", hint=f"give 0 to {NEAR}")
        for name, value in (("cosine", self.cosine), ("precision", self.precision)):
            if not 0 <= value <= 1:
                raise UsageError(f"a {name} of {value}", hint="give 0 to 1")
        if self.most < 1 or self.workers < 0:
            raise UsageError("a count below its least", hint="name at least 1 of each finding")
        if self.embeddings is not None:
            open_matrix(self.embeddings, Columns())


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One image that could not be read, or not to its end."""

    key: str
    stage: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading the set came to."""

    images: int
    failures: tuple[tuple[str, int], ...]
    """Codes of :data:`vedette.errors.CODES`, the most frequent first."""
    unreadable: tuple[Unreadable, ...]
    """At most as many as were asked for."""
    stand_ins: int = 0
    """Images that are drawn pictures of a stand-in set: nothing found in it says a thing of a real
    one."""

    @property
    def failed(self) -> int:
        """Images that could not be read."""
        return sum(count for _, count in self.failures)


@dataclass(frozen=True, slots=True)
class Audit:
    """The result: frozen, with its evidence."""

    reading: Reading
    duplicates: Duplicates
    leakage: Leakage
    labels: LabelIssues
    balance: Balance
    confounds: Confounds
    embeddings: Matched | None
    bits: int
    cosine: float
    seed: int


def audit(source: Source, options: AuditOptions | None = None) -> Audit:
    """Audit a data set.

    Args:
        source: read once, to its end.
        options: thresholds, seed, embeddings.

    Raises:
        UsageError: an option, a split file or embeddings that cannot be used.
        VedetteError: the source itself cannot be read, or the temporary folder is full.
    """
    options = options or AuditOptions()
    options.check()
    given = options.embeddings is not None
    failures: Counter[str] = Counter()
    unreadable: list[Unreadable] = []

    def on_failure(key: str, failure: Failure) -> None:
        failures[failure.code] += 1
        if len(unreadable) < options.most:
            unreadable.append(Unreadable(key, failure.stage, failure.code, failure.message))

    watched = _Watched(source)
    split = read_split(options.split) if options.split is not None else None
    reading = ReadOptions(options.settings, options.workers, not given, options.seed, split)
    with Store(options.scratch) as store:
        read_into(store, watched, reading, on_failure)
        matched = load_embeddings(store, options.embeddings) if options.embeddings else None
        group = same_pictures(store, DuplicateOptions(options.bits, options.cosine, given))
        judging = IssueOptions(
            "embeddings" if given else "descriptor", options.precision, options.seed, options.most
        )
        return Audit(
            reading=Reading(
                len(group), tuple(failures.most_common()), tuple(unreadable), watched.stand_ins
            ),
            duplicates=summarise(store, group, options.most),
            leakage=leakage(store, group, options.most),
            labels=label_issues(store, group, judging),
            balance=balance(store),
            confounds=confounds(store, group, options.seed),
            embeddings=matched,
            bits=options.bits,
            cosine=options.cosine,
            seed=options.seed,
        )


class _Watched:
    """A source whose stand-ins are counted as they pass."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.stand_ins = 0

    def shards(self) -> Sequence[Shard]:
        return self._source.shards()

    def read(self, shard: Shard) -> Iterator[Item]:
        for item in self._source.read(shard):
            self.stand_ins += is_stand_in(item)
            yield item

    def find(self, key: str) -> Item | None:
        return self._source.find(key)
