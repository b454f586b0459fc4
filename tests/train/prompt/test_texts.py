"""Where prompts start: sentences of templates, and what is no template."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.errors import UnknownNameError, UsageError
from vedette.taxonomy import Category
from vedette.train.examples import UNSAFE
from vedette.train.prompt.options import SAFE_TEXT, UNSAFE_TEXT, PromptOptions
from vedette.train.prompt.texts import sentences

EVERY = tuple(category.value for category in Category)


def test_a_label_has_its_category_and_its_definition() -> None:
    made = sentences("{category} ({definition}), {category}", EVERY, "--safe-text")

    assert made[Category.SELF_HARM.position] == (
        f"self-harm ({Category.SELF_HARM.definition}), self-harm"
    )
    assert len(set(made)) == len(EVERY)


def test_the_paper_s_templates_are_eight_words_with_the_longest_category() -> None:
    for template in (SAFE_TEXT, UNSAFE_TEXT):
        made = sentences(template, EVERY, "--safe-text")
        assert max(len(sentence.split()) for sentence in made) == 8


def test_the_one_label_of_a_set_without_categories_has_words_too() -> None:
    assert sentences(UNSAFE_TEXT, (UNSAFE,), "") == ["an unsafe image of unsafe content"]


@pytest.mark.parametrize(
    "template",
    ["{kind}", "{category.__class__}", "{", "a } b", "{}", "{{category}}", "", " .,! ", "a" * 1001],
)
def test_what_is_no_template_is_refused_with_the_options_name(template: str) -> None:
    with pytest.raises(UsageError, match="--unsafe-text"):
        sentences(template, EVERY, "--unsafe-text")
    with pytest.raises(UsageError, match="--unsafe-text"):
        PromptOptions(unsafe_text=template)


@given(st.text(max_size=40))
def test_any_text_is_sentences_or_a_clear_error(template: str) -> None:
    try:
        made = sentences(template, ("Hate", UNSAFE), "--safe-text")
    except UsageError:
        return
    assert len(made) == 2
    if "{" not in template:
        assert made == [template, template]


@pytest.mark.parametrize(
    "wrong",
    [
        {"vectors": 0},
        {"epochs": 0},
        {"batch": 0},
        {"patience": -1},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": 1e30},
        {"init": "means"},
    ],
)
def test_options_that_no_training_can_be_made_with(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        PromptOptions(**wrong)  # type: ignore[arg-type]


def test_a_form_and_a_start_that_there_are_not() -> None:
    with pytest.raises(UnknownNameError):
        PromptOptions(form="coops")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError):
        PromptOptions(init="txt")  # type: ignore[arg-type]
