"""The torch module of a classifier decides as the classifier does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.pictures import drawn
from vedette.models.base import ModelOptions
from vedette.models.differentiable import decision_module, differentiable, network_pixels
from vedette.models.registry import build
from vedette.taxonomy import Category
from vedette.types import Image, UInt8

NAMES = (
    *("falconsai", "marqo-384", "adamcodd"),
    *("clip-l14/nsfw-detector", "clip-b32/nsfw-detector", "q16", "multiheaded", "sd-filter"),
    *("clip-l14/violence", "clip-h14/nsfw-detector", "clip-b32/zero-shot"),
)


pytestmark = pytest.mark.usefixtures("store")


def picture(seed: int) -> UInt8:
    return np.asarray(drawn(seed))


def image(seed: int) -> Image:
    pixels = picture(seed)
    return Image(pixels, "", pixels.shape[1], pixels.shape[0], "PNG")


@pytest.mark.parametrize("name", NAMES)
def test_its_margin_is_the_shipped_probability(name: str) -> None:
    model = build(name, ModelOptions(precision="fp32"))
    images = [image(seed) for seed in range(8)]
    counts = [bool(categories) for categories in model.card.labels.values()]
    batch = torch.from_numpy(np.stack([network_pixels(model, one.pixels) for one in images]))

    logits = decision_module(model)(batch).detach().numpy()

    assert logits.shape == (8, 2)
    assert not logits[:, 0].any()
    for one, z in zip(images, logits[:, 1], strict=True):
        (prediction,) = model.infer([model.prepare(one)])
        p = prediction.probs[counts].max()
        if name == "clip-h14/nsfw-detector":  # a score that is no logistic: the side must be right
            assert (p >= 0.5) == (z >= 0)
            continue
        # Published rounding (the safety checker's thousandths) is not differentiable.
        assert abs(p - 1 / (1 + np.exp(-z))) < (0.05 if name == "sd-filter" else 2e-4), name


def test_it_has_gradients_in_pixels() -> None:
    for name in NAMES:
        model = build(name, ModelOptions(precision="fp32"))
        pixels = torch.from_numpy(network_pixels(model, picture(1)))[None].requires_grad_()
        (gradient,) = torch.autograd.grad(decision_module(model)(pixels)[:, 1].sum(), pixels)
        assert torch.isfinite(gradient).all(), name
        assert gradient.abs().max() > 0, name


def test_normalised_tensors_are_taken_as_they_are() -> None:
    model = build("falconsai", ModelOptions(precision="fp32"))
    given = differentiable(model)
    assert given is not None
    pixels = torch.from_numpy(network_pixels(model, picture(1)))[None]
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (given.norm.mean, given.norm.std))

    a = decision_module(model)(pixels)
    b = decision_module(model, takes="normalised")((pixels - mean) / std)
    assert torch.allclose(a, b, atol=1e-6)


def test_scope_decides_which_labels_count() -> None:
    model = build("multiheaded", ModelOptions(precision="fp32"))
    pixels = torch.from_numpy(network_pixels(model, picture(1)))[None]

    whole = decision_module(model)(pixels)[0, 1]
    each = [decision_module(model, [c])(pixels)[0, 1] for c in model.card.covered]

    assert whole == max(each)
    assert len({float(one) for one in each}) > 1
    with pytest.raises(ValueError, match="nothing in scope"):
        decision_module(model, [Category.SPAM])


def test_what_cannot_be_differentiated_says_so() -> None:
    model = build("dummy", ModelOptions())

    assert differentiable(model) is None
    with pytest.raises(TypeError, match="dummy"):
        decision_module(model)


@pytest.mark.parametrize("name", NAMES)
def test_it_follows_to_another_precision(name: str) -> None:
    """All its tensors move with it, to a GPU or to bfloat16."""
    module = decision_module(build(name, ModelOptions(precision="fp32")))
    exact = module(torch.full((1, 3, 32, 32), 0.5))
    double = module.double()(torch.full((1, 3, 32, 32), 0.5, dtype=torch.float64))

    assert double.dtype == torch.float64
    assert torch.allclose(exact.double(), double, atol=1e-3)
