"""All attacks on all pictures of a sample, part by part, each part kept once it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vedette.bench.attacks.base import Budget
from vedette.bench.attacks.registry import attack
from vedette.bench.journal import Journal
from vedette.bench.predictions import SHIPPED, Bools
from vedette.bench.predictor import Predictor
from vedette.bench.robust.pictures import Attackable, as_upload, seed_of
from vedette.extras import require

CHUNK = 16
"""Pictures of a part. Always the same ones stand together, so that a run that was killed and
started again computes the very numbers of one that was not."""


_CARRIED = ("pgd",)
"""Attacks of which a picture that was broken at a smaller budget, as an upload too, is not attacked
again: what broke it lies within the larger one. A single step or noise of another size is another
attack."""


@dataclass(frozen=True, slots=True, eq=False)
class Broken:
    """What one attack did at one budget; arrays in the sample's order."""

    attack: str
    eps: float
    fooled: Bools
    """bool [n]: the network decides wrongly on the moved pixels; pictures that were wrong before
    are among them."""
    uploaded: Bools
    """bool [n]: the ordinary pipeline decides wrongly on the upload: the moved pixels where they
    fooled the network, else the clean ones, rounded to 8 bits as a PNG."""
    lost: int
    """Uploads that could not be scanned: they count as broken, for nobody has said safe or
    unsafe."""


def is_part(kept: Any) -> bool:
    """Whether a journal's value is what an attack did to a part."""
    return (
        isinstance(kept, dict)
        and isinstance(kept.get("lost"), int)
        and isinstance(kept.get("broken"), list)
        and len(kept["broken"]) == 2
    )


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What all attacks of one evaluation share."""

    sample: Attackable
    predictor: Predictor
    """Scans uploads."""
    journal: Journal
    """Keeps finished parts."""
    steps: int
    seed: int
    say: Callable[[str], None]

    def clean(self) -> tuple[Bools, int]:
        """bool [n]: what the pipeline gets wrong before any attack; and how many it cannot scan."""
        count = len(self.sample.keys)
        wrong = np.zeros(count, dtype=np.bool_)
        lost = 0
        if not self.sample.as_uploaded:
            return wrong, lost
        for start in range(0, count, CHUNK):
            at = slice(start, min(start + CHUNK, count))
            kept = self.journal.lines.get(f"clean/{start}")
            if kept is None:
                found, missing = self._uploaded(at, range(at.stop - start), self.sample.pixels[at])
                kept = {"broken": [found, found], "lost": missing}
                self.journal.write(f"clean/{start}", kept)
            wrong[at] = np.array(kept["broken"][0], dtype=np.bool_)
            lost += int(kept["lost"])
        return wrong, lost

    def attacked(self, name: str, epses: Sequence[float], clean: Bools) -> list[Broken]:
        """One attack at rising budgets.

        Args:
            name: of the attack.
            epses: Linf, 0..1.
            clean: bool [n], see :meth:`clean`: stands where an attack found nothing.
        """
        count = len(self.sample.keys)
        found = []
        before = np.zeros((2, count), dtype=np.bool_)
        for eps in epses:
            now = np.zeros((2, count), dtype=np.bool_)
            lost = 0
            for start in range(0, count, CHUNK):
                at = slice(start, min(start + CHUNK, count))
                part = f"{name}/{eps:.6f}/{start}"
                kept = self.journal.lines.get(part)
                if kept is None:
                    self.say(f"{name}, eps {255 * eps:.2g}/255: {start:,} of {count:,}")
                    kept = self._part(at, name, Budget(eps, self.steps), before[:, at], clean[at])
                    self.journal.write(part, kept)
                now[:, at] = np.array(kept["broken"], dtype=np.bool_)
                lost += int(kept["lost"])
            found.append(Broken(name, eps, now[0].copy(), now[1].copy(), lost))
            before = now if name in _CARRIED else before
        return found

    def _part(
        self, at: slice, name: str, budget: Budget, before: Bools, clean: Bools
    ) -> dict[str, Any]:
        torch = require("torch", extra="zoo")
        pixels, labels = self.sample.part(at)
        keys = self.sample.keys[at]
        done_before: Bools = np.logical_and(before[0], before[1])
        fooled, uploaded = done_before.copy(), done_before | clean
        left = np.flatnonzero(~done_before)
        lost = 0
        if len(left):
            rows = torch.from_numpy(left)
            seeds = [seed_of(keys[row], self.seed) for row in left.tolist()]
            done = attack(name).run(self.sample.module, pixels[rows], labels[rows], budget, seeds)
            fooled[left] = done.fooled.cpu().numpy()
            hit = np.flatnonzero(fooled[left]).tolist()
            if self.sample.as_uploaded and hit:
                where = [int(left[k]) for k in hit]
                wrong, lost = self._uploaded(at, where, done.pixels[hit].cpu())
                uploaded[where] = np.array(wrong, dtype=np.bool_)
        return {
            "broken": [fooled.astype(int).tolist(), uploaded.astype(int).tolist()],
            "lost": lost,
        }

    def _uploaded(self, at: slice, where: Sequence[int], pixels: Any) -> tuple[list[int], int]:
        """1 for each upload that the pipeline gets wrong or cannot scan; how many of the latter.

        Args:
            at: the part.
            where: places in it.
            pixels: torch float32 [len(where), 3, h, w].
        """
        keys, labels = self.sample.keys[at], self.sample.labels[at].tolist()
        items = [as_upload(keys[place], pixels[k]) for k, place in enumerate(where)]
        wrong, lost = [], 0
        for place, answer in zip(where, self.predictor.predict(items), strict=True):
            if answer.p is None:  # nobody has said safe or unsafe: not robust
                lost += 1
                wrong.append(1)
                continue
            flagged = answer.flagged
            if flagged is None:
                flagged = frozenset(c for c, p in answer.p.items() if p >= SHIPPED)
            wrong.append(int(bool(flagged) != bool(labels[place])))
        return wrong, lost
