"""The page: numbers and keys, escaped, with nothing that loads or runs."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.curate.sets import flipped, labelled
from vedette.curate import audit_page
from vedette.curate.audit import Audit, audit
from vedette.curate.audit_page import page, write_page
from vedette.data.memory import ItemSource
from vedette.errors import VedetteError
from vedette.types import Failure, Item

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>\u202egnp.exe\udce9'


@pytest.fixture(scope="module")
def found() -> Audit:
    items = labelled(120)
    items[4] = flipped(items[4])
    copy = replace(items[10], key=f"{HOSTILE}.png", meta={"split": HOSTILE, "source": HOSTILE})
    broken = Item(f"{HOSTILE}.gif", Failure("fetch", "corrupt", HOSTILE))
    return audit(ItemSource([*items, copy, flipped(replace(items[20], key="other")), broken]))


def test_nothing_in_it_runs_or_loads(found: Audit) -> None:
    whole = "".join(page(found, HOSTILE))

    assert "<img" not in whole
    assert "<script" not in whole
    assert "http:" not in whole.replace('http-equiv="', "")
    assert "https:" not in whole
    assert "@import" not in whole
    assert "url(" not in whole
    assert not re.search(r"<[^>]*\son\w+\s*=", whole)
    assert set(re.findall(r'(?:src|href)="([^"]*)"', whole)) == {"data:,"}
    assert "\u202e" not in whole
    assert "&lt;script&gt;alert(2)" in whole
    whole.encode("utf-8")  # no surrogate is left


def test_its_policy_names_its_own_style_alone(found: Audit) -> None:
    whole = "".join(page(found, "a set"))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', whole)
    (style,) = re.findall(r"<style>(.*?)</style>", whole, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert policy.startswith("default-src 'none';")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "script-src" not in policy
    assert "style=" not in whole


def test_its_elements_are_closed_in_order(found: Audit) -> None:
    whole = "".join(page(found, HOSTILE))
    open_: list[str] = []
    for slash, name in re.findall(r"<(/?)([a-z][a-z0-9]*)\b", whole):
        if name in ("meta", "link", "br", "wbr"):
            continue
        if slash:
            assert open_.pop() == name
        else:
            open_.append(name)
    assert not open_


def test_it_tells_what_was_found(found: Audit) -> None:
    whole = "".join(page(found, "a set"))

    for told in ("Leakage between splits", "Duplicates", "Confounds", "Balance", "Not readable"):
        assert f"<h2>{told}" in whole
    assert "this page holds no picture" in whole
    assert "0004" in whole
    assert "<tr class=worse>" in whole


def test_long_lists_are_cut_and_say_so(found: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_page, "MOST", 1)
    whole = "".join(page(found, "a set"))

    assert re.search(r"\d+ more groups? not listed here", whole)


def test_a_page_of_nothing(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    write_page(audit(ItemSource([])), out, "nothing")

    assert "Nothing was found." in out.read_text(encoding="utf-8")
    with pytest.raises(VedetteError) as raised:
        write_page(audit(ItemSource([])), tmp_path / "no" / "page.html", "nothing")
    assert raised.value.code == "write_failed"
    assert list(tmp_path.iterdir()) == [out]
