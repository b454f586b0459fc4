"""Small models for tests of the strong attacks: honest ones, and ones that mask their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch

Tensor = torch.Tensor
SIZE = 24


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Models this small are slower on more threads than one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pictures(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy colour fields with a striped patch: its stripes lie (safe) or stand (unsafe)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    pixels = 0.2 + 0.6 * torch.rand(count, 3, 1, 1, generator=generator).expand(-1, -1, SIZE, SIZE)
    pixels = pixels + 0.05 * torch.randn(pixels.shape, generator=generator)
    places = torch.randint(0, SIZE - 12, (count, 2), generator=generator)
    contrast = 0.1 + 0.3 * torch.rand(count, generator=generator)
    for picture, label, (x, y), by in zip(pixels, labels, places.tolist(), contrast, strict=True):
        patch = picture[:, y : y + 12, x : x + 12]
        stripes = patch[:, :, ::3] if label else patch[:, ::3]
        stripes += by
    return pixels.clamp(0, 1).contiguous(), labels


def _cnn() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=2, padding=2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(64, 2),
    )


class _ViT(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 32, 6, stride=6)
        self.places = torch.nn.Parameter(0.02 * torch.randn(1, 16, 32))
        self.blocks = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(
                32, 4, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(2)
        )
        self.head = torch.nn.Linear(32, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        tokens = self.patches(2 * pixels - 1).flatten(2).transpose(1, 2) + self.places
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens.mean(1))  # type: ignore[no-any-return]


class Then(torch.nn.Module):
    """A model with something done before or after it."""

    def __init__(
        self,
        model: torch.nn.Module,
        after: Callable[[Tensor], Tensor] = lambda logits: logits,
        before: Callable[[Tensor], Tensor] = lambda pixels: pixels,
    ) -> None:
        super().__init__()
        self.model, self.before, self.after = model, before, after

    def forward(self, pixels: Tensor) -> Tensor:
        return self.after(self.model(self.before(pixels)))


def _trained(model: torch.nn.Module, epochs: int, rate: float) -> torch.nn.Module:
    pixels, labels = pictures(800, 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # such small steps are slower on more
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(epochs):
        for start in range(0, len(pixels), 40):
            rows = slice(start, start + 40)
            loss = torch.nn.functional.cross_entropy(model(pixels[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    torch.set_num_threads(threads)
    return model.eval().requires_grad_(False)


@cache
def cnn() -> torch.nn.Module:
    """A convolutional network with ReLUs."""
    torch.manual_seed(0)
    return _trained(_cnn(), 12, 5e-3)


@cache
def vit() -> torch.nn.Module:
    """A vision transformer with two blocks."""
    torch.manual_seed(0)
    return _trained(_ViT(), 8, 3e-3)


@cache
def linear() -> torch.nn.Module:
    """One plane through the box."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIZE * SIZE, 2))
    return _trained(model, 5, 1e-3)


def one_logit() -> torch.nn.Module:
    """A head of one logit, as a sigmoid would have it."""

    def padded(logits: Tensor) -> Tensor:
        z = logits[:, 1] - logits[:, 0]
        return torch.stack([torch.zeros_like(z), z], 1)

    return Then(cnn(), padded)


HONEST: dict[str, Callable[[], Any]] = {
    "cnn": cnn,
    "vit": vit,
    "linear": linear,
    "one-logit": one_logit,
    "log-softmax": lambda: Then(cnn(), lambda logits: logits.log_softmax(1)),
    "bfloat16-out": lambda: Then(cnn(), lambda logits: logits.bfloat16()),
}


class Seeded(torch.nn.Module):
    """Adds noise that is the same for every call: only the place in the batch changes it."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        return self.model(pixels + 0.2 * torch.randn(pixels.shape, generator=generator))  # type: ignore[no-any-return]


def _unlinked(logits: Tensor) -> Tensor:
    return logits.detach()


MASKED: dict[str, tuple[str, Callable[[], Any]]] = {
    "softmax": ("probabilities-not-logits", lambda: Then(cnn(), lambda z: z.softmax(1))),
    "softmax-twice": (
        "probabilities-not-logits",
        lambda: Then(cnn(), lambda z: z.softmax(1).softmax(1)),
    ),
    "rounded": ("zero-gradients", lambda: Then(cnn(), before=lambda p: (p * 16).round() / 16)),
    "detached": ("zero-gradients", lambda: Then(cnn(), _unlinked)),
    "huge-logits": ("zero-gradients", lambda: Then(cnn(), lambda z: 1e5 * z)),
    "not-finite": ("zero-gradients", lambda: Then(cnn(), lambda z: z * (z / 0).abs().sqrt())),
    "noise": (
        "random-forward",
        lambda: Then(cnn(), before=lambda p: p + 0.1 * torch.randn_like(p)),
    ),
    "seeded-noise": ("random-forward", lambda: Seeded(cnn())),
}
