"""The MLP probes of all labels as one network: the same numbers as one after the other, sooner.

The probes share their input and nothing else, so their first layers are one matrix product, and so
is the gradient of it. The backward pass is written out: ReLU, two logits and cross-entropy are a
few lines, and what autograd keeps and launches beside them costs as much as the arithmetic.

A probe's two logits z are kept as their difference d = z[unsafe] - z[safe], all that cross-entropy
depends on. The gradients of the two are g and -g, so that Adam, whose steps do not depend on a
gradient's scale or sign beyond its own, moves them by u and -u: the difference moves by 2u, which
is Adam on d at twice the learning rate. Held to ``torch.nn`` with two logits by the tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vedette.extras import require
from vedette.train.probe.product import Product, product

Precision = Literal["fp32", "bf16"]
NAMES = ("hidden.weight", "hidden.bias", "out.weight", "out.bias")
_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True)
class Adam:
    """Of the optimiser: Adam, or AdamW where weights decay (Loshchilov and Hutter, 2019)."""

    learning_rate: float = 2e-4
    weight_decay: float = 0.0


class GroupedMlp:
    """A probe ``dim - hidden - 2`` for each label, with its optimiser.

    Weights and Adam's moments are float32 whatever the precision. Not thread-safe.

    Args:
        weights: by :data:`NAMES`: [labels, hidden, dim], [labels, hidden], [labels, hidden],
            [labels]; taken over, not copied.
        adam: of the optimiser.
        precision: of the matrix products and of what lies between the layers.
    """

    def __init__(self, weights: Sequence[Any], adam: Adam, precision: Precision = "fp32") -> None:
        self._torch = require("torch", extra="zoo")
        self._adam = adam
        self.dtype = self._torch.bfloat16 if precision == "bf16" else self._torch.float32
        self._product: Product = product(self.dtype)
        self.steps = 0
        self.weights: list[Any] = list(weights)
        self.first: list[Any] = [self._torch.zeros_like(one) for one in weights]
        """Adam's first moments."""
        self.second: list[Any] = [self._torch.zeros_like(one) for one in weights]
        """Adam's second moments."""
        self._low: list[Any] = []
        self._wide: Any = None
        self._lower()

    def logits(self, x: Any) -> Any:
        """float32 [labels, n], from embeddings [n, dim] of any precision."""
        return self._out(self._hidden(x.to(self.dtype)))

    def step(self, x: Any, sign: Any, weight: Any) -> Any:
        """One step of Adam on the loss of a batch, every label's own.

        Args:
            x: [batch, dim], in this network's precision.
            sign: float32 [labels, batch]: 1 unsafe, -1 safe.
            weight: float32 [labels, batch]: of each image in its label's mean; 0 leaves it out. A
                label whose weights are all 0 has no gradient.

        Returns:
            float32 [labels]: the weighted sum of cross-entropies before the step.
        """
        torch = self._torch
        hidden = self._hidden(x)
        wrong = -sign * self._out(hidden)
        loss = (torch.nn.functional.softplus(wrong) * weight).sum(1)
        total = weight.sum(1, keepdim=True)
        share = torch.where(total > 0, weight / total, 0.0)
        delta = -sign * torch.sigmoid(wrong) * share
        delta_low = delta.to(self.dtype)
        out_weight = torch.bmm(hidden, delta_low[:, :, None]).squeeze(2).float()
        back = self._low[2][:, :, None] * delta_low[:, None, :]
        back = torch.ops.aten.threshold_backward(back, hidden, 0)
        gradients = [
            self._full(self._product(back.view(-1, len(x)), x.t()).view(self.weights[0].shape)),
            back.sum(2, dtype=torch.float32),
            out_weight,
            delta.sum(1),
        ]
        self._update(gradients)
        return loss

    def keep(self, which: Sequence[int]) -> None:
        """Go on with some of the labels only: those that still learn."""
        for tensors in (self.weights, self.first, self.second):
            tensors[:] = [one[list(which)] for one in tensors]
        self._lower()

    def restore(self, weights: Sequence[Any], first: Any, second: Any, steps: int) -> None:
        """Be where an earlier run was."""
        self.weights, self.first, self.second = list(weights), list(first), list(second)
        self.steps = steps
        self._lower()

    def _hidden(self, x: Any) -> Any:
        """[labels, hidden, n]"""
        labels, hidden, dim = self.weights[0].shape
        product = self._product(self._low[0].view(-1, dim), x)
        return product.add_(self._low[1].view(-1, 1)).relu_().view(labels, hidden, len(x))

    def _out(self, hidden: Any) -> Any:
        """float32 [labels, n]"""
        d = self._torch.bmm(self._low[2][:, None, :], hidden).squeeze(1)
        return d.float() + self.weights[3][:, None]

    def _update(self, gradients: Sequence[Any]) -> None:
        self.steps += 1
        update = require("torch.optim.adamw", extra="zoo").adamw
        rate, decay = self._adam.learning_rate, self._adam.weight_decay
        for at, scale in ((slice(0, 2), 1), (slice(2, 4), 2)):
            update(
                self.weights[at],
                list(gradients[at]),
                self.first[at],
                self.second[at],
                [],
                [self._torch.tensor(float(self.steps - 1)) for _ in gradients[at]],
                fused=True,
                amsgrad=False,
                beta1=_BETA1,
                beta2=_BETA2,
                lr=rate * scale,
                weight_decay=decay / scale,
                eps=_EPS,
                maximize=False,
            )
        self._lower()

    def _full(self, gradient: Any) -> Any:
        """float32, in memory that is used again: fresh memory of this size costs more to get."""
        return gradient if self._wide is None else self._wide.copy_(gradient)

    def _lower(self) -> None:
        """The weights in the precision of the products; the same tensors where it is float32."""
        if self.dtype is self._torch.float32:
            self._low = self.weights[:3]
            return
        if self._wide is None or self._wide.shape != self.weights[0].shape:
            self._low = [one.to(self.dtype) for one in self.weights[:3]]
            self._wide = self._torch.empty_like(self.weights[0])
            return
        for low, one in zip(self._low, self.weights, strict=False):
            low.copy_(one)


def initial(labels: Sequence[str], dim: int, hidden: int, seed: int) -> list[Any]:
    """Weights to start from, as ``torch.nn.Linear`` draws its own: by :data:`NAMES`.

    A label's depend on the seed and its name alone, so that it starts the same in any company.
    """
    torch = require("torch", extra="zoo")
    drawn: list[list[Any]] = [[] for _ in NAMES]
    for label in labels:
        number = hashlib.sha256(f"{seed}\0{label}".encode()).digest()[:8]
        generator = torch.Generator().manual_seed(int.from_bytes(number, "big") >> 1)
        first = _uniform(torch, (hidden, dim), dim, generator)
        first_bias = _uniform(torch, (hidden,), dim, generator)
        second = _uniform(torch, (2, hidden), hidden, generator)
        second_bias = _uniform(torch, (2,), hidden, generator)
        folded = (first, first_bias, second[1] - second[0], second_bias[1] - second_bias[0])
        for kept, one in zip(drawn, folded, strict=True):
            kept.append(one)
    return [torch.stack(kept) for kept in drawn]


def _uniform(torch: Any, shape: tuple[int, ...], inputs: int, generator: Any) -> Any:
    bound = 1 / float(inputs) ** 0.5
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound
