"""The safety checker inside a pipeline of diffusers itself: a tiny one, with random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.adapters.test_diffusers import Failing
from vedette import Action, Scanner
from vedette.adapters.diffusers import SafetyChecker

SIDE = 16


@pytest.fixture(scope="module")
def pipe() -> Any:
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.manual_seed(0)
    denoiser = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        norm_num_groups=4,
        attention_head_dim=4,
    )
    autoencoder = diffusers.AutoencoderKL(
        block_out_channels=(8,), latent_channels=4, norm_num_groups=4, sample_size=SIDE
    )
    texts = CLIPTextConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8,
    )
    made = diffusers.StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=CLIPTextModel(texts),
        tokenizer=None,
        unet=denoiser,
        scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=CLIPImageProcessorPil(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        requires_safety_checker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def generated(pipe: Any, checker: SafetyChecker | None, output: str = "np") -> Any:
    """Two pictures, the same ones in each call, and what the pipeline says of them."""
    pipe.safety_checker = checker
    prompts = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(1))
    return pipe(
        prompt_embeds=prompts,
        negative_prompt_embeds=torch.zeros_like(prompts),
        num_inference_steps=1,
        height=SIDE,
        width=SIDE,
        output_type=output,
        generator=torch.Generator().manual_seed(2),
    )


@pytest.mark.parametrize("output", ["np", "pt", "pil"])
def test_what_is_not_flagged_is_what_it_was(pipe: Any, output: str) -> None:
    plain = generated(pipe, None, output)
    with Scanner("dummy") as scanner:
        found = generated(pipe, SafetyChecker(scanner, flag=Action.BLOCK), output)

    assert plain.nsfw_content_detected is None
    assert found.nsfw_content_detected == [False, False]
    for mine, other in zip(found.images, plain.images, strict=True):
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(other))


@pytest.mark.parametrize("output", ["np", "pt", "pil"])
def test_what_is_flagged_comes_out_black(pipe: Any, output: str) -> None:
    with Scanner("dummy") as scanner:
        found = generated(pipe, SafetyChecker(scanner, flag=Action.ALLOW), output)

    assert found.nsfw_content_detected == [True, True]
    assert not np.any([np.asarray(one) for one in found.images])


def test_what_cannot_be_scanned_comes_out_black(pipe: Any) -> None:
    with Scanner(Failing()) as scanner:
        found = generated(pipe, SafetyChecker(scanner, flag=Action.BLOCK))

    assert found.nsfw_content_detected == [True, True]
    assert not found.images.any()
