"""Weights of one's own in a model's place: accepted by their hashes, on their owner's word."""

from __future__ import annotations

from dataclasses import replace

from vedette.hub.locate import Located, State, examine, missing
from vedette.hub.lock import Entry, update_lock
from vedette.hub.store import store_root
from vedette.models.base import ModelCard


def trust(card: ModelCard) -> Located:
    """Record the hashes of the files that are here and are not the published ones.

    Nothing else may stand in their place afterwards. Records name such weights ``local-…``
    (:func:`vedette.hub.locate.revision`), never by the published revision.

    Returns:
        The weights as they stand after it.

    Raises:
        ModelError: ``weights_missing``.
        VedetteError: ``write_failed``.
    """
    located = examine(card)
    if located is None or card.weights is None or _any(located, State.MISSING):
        raise missing(card)
    own = {
        file.path: file.sha256
        for file in located.files
        if file.state in (State.ALTERED, State.UNPINNED) and file.sha256 is not None
    }

    def trusting(entry: Entry) -> Entry:
        return replace(entry, trusted={**entry.trusted, **own})

    if own:
        update_lock(store_root(), card.weights.repo, trusting)
    return examine(card) or located


def _any(located: Located, state: State) -> bool:
    return any(file.state is state for file in located.files)
