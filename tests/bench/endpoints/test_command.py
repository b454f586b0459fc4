"""Commands: a program that answers, and programs that crash, hang, lie, print too much."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.bench.endpoints.pictures import items, on_disk, red
from tests.bench.endpoints.test_remote import into
from vedette.bench.endpoints import EndpointOptions, open_endpoint
from vedette.bench.predictor import Answer, Predictor
from vedette.errors import UsageError, VedetteError
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.types import Item

HEAD = """
import json, os, sys, time
import numpy as np, PIL.Image
for line in sys.stdin:
    asked = json.loads(line)
    p = float(np.asarray(PIL.Image.open(asked["path"]).convert("RGB"))[..., 0].mean() / 255)
    p = round(p, 6)
    is_probe = not asked["sha256"]
"""
PLAIN = HEAD + "    print(json.dumps({'Sexual': p, 'id': asked['id']}), flush=True)\n"


def program(folder: Path, code: str) -> str:
    path = folder / "classify me.py"
    path.write_text(code)
    return f"command:{shlex.quote(sys.executable)} {shlex.quote(str(path))}"


def opened(folder: Path, code: str, **changes: float) -> Predictor:
    options = dataclasses.replace(EndpointOptions(timeout_s=20.0, retries=2), **changes)  # type: ignore[arg-type]
    return open_endpoint(program(folder, code), options, Settings())


def answers(predictor: Predictor, given: list[Item]) -> list[Answer]:
    try:
        return list(predictor.predict(given))
    finally:
        predictor.close()


def codes(found: list[Answer]) -> list[str | None]:
    return [answer.failure.code if answer.failure else None for answer in found]


def test_a_program_is_started_once_and_answers_for_files_and_bytes(tmp_path: Path) -> None:
    code = "import os, sys\nopen(sys.argv[0] + '.starts', 'a').write('x')\n" + PLAIN
    predictor = opened(tmp_path, code)
    given = [*on_disk(tmp_path, items(3)), Item("in memory", red(200))]

    found = answers(predictor, given)

    assert [answer.p for answer in found] == [
        {Category.SEXUAL: value} for value in (0.0, 0.498039, 1.0, 0.784314)
    ]
    assert all(answer.ms is not None and answer.ms > 0 for answer in found)
    assert (tmp_path / "classify me.py.starts").read_text() == "x"


def test_its_card_has_the_coverage_of_the_first_answer(tmp_path: Path) -> None:
    code = HEAD + ("    print(json.dumps({'hate': p, 'Spam': p, 'model': 'mine@3'}), flush=True)\n")
    predictor = opened(tmp_path, code)

    card = predictor.card
    predictor.close()

    assert card.covered == (Category.HATE, Category.SPAM)
    assert card.model.endswith("@mine@3")
    assert card.kind == "classifier"
    assert str(tmp_path) not in f"{card.model}{card.facts}"


@pytest.mark.parametrize(
    ("answer", "value"),
    [("{'unsafe': p}", 1.0), ("{'label': 'unsafe' if p > .9 else 'safe'}", 1.0)],
)
def test_a_binary_program_covers_everything(answer: str, value: float, tmp_path: Path) -> None:
    predictor = opened(tmp_path, HEAD + f"    print(json.dumps({answer}), flush=True)\n")

    (found,) = answers(predictor, [Item("a", red(255))])

    assert found.p == dict.fromkeys(Category, value)


def test_what_cannot_be_decoded_is_not_asked_about(tmp_path: Path) -> None:
    code = PLAIN.replace(
        "    p = float(", "    open(sys.argv[0] + '.log', 'a').write('x')\n    p = float("
    )
    predictor = opened(tmp_path, code)

    found = answers(predictor, [Item("bad", b"no picture"), Item("good", red(9))])

    assert codes(found) == ["unsupported_format", None]
    assert (tmp_path / "classify me.py.log").read_text() == "xx"  # the probe and the good one


def test_an_orderly_error_costs_one_image(tmp_path: Path) -> None:
    code = HEAD + (
        "    out = {'error': 'too red\\u202e'} if p > .9 else {'Sexual': p}\n"
        "    print(json.dumps(out), flush=True)\n"
    )

    found = answers(opened(tmp_path, code, retries=0), items(3))

    assert codes(found) == [None, None, "no_answer"]
    assert found[2].failure is not None
    assert found[2].failure.message == "the command: too red\\u202e"


CRASH = "    if .4 < p < .6 and not is_probe: print('out of luck', file=sys.stderr); os._exit(3)\n"


def test_a_crash_is_that_images_failure_and_the_program_is_started_again(tmp_path: Path) -> None:
    code = PLAIN.replace("    print(", CRASH + "    print(")

    found = answers(opened(tmp_path, code), items(3))

    assert codes(found) == [None, "no_answer", None]
    assert found[1].failure is not None
    assert "exit status 3" in found[1].failure.message
    assert "out of luck" in found[1].failure.message


@pytest.mark.parametrize(
    "wrong",
    [
        "time.sleep(60)",
        "print('{', flush=True); continue",
        "print('[]', flush=True); continue",
        "print('x' * 2**21, flush=True); continue",
        "print(json.dumps({'Sexual': .1, 'id': -1}), flush=True); continue",
        "sys.exit()",
        "os.close(1)",
    ],
)
def test_a_program_out_of_step_is_started_again(wrong: str, tmp_path: Path) -> None:
    code = PLAIN.replace("    print(", f"    if .4 < p < .6 and not is_probe: {wrong}\n    print(")
    patience = 0.5 if "sleep" in wrong else 20.0

    found = answers(opened(tmp_path, code, timeout_s=patience), items(3))

    assert codes(found) == [None, "no_answer", None]
    assert found[2].p == {Category.SEXUAL: 1.0}


@pytest.mark.parametrize(
    "answer",
    [
        *("{'Sexual': 1.5}", "{'Sexual': 'x'}", "{'Sexual': None}", "{'Nonsense': .5}", "{}"),
        *("{'Sexual': .5, 'Hate': .5}", "{'label': 'maybe'}", "{'Sexual': True}"),
    ],
)
def test_scores_that_make_no_sense_are_failures(answer: str, tmp_path: Path) -> None:
    code = HEAD + (
        f"    out = {{'Sexual': p}} if is_probe else {answer}\n"
        "    print(json.dumps(out), flush=True)\n"
    )

    assert codes(answers(opened(tmp_path, code), items(2))) == ["no_answer", "no_answer"]


def test_lines_that_nobody_asked_for_do_not_move_answers(tmp_path: Path) -> None:
    code = HEAD + (
        "    print(json.dumps({'Sexual': p}), flush=True)\n"
        "    print(json.dumps({'Sexual': 0}), flush=True); time.sleep(.1)\n"
    )
    predictor = opened(tmp_path, code, retries=5)
    assert predictor.card.covered
    import time

    time.sleep(0.3)

    found = answers(predictor, items(1))

    assert codes(found) == ["no_answer"]
    assert found[0].failure is not None
    assert "more lines than asked" in found[0].failure.message


def test_a_program_that_ends_again_and_again_ends_the_run(tmp_path: Path) -> None:
    code = PLAIN.replace("    print(", "    if not is_probe: sys.exit(1)\n    print(")
    predictor = opened(tmp_path, code, retries=2)
    found: list[Answer] = []

    with pytest.raises(VedetteError) as caught:
        into(found, predictor, items(9))
    predictor.close()

    assert caught.value.code == "endpoint_down"
    assert codes(found) == ["no_answer"] * 3


@pytest.mark.parametrize(
    "name", ["command:no-such-program-anywhere", f"command:{sys.executable} -c pass"]
)
def test_a_program_that_does_not_work_is_told_at_once(name: str) -> None:
    predictor = open_endpoint(name, EndpointOptions(timeout_s=20.0), Settings())

    with pytest.raises(UsageError) as caught:
        predictor.card  # noqa: B018 - asks
    predictor.close()

    assert caught.value.code == "endpoint_refused"


def test_a_flood_of_errors_blocks_nothing(tmp_path: Path) -> None:
    code = PLAIN.replace("    print(", "    sys.stderr.write('e' * 500_000)\n    print(")

    assert codes(answers(opened(tmp_path, code), items(3))) == [None] * 3


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    name = program(tmp_path, PLAIN) + f" '; touch {tmp_path / 'made'}' $(touch {tmp_path / 'two'})"
    predictor = open_endpoint(name, EndpointOptions(timeout_s=20.0), Settings())

    assert codes(answers(predictor, items(1))) == [None]
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "two").exists()


def test_closing_ends_the_program_and_removes_copies(tmp_path: Path) -> None:
    note = "    open(sys.argv[0] + '.seen', 'a').write(f'{os.getpid()} {asked[\"path\"]}\\n')\n"
    code = PLAIN.replace("    print(", note + "    print(")
    predictor = opened(tmp_path, code)
    list(predictor.predict([Item("a", red(3))]))

    predictor.close()
    predictor.close()

    for line in (tmp_path / "classify me.py.seen").read_text().splitlines():
        pid, path = line.split(" ", 1)
        assert not os.path.exists(path)
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
