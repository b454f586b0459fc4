"""How likely each possible answer is: teacher-forced, all of them, nothing sampled.

The question and the picture run through the network once, and every answer goes on from there. An
answer's log-probability is the sum over its own tokens, as the network would have to write them;
nothing is corrected for their number, and nothing needs to be: the answers are compared as whole
texts, of which one has to be given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vedette.errors import ModelError
from vedette.extras import require
from vedette.networks.vlm import VlmNetwork
from vedette.networks.vlm_prompt import answers_of, question
from vedette.taxonomy import Category

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with all its answers, as tokens."""

    scope: tuple[Category, ...]
    prefix: Tokens
    """What all share: the conversation with the picture's places, and how every answer begins."""
    answers: tuple[Tokens, ...]
    """The rest of each: of :func:`vedette.networks.vlm_prompt.answers_of`, in that order."""


def asked(network: VlmNetwork, scope: Sequence[Category]) -> Asked:
    """The question about these categories, in this order.

    Raises:
        ModelError: ``weights_unusable``: the tokenizer cannot tell the answers apart.
    """
    start = network.conversation(question(scope))
    whole = [network.ids(joined(start, text)) for text in answers_of(scope)]
    begin = shared(whole)
    answers = tuple(ids[begin:] for ids in whole)
    for k, one in enumerate(answers):
        for other in answers[k + 1 :]:
            if one[: len(other)] == other[: len(one)]:
                raise ModelError(
                    "the checkpoint's tokenizer cannot tell the answers apart",
                    code="weights_unusable",
                )
    return Asked(tuple(scope), whole[0][:begin], answers)


def joined(start: str, answer: str) -> str:
    """A conversation with its answer; one space between where the template leaves none."""
    return start + answer if start[-1:].isspace() else f"{start} {answer}"


def shared(rows: Sequence[Tokens]) -> int:
    """How many tokens all rows begin with."""
    first, last = min(rows), max(rows)
    common = 0
    while common < min(len(first), len(last)) and first[common] == last[common]:
        common += 1
    return common


def log_probabilities(network: VlmNetwork, question_: Asked, pixels: Any) -> Any:
    """Of each answer, given the question and one picture.

    Args:
        network: may carry an adapter; gradients flow where they are enabled.
        question_: with its answers.
        pixels: as :meth:`vedette.networks.vlm.VlmNetwork.normalised` gives them, [n, 3, h, w].

    Returns:
        A float32 tensor [n, answers]: natural logarithms, of all texts that the network could
        write; those of the listed answers sum to less than one.
    """
    torch = require("torch", extra="zoo")
    model = network.model
    pixels = pixels.to(_dtype(model))
    n = len(pixels)
    ids = torch.tensor([question_.prefix], device=network.device).expand(n, -1)
    out = model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=pixels,
        use_cache=True,
        logits_to_keep=1,
    )
    cache = out.past_key_values
    if any(type(layer).__name__ != "DynamicLayer" for layer in cache.layers):
        return _each_whole(network, question_, pixels, ids)
    walk = _Walk(torch, model, cache, n, len(question_.prefix), network.device)
    found: dict[int, Any] = {}
    rests = dict(enumerate(question_.answers))
    walk.down(rests, out.logits[:, -1], torch.zeros(n, device=network.device), found)
    return torch.stack([found[k] for k in range(len(rests))], dim=1)


def log_odds(log_probs: Any) -> Any:
    """Of each category, among the answers that there are: [n, answers] to [n, answers - 1].

    The sigmoid of these is the share of a category's answer in the probability of all of them.
    """
    torch = require("torch", extra="zoo")
    columns = range(log_probs.shape[1])
    return torch.stack(
        [
            log_probs[:, k] - log_probs[:, [j for j in columns if j != k]].logsumexp(dim=1)
            for k in columns[1:]
        ],
        dim=1,
    )


class _Walk:
    """Through the answers as a tree: what several of them begin with is computed once.

    The cache of keys and values grows along a branch and is cut back behind it.
    """

    def __init__(
        self, torch: Any, model: Any, cache: Any, n: int, prefix: int, device: Any
    ) -> None:
        self._torch, self._model, self._cache = torch, model, cache
        self._n, self._length, self._device = n, prefix, device

    def down(
        self, rests: dict[int, Tokens], logits: Any, so_far: Any, found: dict[int, Any]
    ) -> None:
        """Every answer below a point.

        Args:
            rests: what is left of each answer, by its number.
            logits: of the next token, [n, vocabulary].
            so_far: log-probability up to here, [n].
            found: takes the sum of each answer.
        """
        log_probs = logits.float().log_softmax(dim=-1)
        for token in dict.fromkeys(rest[0] for rest in rests.values()):
            branch = {k: rest for k, rest in rests.items() if rest[0] == token}
            run = shared(list(branch.values()))
            told = so_far + log_probs[:, token]
            first = next(iter(branch.values()))
            read = first[:run] if len(branch) > 1 else first[: run - 1]
            if not read:
                found[next(iter(branch))] = told
                continue
            after = self._forward(read)
            for at, following in enumerate(first[1:run]):
                told = told + after[:, at].float().log_softmax(dim=-1)[:, following]
            if len(branch) > 1:
                below = {k: rest[run:] for k, rest in branch.items()}
                self.down(below, after[:, -1], told, found)
            else:
                found[next(iter(branch))] = told
            self._cache.crop(-len(read))
            self._length -= len(read)

    def _forward(self, tokens: Tokens) -> Any:
        """Logits after each of the tokens, [n, tokens, vocabulary]; the cache takes them up."""
        torch = self._torch
        ids = torch.tensor([tokens], device=self._device).expand(self._n, -1)
        self._length += len(tokens)
        mask = torch.ones((self._n, self._length), dtype=torch.long, device=self._device)
        out = self._model(
            input_ids=ids, attention_mask=mask, past_key_values=self._cache, use_cache=True
        )
        return out.logits


def _each_whole(network: VlmNetwork, question_: Asked, pixels: Any, prefix: Any) -> Any:
    """The same without a cache that can be cut back: sliding windows, recurrent layers."""
    torch = require("torch", extra="zoo")
    columns = []
    for answer in question_.answers:
        tail = torch.tensor([answer], device=network.device).expand(len(pixels), -1)
        ids = torch.cat([prefix, tail[:, :-1]], dim=1)
        out = network.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=pixels,
            use_cache=False,
            logits_to_keep=len(answer),
        )
        told = out.logits.float().log_softmax(dim=-1).gather(2, tail[..., None])
        columns.append(told[..., 0].sum(dim=1))
    return torch.stack(columns, dim=1)


def _dtype(model: Any) -> Any:
    """What the image tower computes in; weights in four bits say nothing about it."""
    return model.dtype
