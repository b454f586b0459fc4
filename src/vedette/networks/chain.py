"""Small torch modules around networks."""

from __future__ import annotations

from typing import Any

from vedette.extras import require


def chained(*modules: Any) -> Any:
    """One module that runs ``modules`` one after the other."""
    torch = require("torch", extra="zoo")
    return torch.nn.Sequential(*modules).eval()


def first_output(module: Any) -> Any:
    """A module that gives only the first of ``module``'s outputs."""
    torch = require("torch", extra="zoo")

    class First(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: Any) -> Any:
            return self.inner(x)[0]

    return First().eval()
