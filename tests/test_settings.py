"""Settings: a file, an environment variable, and refusals that say which key is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.errors import SettingsError
from vedette.settings import (
    Limits,
    ScanOptions,
    Settings,
    VideoSampling,
    load_settings,
    validated,
)

PROFILE = settings(deadline=None, derandomize=True, database=None)

SECTIONS = {"limits": Limits, "video": VideoSampling, "scan": ScanOptions}
NUMBERS = [
    (section, field.name)
    for section, cls in SECTIONS.items()
    for field in dataclasses.fields(cls)
    if type(getattr(cls(), field.name)) in (int, float)
]
MAY_BE_ZERO = {"workers", "scene_change"}


def written(folder: Path, text: str) -> Path:
    path = folder / "vedette.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_defaults_hold() -> None:
    assert load_settings(environ={}) == Settings()
    assert load_settings(environ={"VEDETTE_CONFIG": ""}) == Settings()


def test_the_defaults_pass_their_own_check() -> None:
    for cls in SECTIONS.values():
        validated(cls(), "defaults")


def test_a_file_sets_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'model = "dummy"\n[limits]\npixels = 5\n[video]\ninterval_s = 0.5\n[scan]\nhardened = true',
    )

    settings = load_settings(path)

    assert settings == Settings(
        model="dummy",
        limits=Limits(pixels=5),
        video=VideoSampling(interval_s=0.5),
        scan=ScanOptions(hardened=True),
    )


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, "")) == Settings()


def test_the_environment_names_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'policy = "strict"')

    assert load_settings(environ={"VEDETTE_CONFIG": str(path)}).policy == "strict"


def test_a_path_wins_over_the_environment(tmp_path: Path) -> None:
    path = written(tmp_path, 'policy = "strict"')
    missing = {"VEDETTE_CONFIG": str(tmp_path / "missing.toml")}

    assert load_settings(path, missing).policy == "strict"


def test_a_whole_number_is_good_for_a_real_one(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, "[limits]\nseconds = 5")).limits.seconds == 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("modle = 'dummy'", "unknown setting 'modle'"),
        ("[limits]\npixel = 5", r"\[limits\].*unknown setting 'pixel'"),
        ("[limit]\npixels = 5", "unknown setting 'limit'"),
        ("model = 3", "model must be a str"),
        ("limits = 3", r"\[limits\].*must be a table"),
        ("[scan]\nhardened = 1", "hardened must be a bool"),
        ("[scan]\nbatch = true", "batch must be a int"),
        ("[scan]\nbatch = 1.5", "batch must be a int"),
        ("[scan]\nbackend = false", "backend must be a str"),
        ("[limits]\nseconds = 'long'", "seconds must be a float"),
        ("[limits", "is not TOML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(SettingsError, match=told) as caught:
        load_settings(path)

    assert caught.value.code == "bad_settings"
    assert str(path) in caught.value.message


@pytest.mark.parametrize(("section", "name"), NUMBERS)
def test_no_number_may_be_negative(tmp_path: Path, section: str, name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be"):
        load_settings(written(tmp_path, f"[{section}]\n{name} = -1"))


@pytest.mark.parametrize(("section", "name"), NUMBERS)
def test_zero_is_refused_except_where_it_means_something(
    tmp_path: Path, section: str, name: str
) -> None:
    path = written(tmp_path, f"[{section}]\n{name} = 0")

    if name in MAY_BE_ZERO:
        assert getattr(getattr(load_settings(path), section), name) == 0
    else:
        with pytest.raises(SettingsError, match=f"{name} must be"):
            load_settings(path)


@pytest.mark.parametrize("name", ["seconds", "video_seconds"])
def test_a_time_may_be_endless_but_must_be_a_number(tmp_path: Path, name: str) -> None:
    endless = load_settings(written(tmp_path, f"[limits]\n{name} = inf"))

    assert getattr(endless.limits, name) == float("inf")
    for value in ("nan", "-inf"):
        with pytest.raises(SettingsError, match=f"{name} must be"):
            load_settings(written(tmp_path, f"[limits]\n{name} = {value}"))


@PROFILE
@given(st.sampled_from(NUMBERS), st.integers(max_value=-1))
def test_settings_made_in_python_are_checked_too(place: tuple[str, str], value: int) -> None:
    section, name = place

    with pytest.raises(SettingsError, match=name):
        validated(SECTIONS[section](**{name: value}), section)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        load_settings(tmp_path / "missing.toml")
    with pytest.raises(SettingsError, match="cannot read"):
        load_settings(tmp_path)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "vedette.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(SettingsError, match="is not TOML"):
        load_settings(path)
