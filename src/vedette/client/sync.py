"""The client that waits."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator, Iterable, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

from vedette.client import core, transport
from vedette.client.answers import JobStatus, Judged, ServedModel
from vedette.client.exchange import Ask, Lost, Pace, Pause, Steps, T
from vedette.client.options import ClientOptions, address_of
from vedette.client.wanted import Choice
from vedette.data.memory import Scannable
from vedette.errors import FetchError, UsageError
from vedette.policy import Policy
from vedette.sinks.base import replacing
from vedette.types import Record

_DEFAULTS = ClientOptions()


class Client:
    """Scans images with a service as a :class:`~vedette.pipeline.Scanner` does without one.

    Keep one and use it for many requests, from as many threads as you like; close it at the end.

    Args:
        url: of the service; else ``$VEDETTE_URL``, else ``http://127.0.0.1:8080``.
        key: of the service; else ``$VEDETTE_API_KEY``, else none.
        options: limits and timeouts.

    Raises:
        UsageError: the address or the key cannot be one.
        MissingExtraError: httpx is not installed.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, options: ClientOptions = _DEFAULTS
    ) -> None:
        address = address_of(url, key)
        self.url = address.url
        self._options = options
        self._core = core.Core(Pace(options))
        self._http: Any = transport.httpx_of_client().Client(
            **transport.settings_of(address, options)
        )
        self.jobs = Jobs(self)

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def scan(
        self,
        image: Scannable,
        *,
        model: str | None = None,
        policy: str | None = None,
        categories: Sequence[str] | None = None,
        subject: str | None = None,
    ) -> Record:
        """The Record of one image.

        Args:
            image: a path, the bytes of a file, a Pillow image, a uint8 array, an
                :class:`~vedette.types.Item`, or an ``http(s)://`` URL for the service to fetch.
            model: a name of :meth:`models`; None: the service's default.
            policy: a name of :meth:`policies`; None: the service's default.
            categories: only these of the policy's.
            subject: whom the image is about, so that what is kept of it can be erased.

        Raises:
            UsageError: the image is none of these.
            ServiceError: the service gave no answer. What is wrong with the picture itself is
                never raised: it is the Record's ``failure``.
        """
        return self.judge(
            image, model=model, policy=policy, categories=categories, subject=subject
        ).record

    def scan_many(
        self,
        images: Iterable[Scannable],
        *,
        model: str | None = None,
        policy: str | None = None,
        categories: Sequence[str] | None = None,
        subject: str | None = None,
    ) -> Generator[Record, None, None]:
        """The Records of many images, in their order, several in one request.

        ``images`` is read as it is needed. Arguments and errors are those of :meth:`scan`; what
        came before an error has been yielded.
        """
        choice = Choice(model, policy, categories, subject)
        for pictures in self._core.batches(images):
            for outcome in self._run(self._core.judge_batch(pictures, choice)):
                yield outcome.record

    def judge(
        self,
        image: Scannable,
        *,
        model: str | None = None,
        policy: str | None = None,
        categories: Sequence[str] | None = None,
        subject: str | None = None,
    ) -> Judged:
        """As :meth:`scan`, with the id of the kept decision and the hash list that decided."""
        choice = Choice(model, policy, categories, subject)
        return self._run(self._core.judge(image, choice))

    def scan_video(
        self,
        video: Scannable,
        *,
        model: str | None = None,
        policy: str | None = None,
        categories: Sequence[str] | None = None,
        subject: str | None = None,
    ) -> Record:
        """As :meth:`scan`, for one video: the service takes more bytes and more time for it."""
        choice = Choice(model, policy, categories, subject)
        return self._run(self._core.judge(video, choice, core.VIDEO)).record

    def decide(
        self,
        records: Iterable[Record | Judged],
        *,
        policy: str | None = None,
        categories: Sequence[str] | None = None,
    ) -> list[Record]:
        """Records under a policy of the service; nothing is scanned, and nothing is kept.

        Give what :meth:`judge` answered where a hash list has decided: a Record alone does not
        say so, and then the policy decides it as one that nobody looked at.

        Raises:
            ServiceError: the service gave no answer.
        """
        choice = Choice(policy=policy, categories=categories)
        return self._run(self._core.decide(records, choice))

    def models(self) -> tuple[ServedModel, ...]:
        """The models that requests may name; the first is the default.

        Raises:
            ServiceError: the service gave no answer.
        """
        return self._run(self._core.models())

    def policies(self) -> dict[str, Policy]:
        """The policies that requests may name, by their names; the first is the default.

        Raises:
            ServiceError: the service gave no answer.
        """
        return self._run(self._core.policies())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        if self._http.is_closed:
            raise UsageError("the client is closed", hint="make a new Client")
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                answer: T = end.value
                return answer
            if isinstance(step, Pause):
                time.sleep(step.seconds)
            else:
                self._ask(step)

    def _ask(self, ask: Ask) -> None:
        httpx = transport.httpx_of_client()
        body = ask.request.body
        content = None if body is None else body.pieces()
        try:
            request = transport.request_of(ask, self._options)
            with self._http.stream(**request, content=content) as response:
                received = transport.Received(
                    ask, response.status_code, response.headers, self._options.answer_bytes
                )
                for piece in response.iter_raw():
                    received.add(piece)
                received.end()
        except (httpx.HTTPError, httpx.InvalidURL, transport.TooMuch, TimeoutError) as error:
            ask.reply = transport.lost(error)
        except FetchError as error:  # of a file on the way: there is no whole body
            ask.reply = Lost(error.code, error.message, reached=True, final=True)
        finally:
            if content is not None:
                content.close()  # and the file that it may have open


