"""The probabilities of answers are those of plain transformers, one whole pass for each answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForImageTextToText, AutoProcessor

from tests import vlm_zoo, zoo
from tests.pictures import drawn
from vedette.errors import ModelError
from vedette.models.recipe import from_transformers
from vedette.networks.vlm import VlmNetwork, open_network
from vedette.networks.vlm_answers import Asked, asked, joined, log_odds, log_probabilities, shared
from vedette.networks.vlm_files import read_vlm
from vedette.networks.vlm_prompt import answers_of, question
from vedette.taxonomy import Category

SCOPES = [
    (Category.HATE, Category.VIOLENCE),
    (Category.SPAM,),
    tuple(Category),
]
SQUARES = np.stack([np.asarray(drawn(seed, 32, 32)) for seed in (1, 2, 3)])


def opened(folder: Path) -> VlmNetwork:
    files = read_vlm(folder)
    recipe = from_transformers(files.pictures, files.pictures_path)
    return open_network(files, recipe.crop, recipe.norm)


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vlm_zoo.llava(tmp_path_factory.mktemp("vlm") / "llava")


@pytest.fixture(scope="module")
def network(llava: Path) -> VlmNetwork:
    return opened(llava)


def reference(folder: Path, scope: Sequence[Category]) -> Any:
    """Log-probabilities [pictures, answers], as anybody would compute them with transformers."""
    model: Any = AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor: Any = AutoProcessor.from_pretrained(folder)
    parts = [{"type": "image"}, {"type": "text", "text": question(scope)}]
    said = [{"role": "user", "content": parts}]
    start = processor.apply_chat_template(said, add_generation_prompt=True)
    told = []
    for square in SQUARES:
        image = PIL.Image.fromarray(square)
        before = processor(images=image, text=start, return_tensors="pt")["input_ids"].shape[1]
        row = []
        for answer in answers_of(scope):
            fed = processor(images=image, text=f"{start} {answer}", return_tensors="pt")
            with torch.no_grad():
                logits = model(**fed).logits[0]
            tokens = fed["input_ids"][0]
            each = logits[:-1].log_softmax(-1)[torch.arange(len(tokens) - 1), tokens[1:]]
            row.append(float(each[before - 1 :].sum()))
        told.append(row)
    return np.array(told)


@pytest.mark.parametrize("scope", SCOPES, ids=len)
def test_log_probabilities_are_those_of_whole_passes(
    llava: Path, network: VlmNetwork, scope: tuple[Category, ...]
) -> None:
    with torch.inference_mode():
        ours = log_probabilities(network, asked(network, scope), network.normalised(SQUARES))

    expected = reference(llava, scope)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=1e-4)
    assert np.ptp(expected, axis=0).min() > 0.01, "pictures make a difference"


def test_a_network_that_forgets_what_is_far_away_gives_the_same_as_whole_passes(
    tmp_path: Path,
) -> None:
    folder = vlm_zoo.llava(tmp_path / "windowed", window=24)
    network = opened(folder)

    with torch.inference_mode():
        ours = log_probabilities(network, asked(network, SCOPES[0]), network.normalised(SQUARES))

    np.testing.assert_allclose(ours.numpy(), reference(folder, SCOPES[0]), rtol=0, atol=1e-4)


@st.composite
def prefix_free(draw: st.DrawFn) -> tuple[tuple[int, ...], ...]:
    tokens = st.lists(st.integers(5, 8), min_size=1, max_size=4).map(tuple)
    rows = draw(st.lists(tokens, min_size=2, max_size=8, unique=True))
    kept: list[tuple[int, ...]] = []
    for row in sorted(rows, key=len):
        if not any(row[: len(one)] == one for one in kept):
            kept.append(row)
    return tuple(draw(st.permutations(kept)))


@settings(max_examples=40)
@given(prefix_free())
def test_any_tree_of_answers_is_walked_to_its_leaves(
    network: VlmNetwork, answers: tuple[tuple[int, ...], ...]
) -> None:
    prefix = asked(network, SCOPES[1]).prefix
    pixels = network.normalised(SQUARES[:2])

    with torch.inference_mode():
        found = log_probabilities(network, Asked(SCOPES[1], prefix, answers), pixels)
        for column, answer in enumerate(answers):
            ids = torch.tensor([prefix + answer] * 2)
            logits = network.model(input_ids=ids, pixel_values=pixels).logits.log_softmax(-1)
            each = logits[:, len(prefix) - 1 : -1].gather(2, ids[:, len(prefix) :, None])
            torch.testing.assert_close(found[:, column], each[..., 0].sum(1), rtol=0, atol=1e-4)


def test_a_categorys_odds_are_its_answers_share(network: VlmNetwork) -> None:
    with torch.inference_mode():
        found = log_probabilities(network, asked(network, SCOPES[2]), network.normalised(SQUARES))
        odds = log_odds(found)

    torch.testing.assert_close(odds.sigmoid(), found.softmax(dim=1)[:, 1:])
    assert bool((found.exp().sum(1) < 1).all())


def test_a_picture_is_judged_alike_whoever_is_beside_it(network: VlmNetwork) -> None:
    question_ = asked(network, SCOPES[0])
    with torch.inference_mode():
        together = log_probabilities(network, question_, network.normalised(SQUARES))
        alone = log_probabilities(network, question_, network.normalised(SQUARES[1:2]))

    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-5)


def test_the_question_lists_the_scope_and_nothing_else(network: VlmNetwork) -> None:
    text = network.processor.tokenizer.decode(asked(network, SCOPES[0]).prefix)

    assert "- Hate :" in text
    assert "- Violence :" in text
    assert "Spam" not in text
    assert text.count("<image>") == 16, "a place for each patch of the picture"
    assert text.count("<s>") == 1


def test_a_template_that_writes_the_first_token_itself_does_not_get_it_twice(
    tmp_path: Path,
) -> None:
    folder = vlm_zoo.llava(tmp_path / "llava")
    zoo.write_json(folder / "chat_template.json", {"chat_template": "<s>" + vlm_zoo.CHAT})

    prefix = asked(opened(folder), SCOPES[0]).prefix

    assert prefix.count(1) == 1
    assert prefix[0] == 1


def test_llava_has_its_own_conversation_where_no_template_comes_with_it(
    llava: Path, network: VlmNetwork, tmp_path: Path
) -> None:
    folder = vlm_zoo.llava(tmp_path / "llava")
    (folder / "chat_template.json").unlink()

    assert asked(opened(folder), SCOPES[0]) == asked(network, SCOPES[0])


def test_a_tokenizer_that_does_not_know_the_categories_is_refused(
    llava: Path, tmp_path: Path
) -> None:
    folder = vlm_zoo.llava(tmp_path / "llava")
    path = folder / "tokenizer.json"
    text = path.read_text().replace('"Hate"', '"H4te"').replace('"Violence"', '"V1olence"')
    path.write_text(text)

    with pytest.raises(ModelError, match="cannot tell the answers apart"):
        asked(opened(folder), SCOPES[0])


@pytest.mark.parametrize(
    ("start", "whole"), [("ASSISTANT:", "ASSISTANT: safe"), ("a\n", "a\nsafe"), ("a ", "a safe")]
)
def test_an_answer_is_one_space_away(start: str, whole: str) -> None:
    assert joined(start, "safe") == whole


def test_what_rows_begin_with() -> None:
    assert shared([(1, 2, 3), (1, 2, 4), (1, 2)]) == 2
    assert shared([(1, 2), (3,)]) == 0
    assert shared([(1, 2)]) == 2
