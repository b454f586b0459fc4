"""Tiny vision-language checkpoints with random weights, laid out as on the model hub.

The architecture is LLaVA-1.5's: a CLIP image tower, a projector, a Llama. The tokenizer knows the
words of Vedette's own prompts, and no others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
)

from tests import zoo
from vedette.networks.vlm_prompt import answers_of, question
from vedette.taxonomy import Category

IMAGE, PATCH = 32, 8
"""px"""
HIDDEN = 64
_SPECIAL = ("<unk>", "<s>", "</s>", "<image>", "<pad>")
CHAT = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ ' ' }}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
"""LLaVA-1.5's conversation: ``USER: <image>\\n... ASSISTANT:``"""


def tokenizer() -> Tokenizer:
    """A word for each word of the prompts."""
    splitting = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    everything = tuple(Category)
    texts = ["USER: ASSISTANT: 1 2 3", question(everything), *answers_of(everything)]
    words = {word for text in texts for word, _ in splitting.pre_tokenize_str(text)}
    ids = {word: index for index, word in enumerate((*_SPECIAL, *sorted(words)))}
    made = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    made.pre_tokenizer = splitting
    made.add_special_tokens(list(_SPECIAL))
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", ids["<s>"])]
    )
    return made


def config(vocabulary: int, window: int | None = None) -> LlavaConfig:
    """A LLaVA of two layers here and there; ``window``: over a Mistral that sees so many tokens."""
    shape: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 4,
    }
    text: Any = LlamaConfig(**shape)
    if window is not None:
        text = MistralConfig(**shape, sliding_window=window)
    return LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=IMAGE,
            patch_size=PATCH,
            projection_dim=32,
        ),
        text_config=text,
        image_token_index=3,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )


def llava(folder: Path, seed: int = 0, shard: str | None = None, window: int | None = None) -> Path:
    """A LLaVA checkpoint as its repositories have it.

    Args:
        folder: to be made.
        seed: of the weights.
        shard: size of one weights' file, where they are to be in several.
        window: see :func:`config`.
    """
    words = tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = LlavaForConditionalGeneration(config(words.get_vocab_size(), window)).eval()
        with torch.no_grad():
            for name, weights in network.named_parameters():
                if weights.ndim > 1:
                    scale = 1.0 if "embed" in name else 0.15
                    weights.copy_(torch.randn(weights.shape) * scale)
    network.save_pretrained(folder, max_shard_size=shard or "1GB")
    words.save(str(folder / "tokenizer.json"))
    zoo.write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "LlamaTokenizerFast",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": "<pad>",
            "image_token": "<image>",
            "model_max_length": 2048,
            "processor_class": "LlavaProcessor",
        },
    )
    zoo.write_json(folder / "preprocessor_config.json", preprocessor())
    zoo.write_json(
        folder / "processor_config.json",
        {
            "image_token": "<image>",
            "num_additional_image_tokens": 1,
            "patch_size": PATCH,
            "processor_class": "LlavaProcessor",
            "vision_feature_select_strategy": "default",
        },
    )
    zoo.write_json(folder / "chat_template.json", {"chat_template": CHAT})
    return folder


def preprocessor(**more: Any) -> dict[str, Any]:
    """What LLaVA's repositories have in ``preprocessor_config.json``."""
    return {
        **zoo.clip_preprocessor(),
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "LlavaProcessor",
        **more,
    }
