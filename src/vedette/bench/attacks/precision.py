"""A module in bfloat16, to lead an attack's way; what counts is checked in float32."""

from __future__ import annotations

import copy
from typing import Any
from weakref import WeakKeyDictionary

from vedette.bench.attacks.base import Module
from vedette.bench.attacks.kernels import swift
from vedette.extras import require

_MADE: WeakKeyDictionary[Any, tuple[Any, Any]] = WeakKeyDictionary()
"""Copies by the module that they are of, with the state that they were made from: made once for all
batches of an evaluation, and again once the weights have changed."""


def in_bf16(module: Module) -> Module:
    """A copy of ``module`` with weights and arithmetic in bfloat16; pixels and logits in float32.

    Its gradients lead to nearly the same points, in less time where the hardware has bfloat16. On
    a CPU the first layer reads its pixels in float32: bfloat16 knows only steps of 1/256 near 1,
    larger than many budgets.
    """
    torch = require("torch", extra="zoo")
    state = tuple(
        (one.data_ptr(), one._version) for one in (*module.parameters(), *module.buffers())
    )
    if module in _MADE and _MADE[module][0] == state:
        return _MADE[module][1]
    inner = swift(copy.deepcopy(module).to(torch.bfloat16))

    class Halved(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, pixels: Any) -> Any:
            on_cpu = pixels.device.type == "cpu"
            return self.inner(pixels if on_cpu else pixels.to(torch.bfloat16)).float()

    made = Halved().eval().requires_grad_(False)
    _MADE[module] = state, made
    return made
