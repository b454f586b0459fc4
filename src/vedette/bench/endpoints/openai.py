"""OpenAI's moderation endpoint, and servers that answer in its form.

Source: the API reference of ``POST /v1/moderations``. ``category_applied_input_types`` says for
each key whether its score is about the image; where it is not, the 0 that stands there says
nothing, and the category is not covered.
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
    probability,
)
from vedette.hub.fetching import shown
from vedette.taxonomy import Category, parse_category

BASE = "https://api.openai.com"
MODEL = "omni-moderation-latest"
VARIABLES = ("OPENAI_API_KEY",)

CATEGORIES: dict[str, tuple[Category, ...]] = {
    "harassment": (Category.HARASSMENT,),
    "harassment/threatening": (Category.HARASSMENT,),
    "hate": (Category.HATE,),
    "hate/threatening": (Category.HATE,),
    "illicit": (Category.ILLEGAL_ACTIVITY,),
    "illicit/violent": (Category.ILLEGAL_ACTIVITY,),
    "self-harm": (Category.SELF_HARM,),
    "self-harm/instructions": (Category.SELF_HARM,),
    "self-harm/intent": (Category.SELF_HARM,),
    "sexual": (Category.SEXUAL,),
    "sexual/minors": (Category.SEXUAL,),
    "violence": (Category.VIOLENCE,),
    "violence/graphic": (Category.VIOLENCE, Category.SHOCKING),
}
"""What each key counts for. A key that is a category's own name counts for it, others for none."""

TEXT_ONLY = frozenset(
    {
        *("harassment", "harassment/threatening", "hate", "hate/threatening"),
        *("illicit", "illicit/violent", "sexual/minors"),
    }
)
"""Keys that OpenAI gives for text alone: not believed of an image unless the answer says so."""


class OpenAI:
    """The endpoint ``{base}/v1/moderations``.

    Args:
        model: as the service names it.
        base_url: of a compatible server, None for OpenAI's.
        environ: to take the key from.

    Raises:
        UsageError: the address cannot be used, or there is no key.
    """

    def __init__(self, model: str, base_url: str | None, environ: Mapping[str, str]) -> None:
        self.model = model or MODEL
        self._key = key_for(environ, VARIABLES, own_address=(base_url or BASE).rstrip("/") == BASE)
        base = check_url(base_url or BASE, secret=bool(self._key))
        url = f"{base.removesuffix('/v1')}/v1/moderations"
        self.access = Access(url, shown(url), (self._key,))
        self.id = model_id(self.model, url, base_url)
        self.limits = PictureLimits()
        self.facts: Mapping[str, Any] = {
            "scores_are": "category_scores of keys that are applied to the image, the highest of "
            "those that count for a category",
            "decision_is": "categories, as the service answers",
        }

    def request(self, picture: Picture) -> tuple[Mapping[str, str], bytes]:
        """See :class:`~vedette.bench.endpoints.service.Service`."""
        url = f"data:{picture.mime};base64,{base64.b64encode(picture.data).decode('ascii')}"
        body = {
            "model": self.model,
            "input": [{"type": "image_url", "image_url": {"url": url}}],
        }
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return headers, json.dumps(body).encode()

    def refusal(self, status: int, body: Any) -> Refusal:
        """See :class:`~vedette.bench.endpoints.service.Service`."""
        error = body.get("error") if isinstance(body, dict) else None
        message = error.get("message") if isinstance(error, dict) else error
        code = error.get("code") if isinstance(error, dict) else None
        refusal = common_refusal(status, told(message, self.access.secrets))
        if code == "insufficient_quota":  # of status 429, and does not pass by waiting
            return Refusal("all", refusal.message)
        return refusal

    def read(self, body: Any) -> Reading:
        """See :class:`~vedette.bench.endpoints.service.Service`."""
        whole = an_object(body, "the answer")
        results = a_list(whole.get("results"), "results")
        if len(results) != 1:
            raise NoAnswer(f"{len(results)} results for one picture")
        result = an_object(results[0], "the result")
        scores = an_object(result.get("category_scores"), "category_scores")
        decisions = an_object(result.get("categories"), "categories")
        applied = result.get("category_applied_input_types")
        p: dict[Category, float] = {}
        flagged: set[Category] = set()
        for key, score in scores.items():
            if not _is_applied(key, applied):
                continue
            value = probability(score, f"the score of {told(key, self.access.secrets)}")
            decision = decisions.get(key)
            if not isinstance(decision, bool):
                raise NoAnswer(f"categories say nothing of {told(key, self.access.secrets)}")
            counted = counts_for(key)
            for category in counted:
                p[category] = max(value, p.get(category, 0.0))
                if decision:
                    flagged.add(category)
        if not p:
            raise NoAnswer("no category of the answer is about the image")
        revision = told(whole.get("model"), self.access.secrets)
        return Reading(p, frozenset(flagged), revision)


def counts_for(key: str) -> tuple[Category, ...]:
    """What a key counts for; nothing for one that we do not know."""
    if key in CATEGORIES:
        return CATEGORIES[key]
    try:
        return (parse_category(key),)
    except KeyError:
        return ()


def _is_applied(key: str, applied: object) -> bool:
    if applied is None:  # servers older than the field
        return key not in TEXT_ONLY
    types = an_object(applied, "category_applied_input_types").get(key)
    return "image" in a_list([] if types is None else types, "the input types of a key")
