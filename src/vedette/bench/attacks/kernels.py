"""The passes of an attack through the fastest kernels that torch has on a CPU.

An attack sends one network forward and back thousands of times, and asks for the gradient of the
pixels only. On a CPU three things are slow in torch then:

- float32 products go to MKL, which uses half the width of other makers' vector units; oneDNN, which
  torch uses for bfloat16 alone, uses all of it (2.3 times as fast on a Zen 5).
- the gradient of a convolution that cuts a picture into patches, which is a product as well.
- flash attention in bfloat16, whose backward pass takes four times as long as the products that it
  consists of.

The arithmetic stays the same but for the order of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from vedette.bench.attacks.base import Module, Tensor
from vedette.extras import require

_ATTENTION_BYTES = 1 << 26
"""Largest matrix of attention that is kept for the way back, in each layer; flash keeps none."""


def swift(module: Module) -> Module:
    """``module`` with the same weights, faster on a CPU; on another device it is itself.

    Its weights count as constants: a gradient goes to the pixels only, and only once.
    """
    torch = require("torch", extra="zoo")

    class Swift(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, pixels: Tensor) -> Tensor:
            if pixels.device.type != "cpu":
                return self.inner(pixels)
            with _mode()():
                return self.inner(pixels)

    return Swift()


@cache
def _mode() -> Any:
    """A context in which three of torch's functions are ours, where ours fit."""
    torch = require("torch", extra="zoo")
    functional = torch.nn.functional
    ours: Mapping[Any, Callable[..., Any]] = {
        functional.linear: _linear,
        functional.conv2d: _conv2d,
        functional.scaled_dot_product_attention: _attention,
    }

    class Mode(torch.overrides.TorchFunctionMode):  # type: ignore[misc, name-defined]
        def __torch_function__(
            self,
            func: Any,
            types: Any,
            args: Sequence[Any] = (),
            kwargs: Mapping[str, Any] | None = None,
        ) -> Any:
            given = kwargs or {}
            if func in ours:
                done = ours[func](*args, **given)
                if done is not None:
                    return done
            return func(*args, **given)

    return Mode


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    """``torch.nn.functional.linear``; None where it is as good."""
    torch = require("torch", extra="zoo")
    if not (_constant(weight) and _constant(bias) and x.numel() and weight.ndim == 2):
        return None
    if x.dtype == torch.float32 and weight.dtype == torch.bfloat16:
        # The first layer of a network in bfloat16: it alone sees pixels, which must not be
        # rounded, for a budget may be smaller than a step of bfloat16.
        done = _product(x, weight.float(), None if bias is None else bias.float())
        return done.to(torch.bfloat16)
    if x.dtype == weight.dtype == torch.float32:
        return _product(x, weight, bias)
    return None


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + b in float32."""
    torch = require("torch", extra="zoo")
    if not _has_onednn():
        return torch.nn.functional.linear(x, weight, bias)
    return _functions()[0].apply(x, weight.detach(), None if bias is None else bias.detach())


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """``torch.nn.functional.conv2d`` of patches side by side; None where it is as good."""
    torch = require("torch", extra="zoo")
    if not (_constant(weight) and _constant(bias) and x.ndim == weight.ndim == 4 and x.numel()):
        return None
    out, channels, high, wide = weight.shape
    n, _, height, width = x.shape
    tiles = (
        (stride in ((high, wide), [high, wide]) or stride == high == wide)
        and padding in (0, (0, 0), [0, 0], "valid")
        and dilation in (1, (1, 1), [1, 1])
        and groups == 1
        and high * wide > 1
        and (height % high, width % wide) == (0, 0)
        and x.shape[1] == channels
    )
    if tiles:
        rows, columns = height // high, width // wide
        patches = x.reshape(n, channels, rows, high, columns, wide).permute(0, 2, 4, 1, 3, 5)
        patches = patches.reshape(n, rows * columns, channels * high * wide)
        flat = weight.reshape(out, -1)
        done = _linear(patches, flat, bias)
        if done is None:
            done = torch.nn.functional.linear(patches, flat, bias)
        return done.transpose(1, 2).reshape(n, out, rows, columns)
    if x.dtype == torch.float32 and weight.dtype == torch.bfloat16:  # as in _linear
        bias = None if bias is None else bias.float()
        done = torch.conv2d(x, weight.float(), bias, stride, padding, dilation, groups)
        return done.to(torch.bfloat16)
    return None


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | None:
    """``torch.nn.functional.scaled_dot_product_attention``; None where it is as good."""
    torch = require("torch", extra="zoo")
    plain = attn_mask is None and not dropout_p and not is_causal and not enable_gqa
    if not plain or query.dtype != torch.bfloat16 or query.ndim != 4 or not query.numel():
        return None
    if not query.shape[:2] == key.shape[:2] == value.shape[:2]:
        return None
    n, heads, tokens, width = query.shape
    if n * heads * tokens * key.shape[2] * query.element_size() > _ATTENTION_BYTES:
        return None
    scale = width**-0.5 if scale is None else scale
    return _functions()[1].apply(query, key, value, scale)


def _constant(weight: Tensor | None) -> bool:
    """Whether no gradient goes through it to the pixels."""
    return weight is None or bool(weight.is_leaf)


@cache
def _has_onednn() -> bool:
    """Whether this build of torch has oneDNN's product of dense matrices."""
    torch = require("torch", extra="zoo")
    return bool(torch.backends.mkldnn.is_available()) and hasattr(
        torch.ops.mkldnn, "_linear_pointwise"
    )


@cache
def _functions() -> tuple[Any, Any]:
    """The product and the attention, with their ways back."""
    torch = require("torch", extra="zoo")
    once = torch.autograd.function.once_differentiable

    def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    class Product(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            ctx.save_for_backward(weight)
            return product(x, weight, bias)

        @staticmethod
        @once  # type: ignore[untyped-decorator]
        def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
            (weight,) = ctx.saved_tensors
            return product(slope.contiguous(), weight.t(), None), None, None

    class Attention(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
            q, k, v = (one.flatten(0, 1) for one in (query, key, value))
            share = torch.softmax(torch.bmm(q, k.transpose(1, 2)).mul_(scale), -1)
            ctx.save_for_backward(q, k, v, share)
            ctx.scale, ctx.outer = scale, query.shape[:2]
            return torch.bmm(share, v).unflatten(0, ctx.outer)

        @staticmethod
        @once  # type: ignore[untyped-decorator]
        def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
            q, k, v, share = ctx.saved_tensors
            g = slope.flatten(0, 1)
            by_v = torch.bmm(share.transpose(1, 2), g)
            by_share = torch.bmm(g, v.transpose(1, 2))
            # Through the softmax: share * (by_share - sum(share * by_share)), in one pass.
            by_score = torch._softmax_backward_data(by_share, share, -1, share.dtype)
            by_score.mul_(ctx.scale)
            by_q, by_k = torch.bmm(by_score, k), torch.bmm(by_score.transpose(1, 2), q)
            outer = ctx.outer
            return (
                by_q.unflatten(0, outer),
                by_k.unflatten(0, outer),
                by_v.unflatten(0, outer),
                None,
            )

    return Product, Attention
