"""A vault of its own for each test."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The vault's folder, not made yet; a key is at hand."""
    monkeypatch.setenv("VEDETTE_DATA", str(tmp_path / "vault"))
    monkeypatch.setenv("VEDETTE_VAULT_KEY", base64.b64encode(bytes(range(32))).decode())
    return tmp_path / "vault"
