"""Texts into CLIP's space: what zero-shot classes and concepts are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vedette.compile.cache import cached, file_sha256
from vedette.extras import require
from vedette.networks.clip import ClipConfig, text_module
from vedette.networks.files import unusable
from vedette.types import Float32

_VERSION = "clip-text-1"
_TOKENIZER = "tokenizer.json"


def text_embeddings(config: ClipConfig, texts: Sequence[str]) -> Float32:
    """One L2-normalised row for each text, float32 [texts, dim]; made once and kept.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``, the tokenizer's file included.
        MissingExtraError: torch or transformers is not installed, and they were not made before.
    """
    tokenizer = config.folder / _TOKENIZER
    if not tokenizer.is_file():
        raise unusable(tokenizer, "the checkpoint's tokenizer is not there")
    key = [_VERSION, *(file_sha256(p) for p in (config.weights, config.config_file, tokenizer))]

    def make(path: Path) -> None:
        np.save(path, _embedded(config, texts))

    rows: Float32 = np.load(cached([*key, *texts], ".npy", make))
    return rows


def text_tokens(config: ClipConfig, texts: Sequence[str]) -> list[list[int]]:
    """The token ids of each text, with the marks for its start and its end; no text is cut.

    Raises:
        ModelError: ``weights_unusable``: the tokenizer is missing, or another network's.
        MissingExtraError: tokenizers is not installed.
    """
    encoder = text_encoder(config)
    found = [encoder.encode(text.lower()).ids for text in texts]
    if any(len(ids) < 3 or max(ids) >= config.vocabulary for ids in found):
        raise unusable(config.folder / _TOKENIZER, "its tokens are not the text tower's")
    return found


def text_encoder(config: ClipConfig) -> Any:
    """The checkpoint's own tokenizer, of the tokenizers library, which neither pads nor cuts.

    Raises:
        ModelError: ``weights_unusable``: it is missing, or none.
        MissingExtraError: tokenizers is not installed.
    """
    path = config.folder / _TOKENIZER
    if not path.is_file():
        raise unusable(path, "the checkpoint's tokenizer is not there")
    tokens = require("tokenizers", extra="zoo")
    try:
        encoder = tokens.Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise unusable(path, f"not a tokenizer: {error}") from error
    encoder.no_padding()
    encoder.no_truncation()
    return encoder


def _embedded(config: ClipConfig, texts: Sequence[str]) -> Float32:
    torch = require("torch", extra="zoo")
    tokens = text_tokens(config, texts)
    network = text_module(config)
    rows = []
    with torch.no_grad():
        for ids in tokens:
            # Too long: cut, but for the end-of-text token, where CLIP reads the text's embedding.
            ids = [*ids[: config.context - 1], ids[-1]]
            row = network(input_ids=torch.tensor([ids])).text_embeds[0]
            rows.append((row / row.norm()).numpy())
    return np.stack(rows).astype(np.float32)
