"""Optional libraries: what is missing is named together with the pip line that brings it."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from vedette import extras
from vedette.errors import MissingExtraError

ROOT = Path(__file__).parents[1]


def test_an_installed_library_is_returned() -> None:
    assert extras.require("json", extra="none") is json


@pytest.mark.parametrize("module", ["vedette_no_such_library", "vedette_no_such_library.part"])
def test_a_missing_library_names_its_extra(module: str) -> None:
    with pytest.raises(MissingExtraError) as caught:
        extras.require(module, extra="video")

    assert caught.value.code == "missing_extra"
    assert caught.value.message == f"{module} is not installed"
    assert caught.value.hint == "pip install 'vedette[video]'"


def test_a_library_that_itself_misses_something_is_not_explained_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.joinpath("vedette_half_library.py").write_text("import vedette_other_half\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="vedette_other_half"):
        extras.require("vedette_half_library", extra="video")


def test_available_does_not_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("vedette_explosive.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert extras.available("vedette_explosive")
    assert not extras.available("vedette_no_such_library")
    assert "vedette_explosive" not in sys.modules


def _requires() -> list[tuple[str, str]]:
    """(module, extra) of every ``require`` call in the source."""
    found = []
    for path in sorted(ROOT.joinpath("src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require"):
                continue
            (module,), (extra,) = node.args, node.keywords
            assert isinstance(module, ast.Constant)
            assert isinstance(extra.value, ast.Constant)
            found.append((str(module.value), str(extra.value.value)))
    return sorted(set(found))


_DISTRIBUTIONS = {
    "yaml": "PyYAML",
    "sqlalchemy": "SQLAlchemy",
    "sklearn": "scikit_learn",
    "umap": "umap_learn",
}
"""Where they have another name than the module."""


def test_there_are_requires_to_check() -> None:
    assert ("av", "video") in _requires()


@pytest.mark.parametrize(("module", "extra"), _requires())
def test_every_extra_named_in_the_source_brings_its_library(module: str, extra: str) -> None:
    project = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
    brought = project["optional-dependencies"][extra]
    names = {re.split(r"[^\w.-]", line)[0].replace("-", "_") for line in brought}

    top = module.split(".")[0]
    assert _DISTRIBUTIONS.get(top, top) in names
