"""Hostile and odd files by the thousand: one Record each, in order, and never a false allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpus import LIMITS, QUIET, Expected, make
from vedette import Action, Record, Scanner, ScanOptions, Settings
from vedette.data.base import read_all
from vedette.data.paths import PathSource
from vedette.errors import CODES

pytestmark = QUIET

FLIPS = 300


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Expected]]:
    root = tmp_path_factory.mktemp("corpus")
    return root, make(root, FLIPS)


@pytest.mark.parametrize("hardened", [False, True], ids=["plain", "hardened"])
def test_every_file_of_the_corpus_has_its_record(
    corpus: tuple[Path, dict[str, Expected]], monkeypatch: pytest.MonkeyPatch, hardened: bool
) -> None:
    root, expected = corpus
    monkeypatch.chdir(root)
    settings = Settings(limits=LIMITS, scan=ScanOptions(workers=2, hardened=hardened))

    with Scanner(model="dummy", settings=settings) as scanner:
        records = list(scanner.scan_many(read_all(PathSource(["."], LIMITS))))

    keys = [record.key for record in records]
    assert sorted(keys) == sorted(expected)
    assert keys == [item.key for item in read_all(PathSource(["."], LIMITS))]
    wrong = {
        record.key: problem
        for record in records
        if (problem := _wrong(record, expected[record.key]))
    }
    assert wrong == {}


def _wrong(record: Record, expected: Expected) -> str:
    """What a Record says that it must not, in words; empty where all is well."""
    failure = record.failure
    if failure is None:
        if record.scores is None or record.frames == 0:
            return "neither scores nor a failure"
        if expected.codes and not expected.may_scan:
            return f"no failure, but one of {sorted(expected.codes)} is due"
    else:
        if record.verdict.action is Action.ALLOW:
            return "allowed in spite of a failure"
        if failure.code not in CODES:
            return f"unknown code {failure.code}"
        if failure.code not in expected.codes:
            return f"{failure.code} ({failure.message}) instead of {sorted(expected.codes)}"
        if not failure.message.isprintable():
            return f"a message that is not one printable line: {failure.message!r}"
    if expected.frames is not None and record.frames != expected.frames:
        return f"{record.frames} frames instead of {expected.frames}"
    if expected.size is not None and (record.width, record.height) != expected.size:
        return f"{record.width} x {record.height} instead of {expected.size}"
    return ""
