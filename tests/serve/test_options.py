"""What an operator may choose: read from the settings file, checked together, all in the docs."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from vedette.errors import SettingsError, UsageError
from vedette.serve.options import (
    FetchOptions,
    JobOptions,
    RequestLimits,
    ServeOptions,
    checked,
    is_loopback,
    load_options,
)
from vedette.settings import Settings, load_settings

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"


def written(folder: Path, text: str) -> Path:
    path = folder / "vedette.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_defaults_hold_and_pass_their_own_check() -> None:
    assert checked(load_options(environ={})) == ServeOptions()


def test_a_file_sets_what_it_names_and_a_scan_does_not_mind(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'model = "dummy"\n[serve]\nport = 0\nmodels = ["dummy", "nudenet"]\ntls_key = "k.pem"\n'
        "[serve.limits]\nseconds = 5\n[serve.fetch]\nenabled = true\nports = [80]\n",
    )

    assert load_options(path) == ServeOptions(
        port=0,
        models=("dummy", "nudenet"),
        tls_key="k.pem",
        limits=RequestLimits(seconds=5),
        fetch=FetchOptions(enabled=True, ports=(80,)),
    )
    assert load_settings(path) == Settings(model="dummy")


@pytest.mark.parametrize(
    "text",
    [
        "serve = 1",
        "[serve]\nhots = 'a'",
        "[serve]\nport = 'a'",
        "[serve]\nmodels = 'dummy'",
        "[serve]\nmodels = [1]",
        "[serve]\nqueue = 0",
        "[serve]\nlimits = 1",
        "[serve.limits]\nimages = 0",
        "[serve.fetch]\nports = ['80']",
        "[serve.fetch]\nenabled = 1",
    ],
)
def test_what_is_wrong_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError):
        load_options(written(tmp_path, text))


@pytest.mark.parametrize(
    "change",
    [
        {"open": True, "host": "0.0.0.0"},
        {"open": True, "host": "::"},
        {"open": True, "host": "example.org"},
        {"tls_key": "key.pem"},
        {"tls_certificate": "certificate.pem"},
        {"trusted_proxies": ("*",)},
        {"trusted_proxies": ("proxy.example.org",)},
        {"models": ()},
        {"policies": ()},
        {"queue": 0},
    ],
)
def test_what_cannot_be_used_together_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        checked(dataclasses.replace(ServeOptions(), **change))  # type: ignore[arg-type]


def test_loopback_addresses() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.9.1", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "example.org", "")))
    checked(ServeOptions(open=True, host="::1", trusted_proxies=("10.0.0.0/8", "::1")))


def test_every_option_is_on_its_page_with_its_default() -> None:
    listed = {
        match[1]: match[2]
        for match in re.finditer(r"^\| `([\w.]+)` \| `([^|]+)` \|", PAGE.read_text(), re.M)
    }
    expected = {
        prefix + field.name: getattr(cls(), field.name)
        for cls, prefix in (
            (ServeOptions, ""),
            (RequestLimits, "limits."),
            (FetchOptions, "fetch."),
            (JobOptions, "jobs."),
        )
        for field in dataclasses.fields(cls)
        if field.name not in ("limits", "fetch", "jobs")
    }

    assert set(listed) == set(expected)
    for name, default in expected.items():
        if default is None:
            assert listed[name] == "none"
            continue
        value = tomllib.loads(f"v = {listed[name]}")["v"]
        assert (tuple(value) if isinstance(value, list) else value) == default, name
