"""A vision-language model under the same attacks: a LLaVA, tiny and with random weights."""

from __future__ import annotations

import pytest
import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from vedette.backends.base import PixelNorm
from vedette.bench.attacks.answers import answer_module
from vedette.bench.attacks.base import Budget
from vedette.bench.attacks.checks import check
from vedette.bench.attacks.registry import attack

IMAGE, PATCH, IMAGE_TOKEN = 16, 8, 60
PATCHES = (IMAGE // PATCH) ** 2
PROMPT = (1, 5, *([IMAGE_TOKEN] * PATCHES), 9, 12, 7)
SAFE, UNSAFE = (20, 21), (30,)
NORM = PixelNorm((0.48, 0.46, 0.41), (0.27, 0.26, 0.28))


@pytest.fixture(scope="module")
def llava() -> LlavaForConditionalGeneration:
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        image_size=IMAGE, patch_size=PATCH,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE_TOKEN)
    network = LlavaForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)  # so that pictures change the answer
    return network


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.rand(12, 3, IMAGE, IMAGE, generator=torch.Generator().manual_seed(1))


def test_it_says_what_the_network_would_answer(
    llava: LlavaForConditionalGeneration, pixels: torch.Tensor
) -> None:
    module = answer_module(llava, PROMPT, SAFE, UNSAFE, NORM)
    mean, std = (torch.tensor(one).reshape(1, 3, 1, 1) for one in (NORM.mean, NORM.std))
    for k in range(4):
        with torch.no_grad():
            whole = llava(
                input_ids=torch.tensor([PROMPT]),
                pixel_values=((pixels[k : k + 1] - mean) / std),
            ).logits[0, -1]
        probabilities = whole.softmax(0)
        expected = probabilities[list(UNSAFE)].sum() / probabilities[[*SAFE, *UNSAFE]].sum()
        assert module(pixels[k : k + 1]).softmax(1)[0, 1] == pytest.approx(
            float(expected), abs=1e-5
        )


@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd-margin", "deepfool"])
def test_attacks_turn_the_answer(
    llava: LlavaForConditionalGeneration, pixels: torch.Tensor, name: str
) -> None:
    module = answer_module(llava, PROMPT, SAFE, UNSAFE, NORM)
    labels = module(pixels).argmax(1)
    done = attack(name).run(module, pixels, labels, Budget(64 / 255, 20), range(12))

    assert done.fooled.any()
    turned = module(done.pixels).argmax(1) != labels
    assert torch.equal(turned, done.fooled)


def test_it_passes_the_checks(llava: LlavaForConditionalGeneration, pixels: torch.Tensor) -> None:
    module = answer_module(llava, PROMPT, SAFE, UNSAFE, NORM)
    labels = module(pixels).argmax(1)

    assert check(module, pixels, labels, Budget(4 / 255), range(12)) == ()


def test_answers_need_tokens_of_their_own(llava: LlavaForConditionalGeneration) -> None:
    for safe, unsafe in (((), (3,)), ((3,), (3, 4))):
        with pytest.raises(ValueError, match="tokens of their own"):
            answer_module(llava, PROMPT, safe, unsafe, NORM)
