"""Records as JSON and back: no evidence is lost, and nothing else passes for a Record."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_policy import failures, policies
from tests.test_types import scores
from vedette.cli.common import verdict_line
from vedette.errors import UsageError, VedetteError
from vedette.policy import PRESETS, load_policy
from vedette.taxonomy import Category
from vedette.types import Action, Failure, FrameScore, Reason, Record, Region, Verdict
from vedette.wire import from_dict, from_line, read_jsonl, to_dict, to_line

PROFILE = settings(deadline=None, derandomize=True, database=None)

DESIGN_KEYS = [
    # The order of the example in the design, which readers of the file see.
    "key",
    "sha256",
    "width",
    "height",
    "frames",
    "action",
    "reasons",
    "scores",
    "regions",
    "models",
    "policy",
    "calibrated",
    "failure",
    "times_ms",
]
DEFAULT = load_policy("default")

names = st.text(max_size=20) | st.text(st.characters(categories=["Cs", "L", "Cc"]), max_size=5)
counts = st.integers(0, 10**9)
categories = st.sampled_from(list(Category))
probabilities = st.floats(0, 1, width=32)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Records as the pipeline makes them: decided by a policy on what was seen."""
    values = draw(st.none() | st.dictionaries(categories, probabilities, min_size=1))
    frames = draw(st.integers(1, 3)) if values is not None else 0
    seen = scores(values, draw(st.none() | names)) if values is not None else None
    if seen is not None:
        seen = replace(
            seen, labels=draw(st.dictionaries(st.sampled_from(list(seen.as_dict())), names))
        )
    failure = draw(st.none() | failures) if seen is not None else draw(failures)
    region = st.builds(
        Region,
        st.sampled_from(["FACE_MALE", "FEMALE_BREAST_COVERED"]),
        st.floats(0, 1),
        st.tuples(counts, counts, counts, counts),
        st.integers(0, frames - 1) if frames > 1 else st.just(0),
    )
    regions = tuple(draw(st.lists(region, max_size=3))) if seen is not None else ()
    time_s = st.none() | st.floats(0, 1e6)
    return Record(
        key=draw(names),
        sha256=draw(st.none() | st.just("ab" * 32)),
        width=draw(st.none() | counts),
        height=draw(st.none() | counts),
        frames=frames,
        scores=seen,
        regions=regions,
        verdict=draw(policies).decide(seen, regions, failure),
        failure=failure,
        models=("drawn@1",),
        times_ms={"decode": draw(st.floats(0, 1e7)), "infer": draw(st.floats(0, 1e7))},
        format=draw(st.none() | st.just("JPEG")),
        timeline=tuple(
            FrameScore(i, draw(time_s), seen.as_dict()) for i in range(frames) if seen is not None
        )
        if frames > 1
        else (),
        embedding=np.array(draw(st.lists(st.floats(-10, 10, width=32))), dtype=np.float32)
        if draw(st.booleans())
        else None,
    )


FULL = Record(
    key="a/b.gif",
    sha256="ab" * 32,
    width=640,
    height=480,
    frames=2,
    scores=replace(
        scores({Category.SEXUAL: 0.71, Category.HATE: 0.0}, "platt@1"),
        labels={Category.SEXUAL: "nsfw"},
    ),
    regions=(Region("FACE_MALE", 0.71, (12, 40, 88, 90), 1),),
    verdict=Verdict(
        Action.REVIEW,
        (Reason(Category.SEXUAL, 0.71, 0.5, "FACE_MALE", "look twice"),),
        "default@1",
    ),
    failure=Failure("decode", "truncated", "the file ends early"),
    models=("nudenet-320n@3.4.2",),
    times_ms={"decode": 3.1, "infer": 4.0},
    format="GIF",
    timeline=(
        FrameScore(0, 0.0, {Category.SEXUAL: 0.1, Category.HATE: 0.0}),
        FrameScore(1, 0.1, {Category.SEXUAL: 0.71, Category.HATE: 0.0}),
    ),
    embedding=np.array([0.25, -0.5], dtype=np.float32),
)
STILL = from_dict(
    to_dict(FULL) | {"frames": 1, "failure": None, "timeline": [], "embedding": None, "regions": []}
)


# The form


def test_keys_and_their_order() -> None:
    keys = list(to_dict(STILL))

    assert [key for key in keys if key not in ("format", "labels")] == DESIGN_KEYS
    assert set(keys) == {*DESIGN_KEYS, "format", "labels"}


