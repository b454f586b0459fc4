"""Items into kept decisions, the one way for every endpoint and for jobs.

items → hash lists → the model → the policy → the audit → :class:`Judged`. A decision is kept
before anybody learns of it, and what a list stops never reaches the model.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vedette import wire
from vedette.errors import ItemError, UnknownNameError, UsageError, VedetteError
from vedette.fetch import fetch_error, open_regular
from vedette.pipeline import check_policy
from vedette.policy import Policy
from vedette.serve.context import Asked
from vedette.serve.engine import Room
from vedette.serve.metrics import Metrics
from vedette.serve.refusals import Refusal
from vedette.serve.services import Decision, Listed, Services
from vedette.taxonomy import Category, parse_category
from vedette.types import Action, Failure, Item, Record, Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """One image's outcome, already kept."""

    record: Record
    decision: str
    """The kept decision's id."""
    listed: Listed | None = None
    """The hash list that decided, where one did: then no model has seen the image."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of an answer: the Record's, the decision's id, the list's name."""
        # Neither the entry nor the distance: they would teach how to stay clear of the list.
        hit = self.listed
        named = {"list": hit.list, "kind": hit.kind, "match": hit.match} if hit else None
        return {**wire.to_dict(self.record), "decision_id": self.decision, "listed": named}


async def judge(
    services: Services,
    asked: Asked,
    items: Sequence[Item],
    model: str | None,
    policy: Policy,
    subjects: Sequence[str | None] | None = None,
) -> list[Judged]:
    """Decide items and keep the decisions; one outcome for each item, in order.

    Args:
        services: what the service works with.
        asked: who asks, and until when.
        items: their ``data`` is bytes, a path, or a Failure where the bytes could not be got.
        model: a name of ``services.engine.models``; None: the default.
        policy: what to decide by; :func:`chosen_policy` finds it.
        subjects: whom each item is about; None: nobody is named.

    Raises:
        Refusal: ``overloaded``, ``shutting_down``, ``request_timeout``, or ``write_failed`` where
            the decisions could not be kept: then there is no verdict.
        UnknownNameError: no such model here.
        UsageError: the model can see nothing of what the policy asks about.
    """
    named = [None] * len(items) if subjects is None else list(subjects)
    if len(named) != len(items):
        raise UsageError(f"{len(named)} subjects for {len(items)} items")
    name = model or services.engine.default
    check_scope(services, name, policy)
    try:
        async with asyncio.timeout(asked.seconds):
            # Admitted before the lists are asked: a perceptual one has to decode the picture.
            with services.engine.room(len(items)) as room:
                checked = [_Checked()] * len(items)
                if not services.lists.empty:
                    checked = await asyncio.to_thread(_listed, services, items)
                records = await _decided(services, asked, items, name, policy, checked, room)
            hits = [one.hit for one in checked]
            decisions = await asyncio.to_thread(
                _kept, services, asked, records, hits, policy, named
            )
    except TimeoutError as error:
        told = f"not answered within {services.options.limits.seconds:g} s"
        raise Refusal(told, code="request_timeout", retry_after_s=1) from error
    metrics = Metrics.shared()
    for record in records:
        failed = record.failure.code if record.failure else None
        metrics.image(name, record.verdict.action.value, failed)
    return [
        Judged(record, decision.id, hit)
        for record, decision, hit in zip(records, decisions, hits, strict=True)
    ]


def chosen_policy(
    services: Services, name: str | None, categories: Sequence[str] | None = None
) -> Policy:
    """The policy that a caller names, or the default; restricted to ``categories`` if given.

    Raises:
        UnknownNameError: no such policy here.
        Refusal: ``usage``: no such category, or none that the policy has thresholds for.
    """
    chosen = name or next(iter(services.policies))
    if chosen not in services.policies:
        raise UnknownNameError("policy", chosen, services.policies)
    policy = services.policies[chosen]
    return policy if categories is None else restricted(policy, categories)


def restricted(policy: Policy, categories: Sequence[str]) -> Policy:
    """``policy`` with only these categories in scope, under a name that says so.

    Raises:
        Refusal: ``usage``: none given, no such category, or one that the policy has no threshold
            for: leaving it out silently would pass what the caller asked to have stopped.
    """
    scope = {_category(name) for name in categories}
    missing = sorted(scope - policy.asks_about)
    if not scope or missing:
        told = f"the policy {policy.id} has no threshold for {', '.join(missing)}"
        raise Refusal(told if missing else "no category", code="usage", param="categories")
    inside = "+".join(sorted(scope))
    return dataclasses.replace(
        policy,
        name=f"{policy.name}[{inside}]",
        categories={c: rule for c, rule in policy.categories.items() if c in scope},
        regions={label: rule for label, rule in policy.regions.items() if rule.category in scope},
    )


def _category(name: str) -> Category:
    try:
        return parse_category(name)
    except KeyError:
        told = f"unknown category {name[:40]!r}"
        known = f"known: {', '.join(Category)}"
        raise Refusal(told, code="usage", hint=known, param="categories") from None


