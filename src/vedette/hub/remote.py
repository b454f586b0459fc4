"""What the hub, or its mirror, says of a checkpoint's files, by way of huggingface_hub."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vedette.errors import ModelError
from vedette.extras import require
from vedette.hub.fetching import Wanted, check_address, failed, is_loopback, shown
from vedette.hub.store import endpoint, is_commit
from vedette.models.base import Checkpoint, WeightsFile

_USER_AGENT = "vedette"
_TOKEN = re.compile(r"[\x21-\x7e]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file as its server describes it."""

    file: WeightsFile
    wanted: Wanted
    sha256: str | None
    """That the bytes must have: the card's, else the one that the hub states."""
    git_sha1: str | None = None
    """What the hub states for small files in its place."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A checkpoint as its server describes it."""

    files: tuple[RemoteFile, ...]
    commit: str | None
    """The state of the repository that the files are from; None for a plain address."""

    @property
    def size(self) -> int | None:
        """Of all files, in bytes; None where the server does not say."""
        sizes = [file.wanted.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)


def describe(weights: Checkpoint, pinned: str | None) -> Remote:
    """Ask the server about every file of a checkpoint; no weights are fetched yet.

    Args:
        weights: what to ask for.
        pinned: the commit that an earlier pull has found behind the branch, if any.

    Raises:
        ModelError: ``pull_failed``, or ``weights_altered``: the server has other files than the
            card names.
        MissingExtraError: huggingface_hub is not installed.
    """
    if weights.url is not None:
        return Remote(tuple(_at_address(weights.url, file) for file in weights.files), None)
    return _on_hub(weights, pinned)


def _at_address(url: str, file: WeightsFile) -> RemoteFile:
    if file.sha256 is None:
        raise failed(f"the card states no SHA-256 for {file.path}, and {shown(url)} none either")
    address = f"{url.rstrip('/')}/{file.path}"
    check_address(address)
    return RemoteFile(file, Wanted(address, headers={"User-Agent": _USER_AGENT}), file.sha256)


def _on_hub(weights: Checkpoint, pinned: str | None) -> Remote:
    hub = require("huggingface_hub", extra="zoo")
    # Read at each request: it would otherwise report the program that calls it, and ask for lists.
    require("huggingface_hub.constants", extra="zoo").HF_HUB_DISABLE_TELEMETRY = True
    mirror = endpoint()
    commit = weights.revision if is_commit(weights.revision) else pinned
    files = []
    for file in weights.files:
        url = hub.hf_hub_url(
            weights.repo, file.path, revision=commit or weights.revision, endpoint=mirror
        )
        check_address(url, plain_http=mirror is not None)
        headers = _headers(url)
        metadata = _metadata(hub, url, headers, weights, file)
        if metadata is None:
            continue
        if not is_commit(metadata.commit_hash or ""):
            raise failed(f"{shown(url)} does not say which commit it is from")
        if metadata.commit_hash != (commit or metadata.commit_hash):
            raise failed(f"{shown(url)} is of commit {metadata.commit_hash}, not of {commit}")
        commit = metadata.commit_hash  # further files are of the same one
        # Asked for by its commit: the branch may move on while a download is resumed.
        pinned_url = hub.hf_hub_url(weights.repo, file.path, revision=commit, endpoint=mirror)
        wanted = Wanted(pinned_url, metadata.size, headers, plain_http=mirror is not None)
        files.append(_stated(file, wanted, metadata.etag or ""))
    return Remote(tuple(files), commit)


def _stated(file: WeightsFile, wanted: Wanted, etag: str) -> RemoteFile:
    if _SHA256.fullmatch(etag):
        if file.sha256 not in (None, etag):
            raise ModelError(
                f"{shown(wanted.url)} has other weights than the card names: "
                f"SHA-256 {etag[:12]} and not {(file.sha256 or '')[:12]}",
                code="weights_altered",
            )
        return RemoteFile(file, wanted, etag)
    return RemoteFile(file, wanted, file.sha256, etag if is_commit(etag) else None)


def _headers(url: str) -> Mapping[str, str]:
    headers = {"User-Agent": _USER_AGENT}
    token = os.environ.get("HF_TOKEN", "").strip()
    if token and not _TOKEN.fullmatch(token):  # a header's error would show it
        raise failed("HF_TOKEN is not a token", hint="set it to one, or to nothing")
    # Only one that the user has set for this, and never in the clear.
    if token and (url.startswith("https://") or is_loopback(url)):
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _metadata(
    hub: Any, url: str, headers: Mapping[str, str], weights: Checkpoint, file: WeightsFile
) -> Any:
    errors = require("huggingface_hub.errors", extra="zoo")
    given = {name.lower(): value for name, value in headers.items()}
    try:
        return hub.get_hf_file_metadata(url, token=False, headers=given, endpoint=endpoint())
    except errors.GatedRepoError as error:
        raise failed(
            f"{weights.repo} is given to those only who have asked its owner",
            hint="ask for access on its page, then set HF_TOKEN to a token of yours",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise failed(
            f"there is no repository {weights.repo}, or it is not public ({shown(url)})",
            hint="check the name; for a private one set HF_TOKEN",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise failed(f"{weights.repo} has no revision {weights.revision}") from error
    except errors.EntryNotFoundError as error:
        if file.optional:
            return None
        raise failed(f"{weights.repo} has no file {file.path} at {weights.revision}") from error
    except Exception as error:  # those of its HTTP library, which is another one by version
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise failed(f"{shown(url)}: {reason}") from error