def test_a_file_of_several_frames_adds_its_timeline() -> None:
    data = to_dict(FULL)

    assert list(data)[-2:] == ["timeline", "embedding"]
    assert data["timeline"][1] == {
        "frame": 1,
        "time_s": 0.1,
        "scores": {"Hate": 0.0, "Sexual": 0.71},
    }
    assert data["regions"] == [
        {"label": "FACE_MALE", "score": 0.71, "box": [12, 40, 88, 90], "frame": 1}
    ]


def test_a_still_picture_is_not_told_that_it_has_one_frame_in_every_region() -> None:
    data = to_dict(
        from_dict(to_dict(STILL) | {"regions": [{"label": "a", "score": 0.5, "box": [0, 0, 1, 1]}]})
    )

    assert data["regions"] == [{"label": "a", "score": 0.5, "box": [0, 0, 1, 1]}]
    assert "timeline" not in data
    assert "embedding" not in data


def test_reasons_name_a_label_and_words_only_where_there_are_any() -> None:
    plain = Reason(Category.SPAM, 0.6, 0.5)
    data = to_dict(
        from_dict(to_dict(STILL) | {"reasons": [{"category": "Spam", "p": 0.6, "threshold": 0.5}]})
    )

    assert data["reasons"] == [
        {"category": plain.category, "p": plain.p, "threshold": plain.threshold}
    ]
    assert to_dict(FULL)["reasons"][0]["label"] == "FACE_MALE"
    assert to_dict(FULL)["reasons"][0]["text"] == "look twice"


def test_labels_are_there_only_where_one_has_another_name() -> None:
    plain = from_dict({key: value for key, value in to_dict(FULL).items() if key != "labels"})

    assert to_dict(FULL)["labels"] == {"Sexual": "nsfw"}
    assert "labels" not in to_dict(plain)
    assert plain.scores is not None
    assert plain.scores.labels == {}


def test_scores_have_covered_categories_only_and_keep_zero() -> None:
    assert to_dict(FULL)["scores"] == {"Hate": 0.0, "Sexual": 0.71}


def test_what_could_not_be_scanned() -> None:
    failure = Failure("fetch", "not_found", "there is none")
    record = Record(
        key="gone.jpg",
        sha256=None,
        width=None,
        height=None,
        frames=0,
        scores=None,
        regions=(),
        verdict=DEFAULT.decide(None, (), failure),
        failure=failure,
        models=("dummy@1",),
        times_ms={},
    )

    data = json.loads(to_line(record))

    assert data["action"] == "review"
    assert data["failure"] == {"stage": "fetch", "code": "not_found", "message": "there is none"}
    assert data["scores"] == {}
    assert data["sha256"] is data["width"] is data["height"] is None
    assert from_line(to_line(record)).scores is None


# There and back


def numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, float):
        yield value


@PROFILE
@given(records())
def test_a_line_read_and_written_again_is_the_same_line(record: Record) -> None:
    line = to_line(record)

    assert to_line(from_line(line)) == line
    assert to_line(from_line(line.encode())) == line


@PROFILE
@given(records())
def test_a_line_is_one_line_of_ascii_without_nan(record: Record) -> None:
    line = to_line(record)

    assert line.isascii()
    assert "\n" not in line
    assert "\r" not in line
    assert all(math.isfinite(number) for number in numbers(json.loads(line)))


@PROFILE
@given(records())
def test_a_record_read_back_has_the_same_evidence(record: Record) -> None:
    read = from_line(to_line(record))

    assert read.key == record.key
    assert read.verdict == record.verdict
    assert read.failure == record.failure
    assert read.regions == record.regions
    assert (read.scores is None) == (record.scores is None)
    if read.scores is not None and record.scores is not None:
        assert read.scores.as_dict() == record.scores.as_dict()
        assert read.scores.calibrated == record.scores.calibrated
        assert read.scores.labels == record.scores.labels
    assert [frame.p for frame in read.timeline] == [frame.p for frame in record.timeline]


@PROFILE
@given(records(), policies | st.sampled_from([load_policy(name) for name in PRESETS]))
def test_a_stored_record_is_decided_as_the_fresh_one(record: Record, policy: Any) -> None:
    stored = from_line(to_line(record))

    assert policy.apply(stored).verdict == policy.apply(record).verdict


