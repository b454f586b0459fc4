"""Results from anywhere: a page comes out, or the error that says which file is wrong."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bench.report.made import result
from vedette.bench.evidence import Caveat
from vedette.bench.report.document import document
from vedette.bench.report.leaderboard import board_document, leaderboard
from vedette.bench.report.markdown import markdown
from vedette.bench.report.terminal import lines
from vedette.bench.result import read_result, write_result
from vedette.errors import UsageError


@cache
def written() -> str:
    """The text of a good result."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "r.json"
        write_result(path, result(warnings=[Caveat("code", "message")]))
        return path.read_text(encoding="utf-8")


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where values stand; of lists only the first two."""
    found = [at] if at else []
    if isinstance(value, dict):
        for name, inner in value.items():
            found += paths(inner, (*at, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value[:2]):
            found += paths(inner, (*at, place))
    return found


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0.5, 10**400, "", "text", [], ["a"], [None], [[1]], {}, {"a": 1}, {"a": []}]
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_wrong_value_gives_a_report_or_the_error(tmp_path: Path, data: st.DataObject) -> None:
    whole = json.loads(written())
    place = data.draw(st.sampled_from(paths(whole)))
    inner = whole
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = data.draw(ODD)
    path = tmp_path / "r.json"
    path.write_text(json.dumps(whole), encoding="utf-8")

    try:
        read = read_result(path)
        told = document([read])
        boards = leaderboard([read])
    except UsageError as error:
        assert error.code == "bad_result"  # noqa: PT017
        return
    for one in (told, board_document(boards, [read])):
        assert "".join(markdown(one))
        assert list(lines(one, whole=True))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "no result"),
        ('{"format": "other"}', "no result"),
        ("\x00\xff", "no result"),
        ("[" * 100_000, "no result"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(UsageError, match=said) as caught:
        read_result(path)

    assert caught.value.code == "bad_result"


def test_a_number_that_no_float_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    text = written().replace('"value":0.42', '"value":1e999', 1)
    assert "1e999" in text
    path.write_text(text, encoding="utf-8")

    with pytest.raises(UsageError, match="a value is neither number nor text") as caught:
        document([read_result(path)])

    assert caught.value.code == "bad_result"


def test_facts_of_the_data_that_are_none_are_refused(tmp_path: Path) -> None:
    whole = json.loads(written())
    whole["data"]["facts"] = None
    path = tmp_path / "r.json"
    path.write_text(json.dumps(whole), encoding="utf-8")

    with pytest.raises(UsageError, match=r"data\.facts") as caught:
        document([read_result(path)])

    assert caught.value.code == "bad_result"
