"""Keywords come for every category, and a file that is none is refused with a reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.curate.keywords import read_keywords
from vedette.errors import UsageError
from vedette.taxonomy import Category


def test_every_category_has_as_many_as_unsafebench_took() -> None:
    keywords = read_keywords()
    counts = Counter(keyword.category for keyword in keywords)

    assert list(counts) == list(Category)
    assert all(12 <= count <= 16 for count in counts.values())
    texts = [keyword.text for keyword in keywords]
    assert len(set(texts)) == len(texts)
    assert all(3 <= len(text.split()) <= 10 for text in texts)


def test_only_some_categories() -> None:
    keywords = read_keywords(None, [Category.SPAM, Category.HATE])

    assert list(dict.fromkeys(k.category for k in keywords)) == [Category.HATE, Category.SPAM]


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('[keywords]\nspam = ["  a\\n banner "]\n"self harm" = ["a bridge", "b"]\n')

    assert [(k.category, k.text) for k in read_keywords(path)] == [
        (Category.SELF_HARM, "a bridge"),
        (Category.SELF_HARM, "b"),
        (Category.SPAM, "a banner"),
    ]
    with pytest.raises(UsageError, match="no keywords for Hate") as caught:
        read_keywords(path, [Category.HATE])
    assert "Self-harm, Spam" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "one table"),
        ("[keywords]\n", "one table"),
        ("keywords = 3\n", "one table"),
        ('[keywords]\nSpam = ["a"]\n[more]\n', "one table"),
        ("[keywords\n", "not TOML"),
        ("x = " + "[" * 5000, "not TOML"),
        ('[keywords]\nSpamm = ["a"]\n', "no category"),
        ('[keywords]\nSpam = ["a"]\nspam = ["b"]\n', "there twice"),
        ('[keywords]\nSpam = ["a", "A"]\n', "there twice"),
        ('[keywords]\nSpam = "a"\n', "not a list"),
        ("[keywords]\nSpam = []\n", "not a list"),
        ("[keywords]\nSpam = [3]\n", "no phrase"),
        ('[keywords]\nSpam = ["?!"]\n', "no phrase"),
        ('[keywords]\nSpam = ["a\\u202eb"]\n', "not printable"),
        (f'[keywords]\nSpam = ["{"a" * 301}"]\n', "longer than"),
        ("#" * 2**20 + "\n", "larger than"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(UsageError, match=why):
        read_keywords(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_keywords(tmp_path / "none.toml")
    assert caught.value.code == "not_found"
    with pytest.raises(UsageError, match="cannot read"):
        read_keywords(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not text"):
        read_keywords(tmp_path / "bytes.toml")


values = st.recursive(
    st.text(max_size=5) | st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=4
)


@given(st.text(max_size=60) | values.map(lambda v: f"[keywords]\nSpam = {v!r}\n"))
def test_any_text_is_a_list_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="replace")

    try:
        keywords = read_keywords(path)
    except UsageError:
        return
    assert keywords
