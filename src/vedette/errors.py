"""One tree of errors. Each has a ``code`` for programs and a ``hint`` that says what to do next.

::

    VedetteError
    ├── UsageError            the call, the settings or the policy file is wrong
    │   ├── UnknownNameError  no model, preset or backend of that name
    │   ├── SettingsError     a settings file that cannot be used
    │   └── PolicyError       a policy file that cannot be used
    ├── MissingExtraError     an optional library is not installed
    ├── ModelError            weights missing, altered, or refused by the backend
    └── ItemError             one item cannot be scanned; becomes its Record's Failure
        ├── FetchError        its bytes cannot be read
        ├── DecodeError       its bytes are not a picture we can decode whole
        └── InferError        the model failed on it
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vedette.types import Failure

CODES: dict[str, tuple[str, str]] = {
    # code: (what happened, what to do next). docs/errors.md lists them; a test holds it to this.
    # fetch
    "not_found": ("there is no file of that name", "check the path; a link may be broken"),
    "unreadable": ("the file or folder cannot be read", "check its permissions and the disk"),
    "not_a_file": (
        "it is a pipe, a socket or a device",
        "give a regular file; Vedette never opens what can block",
    ),
    "directory_loop": (
        "a link leads to a folder that is scanned under another name",
        "remove the link; the folder's files are scanned once",
    ),
    "too_many_bytes": (
        "the file is larger than limits.bytes",
        "raise limits.bytes if you trust it",
    ),
    "corrupt_archive": ("the archive cannot be read to its end", "re-create or repair the archive"),
    "encrypted": ("the archive member is encrypted", "decrypt the archive first"),
    "nested_archive": (
        "it is an archive inside an archive",
        "extract the inner archive and scan it by itself",
    ),
    "link_in_archive": (
        "the archive member is a link or a device",
        "archives are scanned without following links; add the target itself",
    ),
    "archive_bomb": (
        "the archive expands beyond limits.archive_bytes or limits.archive_members",
        "raise the limit if you trust the archive",
    ),
    # decode
    "empty": ("the file has no bytes", "fetch or export the file again"),
    "unsupported_format": (
        "the content is of no format that Vedette decodes",
        "convert it to PNG or JPEG, or leave it out with --exclude",
    ),
    "extra_missing": (
        "the format needs an optional library",
        "install the extra that the message names",
    ),
    "truncated": ("the file ends before the picture does", "fetch or export the file again"),
    "corrupt": ("the decoder cannot make sense of the content", "fetch or export the file again"),
    "too_many_pixels": ("the picture is larger than limits.pixels", "raise limits.pixels"),
    "too_many_frames": (
        "it has more frames than limits.frames; those within the limit were scanned",
        "raise limits.frames",
    ),
    "timeout": (
        "decoding took longer than limits.seconds (limits.video_seconds for video)",
        "raise the limit",
    ),
    "out_of_memory": (
        "decoding needed more memory than there is, or than limits.worker_bytes allows",
        "lower limits.pixels, or raise limits.worker_bytes in hardened mode",
    ),
    "decoder_crashed": (
        "the decoder's worker process died on this file",
        "treat the file as hostile; report it to the decoder's authors",
    ),
    # infer
    "model_failed": (
        "the model raised an error on this image",
        "try --backend onnx --precision fp32; if it stays, report it with the message",
    ),
    "model_output_invalid": (
        "the model returned values that are not probabilities",
        "try --precision fp32; verify the weights",
    ),
    "no_answer": (
        "an endpoint, a command or a file of predictions gave no usable answer for the image",
        "run again: answers that came are kept; see docs/endpoints.md",
    ),
    "cancelled": ("the scan was stopped before this item was done", "run again with --resume"),
    "unsafe_path": (
        "a name in an archive or a manifest leads out of the set's own folder",
        "do not unpack it; get the set again from its publisher",
    ),
    "duplicate_names": (
        "two members of the archive have one name, or names that differ in case only",
        "do not trust this archive: programs disagree about what it holds",
    ),
    # usage
    "usage": ("the call does not make sense", "see --help"),
    "unknown_name": ("there is nothing of that name", "see the names in the message"),
    "bad_settings": ("the settings file cannot be used", "see docs/settings.md"),
    "bad_policy": ("the policy file cannot be used", "run: vedette policy check FILE"),
    "output_exists": (
        "the output file is already there",
        "replace it with --overwrite; a scan can also be continued with --resume",
    ),
    "resume_mismatch": (
        "the output file was made with another model or policy",
        "use the same --model and --policy, or another --out",
    ),
    "bad_record": ("a stored Record cannot be read", "see the line that the message names"),
    "missing_extra": ("an optional library is not installed", "run the pip line of the message"),
    "weights_missing": (
        "the model's weights are not there",
        "vedette models pull NAME, or set VEDETTE_MODELS to a folder that has them",
    ),
    "weights_altered": (
        "the model's weights are not the ones its card names",
        "get them again from the source that the card names",
    ),
    "weights_unusable": (
        "the file holds no weights that can be read, or other ones than the model's",
        "get the file again from the source that the model's card names",
    ),
    "terms_not_accepted": (
        "the model's terms restrict its use and have not been accepted",
        "read them with: vedette models show NAME, then pull with --accept-terms",
    ),
    "terms_refused": (
        "the settings say commercial = true, and the model's terms do not admit that",
        "use another model; vedette models list --commercial names them",
    ),
    "pull_failed": (
        "the weights could not be fetched",
        "check the network, or set VEDETTE_MODELS to a folder that has them",
    ),
    "drift_too_large": (
        "reduced precision changes this model's scores by more than the bound",
        "use a higher precision, other calibration images, or raise the bound knowingly",
    ),
    "backend_failed": (
        "the backend cannot load or run the model with these options",
        "try --backend onnx --precision fp32",
    ),
    "unknown_label": (
        "nothing says what a label of the data set means",
        "say it with --labels, for example --labels 0=safe,1=unsafe",
    ),
    "bad_source": (
        "the data set is not laid out as its format says",
        "see docs/sources.md, or name another --format",
    ),
    "bad_vault": (
        "the vault, or a set in it, is not as Vedette left it",
        "run: vedette data verify NAME",
    ),
    "vault_key": (
        "the set is encrypted and its key is missing or wrong",
        "set VEDETTE_VAULT_KEY, or unlock the keyring that has it",
    ),
    "not_confirmed": ("what was asked for needs a confirmation", "add --yes if you mean it"),
    "bad_result": (
        "the file is no result of a benchmark, or is damaged",
        "give the .json files that vedette bench run wrote",
    ),
    "bad_annotations": (
        "the annotations cannot be used as they are",
        "see docs/annotation.md",
    ),
    "endpoint_refused": (
        "an endpoint or a command cannot be used as it was called",
        "check its address, its model's name and the key in the environment",
    ),
    "endpoint_down": (
        "an endpoint has stopped answering, or a command ends again and again",
        "run again later: answers that came are kept and not asked for twice",
    ),
    "cost_cap": (
        "the next request would cost more than was allowed",
        "run again with a higher --max-cost: answers that came are kept and not paid twice",
    ),
    "bad_predictions": (
        "the file of predictions cannot be used as it is",
        "see docs/endpoints.md for its columns",
    ),
    "bad_calibration": (
        "the file holds no calibration, or one of another model",
        "make it again for this model: vedette calibrate RECORDS --labels LABELS",
    ),
    "too_few_labels": (
        "there are not enough labels for what was asked",
        "label more images: vedette train next says which; or ask for less, see docs/training.md",
    ),
    "training_failed": (
        "the training did not arrive at a usable model",
        "lower the learning rate, or see docs/training.md; nothing was written",
    ),
    # service
    "unauthorized": (
        "the request has no key, or one that is not valid",
        "send a key of `vedette keys create` as Authorization: Bearer KEY",
    ),
    "forbidden": ("the key may not be used for this", "ask for a key with the scope it names"),
    "rate_limited": ("the key has asked for more than it may", "wait as long as Retry-After says"),
    "overloaded": (
        "more images are waiting than are answered in time",
        "wait as long as Retry-After says; run more replicas",
    ),
    "shutting_down": ("the service is going down", "send the request again"),
    "request_timeout": (
        "the request was not answered in its time",
        "send fewer images, or raise serve.limits.seconds",
    ),
    "slow_body": ("the body did not arrive in its time", "send it faster, or in smaller pieces"),
    "too_large": ("the body is larger than the service takes", "send fewer or smaller images"),
    "unsupported_media": ("the body is of a kind that is not taken", "see docs/api.md"),
    "url_refused": (
        "the service does not fetch this address",
        "send the bytes themselves, or have its host allowed; see docs/serve.md",
    ),
    "unreachable": (
        "the service cannot be reached, or broke off",
        "check its address (VEDETTE_URL), and that it runs; see docs/client.md",
    ),
    "bad_answer": (
        "what answered is not a Vedette service, or one of another version",
        "check the service's address; see docs/client.md",
    ),
    "upload_refused": ("an upload is not accepted", "its Record says why, to you and nobody else"),
    "internal": ("the service has a defect", "report it with the request's id"),
    "bad_audit": (
        "stored decisions are not as they were written",
        "see docs/audit-log.md; keep the database as it is",
    ),
    "bad_list": ("a hash list cannot be used as it is", "see docs/hash-lists.md for its forms"),
    "no_database": (
        "the service's database cannot be reached",
        "check its address; decisions wait in the spool meanwhile",
    ),
    "write_failed": ("an output file could not be written", "check the disk and the permissions"),
}


class VedetteError(Exception):
    """Root of the tree.

    Args:
        message: one line, for a person.
        code: one of :data:`CODES`; each class has a default.
        hint: what to do next; by default the one that :data:`CODES` has for the code.
    """

    default_code = "usage"

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint or CODES[self.code][1]


class UsageError(VedetteError):
    """The call, the settings or a file given by the user is wrong."""


class UnknownNameError(UsageError):
    """No model, preset or backend of that name; says which one was likely meant."""

    default_code = "unknown_name"

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
        super().__init__(f"unknown {kind} {name!r}", hint=hint)


class SettingsError(UsageError):
    """A settings file that cannot be used."""

    default_code = "bad_settings"


class PolicyError(UsageError):
    """A policy file that cannot be used."""

    default_code = "bad_policy"


class MissingExtraError(VedetteError):
    """An optional library is not installed; the hint is the pip line."""

    default_code = "missing_extra"


class ModelError(VedetteError):
    """Weights missing or altered, or a backend that cannot run them."""

    default_code = "backend_failed"


class ItemError(VedetteError):
    """One item cannot be scanned; the pipeline turns it into the Record's Failure."""

    stage = "scan"
    sha256: str | None = None
    """Of the item's bytes, where they could be read."""
    format: str | None = None
    """Of the item, where its content shows it."""

    def failure(self) -> Failure:
        """The same as a value."""
        from vedette.types import Failure  # numpy comes with it, which `--help` can do without

        return Failure(self.stage, self.code, self.message)


class FetchError(ItemError):
    """The bytes cannot be read."""

    stage = "fetch"
    default_code = "unreadable"


class DecodeError(ItemError):
    """The bytes are not a picture that we can decode whole."""

    stage = "decode"
    default_code = "corrupt"


class InferError(ItemError):
    """The model failed on the item."""

    stage = "infer"
    default_code = "model_failed"
