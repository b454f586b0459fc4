"""Annotations as Label Studio's JSON: image classification, one Choices control for each round.

Source: Label Studio's documentation, "Task format". A task is a picture, an annotation what one
annotator says of it. In ``result`` each round is a region of type ``choices``; our own facts (the
pseudonym, the time, earlier answers) stand in the region's ``meta``, which Label Studio keeps and
does not read. A file that Label Studio made has ``completed_by``, the number of an account: it
becomes a pseudonym, and neither the number nor an address is stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vedette.annotate.annotated import Annotated, Picture
from vedette.annotate.exchange import (
    PSEUDONYM,
    Chain,
    Entry,
    Said,
    bad,
    chains,
    merged,
    parse_time,
    read_text,
    text_of,
    written,
)
from vedette.annotate.protocol import Protocol, Round, Safety, parse_answer
from vedette.errors import UsageError
from vedette.sinks.base import replacing

CONTROL = {Round.SAFETY: "safety", Round.CATEGORY: "category"}
"""Names of the two Choices in the labelling interface."""
IMAGE = "image"
"""Name of the Image in it, and of the field that has its address."""

Pseudonyms = Callable[[str], str]
"""From an account of another program to a pseudonym."""


def config(protocol: Protocol) -> str:
    """The labelling interface (XML) that the files of a campaign go with."""
    lines = ["<View>", f'  <Image name="{IMAGE}" value="${IMAGE}"/>']
    for round_, name in CONTROL.items():
        shown = ""
        if round_ is Round.CATEGORY:
            shown = f' visibleWhen="choice-selected" whenTagName="{CONTROL[Round.SAFETY]}"'
            shown += f' whenChoiceValue="{Safety.UNSAFE.value}"'
        lines.append(f'  <Choices name="{name}" toName="{IMAGE}" choice="single"{shown}>')
        lines += [f'    <Choice value="{answer}"/>' for answer in protocol.answers(round_)]
        lines.append("  </Choices>")
    return "\n".join([*lines, "</View>"]) + "\n"


def write_tasks(pictures: Iterable[Annotated], path: Path, prefix: str = "") -> None:
    """Every picture and every answer to a new file; what :func:`read_tasks` reads.

    Args:
        pictures: in order.
        path: of the file.
        prefix: put before each key to make the address that Label Studio fetches a picture by.

    Raises:
        VedetteError: ``write_failed``.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write("[")
        for number, one in enumerate(pictures):
            stream.write(",\n" if number else "\n")
            json.dump(_task(one, prefix), stream, ensure_ascii=False)
        stream.write("\n]\n")


def _task(one: Annotated, prefix: str) -> dict[str, Any]:
    picture = one.picture
    annotations: dict[str, list[dict[str, Any]]] = {}
    for number, chain in enumerate(chains(one)):
        annotations.setdefault(chain.annotator, []).append(_region(chain, number))
    return {
        "data": {
            IMAGE: prefix + picture.key,
            "key": picture.key,
            "sha256": picture.sha256,
            "source": picture.source,
            "category": picture.category,
        },
        "annotations": [
            {"result": regions, "was_cancelled": False, "ground_truth": False}
            for regions in annotations.values()
        ],
    }


def _region(chain: Chain, number: int) -> dict[str, Any]:
    return {
        "from_name": CONTROL[chain.round],
        "to_name": IMAGE,
        "type": "choices",
        "value": {"choices": [chain.said[-1].answer]},
        "meta": {
            "annotator": chain.annotator,
            "order": number,
            "answers": [{"answer": s.answer, "at": written(s.at_us)} for s in chain.said],
        },
    }


def read_tasks(path: Path, protocol: Protocol, pseudonym_for: Pseudonyms) -> list[Entry]:
    """The pictures and answers of a file, made by :func:`write_tasks` or by Label Studio.

    Args:
        path: a JSON file with a list of tasks.
        protocol: of the campaign.
        pseudonym_for: gives an account of Label Studio its pseudonym.

    Raises:
        UsageError: ``bad_annotations``, with the task's place in the list.
        FetchError: the file cannot be read.
    """
    try:
        tasks = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise bad(path.name, f"is not JSON: {error}") from error
    if not isinstance(tasks, list):
        raise bad(path.name, "is no list of tasks")
    read = _Reader(protocol, pseudonym_for)
    return merged(
        read.entry(task, f"{path.name}, task {number}")
        for number, task in enumerate(tasks, start=1)
    )


