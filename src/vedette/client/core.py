"""What a client can do, as :data:`~vedette.client.exchange.Steps`: no I/O is done here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from vedette.client import answers, requests
from vedette.client.answers import JobStatus, Judged, ServedModel
from vedette.client.body import FilePart, file_part
from vedette.client.errors import RefusedError, ServiceError, UnansweredError
from vedette.client.exchange import Pace, Pause, Steps, exchange
from vedette.client.wanted import Choice, Picture, batches, picture_of, sent_key
from vedette.data.memory import Scannable
from vedette.errors import UsageError
from vedette.policy import Policy
from vedette.types import Action, Failure, Record, Verdict

VIDEO = "/v1/scan/video"
_IMAGES = "/v1/scan"
_RECORDS = 500
_RECORD_BYTES = 8 * 2**20
"""Of the Records of one request, about: those of long videos are large."""
_FRAME_BYTES = 400
_FILE_CODES = ("not_found", "unreadable", "not_a_file")
"""Of a file that was there, and was gone or another one when it was sent."""
_FIRST_POLL_S = 0.1
_LINE_BYTES = 64 * 2**20


class Core:
    """The operations of a client, over its pace."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    def judge(self, given: Scannable, choice: Choice, path: str = _IMAGES) -> Steps[Judged]:
        """The outcome for one image, or for one video."""
        (outcome,) = yield from self.judge_batch([picture_of(given)], choice, path)
        return outcome

    def batches(self, given: Iterable[Scannable]) -> Iterator[list[Picture]]:
        """The pictures of each request that many images take."""
        return batches(given, self._pace.options)

    def judge_batch(
        self, pictures: Sequence[Picture], choice: Choice, path: str = _IMAGES
    ) -> Steps[list[Judged]]:
        """The outcomes for pictures of one kind, in order and under their own keys.

        A request that is too large for the service, or of which a file has changed on the way, is
        cut in two; a single image of that kind has failed. What has failed here is decided by the
        service's policy, too.
        """
        if pictures[0].kind == "failure":
            return (yield from self._failed(pictures, choice))
        make = requests.scan_urls if pictures[0].kind == "url" else requests.scan
        request = make(pictures, choice, path)
        patience = self._pace.options.video_s if path == VIDEO else None
        try:
            reply = yield from exchange(request, self._pace, patience)
        except ServiceError as error:
            if not _is_of_the_images(error):
                raise
            if len(pictures) == 1:
                failure = Failure("fetch", error.code, error.message)
                failed = [Picture(pictures[0].key, failure)]
                return (yield from self._failed(failed, choice))
        else:
            return _renamed(answers.judged(reply, _keys(pictures)), pictures)
        middle = len(pictures) // 2
        first = yield from self.judge_batch(pictures[:middle], choice, path)
        second = yield from self.judge_batch(pictures[middle:], choice, path)
        return first + second

    def decide(self, given: Iterable[Record | Judged], choice: Choice) -> Steps[list[Record]]:
        """Records under another policy, in order; what a hash list decided stays decided."""
        outcomes = [one if isinstance(one, Judged) else Judged(one) for one in given]
        decided: list[Record] = []
        for batch in _of_fitting_size(outcomes):
            reply = yield from exchange(requests.decide(_sent(batch), choice), self._pace)
            for before, after in zip(batch, answers.judged(reply, _own_keys(batch)), strict=True):
                # What was scanned stays; only the verdict is another.
                verdict = after.record.verdict
                decided.append(replace(before.record, verdict=verdict))
        return decided

    def models(self) -> Steps[tuple[ServedModel, ...]]:
        """The models that requests may name."""
        return answers.models((yield from exchange(requests.models(), self._pace)))

    def policies(self) -> Steps[dict[str, Policy]]:
        """The policies that requests may name."""
        return answers.policies((yield from exchange(requests.policies(), self._pace)))

    def submit_urls(
        self,
        urls: Sequence[str],
        keys: Sequence[str] | None,
        choice: Choice,
        webhook: str | None,
    ) -> Steps[JobStatus]:
        """Make a job of URLs."""
        if isinstance(urls, str):
            raise UsageError("a list of URLs is wanted, not one URL")
        request = requests.submit_urls(urls, keys, choice, webhook)
        return answers.job((yield from exchange(request, self._pace)))

    def submit_archive(
        self, archive: Path, choice: Choice, webhook: str | None
    ) -> Steps[JobStatus]:
        """Make a job of an archive."""
        part: FilePart = file_part(archive)
        request = requests.submit_archive(part, archive.name, choice, webhook)
        reply = yield from exchange(request, self._pace, self._pace.options.upload_s)
        return answers.job(reply)

    def job(self, job_id: str) -> Steps[JobStatus]:
        """How far a job is."""
        return answers.job((yield from exchange(requests.job(job_id), self._pace)))

    def jobs(self, limit: int, before: str | None) -> Steps[tuple[list[JobStatus], str | None]]:
        """A page of jobs, the newest first, and where the next page begins."""
        return answers.jobs((yield from exchange(requests.jobs(limit, before), self._pace)))

    def cancel(self, job_id: str) -> Steps[JobStatus]:
        """Cancel a job."""
        return answers.job((yield from exchange(requests.cancel(job_id), self._pace)))

    def wait(self, job_id: str, seconds: float | None, poll_s: float) -> Steps[JobStatus]:
        """A job once it has ended."""
        if not poll_s > 0:
            raise UsageError("poll_s must be positive")
        began = self._pace.clock()
        pause = min(_FIRST_POLL_S, poll_s)
        while True:
            status = yield from self.job(job_id)
            if not status.open:
                return status
            if seconds is not None and self._pace.clock() + pause > began + seconds:
                raise UnansweredError(
                    f"the job has not ended within {seconds:g} s: {status.done} of {status.items}",
                    code="request_timeout",
                    hint="wait for it again: it goes on",
                )
            yield Pause(pause)
            pause = min(2 * pause, poll_s)

    def results(self, job_id: str, into: IO[bytes], form: str) -> Steps[None]:
        """The results that there are, whole, into a file."""
        patience = self._pace.options.upload_s
        yield from exchange(requests.results(job_id, form), self._pace, patience, into)

    def _failed(self, pictures: Sequence[Picture], choice: Choice) -> Steps[list[Judged]]:
        records = [
            _unsent(sent_key(picture.key, place), picture.content)
            for place, picture in enumerate(pictures)
            if isinstance(picture.content, Failure)
        ]
        decided = yield from self.decide(records, choice)
        return _renamed([Judged(record) for record in decided], pictures)


