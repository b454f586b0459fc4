"""Small torch modules around networks."""

from __future__ import annotations

from typing import Any

from vedette.extras import require


def chained(*modules: Any) -> Any:
    """One module that runs ``modules`` one after the other."""
    torch = require("torch", extra="zoo")
    return torch.nn.Sequential(*modules).eval()


def output_of(module: Any, index: int) -> Any:
    """A module that gives only that one of ``module``'s outputs."""
    torch = require("torch", extra="zoo")

    class Output(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: Any) -> Any:
            return self.inner(x)[index]

    return Output().eval()


def judging(tower: Any, head: Any) -> Any:
    """A module from the tower's input to (what ``head`` makes of its output, its output)."""
    torch = require("torch", extra="zoo")

    class Judging(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.tower = tower
            self.head = head

        def forward(self, x: Any) -> tuple[Any, Any]:
            embedding = self.tower(x)
            return self.head(embedding), embedding

    return Judging().eval()
