from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.serve.audit.made import POLICY, SECRET, decision
from vedette import wire
from vedette.errors import UnknownNameError, VedetteError
from vedette.extras import require
from vedette.serve.audit import export as module
from vedette.serve.audit.chain import append, new_chain
from vedette.serve.audit.entry import entry_of
from vedette.serve.audit.erasure import erase
from vedette.serve.audit.export import decisions, write
from vedette.serve.audit.secret import subject_hash
from vedette.serve.database.store import reading, writing
from vedette.serve.services import Listed

HIT = Listed("ours", "quarantine", "pdq", 12, "entry-7")


@pytest.fixture
def filled(engine: Engine) -> Engine:
    made = [
        decision(f"d{n}", at=1700000000.0 + n, subject=str(n), listed=HIT if n == 2 else None)
        for n in (3, 1, 2, 0)
    ]
    with writing(engine) as connection:
        append(connection, new_chain(), [entry_of(one, SECRET) for one in made])
    return engine


def test_records_and_their_decisions(filled: Engine, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert write(decisions(filled), out) == 4

    assert [record.key for record in wire.read_jsonl(out)] == [f"d{n}.png" for n in range(4)]
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    told = lines[2]["decision"]
    assert (told["id"], told["place"], told["request_id"]) == ("d2", 3, "request-d2")
    assert (told["key_id"], told["policy_sha256"]) == ("key-1", "0" * 64)
    assert told["time"] == "2023-11-14T22:13:22+00:00"
    assert told["listed"]["kind"] == "quarantine"
    assert lines[0]["decision"]["listed"] is None
    assert "subject" not in out.read_text()


def test_parquet_has_the_same(
    filled: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS", 3)
    out = tmp_path / "out.parquet"
    assert write(decisions(filled), out) == 4

    rows = require("pyarrow.parquet", extra="parquet").read_table(out).to_pylist()
    expected = list(decisions(filled))
    assert [row["decision"] for row in rows] == [line["decision"] for line in expected]
    assert [row["key"] for row in rows] == [line["key"] for line in expected]
    assert {row["policy"] for row in rows} == {POLICY}


@pytest.mark.parametrize(
    ("since", "until", "names"),
    [
        (None, None, ["d0", "d1", "d2", "d3"]),
        (1700000001.0, None, ["d1", "d2", "d3"]),
        (None, 1700000002.0, ["d0", "d1"]),
        (1700000001.0, 1700000002.0, ["d1"]),
        (1800000000.0, None, []),
    ],
)
def test_a_range_of_time(
    filled: Engine, since: float | None, until: float | None, names: list[str]
) -> None:
    assert [line["decision"]["id"] for line in decisions(filled, since, until)] == names


def test_what_was_erased_is_left_out(filled: Engine) -> None:
    erase(filled, new_chain(), subject_hash(SECRET, "2"))

    assert [line["decision"]["id"] for line in decisions(filled)] == ["d0", "d1", "d3"]


@pytest.mark.parametrize("payload", ["{", "{}", "[]", '{"record": 1}'])
def test_a_payload_that_was_altered_is_told(filled: Engine, payload: str, tmp_path: Path) -> None:
    with writing(filled) as connection:
        connection.execute(
            text("UPDATE decisions SET payload = :p WHERE id = 'd2'"), {"p": payload}
        )
    with pytest.raises(VedetteError, match="d2") as caught:
        write(decisions(filled), tmp_path / "out.jsonl")

    assert caught.value.code == "bad_audit"
    assert list(tmp_path.glob("*out*")) == []


def test_another_format(filled: Engine, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"\.txt"):
        write(decisions(filled), tmp_path / "out.txt")


def test_an_export_that_is_left_leaves_the_database_free(filled: Engine) -> None:
    lines = decisions(filled)
    next(lines)
    lines.close()  # type: ignore[attr-defined]
    with reading(filled) as connection:
        assert connection.scalar(text("SELECT count(*) FROM decisions")) == 4
