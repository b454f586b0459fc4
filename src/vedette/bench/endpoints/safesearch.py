"""Google Cloud Vision's SafeSearch, and servers that answer in its form.

Source: the reference of ``images:annotate``, SafeSearchAnnotation and Likelihood.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from vedette.bench.endpoints.keys import key_for, told
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
)
from vedette.hub.fetching import shown
from vedette.taxonomy import Category

BASE = "https://vision.googleapis.com"
VARIABLES = ("GOOGLE_API_KEY",)

CATEGORIES: dict[str, tuple[Category, ...]] = {
    "adult": (Category.SEXUAL,),
    "racy": (Category.SEXUAL,),
    "violence": (Category.VIOLENCE,),
    "medical": (),
    "spoof": (),
}
"""What each likelihood counts for. A medical or an altered picture is not said to be unsafe."""

COVERED = tuple(c for c in Category if any(c in counted for counted in CATEGORIES.values()))

LIKELIHOODS: dict[str, float] = {
    "VERY_UNLIKELY": 0.05,
    "UNLIKELY": 0.2,
    "POSSIBLE": 0.4,
    "LIKELY": 0.7,
    "VERY_LIKELY": 0.95,
}
"""Five levels in their order. The numbers are ours: 0.5 lies between POSSIBLE and LIKELY."""

_LATER = (4, 8, 13, 14)
"""Codes of google.rpc.Code in an image's own error: deadline, exhausted, internal, unavailable."""
_DENIED = (7, 16)
"""Permission denied, unauthenticated."""


class SafeSearch:
    """The endpoint ``{base}/v1/images:annotate``.

    Args:
        base_url: of a compatible server, None for Google's.
        environ: to take the key from.

    Raises:
        UsageError: the address cannot be used, or there is no key.
    """

    def __init__(self, base_url: str | None, environ: Mapping[str, str]) -> None:
        self._key = key_for(environ, VARIABLES, own_address=(base_url or BASE).rstrip("/") == BASE)
        base = check_url(base_url or BASE, secret=bool(self._key))
        url = f"{base}/v1/images:annotate"
        self.access = Access(url, shown(url), (self._key,))
        self.limits = PictureLimits(bytes=7_000_000)  # a request may have 10 MB, base64 and all
        self.model = "safesearch"
        self.id = model_id(self.model, url, base_url)
        self.facts: Mapping[str, Any] = {
            "scores_are": "five levels, not probabilities: "
            + ", ".join(f"{name} {value:g}" for name, value in LIKELIHOODS.items()),
            "decision_is": "LIKELY or VERY_LIKELY",
        }

    def request(self, picture: Picture) -> tuple[Mapping[str, str], bytes]:
        """See :class:`~vedette.bench.endpoints.service.Service`."""
        image = base64.b64encode(picture.data).decode("ascii")
        asked = {"image": {"content": image}, "features": [{"type": "SAFE_SEARCH_DETECTION"}]}
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["X-Goog-Api-Key"] = self._key  # not in the address, which logs keep
        return headers, json.dumps({"requests": [asked]}).encode()

    def refusal(self, status: int, body: Any) -> Refusal:
        """See :class:`~vedette.bench.endpoints.service.Service`."""
        error = body.get("error") if isinstance(body, dict) else None
        fields = error if isinstance(error, dict) else {}
        message = told(fields.get("message"), self.access.secrets)
        refusal = common_refusal(status, message)
        if status == 400 and "API key" in message:  # its status for a key that is not valid
            return Refusal("all", refusal.message)
        return refusal

    def read(self, body: Any) -> Reading:
        """See :class:`~vedette.bench.endpoints.service.Service`."""
        responses = a_list(an_object(body, "the answer").get("responses"), "responses")
        if len(responses) != 1:
            raise NoAnswer(f"{len(responses)} responses for one picture")
        response = an_object(responses[0], "the response")
        if response.get("error") is not None:
            error = an_object(response["error"], "the error")
            code = error.get("code")
            message = told(error.get("message"), self.access.secrets) or "no reason given"
            raise NoAnswer(message, passing=code in (*_LATER, *_DENIED))
        found = an_object(response.get("safeSearchAnnotation"), "safeSearchAnnotation")
        p: dict[Category, float] = {}
        for name, counted in CATEGORIES.items():
            for category in counted:
                p[category] = max(_level(found.get(name), name), p.get(category, 0.0))
        return Reading(p)


def _level(value: object, name: str) -> float:
    if not isinstance(value, str) or value not in LIKELIHOODS:
        raise NoAnswer(f"{name} is {value if value == 'UNKNOWN' else 'no known likelihood'}")
    return LIKELIHOODS[value]
