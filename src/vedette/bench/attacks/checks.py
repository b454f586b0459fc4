"""Whether a robustness number can be believed: the evaluation checks itself.

An attack that fails may say that the model is robust, or that it hides its gradients. After the
checks of AutoAttack (F. Croce and M. Hein, ICML 2020) and the signs that A. Athalye, N. Carlini and
D. Wagner name ("Obfuscated gradients give a false sense of security", ICML 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from vedette.bench.attacks.apgd import ATTACKS as APGD
from vedette.bench.attacks.base import Budget, Module, Tensor
from vedette.bench.attacks.calls import Calls, between, box, cross_entropy, margin, uniform
from vedette.bench.evidence import Caveat
from vedette.extras import require

CODES = (
    "random-forward",
    "probabilities-not-logits",
    "zero-gradients",
    "unbounded-attack-fails",
    "black-box-beats-white-box",
)
"""Of all caveats that :func:`check` may give; docs/validity.md tells what to do about each."""

_SAME = 1e-4
"""Change of the logits, relative to their size, that repeated passes may show."""
_SAME_ELSEWHERE = 0.05
"""The same where the picture stands in another place of the batch: bfloat16 rounds by 1 %."""
_TOGETHER = 1e-4
"""How near to 1 the sum of probabilities is."""
_TINY = 1e-30
"""Gradients below this are as good as none: nearly all of float32's range is used up."""
_MOST_DEAD = 0.1
"""Share of pictures without a gradient that says nothing about the model."""
_STEPS, _RESTARTS = 40, 3
"""Gradients of the attack without bounds, and starts of noise."""
_TRIES = ((1.0, 1), (0.25, 3))
"""Shares of the whole range that every pixel may move by, and starts. From a field of noise far
away the way back can be flat: where the whole range fails, less may do."""
_MOST_LEFT = 0.6
"""Share of pictures that the attack without bounds may fail on, whatever the gradient."""
_SMALL = 2 / 255
"""Of the whole range: a step that tells whether a gradient leads up."""
_MOST_UP = 0.8
"""Share of pictures on which it must."""
_INCOMPARABLE = ("gaussian", "fgsm", "deepfool")
"""Noise has another budget; one step may overshoot; DeepFool does not know its budget. A black box
may beat them on an honest model."""
_CHANCE = 0.01
"""Difference of robust accuracies, of at least two pictures, that counts."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attack at one budget did to the pictures of an evaluation."""

    attack: str
    """Its name: ``square``."""
    white_box: bool
    """Whether it uses gradients."""
    eps: float
    """Linf distance; attacks are compared at the same one."""
    robust_accuracy: float
    """Share of all pictures on which the module was right before and after, 0..1."""
    n: int
    """Pictures."""


def check(
    module: Module,
    pixels: Tensor,
    labels: Tensor,
    budget: Budget,
    seeds: Sequence[int],
    outcomes: Sequence[Outcome] = (),
) -> tuple[Caveat, ...]:
    """Look for signs that attacks fail for a wrong reason.

    Give it a few pictures, 8 to 16, better of both labels. It costs about ten passes over them, and
    up to 40 gradients for each that withstands an attack without bounds, which should be none.

    Args:
        module: as the attacks see it, see :data:`~vedette.bench.attacks.base.Module`.
        pixels: float32 [n, 3, h, w] in [low, high].
        labels: int64 [n].
        budget: of the evaluation; its bounds are used, its ``eps`` is not.
        seeds: one for each picture.
        outcomes: of all attacks on the whole evaluation, at every eps.

    Returns:
        One caveat for each of :data:`CODES` that was set off, in their order.
    """
    messages: dict[str, str | None] = {}
    if len(pixels):
        messages = {
            "random-forward": _random(module, pixels),
            "probabilities-not-logits": _probabilities(module, pixels),
            "zero-gradients": _no_gradient(module, pixels, labels),
            "unbounded-attack-fails": _unbounded(module, pixels, labels, budget, seeds),
        }
    if messages.get("unbounded-attack-fails") is None:
        messages["unbounded-attack-fails"] = _weaker_when_larger(outcomes)
    messages["black-box-beats-white-box"] = _black_box(outcomes)
    return tuple(Caveat(code, text) for code in CODES if (text := messages.get(code)) is not None)


