"""From a service's options to its jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vedette.serve.jobs.signing import load_signer
from vedette.serve.jobs.store import JobStore
from vedette.serve.jobs.uploads import Uploads
from vedette.settings import Limits

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from vedette.serve.options import ServeOptions


def open_jobs(database: Engine, options: ServeOptions) -> JobStore:
    """The jobs that a service's options ask for; the database is not closed with it.

    Raises:
        UsageError: the secret for webhooks cannot be used.
        VedetteError: ``write_failed``: the folder of uploads cannot be used.
    """
    wanted = options.jobs
    limits = Limits(
        bytes=max(options.limits.body_bytes, options.limits.video_bytes),
        archive_bytes=wanted.expanded_bytes,
        archive_members=wanted.items,
    )
    uploads = Uploads(Path(wanted.folder), limits)
    return JobStore(database, uploads, load_signer(), wanted.open)
