from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vedette.errors import UsageError, VedetteError
from vedette.models.exported import CARD_FILE
from vedette.train.workplace import replace_folder, workplace

ASKED = {"data": "synth:0.02", "seed": 1}


def state_of(out: Path) -> Path:
    return out.parent / f".{out.name}.training"


def broken_off(out: Path, error: BaseException | None = None) -> None:
    """A training that leaves a checkpoint and then ends with ``error``, or on a full disk."""
    with workplace(out, ASKED, overwrite=False) as place:
        place.bind("a")
        (place.state / "checkpoint").write_text("x")
        (place.state / "folder").mkdir()
        if error is not None:
            raise error
        with open("/dev/full", "w") as full:
            full.write("x" * 2**20)


def test_a_finished_training_leaves_nothing_but_its_model(tmp_path: Path) -> None:
    with workplace(tmp_path / "out", ASKED, overwrite=False) as place:
        assert not place.resumed
        (place.state / "checkpoint").write_text("x")

    assert list(tmp_path.iterdir()) == []


def test_a_training_that_was_stopped_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        broken_off(tmp_path / "out", KeyboardInterrupt())

    with workplace(tmp_path / "out", ASKED, overwrite=False) as place:
        assert place.resumed
        assert place.bind("a")
        assert (place.state / "checkpoint").read_text() == "x"


def test_another_training_takes_nothing_over(tmp_path: Path) -> None:
    state = state_of(tmp_path / "out")
    state.mkdir()
    (state / "checkpoint").write_text("x")

    with workplace(tmp_path / "out", ASKED, overwrite=False) as place:
        assert not place.resumed
        assert not (place.state / "checkpoint").exists()


def test_other_data_under_the_same_name_takes_nothing_over(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        broken_off(tmp_path / "out", KeyboardInterrupt())

    with workplace(tmp_path / "out", ASKED, overwrite=False) as place:
        assert place.resumed
        assert not place.bind("b")
        assert not (place.state / "checkpoint").exists()
        assert not (place.state / "folder").exists()


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(VedetteError, match="no good"):
        broken_off(tmp_path / "out", VedetteError("no good", code="training_failed"))

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(VedetteError, match="No space left") as caught:
        broken_off(tmp_path / "out")

    assert caught.value.code == "write_failed"
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_there_is_not_replaced_by_accident(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / CARD_FILE).write_text("{}")

    with (
        pytest.raises(UsageError) as caught,
        workplace(out, ASKED, overwrite=False),
    ):
        pass

    assert caught.value.code == "output_exists"
    with workplace(out, ASKED, overwrite=True) as place:
        assert place.out == out


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "letters.txt").write_text("dear")

    with (
        pytest.raises(UsageError, match="no model folder"),
        workplace(out, ASKED, overwrite=overwrite),
    ):
        pass

    assert (out / "letters.txt").read_text() == "dear"


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(VedetteError) as caught,
        workplace(tmp_path / "file" / "out", ASKED, overwrite=False),
    ):
        pass

    assert caught.value.code == "write_failed"


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    made, out = tmp_path / "made", tmp_path / "out"
    for folder, text in ((made, "new"), (out, "old")):
        folder.mkdir()
        (folder / "file").write_text(text)

    replace_folder(made, out)

    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "file").read_text() == "new"


def test_what_was_there_is_there_again_where_the_new_one_cannot_be_moved(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "file").write_text("old")

    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "gone", out)

    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "file").read_text() == "old"


@pytest.mark.parametrize("asked", [ASKED, {"data": "another"}])
def test_two_processes_do_not_make_one_folder_at_once(
    tmp_path: Path, asked: dict[str, object]
) -> None:
    out = tmp_path / "out"
    script = (
        "import sys; from pathlib import Path; from vedette.train.workplace import workplace\n"
        f"with workplace(Path({str(out)!r}), {ASKED!r}, overwrite=False) as place:\n"
        "    (place.state / 'checkpoint').write_text('x'); print('in', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    given = [sys.executable, "-c", script]
    with subprocess.Popen(given, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in\n"
        with (
            pytest.raises(UsageError, match="another process") as caught,
            workplace(out, asked, overwrite=True),
        ):
            pass
        assert (state_of(out) / "checkpoint").is_file()
        other.kill()

    assert caught.value.code == "output_exists"
    with workplace(out, ASKED, overwrite=False) as place:
        assert place.resumed
