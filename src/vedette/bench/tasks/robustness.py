"""How much a picture has to be moved before the decision changes."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.bench.attacks.base import Budget
from vedette.bench.attacks.checks import Outcome, check
from vedette.bench.attacks.registry import attack, names
from vedette.bench.evidence import Caveat, Evidence
from vedette.bench.journal import Journal, digest
from vedette.bench.metrics.bootstrap import Interval, interval, resampling
from vedette.bench.predictions import Bools
from vedette.bench.robust.evaluate import Broken, Evaluation, is_part
from vedette.bench.robust.official import official
from vedette.bench.robust.pictures import Attackable, attackable, seed_of, why_not
from vedette.bench.robust.shown import Share, figures, tables
from vedette.bench.sample import sample
from vedette.bench.tasks.base import Context
from vedette.models.differentiable import decision_module

EPSES = tuple(k / 255 for k in (0.5, 1, 2, 4, 8))
MAIN = 4 / 255
"""ImageNet's convention: all attacks are run with it."""
CURVE = ("gaussian", "fgsm", "pgd")
"""Attacks that are run with every budget."""
_CHECKED = 16
"""Pictures that the evaluation checks itself on."""


class Robustness:
    """See :class:`vedette.bench.tasks.base.Task`."""

    name = "robustness"
    summary = "robust accuracy under eight attacks, re-checked as 8-bit uploads"

    def fits(self, context: Context) -> str | None:
        """Why it cannot be attacked."""
        if not context.predictions.in_coverage.any():
            return "no image was scored whose category the classifier covers"
        return why_not(context.classifier)

    def run(self, context: Context) -> Evidence:
        """See :class:`vedette.bench.tasks.base.Task`."""
        if context.options.protocol == "official":
            return official(context)
        options = context.options
        among = context.predictions.in_coverage
        rows = sample(context.predictions, options.images, options.seed, among)
        assert context.classifier is not None  # as fits() has asked
        module = decision_module(context.classifier)
        whole = attackable(context, rows.tolist(), module)
        plan = {
            "keys": list(whole.keys),
            "model": context.card.model,
            "runtime": context.card.runtime,
            "device": whole.device,
            "seed": options.seed,
            "steps": options.steps,
        }
        with Journal(context.state / "robustness.jsonl", digest(plan), is_part) as journal:
            evaluation = Evaluation(
                whole, context.predictor, journal, options.steps, options.seed, context.say
            )
            clean, lost = evaluation.clean()
            found: list[Broken] = []
            for name in names():
                epses = EPSES if name in CURVE else (MAIN,)
                found += evaluation.attacked(name, epses, clean)
        return self._evidence(context, whole, found, lost)

    def _evidence(
        self, context: Context, whole: Attackable, found: list[Broken], lost: int
    ) -> Evidence:
        unsafe = whole.labels.numpy().astype(np.bool_)
        wrong = _wrong(whole)
        tally = _Tally(
            context, unsafe, wrong, context.predictions.group[list(whole.rows)], whole.as_uploaded
        )
        shares = [tally.share(b.attack, b.eps, b.fooled, b.uploaded) for b in found]
        # Noise of that sigma is not within the budget.
        main = [b for b in found if b.eps == MAIN and b.attack != "gaussian"]
        fooled = np.logical_or.reduce([b.fooled for b in main])
        uploaded = np.logical_or.reduce([b.uploaded for b in main])
        shares.append(tally.share("worst", MAIN, fooled, uploaded))
        outcomes = [
            Outcome(s.attack, attack(s.attack).white_box, s.eps, s.robust_accuracy, len(unsafe))
            for s in shares
            if s.attack != "worst"
        ]
        # Both labels: what is checked must not hang on one side of the decision.
        order = np.argsort([seed_of(key, context.options.seed) for key in whole.keys])
        both = [order[unsafe[order]][: _CHECKED // 2], order[~unsafe[order]][: _CHECKED // 2]]
        few = np.concatenate(both).tolist()
        caveats = list(
            check(
                whole.module,
                *whole.part(few),
                Budget(MAIN, context.options.steps),
                [seed_of(whole.keys[k], context.options.seed) for k in few],
                outcomes,
            )
        )
        if len(set((unsafe ^ wrong).tolist())) == 1:
            caveats.append(
                Caveat(
                    "one-decision",
                    "The model decides alike about all sampled images, so robust accuracy is "
                    "little more than the share of the images that are of that kind.",
                )
            )
        caveats += _lost(whole, lost + sum(b.lost for b in found))
        return Evidence(
            {
                "images": len(unsafe),
                "clean_accuracy": round(float(1 - wrong.mean()), 6),
                "attacks": [asdict(one) for one in shares],
            },
            tables(context, shares, len(unsafe)),
            figures(context, shares),
            tuple(caveats),
        )


def _wrong(whole: Attackable) -> Bools:
    """bool [n]: pictures on which the module is wrong before any attack."""
    said = [
        whole.module(whole.pixels[k : k + 16]).argmax(dim=1) for k in range(0, len(whole.keys), 16)
    ]
    flat = np.concatenate([one.numpy() for one in said])
    return np.asarray(flat != whole.labels.numpy(), dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class _Tally:
    """What is the same for all attacks; arrays in the sample's order."""

    context: Context
    unsafe: Bools
    wrong: Bools
    """Before any attack, by the network."""
    group: NDArray[np.int64]
    as_uploaded: bool

    def share(self, name: str, eps: float, fooled: Bools, uploaded: Bools) -> Share:
        """What an attack left, with intervals."""
        right, robust = ~self.wrong, ~(fooled | self.wrong)
        every = np.ones(len(robust), np.bool_)
        columns = np.stack([every, robust, ~uploaded, right], axis=1)
        options = self.context.options
        sums = resampling(self.group, options.bootstrap, options.seed).sums(columns)
        with np.errstate(invalid="ignore", divide="ignore"):
            all_images = interval(sums[:, 1] / sums[:, 0])
            upload = interval(sums[:, 2] / sums[:, 0]) if self.as_uploaded else Interval()
            conditional = interval(sums[:, 1] / sums[:, 3])
        return Share(
            attack=name,
            eps=eps,
            robust_accuracy=_rounded(robust, every) or 0.0,
            low=all_images.low,
            high=all_images.high,
            uploaded=_rounded(~uploaded, every) if self.as_uploaded else None,
            uploaded_low=upload.low,
            uploaded_high=upload.high,
            conditional=_rounded(robust, right),
            conditional_low=conditional.low,
            conditional_high=conditional.high,
            unsafe_to_safe=_rounded(fooled & right, right & self.unsafe),
            safe_to_unsafe=_rounded(fooled & right, right & ~self.unsafe),
        )


def _rounded(part: Bools, whole: Bools) -> float | None:
    """Share of ``whole`` that is ``part`` too; None of nothing."""
    count = int(whole.sum())
    return round(float((part & whole).sum() / count), 6) if count else None


def _lost(whole: Attackable, uploads: int) -> list[Caveat]:
    found = []
    if not whole.as_uploaded:
        found.append(
            Caveat(
                "no-upload-check",
                "The model resizes and crops a picture of its network's own size once more, so "
                "what was moved cannot be uploaded as it is: there is no number for uploads.",
            )
        )
    if whole.lost:
        found.append(Caveat("not-scored", f"{len(whole.lost)} images cannot be decoded any more."))
    if uploads:
        found.append(
            Caveat(
                "uploads-not-scored",
                f"{uploads} moved pictures could not be scanned as uploads. They count as broken.",
            )
        )
    return found


TASK = Robustness()
