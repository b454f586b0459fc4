from __future__ import annotations

import threading
from pathlib import Path

import pytest

from vedette.errors import VedetteError
from vedette.serve.audit.secret import audit_secret, subject_hash

URL = "postgresql+psycopg://me@there/d"
GIVEN = "0123456789abcdef"


def test_from_the_environment(tmp_path: Path) -> None:
    assert audit_secret(URL, {"VEDETTE_AUDIT_KEY": f" {GIVEN}\n"}) == GIVEN.encode()
    (tmp_path / "key").write_text(GIVEN + "\n")
    assert audit_secret(URL, {"VEDETTE_AUDIT_KEY_FILE": str(tmp_path / "key")}) == GIVEN.encode()


def test_beside_sqlite_it_is_made_once(tmp_path: Path) -> None:
    place = str(tmp_path / "a.sqlite")
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(audit_secret(place, {}))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (path,) = tmp_path.iterdir()
    assert set(found) == {path.read_bytes()}
    assert len(found[0]) == 64
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"VEDETTE_AUDIT_KEY": "short"},
        {"VEDETTE_AUDIT_KEY": ""},
        {"VEDETTE_AUDIT_KEY_FILE": "there-is-none"},
    ],
)
def test_without_a_usable_one_postgresql_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(VedetteError) as caught:
        audit_secret(URL, environ)

    assert "VEDETTE_AUDIT_KEY" in caught.value.hint
    assert "short\n" not in caught.value.message


def test_it_is_not_made_where_it_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(VedetteError):
        audit_secret(str(tmp_path / "a.sqlite"), {}, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written() -> None:
    with pytest.raises(VedetteError) as caught:
        audit_secret("there/is/none.sqlite", {})
    assert caught.value.code == "write_failed"


def test_any_text_is_a_subject() -> None:
    hashes = {subject_hash(b"x" * 16, text) for text in ("", "a", "\0", "\ud800", "ä", "A")}
    assert len(hashes) == 6
