"""The matrix product of the probes: oneDNN's where it is at hand, else PyTorch's own.

PyTorch gives float32 products to MKL, which leaves AVX-512 unused on AMD's processors; oneDNN does
not, and was measured 1.8 times as fast there (``benchmarks/train.py products``). It is reached
through an operator that PyTorch's compiler uses and its documentation does not name, so it is
tried on a small product first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from vedette.extras import require

Product = Callable[[Any, Any], Any]
"""a [m, k] and b [n, k] to a @ b.T [m, n], contiguous and its own memory."""
_CLOSE = 1e-4


def plain(a: Any, b: Any) -> Any:
    """PyTorch's own."""
    return a @ b.t()


@cache
def product(dtype: Any) -> Product:
    """The one to use on this machine: the same in every run, so that runs are equal.

    Args:
        dtype: torch's, of the factors: oneDNN has bfloat16 on some processors only.
    """
    torch = require("torch", extra="zoo")
    if not torch.backends.mkldnn.is_available():
        return plain
    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if operator is None:
        return plain

    def onednn(a: Any, b: Any) -> Any:
        return operator(a, b, None, "none", [], "")

    a = torch.arange(12).view(3, 4).to(dtype)
    b = torch.arange(20).view(4, 5).to(dtype).t()
    try:
        found = onednn(a, b)
        close = found.dtype is dtype and torch.allclose(found, plain(a, b), rtol=_CLOSE)
    except (RuntimeError, TypeError):  # another version's operator, or another processor
        return plain
    return onednn if close else plain
