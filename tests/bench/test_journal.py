"""What a killed run left: whole lines count, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vedette.bench.journal import Journal
from vedette.errors import VedetteError

SAID: dict[str, list[bool | str]] = {
    "a": [True, False],
    "b": [False, "model_failed"],
    "ü\n": [False, True],
}


def two(said: object) -> bool:
    return isinstance(said, list) and len(said) == 2


def written(path: Path, plan: str = "plan") -> bytes:
    with Journal(path, plan, two) as journal:
        for key, said in SAID.items():
            journal.write(key, said)
    return path.read_bytes()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    written(tmp_path / "new" / "folder" / "j")

    assert Journal(tmp_path / "new" / "folder" / "j", "plan", two).lines == SAID


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(share=st.floats(0, 1))
def test_a_file_cut_anywhere_keeps_its_whole_lines_and_goes_on(
    tmp_path: Path, share: float
) -> None:
    path = tmp_path / "j"
    path.unlink(missing_ok=True)
    whole = written(path)
    path.write_bytes(whole[: int(share * len(whole))])

    with Journal(path, "plan", two) as journal:
        assert dict(list(SAID.items())[: len(journal.lines)]) == journal.lines
        for key, said in SAID.items():
            if key not in journal.lines:
                journal.write(key, said)

    assert path.read_bytes() == whole


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=200), headed=st.booleans())
def test_any_bytes_are_read_or_begun_anew(tmp_path: Path, data: bytes, headed: bool) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"plan": "plan"}\n' * headed + data)

    journal = Journal(path, "plan", two)

    assert all(len(said) == 2 for said in journal.lines.values())
    with journal:
        journal.write("z", [True, True])
    assert Journal(path, "plan", two).lines == journal.lines


@pytest.mark.parametrize(
    "line",
    [
        *(b"[]", b'{"key": "a"}', b'{"key": "a", "said": [true]}'),
        *(b'{"key": 1, "said": [true, true]}', b'{"key": "a", "said": [1, 0]}', b"[" * 100_000),
    ],
)
def test_a_damaged_line_and_what_follows_are_asked_again(tmp_path: Path, line: bytes) -> None:
    whole = written(tmp_path / "j")
    head, first, *_ = whole.split(b"\n")
    (tmp_path / "j").write_bytes(b"\n".join([head, first, line, b""]))

    assert list(Journal(tmp_path / "j", "plan", two).lines) == ["a"]


def test_the_journal_of_another_plan_is_begun_anew(tmp_path: Path) -> None:
    written(tmp_path / "j", "another plan")

    journal = Journal(tmp_path / "j", "plan", two)
    assert journal.lines == {}
    with journal:
        journal.write("a", [True, True])
    assert b"another" not in (tmp_path / "j").read_bytes()


def test_a_journal_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(VedetteError) as caught, Journal(tmp_path / "file" / "j", "plan", two):
        pass
    assert caught.value.code == "write_failed"
