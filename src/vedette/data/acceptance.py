"""Terms of data sets: accepted before an import, recorded, carried by what is trained on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from vedette.data.cards import SetCard
from vedette.data.vault.log import log
from vedette.data.vault.place import make_private, vault_root, write_whole
from vedette.errors import UsageError, VedetteError
from vedette.models.base import ModelCard

_FILE = "terms.json"


def terms_of(card: SetCard) -> list[str]:
    """What someone who imports the set has to know, in lines."""
    return [
        f"{card.id}: {card.title}",
        f"  licence     {card.licence}",
        f"  permitted   {card.permitted}",
        f"  commercial  {'permitted' if card.commercial else 'not permitted'}",
        f"  passing on  {'permitted' if card.redistribution else 'not permitted'}",
        f"  cite        {card.citation}",
    ]


def accepted() -> Mapping[str, Mapping[str, str]]:
    """The terms accepted so far: set, to the hash of its card, to the date.

    Raises:
        VedetteError: ``bad_vault``: the file cannot be read.
    """
    path = vault_root() / _FILE
    try:
        told = json.loads(path.read_bytes())
        return {str(card): dict(hashes) for card, hashes in told.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise VedetteError(f"{path} cannot be read: {error}", code="bad_vault") from error


def check_set_terms(card: SetCard, *, accept: bool, commercial: bool) -> None:
    """Refuse what the terms do not permit; record that they are accepted now.

    Raises:
        UsageError: ``terms_refused``, ``terms_not_accepted``.
        VedetteError: ``write_failed``.
    """
    if commercial and not card.commercial:
        raise UsageError(
            f"{card.id} may not be used commercially: {card.permitted}",
            code="terms_refused",
            hint="use another set; the settings say commercial = true",
        )
    before = accepted()
    if card.terms_hash in before.get(card.id, {}):
        return
    if not accept:
        raise UsageError(
            f"the terms of {card.id} have not been accepted: {card.permitted}",
            code="terms_not_accepted",
            hint=f"read them with: vedette data sets {card.id}, then add --accept-terms",
        )
    today = datetime.now(UTC).date().isoformat()
    after = {**before, card.id: {**before.get(card.id, {}), card.terms_hash: today}}
    make_private(vault_root())
    write_whole(vault_root() / _FILE, json.dumps(after, indent=1).encode() + b"\n")
    log("accept", card.id, {"terms": card.terms_hash})


def trained_on(card: ModelCard, sets: Sequence[SetCard]) -> ModelCard:
    """The card of a model that was trained on these sets: it carries their terms.

    A model trained on a set that forbids commercial use is refused where the settings say
    ``commercial = true``, as every model with such a card is.
    """
    return replace(
        card,
        terms=" ".join([card.terms, *(each.terms for each in sets)]).strip(),
        trained_on="; ".join([card.trained_on, *(each.title for each in sets)]).strip("; "),
        commercial=card.commercial and all(each.commercial for each in sets),
    )
