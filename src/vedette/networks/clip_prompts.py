"""CLIP's text tower run on vectors in place of words: what soft prompts are learned through.

Source: Zhou et al., "Learning to Prompt for Vision-Language Models" (IJCV 2022), CoOp.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vedette.compile.quiet import quiet
from vedette.extras import require
from vedette.networks.clip import ClipConfig, text_module
from vedette.networks.clip_text import text_encoder, text_tokens
from vedette.networks.files import unusable
from vedette.types import Float32

_MARKS = 2
"""Tokens around a text: its start and its end."""


class PromptTower:
    """A frozen text tower. Gradients flow through it to the vectors, and never into it.

    Sequences are as long as their vectors and the two marks, not as long as the tower admits: it
    is causal, so that nothing after the end-of-text token reaches the embedding.

    Args:
        config: from :func:`vedette.networks.clip.read_clip_config`.
        device: where it runs, as torch names it.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``: also without a text tower, or with
            a tokenizer that is not its own.
        MissingExtraError: a library of the extra ``zoo`` is not installed.
    """

    def __init__(self, config: ClipConfig, device: str = "cpu") -> None:
        self.config = config
        start, *_, end = text_tokens(config, ["a"])[0]
        if start >= end:
            # The tower reads a text's embedding where the id is highest.
            raise unusable(config.folder, "its end-of-text token is not its highest")
        with quiet():
            self.network = text_module(config).requires_grad_(False).to(device)
        self.device = device
        self._marks = (start, end)

    @property
    def width(self) -> int:
        """Of a token's embedding."""
        return int(self._table.shape[1])

    @property
    def room(self) -> int:
        """Vectors that a prompt may have, at most."""
        return self.config.context - _MARKS

    @property
    def _table(self) -> Any:
        return self.network.get_input_embeddings().weight

    def __call__(self, vectors: Any) -> Any:
        """L2-normalised embeddings, a tensor [n, dim], of prompts [n, vectors, width].

        A prompt is the start mark, its vectors, and the end-of-text mark, whose place the tower
        pools at.
        """
        torch = require("torch", extra="zoo")
        start, end = self._marks
        n, count, _ = vectors.shape
        ids = torch.zeros((n, count + _MARKS), dtype=torch.long, device=self.device)
        ids[:, 0], ids[:, -1] = start, end
        marks = self._table[[start, end]].expand(n, -1, -1)
        whole = torch.cat([marks[:, :1], vectors, marks[:, 1:]], dim=1)
        # The network itself is called, with the ids' embeddings exchanged on the way: pooling,
        # positions and the causal mask stay its own.
        hook = self.network.get_input_embeddings().register_forward_hook(lambda *_: whole)
        try:
            embedded = self.network(input_ids=ids).text_embeds
        finally:
            hook.remove()
        return torch.nn.functional.normalize(embedded, dim=-1)

    def started_from(self, texts: Sequence[str], count: int) -> tuple[Float32, int]:
        """The token embeddings that prompts of ``count`` vectors start from.

        A text of fewer tokens is repeated until the vectors are full; of a longer one the first
        ``count`` are taken.

        Returns:
            float32 [texts, count, width], and how many of the texts were cut.
        """
        inner = [ids[1:-1] for ids in text_tokens(self.config, texts)]
        table = self._table.detach().cpu().numpy()
        filled = [(ids * count)[:count] for ids in inner]
        rows = np.stack([table[ids] for ids in filled]).astype(np.float32)
        return rows, sum(len(ids) > count for ids in inner)

    def nearest(self, vectors: Float32) -> list[list[str]]:
        """For each prompt of ``vectors`` [n, vectors, width], the tokens nearest to its vectors.

        By Euclidean distance to the tokens' embeddings, as CoOp's authors look at theirs. What
        stands there is seldom a sentence: the vectors are free to be between words.
        """
        torch = require("torch", extra="zoo")
        encoder = text_encoder(self.config)
        flat = torch.from_numpy(vectors.reshape(-1, vectors.shape[-1])).to(self.device)
        with torch.no_grad():
            ids = torch.cat([torch.cdist(part, self._table).argmin(1) for part in flat.split(64)])
        words = [encoder.id_to_token(i) or "" for i in ids.tolist()]
        count = vectors.shape[1]
        return [words[at : at + count] for at in range(0, len(words), count)]
