"""Examples as tensors: tokens, padded, and which of them are learned."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vedette.extras import require
from vedette.networks.vlm import VlmNetwork
from vedette.networks.vlm_answers import Tokens, joined, shared
from vedette.networks.vlm_prompt import SAFE, answer
from vedette.taxonomy import Category
from vedette.train.lora.options import Negatives
from vedette.train.lora.prompts import Example

IGNORED = -100
"""A token that is not learned."""
_KEPT = 2048
"""Texts that are kept as tokens: few categories make few different ones."""


@dataclass(frozen=True, slots=True)
class Written:
    """An example as tokens."""

    ids: Tokens
    begin: int
    """Where the answer begins: only what follows is learned."""


class Writer:
    """Turns examples into tokens.

    Args:
        network: whose processor writes.
        negatives: see :class:`vedette.train.lora.options.LoraOptions`.
    """

    def __init__(self, network: VlmNetwork, negatives: Negatives) -> None:
        self._network = network
        self._negatives: Negatives = negatives
        self._known: OrderedDict[tuple[tuple[Category, ...], Category | None], Written] = (
            OrderedDict()
        )

    def __call__(self, example: Example) -> Written:
        """The conversation with its answer, and the token that ends it.

        The answer begins where those of both kinds first differ, so the same tokens are learned
        that are compared at use.
        """
        key = (example.scope, example.answer)
        if key not in self._known:
            self._known[key] = self._written(example)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return self._known[key]

    def _written(self, example: Example) -> Written:
        start = self._network.conversation(example.question(self._negatives))
        right = self._network.ids(joined(start, answer(example.answer)))
        other = answer(example.scope[0]) if example.answer is None else SAFE
        begin = shared([right, self._network.ids(joined(start, other))])
        return Written(right + self._network.end(), begin)


def padded(network: VlmNetwork, written: Sequence[Written]) -> tuple[dict[str, Any], Any]:
    """``input_ids`` and ``attention_mask`` [n, longest], and what is to be learned, alike.

    Padding is on the right: a token's place does not depend on its neighbours in the batch.
    """
    torch = require("torch", extra="zoo")
    tokenizer = network.processor.tokenizer
    filler = next((t for t in (tokenizer.pad_token_id, tokenizer.eos_token_id) if t is not None), 0)
    shape = (len(written), max(len(one.ids) for one in written))
    ids = torch.full(shape, filler, dtype=torch.long)
    mask = torch.zeros(shape, dtype=torch.long)
    learned = torch.full(shape, IGNORED, dtype=torch.long)
    for row, one in enumerate(written):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
        mask[row, : len(one.ids)] = 1
        learned[row, one.begin : len(one.ids)] = torch.tensor(one.ids[one.begin :])
    device = network.device
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}, learned.to(device)


def answer_loss(network: VlmNetwork, inputs: dict[str, Any], learned: Any, pixels: Any) -> Any:
    """The sum of the cross-entropies of the answers' tokens.

    The output layer runs at the places of the answers alone: it is the largest of all.
    """
    torch = require("torch", extra="zoo")
    # The token at a place is foretold at the place before it.
    places = torch.nonzero((learned[:, 1:] != IGNORED).any(dim=0))[:, 0]
    out = network.model(
        **inputs,
        pixel_values=pixels.to(network.model.dtype),
        use_cache=False,
        logits_to_keep=places,
    )
    wanted = learned[:, places + 1]
    return torch.nn.functional.cross_entropy(
        out.logits.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum"
    )