class Jobs:
    """The jobs of a :class:`Client`'s key: batches scanned in the background."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def submit_urls(
        self,
        urls: Sequence[str],
        *,
        keys: Sequence[str] | None = None,
        model: str | None = None,
        policy: str | None = None,
        categories: Sequence[str] | None = None,
        subject: str | None = None,
        webhook: str | None = None,
    ) -> JobStatus:
        """Have the images at some URLs fetched and scanned.

        Args:
            urls: of the images.
            keys: your names for them, one for each.
            model: a name of :meth:`Client.models`.
            policy: a name of :meth:`Client.policies`.
            categories: only these of the policy's.
            subject: whom the images are about.
            webhook: a URL that is sent a signed POST when the job ends.

        Raises:
            ServiceError: the service gave no answer. A submission whose connection broke off
                is not sent again, since there may be a job already: see :meth:`page`.
        """
        choice = Choice(model, policy, categories, subject)
        return self._run(self._core.submit_urls(urls, keys, choice, webhook))

    def submit_archive(
        self,
        archive: str | PathLike[str],
        *,
        model: str | None = None,
        policy: str | None = None,
        categories: Sequence[str] | None = None,
        webhook: str | None = None,
    ) -> JobStatus:
        """Have the images in an archive scanned; it is sent from its file as it is read.

        Raises:
            FetchError: the archive cannot be read.
            ServiceError: as :meth:`submit_urls`.
        """
        choice = Choice(model, policy, categories)
        return self._run(self._core.submit_archive(Path(archive), choice, webhook))

    def get(self, job_id: str) -> JobStatus:
        """How far a job is.

        Raises:
            ServiceError: the service gave no answer, or knows no such job of this key.
        """
        return self._run(self._core.job(job_id))

    def page(
        self, limit: int = 20, before: str | None = None
    ) -> tuple[list[JobStatus], str | None]:
        """The newest jobs, and what to give as ``before`` for those before them.

        Raises:
            ServiceError: the service gave no answer.
        """
        return self._run(self._core.jobs(limit, before))

    def cancel(self, job_id: str) -> JobStatus:
        """Cancel a job; the results that there are stay.

        Raises:
            ServiceError: as :meth:`get`.
        """
        return self._run(self._core.cancel(job_id))

    def wait(self, job_id: str, seconds: float | None = None, poll_s: float = 2.0) -> JobStatus:
        """A job once it has ended: done, cancelled or expired.

        Args:
            job_id: its id.
            seconds: how long to wait; None: as long as it takes.
            poll_s: seconds between two looks, at most.

        Raises:
            UnansweredError: ``request_timeout``: it goes on, and has not ended.
            ServiceError: as :meth:`get`.
        """
        return self._run(self._core.wait(job_id, seconds, poll_s))

    def results(self, job_id: str) -> Generator[Record, None, None]:
        """The Records that there are, in the order of the images.

        They are received whole, into a temporary file, before the first one is yielded.

        Raises:
            ServiceError: as :meth:`get`, or they did not come whole.
        """
        with tempfile.TemporaryFile() as file:
            self._run(self._core.results(job_id, file, "jsonl"))
            for outcome in core.lines(file):
                yield outcome.record

    def save_results(self, job_id: str, path: str | PathLike[str]) -> None:
        """Write the results that there are into a file, which is there whole or not at all.

        Args:
            job_id: its id.
            path: by its suffix ``.jsonl``, or ``.parquet`` once the job has ended. A file that is
                there is replaced.

        Raises:
            UsageError: another suffix.
            VedetteError: ``write_failed``.
            ServiceError: as :meth:`results`.
        """
        target = Path(path)
        form = core.form_of(target)
        with replacing(target) as temporary, temporary.open("w+b") as file:
            self._run(self._core.results(job_id, file, form))

    @property
    def _core(self) -> core.Core:
        return self._client._core

    def _run(self, steps: Steps[T]) -> T:
        return self._client._run(steps)
