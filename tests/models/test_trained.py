"""The card of a trained folder: written, read, held to its files, and refused when damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trained_folders import calibration, card_of, head_folder, mlp
from vedette.errors import ModelError, UsageError
from vedette.models.base import ModelOptions
from vedette.models.dummy import CARD as DUMMY
from vedette.models.registry import build, get
from vedette.models.trained import read_manifest, verify, write_manifest
from vedette.settings import Settings
from vedette.taxonomy import Category

FILE = "vedette-model.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return head_folder(tmp_path / "own", "dummy", mlp(48), calibration("platt"))


def changed(folder: Path, **change: Any) -> Path:
    path = folder / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    card = replace(
        card_of("own", DUMMY, ["Hate", "Violence"]),
        commercial=False,
        calibrated="platt on 12 images",
        trained_on='a "set" of 日本 images',
    )
    told = write_manifest(tmp_path, "head", card, {"a": [1, {"b": None}]})
    manifest = read_manifest(tmp_path)

    assert manifest.card == replace(told, extra="zoo")
    assert told == replace(card, revision=told.revision)
    assert (manifest.kind, manifest.parts) == ("head", {"a": [1, {"b": None}]})
    assert manifest.card.labels == {"Hate": (Category.HATE,), "Violence": (Category.VIOLENCE,)}
    with pytest.raises(ModelError, match="says it is calibrated"):
        manifest.calibration()


def test_the_revision_is_of_what_changes_a_score(folder: Path) -> None:
    def revision(**parts: object) -> str:
        manifest = read_manifest(folder)
        card = manifest.card
        return write_manifest(folder, "head", card, {**manifest.parts, **parts}).revision

    first = revision()
    assert revision() == first
    (folder / "training.json").write_text('{"seconds": 1}')
    (folder / "report.html").write_text("<p>")
    assert revision() == first, "the account and the report change no score"
    (folder / "training.json").write_text('{"seconds": 2}')
    assert revision() == first
    assert "training.json" in read_manifest(folder).files, "and it is held to its hash"

    (folder / "calibration.json").write_text("{}")
    second = revision()
    (folder / "head.safetensors").write_bytes(b"other")
    third = revision()
    assert len({first, second, third, revision(more=1)}) == 4


@pytest.mark.parametrize("name", ["head.safetensors", "calibration.json"])
def test_a_file_that_was_altered_or_lost_is_told(folder: Path, name: str) -> None:
    file = folder / name
    before = file.read_bytes()
    file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(ModelError, match=name) as caught:
        build(str(folder))
    assert caught.value.code == "weights_altered"
    file.unlink()
    with pytest.raises(ModelError, match=name) as caught:
        build(str(folder))
    assert caught.value.code == "weights_missing"


def test_the_report_may_go(folder: Path) -> None:
    (folder / "report.html").write_text("<p>")
    write_manifest(folder, "head", read_manifest(folder).card, read_manifest(folder).parts)
    (folder / "report.html").unlink()
    verify(read_manifest(folder))
    assert build(str(folder)).card.calibrated == "test@1"


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "..\\x"]
)
def test_no_file_outside_the_folder_is_looked_at(folder: Path, name: str) -> None:
    with pytest.raises(ModelError) as caught:
        build(str(changed(folder, files={name: "0" * 64})))
    assert caught.value.code == "weights_unusable"


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3},
        {"kind": "pickle"},
        {"kind": "../evil"},
        {"kind": 7},
        {"kind": ["head"]},
        {"labels": {"Hate": ["Hatred"]}},
        {"labels": ["Hate"]},
        {"labels": {"Hate": 3}},
        {"files": ["head.safetensors"]},
        {"files": {"head.safetensors": 7}},
        {"fit": [224]},
        {"fit": None},
        {"precisions": 5},
        {"embedding": "48"},
        {"parameters": True},
        {"commercial": "yes"},
        {"terms": None},
        {"parts": []},
    ],
    ids=str,
)
def test_a_card_that_is_none_is_refused(folder: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as caught:
        build(str(changed(folder, **change)))
    assert caught.value.code in ("weights_unusable", "weights_altered")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 2}', "\xff", "[" * 100_000])
def test_what_is_not_a_card_is_refused(folder: Path, text: str) -> None:
    (folder / FILE).write_text(text, encoding="latin-1")
    with pytest.raises(ModelError) as caught:
        get(str(folder))
    assert caught.value.code == "weights_unusable"


def test_a_folder_without_a_card_is_no_trained_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        read_manifest(tmp_path)
    assert caught.value.code == "weights_missing"


def test_the_backbones_terms_bind_it(folder: Path) -> None:
    card = get(str(folder)).card
    assert [needed.id for needed in card.needs] == ["dummy"]
    assert build(str(folder)).card.needs == card.needs
    refused = changed(folder, commercial=False)
    with pytest.raises(ModelError) as caught:
        build(str(refused), ModelOptions(commercial=True))
    assert caught.value.code == "terms_refused"
    assert Settings().commercial is False


def test_a_folder_that_stands_on_itself_ends_in_an_error(folder: Path) -> None:
    told = json.loads((folder / FILE).read_text())["parts"]
    with pytest.raises(ModelError):
        get(str(changed(folder, parts={**told, "backbone": str(folder)})))


def test_a_calibration_that_is_none_is_refused(folder: Path) -> None:
    manifest = read_manifest(folder)
    (folder / "calibration.json").write_text('{"format": "x"}')
    write_manifest(folder, "head", manifest.card, manifest.parts)
    with pytest.raises(UsageError) as caught:
        build(str(folder))
    assert caught.value.code == "bad_calibration"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    key=st.sampled_from(
        ["kind", "labels", "fit", "precisions", "parts", "files", "id", "terms", "calibrated"]
    ),
    value=JSON,
)
def test_any_value_in_a_card_is_a_card_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    folder = tmp_path_factory.mktemp("card")
    write_manifest(folder, "head", card_of("own", DUMMY, ["Hate"]), {"backbone": "dummy"})
    try:
        entry = get(str(changed(folder, **{key: value})))
        entry.build(ModelOptions())
    except (ModelError, UsageError):
        return
    pytest.fail("there is no head in it")


def test_a_folder_without_curves_that_is_not_calibrated_has_none(tmp_path: Path) -> None:
    write_manifest(tmp_path, "head", card_of("own", DUMMY, ["Hate"]), {})

    assert read_manifest(tmp_path).calibration() is None


def test_a_folder_that_stands_on_itself_is_refused(folder: Path) -> None:
    parts = json.loads((folder / FILE).read_text())["parts"]
    changed(folder, parts=parts | {"backbone": str(folder)})

    with pytest.raises(ModelError) as caught:
        get(str(folder))

    assert caught.value.code == "weights_unusable"


def test_a_backbone_that_is_not_here_is_named(folder: Path) -> None:
    parts = json.loads((folder / FILE).read_text())["parts"]
    changed(folder, parts=parts | {"backbone": "gone/folder"})

    with pytest.raises(ModelError, match="trained over gone/folder") as caught:
        get(str(folder))

    assert caught.value.code == "weights_missing"