def form_of(path: Path) -> str:
    """The form of results that a file's suffix asks for.

    Raises:
        UsageError: the service has none for it.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in ("jsonl", "parquet"):
        raise UsageError(f"no results as {path.suffix!r}", hint="name a .jsonl or .parquet file")
    return form


def lines(stream: IO[bytes]) -> Iterator[Judged]:
    """The outcomes in a file of a job's results.

    Raises:
        BadAnswerError: a line is no Record.
    """
    stream.seek(0)
    while line := stream.readline(_LINE_BYTES):
        if line.strip():
            yield answers.result(line)


def _is_of_the_images(error: ServiceError) -> bool:
    """Whether fewer or other images would have been answered."""
    if isinstance(error, RefusedError):
        return error.code == "too_large"
    return isinstance(error, UnansweredError) and error.code in _FILE_CODES


def _unsent(key: str, failure: Failure) -> Record:
    """What is known of a picture that never got to the service, for its policy to decide."""
    return Record(
        key=key,
        sha256=None,
        width=None,
        height=None,
        frames=0,
        scores=None,
        regions=(),
        verdict=Verdict(Action.REVIEW, (), "undecided@0"),
        failure=failure,
        models=(),
        times_ms={},
    )


def _keys(pictures: Sequence[Picture]) -> list[str]:
    return [sent_key(picture.key, place) for place, picture in enumerate(pictures)]


def _own_keys(batch: Sequence[Judged]) -> list[str]:
    return [one.record.key for one in batch]


def _renamed(outcomes: Sequence[Judged], pictures: Sequence[Picture]) -> list[Judged]:
    return [
        answers.renamed(outcome, picture.key)
        for outcome, picture in zip(outcomes, pictures, strict=True)
    ]


def _sent(batch: Sequence[Judged]) -> list[Mapping[str, Any]]:
    return [
        {
            **requests.record_json(one.record),
            "listed": None if one.listed is None else {**one.listed},
        }
        for one in batch
    ]


def _of_fitting_size(outcomes: Sequence[Judged]) -> Iterator[list[Judged]]:
    batch: list[Judged] = []
    size = 0
    for one in outcomes:
        record = one.record
        more = 2000 + _FRAME_BYTES * len(record.timeline) + 200 * len(record.regions)
        if batch and (len(batch) == _RECORDS or size + more > _RECORD_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += more
    if batch:
        yield batch