def test_a_score_just_under_a_threshold_is_on_the_same_side_when_stored() -> None:
    # float32 of 0.5 - 3e-8 rounds to 0.5 on the wire: it has to be judged as 0.5 at once.
    seen = scores({Category.SEXUAL: float(np.nextafter(np.float32(0.5), np.float32(0)))})
    verdict = DEFAULT.decide(seen, (), None)
    fresh = from_dict(to_dict(STILL) | {"scores": {"Sexual": seen[Category.SEXUAL]}})

    assert verdict.action is Action.REVIEW
    assert DEFAULT.apply(fresh).verdict.action is Action.REVIEW


# What is refused


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside ``value``."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def put(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    out = copy.deepcopy(data)
    inner = out
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return out


odd = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([-1, 2, 10**400, "", "Sexual", "\ud800", "1"])
    | st.floats()
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


def read_if_it_is_one(line: str) -> Record | None:
    try:
        return from_line(line)
    except UsageError as error:
        if error.code != "bad_record":
            raise
        return None


@PROFILE
@given(st.sampled_from(list(places(to_dict(FULL)))), odd)
def test_a_damaged_record_is_refused_or_good_for_everything(
    path: tuple[Any, ...], value: Any
) -> None:
    record = read_if_it_is_one(json.dumps(put(to_dict(FULL), path, value)))

    if record is not None:
        line = to_line(record)
        assert to_line(from_line(line)) == line
        assert load_policy("children").apply(record).verdict.policy == "children@1"
        assert verdict_line(record)


@pytest.mark.parametrize("key", sorted({*DESIGN_KEYS} - {"calibrated"}))
def test_a_record_without_one_of_its_keys(key: str) -> None:
    data = to_dict(FULL)
    del data[key]

    with pytest.raises(UsageError, match=f"not a Record: KeyError: '{key}'") as caught:
        from_line(json.dumps(data))

    assert caught.value.code == "bad_record"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        "3",
        "[]",
        '"key"',
        "{}",
        "{",
        '{"key": "a.jpg"',
        "\ufeff{}",
        "[" * 100_000,
        b"\xff\xfe",
    ],
    ids=repr,
)
def test_lines_that_are_no_record(line: str | bytes) -> None:
    with pytest.raises(UsageError, match="not a Record") as caught:
        from_line(line)

    assert caught.value.code == "bad_record"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scores", {"Sexual": math.nan}),
        ("scores", {"Sexual": 1.01}),
        ("scores", {"Sexual": -0.01}),
        ("scores", {"Nudity": 0.5}),
        ("labels", {"Nudity": "nsfw"}),
        ("labels", {"Sexual": 1}),
        ("labels", ["nsfw"]),
        ("regions", [{"label": "a", "score": math.nan, "box": [0, 0, 1, 1]}]),
        ("regions", [{"label": "a", "score": 1.5, "box": [0, 0, 1, 1]}]),
        ("regions", [{"label": "a", "score": 0.5, "box": [0, 0, 1]}]),
        ("regions", [{"label": "a", "score": 0.5, "box": [0, 0, 1, 1.5]}]),
        ("times_ms", {"decode": math.inf}),
        ("times_ms", {"decode": "soon"}),
        ("action", "allowed"),
        ("frames", True),
        ("width", "wide"),
        ("models", "nudenet-320n@3.4.2"),
        ("failure", {"stage": "decode", "code": "no_such_code", "message": ""}),
        ("embedding", [0.5, math.nan]),
        ("embedding", ["a"]),
    ],
)
def test_values_that_are_no_evidence(key: str, value: object) -> None:
    with pytest.raises(UsageError, match="not a Record"):
        from_line(json.dumps(to_dict(FULL) | {key: value}))


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f"{to_line(FULL)}\n\n{to_line(STILL)}\n", encoding="ascii")

    assert [to_line(record) for record in read_jsonl(path)] == [to_line(FULL), to_line(STILL)]


def test_a_bad_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f"{to_line(FULL)}\n\nnot a record\n", encoding="ascii")
    read = read_jsonl(path)

    assert next(read).key == FULL.key
    with pytest.raises(UsageError, match=r"r\.jsonl, line 3: not a Record") as caught:
        next(read)
    assert caught.value.code == "bad_record"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(VedetteError) as missing:
        list(read_jsonl(tmp_path / "missing.jsonl"))
    with pytest.raises(VedetteError) as folder:
        list(read_jsonl(tmp_path))

    assert missing.value.code == "not_found"
    assert folder.value.code == "unreadable"
