"""A model's licence and terms: shown before its first pull, accepted where they restrict use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from vedette.errors import ModelError
from vedette.hub.lock import Entry, read_lock, update_lock
from vedette.hub.store import store_root
from vedette.models.base import ModelCard


def terms_hash(card: ModelCard) -> str:
    """SHA-256 of the card's licence and terms. Other words have to be accepted anew."""
    return hashlib.sha256(f"{card.licence}\0{card.terms}".encode()).hexdigest()


def terms_of(card: ModelCard) -> Iterator[str]:
    """What someone who pulls the model has to know, in lines."""
    yield f"{card.id}: {card.summary}"
    yield f"  licence     {card.licence}"
    yield f"  terms       {card.terms}"
    yield f"  trained on  {card.trained_on}"
    yield f"  source      {card.source}"
    yield f"  commercial  {'admitted' if card.commercial else 'not admitted'}"


def is_accepted(card: ModelCard) -> bool:
    """Whether the terms of the card, in these words, were accepted before."""
    return card.weights is not None and terms_hash(card) in _entry(card.weights.repo).accepted


def check_terms(card: ModelCard, *, accept: bool, commercial: bool) -> None:
    """Refuse what the terms do not admit; record that they are accepted now.

    Args:
        card: of the model.
        accept: whether the user accepts the terms.
        commercial: the setting of that name.

    Raises:
        ModelError: ``terms_refused`` or ``terms_not_accepted``.
        VedetteError: ``write_failed``: the acceptance cannot be recorded.
    """
    if card.commercial:
        return
    if commercial:
        raise ModelError(
            f"{card.id} may not be used commercially: {card.terms}", code="terms_refused"
        )
    if is_accepted(card):
        return
    if not accept:
        raise ModelError(
            f"{card.id} may not be used commercially: {card.terms}",
            code="terms_not_accepted",
            hint=f"if you accept this: vedette models pull {card.id} --accept-terms",
        )
    if card.weights is not None:
        today = datetime.now(UTC).date().isoformat()

        def accepted(entry: Entry) -> Entry:
            return replace(entry, accepted={**entry.accepted, terms_hash(card): today})

        update_lock(store_root(), card.weights.repo, accepted)


def _entry(repo: str) -> Entry:
    return read_lock(store_root()).entry(repo)
