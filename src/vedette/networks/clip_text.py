"""Texts into CLIP's space: what zero-shot classes and concepts are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vedette.compile.cache import cached, file_sha256
from vedette.extras import require
from vedette.networks.clip import ClipConfig, text_module
from vedette.networks.files import unusable
from vedette.types import Float32

_VERSION = "clip-text-1"


def text_embeddings(config: ClipConfig, texts: Sequence[str]) -> Float32:
    """One L2-normalised row for each text, float32 [texts, dim]; made once and kept.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``, the tokenizer's file included.
        MissingExtraError: torch or transformers is not installed, and they were not made before.
    """
    tokenizer = config.folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise unusable(tokenizer, "the checkpoint's tokenizer is not there")
    key = [_VERSION, *(file_sha256(p) for p in (config.weights, config.config_file, tokenizer))]

    def make(path: Path) -> None:
        np.save(path, _embedded(config, texts, tokenizer))

    rows: Float32 = np.load(cached([*key, *texts], ".npy", make))
    return rows


def _embedded(config: ClipConfig, texts: Sequence[str], tokenizer: Path) -> Float32:
    torch = require("torch", extra="zoo")
    tokens = require("tokenizers", extra="zoo")
    try:
        encoder = tokens.Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # tokenizers raises bare Exception
        raise unusable(tokenizer, f"not a tokenizer: {error}") from error
    encoder.no_padding()
    encoder.no_truncation()
    network = text_module(config)
    rows = []
    with torch.no_grad():
        for text in texts:
            ids = encoder.encode(text.lower()).ids
            if len(ids) < 3 or max(ids) >= config.vocabulary:
                raise unusable(tokenizer, "its tokens are not the text tower's")
            # Too long: cut, but for the end-of-text token, where CLIP reads the text's embedding.
            ids = [*ids[: config.context - 1], ids[-1]]
            row = network(input_ids=torch.tensor([ids])).text_embeds[0]
            rows.append((row / row.norm()).numpy())
    return np.stack(rows).astype(np.float32)