async def admit(services: Services, asked: Asked, images: int) -> None:
    """Let a request of so many images in, before anything is done for it.

    Raises:
        Refusal: ``too_large``: more than a request may have; ``rate_limited``, ``overloaded`` or
            ``shutting_down``.
    """
    most = services.options.limits.images
    if images > most:
        told = f"{images} images in one request, at most {most}"
        raise Refusal(told, code="too_large", hint="send fewer images at once")
    services.engine.check_room(images)
    await count(services, asked, images)


async def count(services: Services, asked: Asked, images: int) -> None:
    """Count images against the rate of the caller's key.

    Raises:
        Refusal: ``rate_limited``.
    """
    if not services.limiter.limits(asked.caller):
        return
    wait = await asyncio.to_thread(services.limiter.admit, asked.caller, images)
    if wait > 0:
        told = "the key has asked for more images than it may"
        raise Refusal(told, code="rate_limited", retry_after_s=wait)


def check_scope(services: Services, model: str, policy: Policy) -> None:
    """Refuse a model that is not here, or over whose scores the policy cannot decide.

    Raises:
        UnknownNameError: no such model here.
        UsageError: see :func:`vedette.pipeline.check_policy`.
    """
    cards = services.engine.models
    if model not in cards:
        raise UnknownNameError("model", model, cards)
    check_policy(policy, cards[model], services.engine.calibrated[model])


@dataclass(frozen=True, slots=True)
class _Checked:
    """The lists' answer for one item."""

    sha256: str | None = None
    hit: Listed | None = None
    error: ItemError | None = None
    """Why they could not look."""


def _listed(services: Services, items: Sequence[Item]) -> list[_Checked]:
    found: list[_Checked] = []
    for item in items:
        sha256 = None
        try:
            sha256 = _sha256(item)
            hit = None if sha256 is None else services.lists.check(item, sha256)
            found.append(_Checked(sha256, hit))
        except ItemError as error:
            found.append(_Checked(sha256, error=error))
    return found


async def _decided(
    services: Services,
    asked: Asked,
    items: Sequence[Item],
    model: str,
    policy: Policy,
    checked: Sequence[_Checked],
    room: Room,
) -> list[Record]:
    left = [item for item, one in zip(items, checked, strict=True) if one.hit is None]
    scanned = iter(
        await services.engine.scan(left, model, policy, asked.seconds, room) if left else ()
    )
    records: list[Record] = []
    for item, one in zip(items, checked, strict=True):
        if one.hit is not None:
            records.append(_by_list(item, one, one.hit, policy))
            continue
        record = next(scanned)
        if one.error is not None and record.failure is None:
            # The model could look and a list could not: not known to be on none is not safe.
            record = policy.apply(dataclasses.replace(record, failure=one.error.failure()))
        records.append(record)
    return records


def _by_list(item: Item, checked: _Checked, hit: Listed, policy: Policy) -> Record:
    """The Record of an image that a list decides. No model and, but for PDQ, no decoder saw it."""
    action = Action.ALLOW if hit.kind == "allow" else Action.BLOCK
    return Record(
        key=item.key,
        sha256=checked.sha256,
        width=None,
        height=None,
        frames=0,
        scores=None,
        regions=(),
        verdict=Verdict(action, (), policy.id),
        failure=None,
        models=(),
        times_ms={},
    )


def _kept(
    services: Services,
    asked: Asked,
    records: Sequence[Record],
    hits: Sequence[Listed | None],
    policy: Policy,
    subjects: Sequence[str | None],
) -> list[Decision]:
    """The decisions on some records, once they are kept."""
    cards = services.engine.models.values()
    weights = {card.model: card.sha256 for card in cards}
    hashed = services.policy_sha256(policy)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    made: list[Decision] = []
    for record, hit, subject in zip(records, hits, subjects, strict=True):
        told = wire.to_dict(dataclasses.replace(record, embedding=None))
        told["weights_sha256"] = {model: weights.get(model) for model in record.models}
        made.append(
            Decision(
                id=uuid.uuid4().hex,
                request_id=asked.id,
                time=now,
                key_id=asked.caller.key_id,
                subject=subject,
                record=told,
                action=record.verdict.action,
                policy=policy.id,
                policy_sha256=hashed,
                listed=hit,
            )
        )
    try:
        services.audit.keep(made)
    except VedetteError as error:
        raise Refusal(
            "the decision could not be kept, so there is none",
            code="write_failed",
            retry_after_s=1,
        ) from error
    return made


def _sha256(item: Item) -> str | None:
    """Of the item's bytes; None: there are none.

    Raises:
        FetchError: its path cannot be read.
    """
    if isinstance(item.data, bytes):
        return hashlib.sha256(item.data).hexdigest()
    if isinstance(item.data, Failure):
        return None
    try:
        with open_regular(item.data) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise fetch_error(item.data, error) from error
