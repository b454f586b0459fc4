"""AWS Rekognition's DetectModerationLabels, and servers that answer in its form.

Source: AWS, "Using the image and video moderation APIs" (moderation taxonomy 6 and 7) and the API
reference of DetectModerationLabels.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from vedette.bench.endpoints.keys import checked, told
from vedette.bench.endpoints.pictures import Picture, PictureLimits
from vedette.bench.endpoints.post import check_url
from vedette.bench.endpoints.service import (
    Access,
    NoAnswer,
    Reading,
    Refusal,
    a_list,
    an_object,
    common_refusal,
    model_id,
    probability,
)
from vedette.bench.endpoints.sigv4 import Credentials, Scope, signed
from vedette.errors import UsageError
from vedette.hub.fetching import shown
from vedette.taxonomy import Category

TARGET = "RekognitionService.DetectModerationLabels"

LABELS: dict[str, tuple[Category, ...]] = {
    # Taxonomy 7, level 1.
    "Explicit": (Category.SEXUAL,),
    "Non-Explicit Nudity of Intimate parts and Kissing": (Category.SEXUAL,),
    "Swimwear or Underwear": (),
    "Violence": (Category.VIOLENCE,),
    "Visually Disturbing": (Category.SHOCKING,),
    "Drugs & Tobacco": (Category.ILLEGAL_ACTIVITY,),
    "Alcohol": (),
    "Rude Gestures": (Category.SHOCKING,),
    "Gambling": (),
    "Hate Symbols": (Category.HATE,),
    # Below them, where a label means more than its parent.
    "Self-Harm": (Category.SELF_HARM,),
    "Self Injury": (Category.SELF_HARM,),
    "Blood & Gore": (Category.VIOLENCE, Category.SHOCKING),
    "Graphic Violence Or Gore": (Category.VIOLENCE, Category.SHOCKING),
    # Taxonomy 6, level 1, where the names differ.
    "Explicit Nudity": (Category.SEXUAL,),
    "Suggestive": (),
    "Drugs": (Category.ILLEGAL_ACTIVITY,),
    "Tobacco": (),
}
"""What each label counts for. One that is not here counts for what its parent does."""

COVERED = tuple(c for c in Category if any(c in counted for counted in LABELS.values()))

_DENIED = re.compile(r"AccessDenied|UnrecognizedClient|Signature|ExpiredToken|Authentication|Token")
_LATER = re.compile(r"Throttl|ProvisionedThroughput|LimitExceeded|InternalServer|Unavailable")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_TYPE = "application/x-amz-json-1.1"


class Rekognition:
    """The endpoint of one region, or a compatible server.

    Args:
        region: ``us-east-1``; ``""``: ``AWS_REGION`` or ``AWS_DEFAULT_REGION``.
        base_url: of a compatible server, None for AWS's. Without credentials in the environment
            such a server is asked unsigned.
        environ: to take credentials from: ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, and
            ``AWS_SESSION_TOKEN`` for a session's.

    Raises:
        UsageError: there is no region or no credentials, or the address cannot be used.
    """

    def __init__(self, region: str, base_url: str | None, environ: Mapping[str, str]) -> None:
        self._region = (
            region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
        )
        if self._region and not _REGION.fullmatch(self._region):
            raise UsageError(f"{self._region!r} is no region of AWS", hint="us-east-1 is one")
        self._credentials = _credentials(environ)
        if not base_url and not self._region:
            raise UsageError("which region is to be asked?", hint="give it: rekognition:us-east-1")
        if not base_url and self._credentials is None:
            raise UsageError(
                "the endpoint needs credentials, and there are none",
                code="endpoint_refused",
                hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        base = base_url or f"https://rekognition.{self._region}.amazonaws.com"
        # A signature does not show the key, but it opens the account for this one request.
        url = check_url(base, secret=self._credentials is not None) + "/"
        known = self._credentials
        self.access = Access(url, shown(url), (known.secret_key, known.token) if known else ())
        self.limits = PictureLimits(bytes=5_000_000)
        self.model = "rekognition-moderation"
        self.id = model_id(self.model, url, base_url)
        self.facts: Mapping[str, Any] = {
            "scores_are": "Confidence / 100, the highest of the labels that count for a category; "
            "0 where no such label is returned at MinConfidence 0",
            "decision_is": "Confidence of at least 50, the service's own default",
        }

    def request(self, picture: Picture) -> tuple[Mapping[str, str], bytes]:
        """See :class:`~vedette.bench.endpoints.service.Service`."""
        image = base64.b64encode(picture.data).decode("ascii")
        body = json.dumps({"Image": {"Bytes": image}, "MinConfidence": 0}).encode()
        headers = {"Content-Type": _TYPE, "X-Amz-Target": TARGET}
        if self._credentials is None:
            return headers, body
        scope = Scope(self._region or "us-east-1", "rekognition")
        now = datetime.now(UTC)
        return signed(self.access.url, headers, body, self._credentials, scope, now), body

    def refusal(self, status: int, body: Any) -> Refusal:
        """See :class:`~vedette.bench.endpoints.service.Service`."""
        fields = body if isinstance(body, dict) else {}
        kind = told(fields.get("__type"), self.access.secrets).rpartition("#")[2]
        said = told(fields.get("message") or fields.get("Message"), self.access.secrets)
        message = f"{status} {kind} {said}".strip()
        if _LATER.search(kind):  # of status 400, many of them
            return Refusal("again", message)
        if _DENIED.search(kind):
            return Refusal("all", message)
        return common_refusal(status, f"{kind} {said}".strip())

    def read(self, body: Any) -> Reading:
        """See :class:`~vedette.bench.endpoints.service.Service`."""
        whole = an_object(body, "the answer")
        labels = a_list(whole.get("ModerationLabels"), "ModerationLabels")
        p = dict.fromkeys(COVERED, 0.0)
        parents: dict[str, str] = {}
        confidences: dict[str, float] = {}
        for label in labels:
            fields = an_object(label, "a label")
            name, parent = fields.get("Name"), fields.get("ParentName") or ""
            if not isinstance(name, str) or not name or not isinstance(parent, str):
                raise NoAnswer("a label without a name")
            parents[name] = parent
            value = probability(fields.get("Confidence"), "the Confidence of a label", 100.0)
            confidences[name] = max(value, confidences.get(name, 0.0))
        for name, value in confidences.items():
            for category in _counts_for(name, parents):
                p[category] = max(p[category], value)
        revision = told(whole.get("ModerationModelVersion"), self.access.secrets)
        return Reading(p, None, revision)


def _counts_for(name: str, parents: Mapping[str, str]) -> tuple[Category, ...]:
    """What a label counts for: by its own name, else by the nearest one above it."""
    seen: set[str] = set()
    while name and name not in seen:
        if name in LABELS:
            return LABELS[name]
        seen.add(name)
        name = parents.get(name, "")
    return ()


def _credentials(environ: Mapping[str, str]) -> Credentials | None:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    access, secret, token = (environ.get(name, "").strip() for name in names)
    if not access and not secret:
        return None
    return Credentials(
        checked(access, names[0]),
        checked(secret, names[1]),
        checked(token, names[2]) if token else "",
    )
