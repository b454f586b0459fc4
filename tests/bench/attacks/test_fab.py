"""FAB against the exact answer for a plane, against PGD's, and against torchattacks'."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from tests.bench.attacks import strong
from tests.bench.attacks.strong import Tensor, one_thread  # noqa: F401 - a fixture

from vedette.bench.attacks import apgd
from vedette.bench.attacks.base import Budget
from vedette.bench.attacks.fab import ATTACKS, onto_plane

pytestmark = pytest.mark.usefixtures("one_thread")
(FAB,) = ATTACKS
COUNT = 120


def exact(point: Tensor, normal: Tensor, needed: float, low: float, high: float) -> float | None:
    """The smallest Linf norm by linear programming; None where the plane is out of reach."""
    x, w = point.flatten().double().numpy(), normal.flatten().double().numpy()
    d = len(x)
    one = np.ones((d, 1))
    rows = np.block([[np.eye(d), -one], [-np.eye(d), -one]])
    answer = linprog(
        c=[*np.zeros(d), 1],
        A_ub=rows,
        b_ub=np.zeros(2 * d),
        A_eq=[[*w, 0]],
        b_eq=[needed],
        bounds=[*((low - v, high - v) for v in x), (0, None)],
    )
    return float(answer.fun) if answer.status == 0 else None


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    share=st.floats(-1.3, 1.3),
    bounds=st.sampled_from([(0.0, 1.0), (-3.0, 3.0)]),
    holes=st.booleans(),
)
def test_the_projection_is_the_linear_programs(
    seed: int, share: float, bounds: tuple[float, float], holes: bool
) -> None:
    low, high = bounds
    generator = torch.Generator().manual_seed(seed)
    point = low + (high - low) * torch.rand(1, 3, 2, 2, generator=generator)
    point[0, 0, 0, 0] = high
    normal = torch.randn(1, 3, 2, 2, generator=generator)
    if holes:
        normal[:, 1] = 0
    reach = torch.where((normal > 0) == (share > 0), high - point, point - low)
    needed = share * (normal.abs() * reach).sum().view(1)

    change, t = onto_plane(point, normal, needed, low, high)

    moved = point + change
    assert float(moved.min()) >= low - 1e-6
    assert float(moved.max()) <= high + 1e-6
    assert float(change.abs().max()) <= float(t) + 1e-6
    want = exact(point, normal, float(needed), low, high)
    if abs(share) < 0.999:
        assert want is not None
        assert float(t) == pytest.approx(want, abs=1e-4)
        assert float((normal * change).sum()) == pytest.approx(float(needed), abs=1e-3)
    elif abs(share) > 1.001:  # the nearest corner
        assert want is None
        assert float((normal * change).sum()) == pytest.approx(float(needed) / abs(share), rel=1e-3)


def test_a_plane_without_a_normal_moves_nothing() -> None:
    point = torch.full((2, 3, 2, 2), 0.5)

    change, t = onto_plane(point, torch.zeros_like(point), torch.tensor([1.0, 0.0]), 0, 1)

    assert not change.any()
    assert not t.any()


def plane(seed: int, bias: float) -> torch.nn.Module:
    torch.manual_seed(seed)
    layer = torch.nn.Linear(3 * 4 * 4, 2)
    with torch.no_grad():
        layer.bias[1] = bias
    return torch.nn.Sequential(torch.nn.Flatten(), layer).requires_grad_(False)


@pytest.mark.parametrize(("seed", "bias"), [(0, 0.3), (1, -0.4), (2, 1.0), (3, 0.0)])
def test_a_linear_models_smallest_distances_are_exact(seed: int, bias: float) -> None:
    model = plane(seed, bias)
    pixels = torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    pixels = pixels.mul(1.6).sub(0.3).clamp(0, 1)  # many pixels at the edge of the box
    logits = model(pixels)
    labels = logits.argmax(1)
    layer = model[1]  # type: ignore[index]
    normal = layer.weight[1] - layer.weight[0]
    want = [exact(x, normal, float(z[0] - z[1]), 0, 1) for x, z in zip(pixels, logits, strict=True)]

    found, distance = FAB.smallest(model, pixels, labels, Budget(0.1, steps=30), range(12))

    reached = torch.isfinite(distance)
    assert [v is not None for v in want] == reached.tolist()
    assert reached.any()
    expected = torch.tensor([v for v in want if v is not None])
    assert torch.allclose(distance[reached], expected, rtol=1e-3, atol=1e-6)
    assert (model(found[reached]).argmax(1) != labels[reached]).all()


@pytest.mark.parametrize("name", ["cnn", "vit"])
def test_distances_are_near_those_that_a_search_with_apgd_finds(name: str) -> None:
    model = strong.HONEST[name]()
    pixels, labels = strong.pictures(24, 2)
    low, high = torch.zeros(24), torch.full((24,), 0.25)
    for _ in range(9):
        middle = (low + high) / 2
        fooled = torch.zeros(24, dtype=torch.bool)
        for i, eps in enumerate(middle.tolist()):
            one = slice(i, i + 1)
            budget = Budget(eps, steps=15)
            fooled[i] = apgd.ATTACKS[1].run(model, pixels[one], labels[one], budget, [i]).fooled[0]
        low, high = torch.where(fooled, low, middle), torch.where(fooled, middle, high)

    _, distance = FAB.smallest(model, pixels, labels, Budget(8 / 255, steps=30), range(24))

    assert float((distance / high).median()) < 1.02


@pytest.mark.parametrize(
    ("name", "eps"), [("cnn", 3 / 255), ("cnn", 6 / 255), ("vit", 2 / 255), ("vit", 4 / 255)]
)
def test_it_is_within_a_point_of_the_published_code_or_stronger(name: str, eps: float) -> None:
    published = pytest.importorskip("torchattacks", reason="a port of AutoAttack's code")
    model = strong.HONEST[name]()
    pixels, labels = strong.pictures(COUNT, 2)
    moved = published.FAB(model, eps=eps, steps=30, n_classes=2)(pixels, labels)
    reference = float((model(moved).argmax(1) == labels).float().mean())

    found = FAB.run(model, pixels, labels, Budget(eps, steps=30), range(COUNT))

    assert 1 - float(found.fooled.float().mean()) <= reference + 0.01


@pytest.mark.parametrize("eps", [2 / 255, 4 / 255, 8 / 255])
def test_it_finds_what_apgd_finds_within_two_points(eps: float) -> None:
    pixels, labels = strong.pictures(COUNT, 2)
    found = FAB.run(strong.cnn(), pixels, labels, Budget(eps, steps=50), range(COUNT))
    other = apgd.ATTACKS[0].run(strong.cnn(), pixels, labels, Budget(eps, steps=50), range(COUNT))

    assert int(found.fooled.sum()) >= int(other.fooled.sum()) - 0.02 * COUNT
    assert float((found.pixels - pixels).abs().max()) <= eps + 1e-6
    assert torch.equal(strong.cnn()(found.pixels).argmax(1) != labels, found.fooled)


def test_restarts_find_no_less() -> None:
    pixels, labels = strong.pictures(40, 2)
    few = FAB.smallest(strong.vit(), pixels, labels, Budget(4 / 255, 10), range(40))[1]
    more = FAB.smallest(strong.vit(), pixels, labels, Budget(4 / 255, 10, restarts=3), range(40))[1]

    assert float(more.mean()) < float(few.mean())
    assert (more <= few).all()


def test_a_picture_that_is_wrong_to_begin_with_is_no_distance_away() -> None:
    pixels, labels = strong.pictures(6, 2)

    found, distance = FAB.smallest(strong.cnn(), pixels, 1 - labels, Budget(0.1, 5), range(6))

    assert torch.equal(found, pixels)
    assert not distance.any()


def test_a_model_without_gradients_is_left_alone() -> None:
    _, model = strong.MASKED["detached"]
    pixels, labels = strong.pictures(6, 2)

    found = FAB.run(model(), pixels, labels, Budget(0.1, 5, restarts=1), range(6))

    assert torch.equal(found.pixels, pixels)
    assert not found.fooled.any()
