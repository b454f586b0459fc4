from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.heads.published import SHARED_HEADS, embeddings, needs_heads
from vedette.errors import UsageError
from vedette.heads.concepts import NEUTRAL, Concepts, ZeroShot, read_concepts
from vedette.taxonomy import Category

TOML = """
[weapons]
category = "violence"
[weapons.concepts]
"a gun" = 0.21
"a knife" = 0.22
[both]
category = ["Hate", "political"]
[both.concepts]
"a flag" = 0.2
[Self-Harm.concepts]
"a wound" = 0.2
[context.concepts]
"a child" = -0.1
"""
THRESHOLDS = {"a gun": 0.21, "a knife": 0.22, "a flag": 0.2, "a wound": 0.2, "a child": -0.1}


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# Scores


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def test_concepts_are_cosines_minus_thresholds() -> None:
    texts, rows = embeddings(5, 16, seed=1), 7 * embeddings(30, 16)
    thresholds = np.linspace(-0.2, 0.3, 5).astype(np.float32)
    head = Concepts(tuple("abcde"), texts, thresholds)

    scores = head.scores(rows)

    wanted = [
        [cosine(row, text) - at for text, at in zip(texts.tolist(), thresholds, strict=True)]
        for row in rows.tolist()
    ]
    assert head.dim == 16
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-6)
    probabilities = head.probabilities(scores)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-100.0 * scores)), atol=1e-6)
    np.testing.assert_array_equal(probabilities > 0.5, scores > 0)


def test_zero_shot_is_against_the_closest_harmless_text() -> None:
    texts, neutral, rows = embeddings(3, 16, seed=1), embeddings(4, 16, seed=2), embeddings(30, 16)
    head = ZeroShot(tuple("abc"), texts, neutral)

    scores = head.scores(3 * rows)

    for row, found in zip(rows.tolist(), scores, strict=True):
        harmless = max(cosine(row, text) for text in neutral.tolist())
        wanted = [cosine(row, text) - harmless for text in texts.tolist()]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
        logits = 100 * np.array([[c + harmless, harmless] for c in wanted])
        softmax = np.exp(logits - logits.max(axis=1, keepdims=True))
        softmax /= softmax.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(head.probabilities(found), softmax[:, 0], atol=1e-4)
    assert head.dim == 16
    assert len(NEUTRAL) == 4


def test_an_embedding_of_no_length_gives_numbers() -> None:
    nothing, texts = np.zeros((1, 16), np.float32), embeddings(2, 16)

    for head in (
        Concepts(("a", "b"), texts, np.full(2, 0.2, np.float32)),
        ZeroShot(("a", "b"), texts, texts),
    ):
        assert np.isfinite(head.probabilities(head.scores(nothing))).all()


# Files


def test_a_list_in_toml_and_in_json_is_the_same(tmp_path: Path) -> None:
    as_json = {
        "weapons": {"category": "violence", "concepts": {"a gun": 0.21, "a knife": 0.22}},
        "both": {"category": ["Hate", "political"], "concepts": {"a flag": 0.2}},
        "Self-Harm": {"concepts": {"a wound": 0.2}},
        "context": {"concepts": {"a child": -0.1}},
    }

    toml = read_concepts(written(tmp_path / "c.toml", TOML))

    assert toml == read_concepts(written(tmp_path / "c.JSON", json.dumps(as_json)))
    assert toml.thresholds == THRESHOLDS
    assert toml.counts == {
        "a gun": (Category.VIOLENCE,),
        "a knife": (Category.VIOLENCE,),
        "a flag": (Category.HATE, Category.POLITICAL),
        "a wound": (Category.SELF_HARM,),
        "a child": (),
    }


def test_lists_that_say_something_else_have_another_revision(tmp_path: Path) -> None:
    texts = [
        TOML,
        TOML.replace("0.21", "0.215"),
        TOML.replace("a gun", "a rifle"),
        TOML.replace('"violence"', '"Shocking"'),
    ]

    revisions = [read_concepts(written(tmp_path / "c.toml", text)).revision for text in texts]

    assert len(set(revisions)) == len(texts)
    assert revisions[0] == read_concepts(written(tmp_path / "d.toml", "# same\n" + TOML)).revision


@needs_heads
def test_laions_own_settings_are_read() -> None:
    pytest.importorskip("yaml")

    found = read_concepts(SHARED_HEADS / "laion/safety_settings.yml")

    assert len(found.thresholds) == 23
    assert found.thresholds["naked breasts"] == 0.214
    assert found.counts["18+"] == (Category.SEXUAL,)
    assert found.counts["baby"] == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.toml", ""),
        ("c.toml", "nothing"),
        ("c.toml", "a = 1"),
        ("c.toml", '[a]\ncategory = "Violence"'),
        ("c.toml", TOML.replace("violence", "violense")),
        ("c.toml", TOML.replace('"violence"', "7")),
        ("c.toml", TOML.replace("0.21", "1.0")),
        ("c.toml", TOML.replace("0.21", "nan")),
        ("c.toml", TOML.replace("0.21", "[]")),
        ("c.toml", TOML.replace("a flag", "a gun")),
        ("c.toml", "[a.concepts]\nx = 0.1"),
        ("c.toml", "a = " + "[" * 5000),
        ("c.json", "[]"),
        ("c.json", '{"nsfw": [1]}'),
        ("c.json", '{"nsfw": {"concepts": ["a"]}}'),
        ("c.json", "[" * 100_000),
        ("c.json", "#" * (2**20 + 1)),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, name: str, text: str) -> None:
    path = written(tmp_path / name, text)

    with pytest.raises(UsageError, match=r"c\.(toml|json)"):
        read_concepts(path)


@pytest.mark.parametrize("text", ["a: [", "a: &a [*a]", "- 1", "!!python/object:os.system {}"])
def test_what_is_no_list_in_yaml_is_refused(tmp_path: Path, text: str) -> None:
    pytest.importorskip("yaml")

    with pytest.raises(UsageError, match=r"c\.yml"):
        read_concepts(written(tmp_path / "c.yml", text))


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("latin.toml").write_bytes(b"\xff\xfe")

    for path in (tmp_path, tmp_path / "none.toml", tmp_path / "latin.toml"):
        with pytest.raises(UsageError):
            read_concepts(path)
