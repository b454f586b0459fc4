"""Cards for tests of where weights come from."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tests.hub.server import COMMIT, sha256
from vedette.hub.store import store_root
from vedette.models.base import Checkpoint, ModelCard, WeightsFile
from vedette.resize import Fit

REPO = "owner/model"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
FILES = {CONFIG: b'{"labels": 2}', WEIGHTS: bytes(range(256)) * 1024}

CARD = ModelCard(
    id="tested",
    revision="1",
    summary="a model for tests",
    licence="a licence",
    terms="some terms",
    trained_on="nothing",
    source="tests",
    sha256=None,
    labels={},
    fit=Fit(8, "stretch"),
    weights=Checkpoint(
        REPO,
        COMMIT,
        tuple(WeightsFile(path, sha256(data)) for path, data in FILES.items()),
    ),
)
"""Every hash and the commit stated."""


def card_of(checkpoint: Checkpoint) -> ModelCard:
    return replace(CARD, weights=checkpoint)


OPEN = card_of(Checkpoint(REPO, "main", tuple(WeightsFile(path) for path in FILES)))
"""A branch, and no hash."""
UNHASHED = card_of(Checkpoint(REPO, COMMIT, tuple(WeightsFile(path) for path in FILES)))
"""A commit, and no hash."""
RESTRICTED = replace(CARD, commercial=False, terms="for research only")


def place(folder: Path | None = None, **changed: bytes) -> Path:
    """Put the model's files where the store has them; ``changed``: weights or config."""
    folder = folder or store_root() / REPO
    folder.mkdir(parents=True, exist_ok=True)
    for path, data in FILES.items():
        folder.joinpath(path).write_bytes(changed.get(path.partition(".")[0], data))
    return folder


def place_in_cache(cache: Path, commit: str = COMMIT, branch: str = "main") -> Path:
    """Lay the files out as huggingface_hub does; the snapshot's folder."""
    from tests.hub.server import git_sha1

    repo = cache / f"models--{REPO.replace('/', '--')}"
    snapshot = repo / "snapshots" / commit
    for folder in (repo / "blobs", repo / "refs", snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    (repo / "refs" / branch).write_text(commit)
    for path, data in FILES.items():
        blob = git_sha1(data) if path.endswith(".json") else sha256(data)
        (repo / "blobs" / blob).write_bytes(data)
        os.symlink(Path("..", "..", "blobs", blob), snapshot / path)
    return snapshot