def _random(module: Module, pixels: Tensor) -> str | None:
    """Two more passes over the same batch, and two over the batch turned around.

    The latter see noise whose seed the module sets itself, and pictures that change each other.
    """
    torch = require("torch", extra="zoo")
    with torch.no_grad():
        first = module(pixels).float()
        again = [module(pixels).float() for _ in range(2)]
        turned = [module(pixels.flip(0)).float().flip(0) for _ in range(2)]
    here = max(_change(first, one) for one in again)
    there = max(_change(first, one) for one in turned)
    if here <= _SAME and there <= _SAME_ELSEWHERE:
        return None
    return (
        f"The same pictures got other logits when asked again (by up to {max(here, there):.2g} of "
        "their size). Attacks on a random decision are weaker than they seem: average their "
        "gradients over several passes, or switch the randomness off."
    )


def _change(one: Tensor, other: Tensor) -> float:
    """The largest change of a picture's logits, relative to their size; NaN equals NaN."""
    torch = require("torch", extra="zoo")
    one, other = torch.nan_to_num(one, nan=0.0), torch.nan_to_num(other, nan=0.0)
    size = torch.maximum(one.norm(dim=1), other.norm(dim=1)) + 1e-10
    return float(((one / size[:, None] - other / size[:, None]).norm(dim=1)).max())


def _probabilities(module: Module, pixels: Tensor) -> str | None:
    torch = require("torch", extra="zoo")
    with torch.no_grad():
        logits = module(pixels).float()
    inside = bool(((logits >= 0) & (logits <= 1)).all())
    if not inside or float((logits.sum(1) - 1).abs().max()) > _TOGETHER:
        return None
    return (
        "The module gives probabilities where attacks expect logits. A second softmax flattens "
        "their gradients, so that a weak attack looks like a robust model: attack the layer before."
    )


def _no_gradient(module: Module, pixels: Tensor, labels: Tensor) -> str | None:
    slope, _, _ = Calls(module).gradient(pixels, labels, cross_entropy, also_fooled=True)
    dead = int((slope.abs().flatten(1).amax(1) < _TINY).sum())
    if dead <= _MOST_DEAD * len(pixels):
        return None
    return (
        f"The loss has no usable gradient at {dead} of {len(pixels)} pictures: something rounds "
        "the input or saturates. Attacks that follow gradients cannot move there, which says "
        "nothing about robustness; trust the black box attack and the margin losses instead."
    )


