"""What a request to ``/v1/moderations`` asks for: OpenAI's forms of input, and our own fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from vedette.extras import require
from vedette.serve.data_uri import data_uri, is_data_uri
from vedette.serve.json_body import NAME_LENGTH
from vedette.serve.reading import KEY_LENGTH, Picture
from vedette.serve.refusals import Refusal

_MOST_PARTS = 512
"""Texts and images of one request."""


@dataclass(frozen=True, slots=True)
class Moderated:
    """What a request asks to have moderated, as it was read."""

    inputs: tuple[Input, ...]
    """Each gets one result."""
    model: str | None = None
    policy: str | None = None
    categories: tuple[str, ...] | None = None
    subject: str | None = None
    text_counts: bool = True


@dataclass(frozen=True, slots=True)
class Input:
    """One input: a text, or the parts of a message."""

    texts: tuple[int, ...] = ()
    """Places of its texts, those with nothing in them left out."""
    images: tuple[Picture, ...] = ()
    """Their keys are their places."""


@cache
def moderation_request() -> Any:
    """The pydantic model of the body; it is in the OpenAPI, too. Other fields are ignored."""
    pydantic: Any = require("pydantic", extra="serve")
    field = pydantic.Field
    strict = pydantic.ConfigDict(extra="ignore", strict=True)

    class ImageURL(pydantic.BaseModel):  # type: ignore[misc]
        """Where the image is."""

        model_config = strict
        url: str = field(description="data:image/png;base64,... or an http(s) address.")

    class ImagePart(pydantic.BaseModel):  # type: ignore[misc]
        """An image."""

        model_config = strict
        type: Literal["image_url"]
        image_url: ImageURL

    class TextPart(pydantic.BaseModel):  # type: ignore[misc]
        """A text: answered as not scanned."""

        model_config = strict
        type: Literal["text"]
        text: str

    part = Annotated[ImagePart | TextPart, field(discriminator="type")]
    several = field(min_length=1, max_length=_MOST_PARTS)
    given = Annotated[
        Annotated[str, pydantic.Tag("text")]
        | Annotated[list[str], several, pydantic.Tag("texts")]
        | Annotated[list[part], several, pydantic.Tag("parts")],
        pydantic.Discriminator(_form),
    ]

    class ModerationRequest(pydantic.BaseModel):  # type: ignore[misc]
        """What to moderate and what to decide by."""

        model_config = strict
        input: given = field(
            description="A message as a list of parts: one result. Or a text, or a list of texts: "
            "one result each, flagged as not scanned."
        )
        model: str | None = field(
            None,
            max_length=NAME_LENGTH,
            description="One of GET /v1/models, or a name of OpenAI's for the first of them.",
        )
        policy: str | None = field(
            None, max_length=NAME_LENGTH, description="One of GET /v1/policies; the first if none."
        )
        categories: list[Annotated[str, field(max_length=NAME_LENGTH)]] | None = field(
            None, max_length=64, description="Only these of the policy's."
        )
        subject: str | None = field(
            None, max_length=KEY_LENGTH, description="Whom it is about, for erasure."
        )
        text: Literal["flag", "ignore"] | None = field(
            None,
            description="ignore: you have the text beside images moderated elsewhere. Else it is "
            "flagged, since it is not scanned.",
        )

    ModerationRequest.model_rebuild(_types_namespace=locals())
    return ModerationRequest


def _form(given: object) -> str:
    """Which of its three forms an input has; told by its first part, so that errors name one."""
    if isinstance(given, str):
        return "text"
    return "texts" if isinstance(given, list) and given and isinstance(given[0], str) else "parts"


def moderated(body: Any, headers: Mapping[str, str], most: int) -> Moderated:
    """The request as it was meant; its fields go before the headers, which a client sets once.

    Raises:
        Refusal: ``usage``: a data URI that is none; ``too_large``.
    """
    if isinstance(body.input, str):
        inputs: tuple[Input, ...] = (_message([body.input], most),)
    elif isinstance(body.input[0], str):
        inputs = tuple(_message([text], most) for text in body.input)
    else:
        inputs = (_message(body.input, most),)
    text = body.text or headers.get("x-vedette-text", "flag")
    if text not in ("flag", "ignore"):
        raise Refusal("X-Vedette-Text is flag or ignore", code="usage", param="X-Vedette-Text")
    return Moderated(
        inputs,
        body.model,
        body.policy or headers.get("x-vedette-policy"),
        None if body.categories is None else tuple(body.categories),
        body.subject,
        text == "flag",
    )


def _message(parts: Sequence[Any], most: int) -> Input:
    texts: list[int] = []
    images: list[Picture] = []
    for place, part in enumerate(parts):
        text = part if isinstance(part, str) else getattr(part, "text", None)
        if text is None:
            images.append(_picture(place, part.image_url.url, most))
        elif text.strip():
            texts.append(place)
    return Input(tuple(texts), tuple(images))


def _picture(place: int, url: str, most: int) -> Picture:
    if not is_data_uri(url):
        return Picture(str(place), url=url)
    try:
        return Picture(str(place), data_uri(url, most))
    except Refusal as refusal:
        where = f"input.{place}.image_url.url"
        raise Refusal(
            f"{where}: {refusal.message}", code=refusal.code, hint=refusal.hint, param=where
        ) from refusal
