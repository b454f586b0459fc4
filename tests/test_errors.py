"""One tree of errors: as drawn, each with a code that exists, a text and a hint."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vedette import errors
from vedette.errors import (
    CODES,
    DecodeError,
    FetchError,
    InferError,
    ItemError,
    UnknownNameError,
    UsageError,
    VedetteError,
)

SOURCE = Path(__file__).parents[1] / "src" / "vedette"
CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, Exception) and cls.__module__ == errors.__name__
]


def trees() -> list[tuple[str, ast.Module]]:
    return [
        (str(path.relative_to(SOURCE)), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted(SOURCE.rglob("*.py"))
    ]


def constants(node: ast.expr) -> Iterator[str]:
    """The texts that an expression can be: constants, and both branches of a condition."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from constants(node.body)
        yield from constants(node.orelse)


def raised() -> dict[str, str]:
    """Every code that the source gives to an error or a Failure, with a file that does."""
    found = {}
    for file, tree in trees():
        for node in ast.walk(tree):
            given: list[ast.expr] = []
            if isinstance(node, ast.keyword) and node.arg == "code":
                given = [node.value]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Failure":
                given = node.args[1:2]
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = {ast.unparse(target).split("[")[0] for target in targets}
                if names & {"code", "default_code", "_CODE_BY_ERRNO"}:
                    whole = node.value
                    given = list(whole.values) if isinstance(whole, ast.Dict) else [whole]
            elif isinstance(node, ast.Dict):
                given = [
                    value
                    for key, value in zip(node.keys, node.values, strict=True)
                    if isinstance(key, ast.Constant) and key.value == "code"
                ]
            found.update({code: file for value in given for code in constants(value)})
    return found


def test_the_search_finds_every_way_of_naming_a_code() -> None:
    found = raised()

    assert {"truncated", "corrupt"} <= set(found), "both branches of a condition"
    assert "not_a_file" in found, "a table of codes"
    assert "directory_loop" in found, "a Failure"
    assert "usage" in found, "a default"
    assert found["unknown_name"] == "errors.py"


def test_every_code_raised_is_in_the_table() -> None:
    unknown = {code: file for code, file in raised().items() if code not in CODES}

    assert not unknown


def test_every_code_of_the_table_is_raised_somewhere() -> None:
    assert set(CODES) - set(raised()) == set()


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_text_and_a_hint(code: str) -> None:
    what, hint = CODES[code]

    assert re.fullmatch(r"[a-z][a-z_]+", code)
    for text in (what, hint):
        assert len(text) >= 8
        assert text[0].islower()
        assert not text.endswith(".")
        assert "\n" not in text
    assert what != hint


def test_the_texts_are_told_apart() -> None:
    whats = [what for what, _ in CODES.values()]

    assert len(set(whats)) == len(whats)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_class_has_a_default_code(cls: type[VedetteError]) -> None:
    assert cls.default_code in CODES


def test_hints_name_limits_that_exist() -> None:
    from vedette.settings import Limits

    named = {
        name
        for texts in CODES.values()
        for text in texts
        for name in re.findall(r"limits\.(\w+)", text)
    }

    assert named
    assert named <= set(Limits.__dataclass_fields__)


def test_hints_name_options_that_exist() -> None:
    import typer.main

    from vedette.cli import app

    def options(command: Any) -> set[str]:
        own = {option for parameter in command.params for option in parameter.opts}
        return own.union(*map(options, getattr(command, "commands", {}).values()))

    known = options(typer.main.get_command(app)) | {"--help"}
    named = {n for texts in CODES.values() for t in texts for n in re.findall(r"--[\w-]+", t)}

    assert named
    assert named <= known


def test_the_tree_is_the_one_that_is_drawn() -> None:
    assert errors.__doc__ is not None
    drawn: dict[str, str | None] = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"^    ([ │├└─]*)(\w+Error)\b", line)
        if match is None:
            continue
        depth = len(match[1]) // 4
        above[depth:] = [match[2]]
        drawn[match[2]] = above[depth - 1] if depth else None

    real = {cls.__name__: cls.__mro__[1].__name__ for cls in CLASSES}
    assert drawn.pop("VedetteError") is None
    assert real.pop("VedetteError") == "Exception"
    assert drawn == real


def test_an_error_keeps_its_message_and_finds_its_hint() -> None:
    error = DecodeError("half a picture", code="truncated")

    assert str(error) == error.message == "half a picture"
    assert error.hint == CODES["truncated"][1]


def test_a_hint_of_its_own_wins() -> None:
    assert UsageError("no", hint="do that").hint == "do that"


def test_a_code_that_does_not_exist_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        DecodeError("no", code="no_such_code")


@pytest.mark.parametrize(
    ("cls", "stage", "code"),
    [
        (FetchError, "fetch", "unreadable"),
        (DecodeError, "decode", "corrupt"),
        (InferError, "infer", "model_failed"),
    ],
)
def test_an_item_error_is_a_failure_too(cls: type[ItemError], stage: str, code: str) -> None:
    failure = cls("it broke").failure()

    assert (failure.stage, failure.code, failure.message) == (stage, code, "it broke")


def test_an_unknown_name_says_which_was_meant() -> None:
    assert UnknownNameError("model", "nudent", ["dummy", "nudenet"]).hint == (
        "did you mean 'nudenet'?"
    )
    assert UnknownNameError("model", "zzz", ["nudenet", "dummy"]).hint == "known: dummy, nudenet"