def _unbounded(
    module: Module, pixels: Tensor, labels: Tensor, budget: Budget, seeds: Sequence[int]
) -> str | None:
    """Let the best gradient attack change every pixel to any value.

    That can only fail for good reason where the module never decides otherwise. So pictures count
    whose other decision was seen: on a picture of the batch, on noise, on one colour.
    """
    torch = require("torch", extra="zoo")
    reach = budget.high - budget.low
    noise = budget.low + (uniform(seeds, "probes", pixels) + 1) / 2 * reach
    ends = [torch.full_like(pixels[:1], end) for end in (budget.low, budget.high)]
    with torch.no_grad():
        decided = [module(probe).float() for probe in (pixels, noise, *ends)]
    unsafe = torch.cat([logits[:, 1] > logits[:, 0] for logits in decided])
    right = unsafe[: len(pixels)].long() == labels
    seen = torch.stack([(~unsafe).any(), unsafe.any()])
    fair = right & seen[1 - labels]
    kept = [seed for seed, one in zip(seeds, fair.tolist(), strict=True) if one]
    start, own = pixels[fair], labels[fair]
    (margin_attack,) = [attack for attack in APGD if attack.name == "apgd-margin"]
    calls, stands = Calls(module), torch.ones_like(own, dtype=torch.bool)
    for share, restarts in _TRIES:
        if int(stands.sum()) <= _MOST_LEFT * len(stands):
            return None
        part = replace(budget, eps=share * reach, steps=_STEPS, restarts=restarts)
        for restart in range(_RESTARTS):  # what noise alone does is no merit of the gradient
            noise = part.eps * uniform(kept, f"noise {share} {restart}", start)
            chance = calls.margin(between(start + noise, *box(start, part)), own) > 0
            kept = [seed for seed, one in zip(kept, chance.tolist(), strict=True) if not one]
            start, own, stands = start[~chance], own[~chance], stands[~chance]
            if not len(start):
                return None
        stands &= ~margin_attack.run(module, start, own, part, kept).fooled
    left, count = int(stands.sum()), len(stands)
    if left <= _MOST_LEFT * count or _leads_up(calls, start[stands], own[stands], reach, budget):
        return None
    return (
        f"An attack that may change every pixel to anything still fails on {left} of {count} "
        "pictures, though other pictures get the other decision. So gradients mislead here, and "
        "robust accuracy at any eps is too high."
    )


def _leads_up(calls: Calls, pixels: Tensor, labels: Tensor, reach: float, budget: Budget) -> bool:
    """Whether a small step along the gradient raises the margin of most pictures.

    Then the gradient tells the truth, and the network is only too flat to be moved across.
    """
    gradient, _, before = calls.gradient(pixels, labels, margin)
    step = replace(budget, eps=_SMALL * reach)
    after = calls.margin(between(pixels + step.eps * gradient.sign(), *box(pixels, step)), labels)
    return bool((after > before).float().mean() >= _MOST_UP)


def _weaker_when_larger(outcomes: Sequence[Outcome]) -> str | None:
    """A larger budget contains the smaller: what it breaks cannot be fewer pictures."""
    best = sorted(_best(outcomes).values(), key=lambda one: one.eps)
    for small, large in pairwise(best):
        if _more(large.robust_accuracy, small.robust_accuracy, min(small.n, large.n)):
            return (
                f"The best gradient attack leaves {small.robust_accuracy:.1%} right at eps "
                f"{small.eps:.4g} and {large.robust_accuracy:.1%} at {large.eps:.4g}: attacks that "
                "get weaker with a larger budget do not work on this module."
            )
    return None


def _black_box(outcomes: Sequence[Outcome]) -> str | None:
    worst, message = 0.0, None
    best = _best(outcomes)
    for black in outcomes:
        white = best.get(black.eps)
        if black.white_box or black.attack in _INCOMPARABLE or white is None:
            continue
        gap = white.robust_accuracy - black.robust_accuracy
        if gap <= worst or not _more(white.robust_accuracy, black.robust_accuracy, black.n):
            continue
        worst = gap
        message = (
            f"{black.attack}, which uses no gradient, leaves {black.robust_accuracy:.1%} right at "
            f"eps {black.eps:.4g}; the best attack that does, {white.attack}, leaves "
            f"{white.robust_accuracy:.1%}. So the gradients are masked, and the true robust "
            "accuracy is likely lower than all of these."
        )
    return message


def _best(outcomes: Sequence[Outcome]) -> dict[float, Outcome]:
    """The gradient attack that left least, by eps; only of those that are good at all."""
    best: dict[float, Outcome] = {}
    for one in outcomes:
        if not one.white_box or one.attack in _INCOMPARABLE:
            continue
        if one.eps not in best or one.robust_accuracy < best[one.eps].robust_accuracy:
            best[one.eps] = one
    return best


def _more(one: float, other: float, n: int) -> bool:
    """Whether a share is larger by more than chance: above a point, and two pictures or more."""
    return one - other > max(_CHANCE, 1.5 / max(n, 1))
