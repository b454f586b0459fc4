"""Vision-language models as something to attack: the logits of their answer's first token.

Asked whether a picture is safe, such a model answers with a word. Its decision is which of the two
answers' tokens is likelier at the place where the answer begins; an attack that raises one over the
other is the targeted attack at the opposite answer, and every attack here can run it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vedette.backends.base import PixelNorm
from vedette.bench.attacks.base import Module
from vedette.extras import require


def answer_module(
    network: Any,
    prompt: Sequence[int],
    safe: Sequence[int],
    unsafe: Sequence[int],
    norm: PixelNorm,
) -> Module:
    """A module from pixels float32 [n, 3, h, w] in 0..1 to the logits [n, 2] of the two answers.

    Args:
        network: one of transformers' image-text models (``LlavaForConditionalGeneration``, …), in
            eval mode: takes ``input_ids``, ``attention_mask`` and ``pixel_values``.
        prompt: token ids of the whole question, up to where the answer begins, with as many image
            tokens as the network's image takes, as its processor makes them.
        safe: ids of the tokens with which an answer "safe" can begin: with a space, a capital.
        unsafe: the same of "unsafe". A tokenizer that begins both words alike needs a question with
            other answers, "yes" and "no".
        norm: what the network's image tower wants of pixels.

    Returns:
        A :data:`~vedette.bench.attacks.base.Module`. An answer's logit is the log-sum-exp over its
        tokens, so the two compare as the probabilities of the answers do.

    Raises:
        ValueError: an answer without a token, or one token in both.
    """
    if not safe or not unsafe or set(safe) & set(unsafe):
        raise ValueError("the two answers need tokens of their own")
    torch = require("torch", extra="zoo")

    class Answer(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is imported late
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            shape = (1, 3, 1, 1)
            self.register_buffer("mean", torch.tensor(norm.mean).reshape(shape))
            self.register_buffer("std", torch.tensor(norm.std).reshape(shape))
            self.register_buffer("prompt", torch.tensor(list(prompt))[None])

        def forward(self, pixels: Any) -> Any:
            ids = self.prompt.expand(len(pixels), -1)
            said = self.network(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=(pixels - self.mean) / self.std,
                use_cache=False,
            ).logits[:, -1]
            sides = [torch.logsumexp(said[:, list(tokens)], dim=1) for tokens in (safe, unsafe)]
            return torch.stack(sides, dim=1)

    return Answer().eval().requires_grad_(False)
