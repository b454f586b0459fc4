"""What importing the client and the adapters loads: none of the tools that they are for."""

from __future__ import annotations

import sys

import pytest

from tests.test_house import EVERY, loaded_after
from vedette import Client
from vedette.errors import MissingExtraError

FOREIGN = {"httpx", "starlette", "fastapi", "django", "torch", "transformers", "diffusers"}


def test_importing_them_loads_nothing_foreign() -> None:
    names = [name for name in EVERY if name.split(".")[0] in ("client", "adapters")]
    everything = "\n".join(f"import vedette.{name}" for name in names)

    assert len(names) > 10
    assert not loaded_after(everything) & FOREIGN


def test_without_httpx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setitem(sys.modules, "httpx", None)

    with pytest.raises(MissingExtraError) as caught:
        Client()
    assert caught.value.hint == "pip install 'vedette[client]'"
