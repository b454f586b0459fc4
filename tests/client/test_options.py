"""Where the service is and what it is shown: from arguments, else from the environment."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import pytest

from vedette import Client, ClientOptions
from vedette.client.options import DEFAULT_URL, address_of
from vedette.errors import SettingsError, UsageError


def test_arguments_win_over_the_environment() -> None:
    environ = {"VEDETTE_URL": "https://a.example", "VEDETTE_API_KEY": "from-environment"}

    assert address_of(None, None, {}).url == DEFAULT_URL
    assert address_of(None, None, {}).key is None
    assert address_of(None, None, environ).url == "https://a.example"
    assert address_of(None, None, environ).key == "from-environment"
    assert address_of("http://b.example", "given", environ).key == "given"
    assert address_of("http://b.example", "given", environ).url == "http://b.example"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://a.example/", "https://a.example"),
        ("https://a.example:8443/vedette/", "https://a.example:8443/vedette"),
        ("https://a.example/vedette/v1/", "https://a.example/vedette"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_addresses_are_brought_into_one_form(given: str, url: str) -> None:
    assert address_of(given, None, {}).url == url


@pytest.mark.parametrize(
    "url",
    [
        *("a.example", "ftp://a.example", "http://", "http://a:99999", "http://a:x", "file:///a"),
        *("http://user:hidden@a.example", "http://a/?hidden=1", "http://a/#hidden", "http://a\nb"),
        *("http://[::1", "http://a b"),
    ],
)
def test_other_addresses_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        address_of(url, None, {})

    assert "hidden" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("key", ["two words", "line\r\nX-Other: 1", "schlüssel", "k" * 600])
def test_a_key_that_cannot_be_one_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        Client(key=key)

    assert key not in f"{caught.value} {caught.value.hint}"
    assert "hidden" not in repr(address_of(None, "hidden", {}))


def test_options_that_make_no_sense_are_refused() -> None:
    for options in ({"attempts": 0}, {"answer_s": -1.0}, {"retry_s": math.nan}, {"images": 0}):
        with pytest.raises(SettingsError):
            ClientOptions(**options)


def test_certificates_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    for text in (None, "no certificate"):
        if text is not None:
            path.write_text(text)
        with pytest.raises(UsageError, match="cannot use the certificates"):
            Client(options=ClientOptions(ca_file=str(path)))


def test_the_environments_proxy_is_used_only_if_it_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    with (
        Client("http://a.example") as used,
        Client("http://a.example", options=ClientOptions(trust_env=False)) as unused,
    ):
        assert used._http._mounts
        assert not unused._http._mounts


def test_every_option_is_on_the_page_with_its_default() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "client.md").read_text(encoding="utf-8")
    page = page.split("| field of `ClientOptions`")[1].split("\n\n")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", page, re.MULTILINE))

    assert listed == {f.name: repr(f.default) for f in dataclasses.fields(ClientOptions)}
