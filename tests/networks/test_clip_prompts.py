"""The text tower on given vectors: held to the same tower on words, in both layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, processors

from tests import zoo
from tests.models.test_clip import DIM, openclip_twin
from vedette.errors import ModelError
from vedette.networks.clip import ClipConfig, read_clip_config, text_module
from vedette.networks.clip_prompts import PromptTower
from vedette.networks.clip_text import text_embeddings, text_tokens

SENTENCES = ("a dog", "red circle", "s", "nothing here at all")


@pytest.fixture(scope="module")
def transformers_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.clip(tmp_path_factory.mktemp("clip") / "clip", DIM)


@pytest.fixture(scope="module", params=["transformers", "openclip"])
def config(
    request: pytest.FixtureRequest,
    transformers_layout: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> ClipConfig:
    if request.param == "transformers":
        return read_clip_config(transformers_layout)
    folder = tmp_path_factory.mktemp("openclip") / "twin"
    twin = openclip_twin(transformers_layout, folder, "quick_gelu")
    zoo.tokenizer().save(str(twin / "tokenizer.json"))
    return read_clip_config(twin)


def words(config: ClipConfig, text: str) -> int:
    return len(text_tokens(config, [text])[0]) - 2


def test_prompts_that_are_a_texts_own_embeddings_are_that_text(config: ClipConfig) -> None:
    tower = PromptTower(config)
    wanted = text_embeddings(config, SENTENCES)

    for text, row in zip(SENTENCES, wanted, strict=True):
        vectors, cut = tower.started_from([text], words(config, text))
        with torch.no_grad():
            (found,) = tower(torch.from_numpy(vectors)).numpy()

        assert cut == 0
        np.testing.assert_allclose(found, row, atol=1e-5)


@pytest.mark.parametrize("filler", [0, zoo.VOCABULARY - 1], ids=["zeros", "end-of-text"])
def test_nothing_after_the_end_of_text_reaches_the_embedding(
    config: ClipConfig, filler: int
) -> None:
    (ids,) = text_tokens(config, ["a red dog"])
    padded = torch.full((1, config.context), filler)
    padded[0, : len(ids)] = torch.tensor(ids)
    assert padded[0, -1] == filler
    tower = PromptTower(config)
    vectors, _ = tower.started_from(["a red dog"], len(ids) - 2)

    with torch.no_grad():
        full = text_module(config)(input_ids=padded).text_embeds
        (short,) = tower(torch.from_numpy(vectors)).numpy()

    np.testing.assert_allclose(short, torch.nn.functional.normalize(full)[0].numpy(), atol=1e-5)


def test_every_vector_has_a_gradient_and_no_weight_of_the_tower_has(config: ClipConfig) -> None:
    tower = PromptTower(config)
    vectors = torch.randn(3, 5, tower.width, requires_grad=True)

    tower(vectors)[:, 0].sum().backward()

    assert vectors.grad is not None
    assert (vectors.grad.abs().amax(dim=-1) > 0).all()
    assert all(one.grad is None for one in tower.network.parameters())


def test_prompts_do_not_look_at_each_other(config: ClipConfig) -> None:
    tower = PromptTower(config)
    vectors = torch.randn(4, 6, tower.width)

    with torch.no_grad():
        together = tower(vectors).numpy()
        alone = [tower(one[None])[0].numpy() for one in vectors]

    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)


def test_a_call_with_words_is_as_before_after_a_call_with_vectors(config: ClipConfig) -> None:
    tower = PromptTower(config)
    ids = torch.tensor(text_tokens(config, ["a dog"]))
    with torch.no_grad():
        before = tower.network(input_ids=ids).text_embeds
        tower(torch.randn(1, 3, tower.width))
        after = tower.network(input_ids=ids).text_embeds

    assert torch.equal(before, after)


def test_short_texts_are_repeated_and_long_ones_cut(config: ClipConfig) -> None:
    tower = PromptTower(config)
    short, _ = tower.started_from(["ab"], 5)
    letters, _ = tower.started_from(["ab", "abab"], 2)

    again, cut = tower.started_from(["ab", "abab", "abababab"], 5)

    assert cut == 1
    np.testing.assert_array_equal(again[0], short[0])
    np.testing.assert_array_equal(short[0, :2], letters[0])
    np.testing.assert_array_equal(short[0, 2:4], letters[0])
    np.testing.assert_array_equal(short[0, 4], letters[0, 0])


def test_the_tokens_nearest_to_a_texts_own_embeddings_are_its_tokens(config: ClipConfig) -> None:
    tower = PromptTower(config)
    vectors, _ = tower.started_from(["dog", "cat"], 3)

    assert tower.nearest(vectors + np.float32(1e-4)) == [["d", "o", "g</w>"], ["c", "a", "t</w>"]]


def test_a_prompt_as_long_as_the_tower_reads(config: ClipConfig) -> None:
    tower = PromptTower(config)

    with torch.no_grad():
        row = tower(torch.randn(1, tower.room, tower.width))

    assert tower.room == config.context - 2
    assert torch.isfinite(row).all()


def test_a_tokenizer_of_another_network_is_refused(tmp_path: Path) -> None:
    folder = zoo.clip(tmp_path / "clip", DIM)
    other: Any = zoo.tokenizer()
    other.add_special_tokens([AddedToken(f"<{number}>") for number in range(9)])
    other.post_processor = processors.TemplateProcessing(
        single="<8> $A <|endoftext|>",
        special_tokens=[("<8>", zoo.VOCABULARY + 8), ("<|endoftext|>", zoo.VOCABULARY - 1)],
    )
    other.save(str(folder / "tokenizer.json"))
    with pytest.raises(ModelError) as told:
        PromptTower(read_clip_config(folder))
    assert told.value.code == "weights_unusable"


def test_an_end_that_the_tower_would_not_pool_at_is_refused(tmp_path: Path) -> None:
    folder = zoo.clip(tmp_path / "clip", DIM)
    turned: Any = zoo.tokenizer()
    turned.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A <|startoftext|>",
        special_tokens=[
            ("<|startoftext|>", zoo.VOCABULARY - 2),
            ("<|endoftext|>", zoo.VOCABULARY - 1),
        ],
    )
    turned.save(str(folder / "tokenizer.json"))

    with pytest.raises(ModelError, match="end-of-text"):
        PromptTower(read_clip_config(folder))


def test_without_a_tokenizer_there_are_no_prompts(tmp_path: Path) -> None:
    folder = zoo.clip(tmp_path / "clip", DIM)
    (folder / "tokenizer.json").unlink()

    with pytest.raises(ModelError, match="tokenizer is not there"):
        PromptTower(read_clip_config(folder))