class _Reader:
    def __init__(self, protocol: Protocol, pseudonym_for: Pseudonyms) -> None:
        self._protocol = protocol
        self._pseudonym_for = pseudonym_for

    def entry(self, task: Any, where: str) -> Entry:
        data = _mapping(_mapping(task, "task", where).get("data"), "data", where)
        key = data.get("key", data.get(IMAGE))
        if not key:
            raise bad(where, "its data has neither a key nor an image")
        fields = (data.get(name) or "" for name in ("sha256", "source", "category"))
        picture = Picture(
            text_of(key, "key", where), *(text_of(field, "data", where) for field in fields)
        )
        found = [
            chain
            for annotation in _list(task.get("annotations", []), "annotations", where)
            for chain in self._chains(_mapping(annotation, "annotation", where), where)
        ]
        in_order = sorted(found, key=lambda pair: pair[0])
        return Entry(picture, tuple(chain for _, chain in in_order), where)

    def _chains(
        self, annotation: Mapping[str, Any], where: str
    ) -> Iterator[tuple[tuple[int, int], Chain]]:
        """What one annotator says, each with what it is ordered by."""
        if annotation.get("was_cancelled"):
            return  # skipped, or taken back: no answer
        for value in _list(annotation.get("result", []), "result", where):
            region = _mapping(value, "result", where)
            if region.get("type") != "choices":
                continue
            picked = _list(
                _mapping(region.get("value"), "value", where).get("choices"), "choices", where
            )
            if len(picked) != 1 or not isinstance(picked[0], str):
                raise bad(where, f"{len(picked)} choices where there is to be one")
            round_, answer = self._parsed(picked[0], where)
            meta = region.get("meta")
            if isinstance(meta, dict) and "annotator" in meta and "answers" in meta:
                yield self._own(meta, round_, answer, where)
            else:
                at = annotation.get("updated_at") or annotation.get("created_at")
                at_us = parse_time(at, where)
                yield (
                    (1, at_us),
                    Chain(
                        self._account(annotation, where),
                        *(round_, (Said(answer, at_us),)),
                        whole=False,
                    ),
                )

    def _own(
        self, meta: Mapping[str, Any], round_: Round, answer: str, where: str
    ) -> tuple[tuple[int, int], Chain]:
        """A region that we wrote."""
        annotator, order = meta["annotator"], meta.get("order")
        if not isinstance(annotator, str) or not PSEUDONYM.fullmatch(annotator):
            raise bad(where, f"{annotator!r} is no pseudonym, like a-k7m2")
        if not isinstance(order, int) or not 0 <= order < 2**31:
            raise bad(where, "its meta has no order")
        said = []
        for value in _list(meta["answers"], "answers", where):
            one = _mapping(value, "answer", where)
            given = one.get("answer")
            parsed = self._parsed(text_of(given, "answer", where), where)
            if parsed[0] is not round_:
                raise bad(where, f"{given!r} is no answer of round {round_.value}")
            said.append(Said(parsed[1], parse_time(one.get("at"), where)))
        if not said or said[-1].answer != answer:
            # Label Studio keeps the meta of a region whose choice somebody changed there.
            raise bad(where, f"{annotator}'s answer is not the last that its meta has")
        return (0, order), Chain(annotator, round_, tuple(said))

    def _parsed(self, said: str, where: str) -> tuple[Round, str]:
        """The round and the answer: no category is called like an answer of round one."""
        for round_ in Round:
            try:
                return round_, parse_answer(said, round_, self._protocol)
            except UsageError:
                continue
        raise bad(where, f"{said!r} is no answer in this campaign")

    def _account(self, annotation: Mapping[str, Any], where: str) -> str:
        account = annotation.get("completed_by")
        if isinstance(account, dict):
            account = account.get("id") or account.get("email")
        if isinstance(account, bool) or not isinstance(account, int | str) or account == "":
            raise bad(where, "an annotation does not say who completed it")
        return self._pseudonym_for(f"label-studio:{account}")


def _mapping(value: Any, name: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise bad(where, f"its {name} is no object")
    return value


def _list(value: Any, name: str, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise bad(where, f"its {name} is no list")
    return value
