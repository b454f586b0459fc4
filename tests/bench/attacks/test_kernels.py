"""The fast kernels give what torch's own give, for networks of any form."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from tests.bench.attacks.strong import (
    HONEST,
    Tensor,
    linear,
    one_thread,  # noqa: F401 - a fixture
    pictures,
    vit,
)

from vedette.bench.attacks import kernels
from vedette.bench.attacks.base import Budget
from vedette.bench.attacks.calls import Calls, cross_entropy, margin
from vedette.bench.attacks.kernels import swift
from vedette.bench.attacks.pgd import Pgd
from vedette.bench.attacks.precision import in_bf16

pytestmark = pytest.mark.usefixtures("one_thread")
functional = torch.nn.functional


class Bert(torch.nn.Module):
    """One layer of a transformer as the libraries write it, with torch's own attention."""

    def __init__(self, masked: bool = False, causal: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = torch.nn.Conv2d(3, 24, 4, stride=4)
        self.norm = torch.nn.LayerNorm(24)
        self.three = torch.nn.Linear(24, 72)
        self.head = torch.nn.Linear(24, 2)
        self.masked, self.causal = masked, causal

    def forward(self, pixels: Tensor) -> Tensor:
        tokens = self.patches(pixels).flatten(2).transpose(1, 2)
        q, k, v = self.three(self.norm(tokens)).unflatten(2, (3, 3, 8)).permute(2, 0, 3, 1, 4)
        mask = torch.eye(q.shape[2], dtype=torch.bool).logical_not() if self.masked else None
        done = functional.scaled_dot_product_attention(q, k, v, mask, is_causal=self.causal)
        tokens = tokens + done.transpose(1, 2).flatten(2)
        return self.head(tokens.mean(1))  # type: ignore[no-any-return]


class Convolved(torch.nn.Module):
    """One convolution and a mean."""

    def __init__(self, convolution: torch.nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution
        torch.manual_seed(0)
        self.head = torch.nn.Linear(8, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(functional.gelu(self.convolution(pixels)).mean((2, 3)))  # type: ignore[no-any-return]


def convolved(kernel: int, stride: int, padding: int | str = 0, dilation: int = 1) -> Convolved:
    torch.manual_seed(1)
    return Convolved(
        torch.nn.Conv2d(3, 8, kernel, stride, padding, dilation, bias=padding != "valid")
    )


FORMS: dict[str, Callable[[], torch.nn.Module]] = {
    **HONEST,
    "bert": Bert,
    "masked": lambda: Bert(masked=True),
    "causal": lambda: Bert(causal=True),
    "patches": lambda: convolved(6, 6),
    "valid": lambda: convolved(6, 6, "valid"),
    "patches-and-a-rest": lambda: convolved(5, 5),
    "overlapping": lambda: convolved(5, 2, 2),
    "padded-patches": lambda: convolved(4, 4, 2),
    "dilated": lambda: convolved(2, 2, 0, 3),
    "points": lambda: convolved(1, 1),
}
EVERY = pytest.mark.parametrize("form", FORMS)


def gradient(model: torch.nn.Module, data: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    slope, _, found = Calls(model).gradient(*data, cross_entropy, also_fooled=True)
    return slope, found


@EVERY
def test_logits_and_gradients_are_those_of_the_module(form: str) -> None:
    model, data = FORMS[form](), pictures(6, 1)

    slope, found = gradient(model, data)
    swift_slope, swift_found = gradient(swift(model), data)

    assert slope.abs().max() > 0
    assert float((swift_found - found).abs().max()) < 1e-4
    assert float((swift_slope - slope).norm() / slope.norm()) < 1e-4


@EVERY
def test_bf16_leads_the_same_way(form: str) -> None:
    model, data = FORMS[form](), pictures(6, 1)

    slope, found = gradient(model, data)
    rough_slope, rough_found = gradient(in_bf16(model), data)

    assert rough_slope.dtype == rough_found.dtype == torch.float32
    assert float((rough_found - found).abs().max()) < 0.05 * float(found.abs().max()) + 0.02
    along = functional.cosine_similarity(rough_slope.flatten(1), slope.flatten(1))
    assert float(along.median()) > 0.95


def test_attention_that_is_too_large_to_keep_is_left_to_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 20, 8, generator=generator).bfloat16() for _ in range(3))
    expected = functional.scaled_dot_product_attention(q.float(), k.float(), v.float())

    own = kernels._attention(q, k, v)
    monkeypatch.setattr(kernels, "_ATTENTION_BYTES", 1000)

    assert own is not None
    assert float((own.float() - expected).abs().max()) < 0.03
    assert kernels._attention(q, k, v) is None
    assert kernels._attention(q.float(), k.float(), v.float()) is None


def test_bf16_sees_changes_smaller_than_its_own_steps() -> None:
    pixels = torch.full((1, 3, 24, 24), 115 / 128)  # has no rest in bfloat16
    slope, _ = gradient(linear(), (pixels, torch.zeros(1, dtype=torch.int64)))
    moved = pixels + 0.2 / 255 * slope.sign()
    labels = torch.zeros(1, dtype=torch.int64)

    rounded = copy.deepcopy(linear()).bfloat16()
    with torch.no_grad():
        lost = margin(rounded(moved.bfloat16()) - rounded(pixels.bfloat16()), labels)
        exact = margin(linear()(moved) - linear()(pixels), labels)
        seen = margin(in_bf16(linear())(moved) - in_bf16(linear())(pixels), labels)

    assert float(lost) == 0
    assert abs(float(seen / exact) - 1) < 0.2


def test_a_copy_is_kept_until_the_weights_change() -> None:
    model = copy.deepcopy(vit())
    pixels, _ = pictures(2, 1)
    first = in_bf16(model)

    assert in_bf16(model) is first
    with torch.no_grad():
        next(model.parameters()).mul_(-1)
    second = in_bf16(model)
    assert second is not first
    assert not torch.equal(first(pixels), second(pixels))


def test_a_guide_that_errs_does_not_stop_the_walk() -> None:
    head = torch.nn.Linear(12, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0], [1 - 0.0015]]).expand(2, 12))  # 1 in bfloat16
        head.bias.copy_(torch.tensor([0.0, -4.0]))
    model = torch.nn.Sequential(torch.nn.Flatten(), head).eval().requires_grad_(False)
    pixels = torch.full((1, 3, 2, 2), 4.004 / 12)
    labels = torch.zeros(1, dtype=torch.int64)

    assert margin(model(pixels), labels) < 0 < margin(in_bf16(model)(pixels), labels)
    attack = Pgd(precision="bf16", random_start=False)
    done = attack.run(model, pixels, labels, Budget(1 / 255, 10), [0])
    assert bool(done.fooled)
    assert margin(model(done.pixels), labels) > 0


def test_a_module_stays_as_it_is() -> None:
    model = Bert()
    model.train()
    before = {name: one.clone() for name, one in model.state_dict().items()}

    in_bf16(model)
    swift(model)(pictures(2, 1)[0]).sum().backward()

    assert model.training
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert all(one.dtype == torch.float32 for one in model.parameters())
