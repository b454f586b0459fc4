"""Rows to scores: every row checked, on the fastest engine whose scores are the head's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vedette.backends.base import cores
from vedette.backends.openvino import cpu_has_bf16
from vedette.embeddings.base import Chunk, Rows
from vedette.embeddings.network import Network
from vedette.embeddings.plan import Plan, plan_of
from vedette.errors import ModelError, UnknownNameError, UsageError
from vedette.extras import available, require
from vedette.heads.base import Head
from vedette.types import Float32

PRECISIONS = ("auto", "fp32", "bf16")
ROWS = 2048
"""Rows of a chunk: enough that calling costs little, few enough to stay in a cache."""
MAX_DRIFT = 0.02
"""How far from fp32's the probabilities may be of a head that ``auto`` computes in bf16."""
_PROBES = 8
"""Chunks of random rows that ``auto`` looks at."""
_SEEN = 0.75 * MAX_DRIFT
"""The largest change among them for bf16 to be chosen: a million rows show more than 16,384 do
(docs/embeddings.md has the figures)."""
_ROUNDING = 1e-4
"""How far fp32 of another engine may be from the head's own: rounding in another order."""
_ABSURD = 0.2
"""How far bf16 may be when it was asked for: past it is no rounding, but another network."""
_LOOKED_AT = 16
"""Rows of a chunk whose norms are taken, or twice as many."""
_NEAR = 0.05
"""How far from 1 the norm of a normalised row may be."""
_EXPONENT = {2: (np.int16, np.uint16, 0x7C00), 4: (np.int32, np.uint32, 0x7F80_0000)}
"""By the size of a float: integers of its size, and the bits of its exponent."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One chunk's scores, and how long some of its rows are."""

    scores: Float32
    """float32 [count, labels]"""
    norms: Float32
    """Of some rows."""


class Scorer:
    """A head ready for rows of one dtype. Thread-safe: :attr:`workers` calls may overlap."""

    def __init__(self, head: Head, dtype: np.dtype[Any], precision: str = "auto") -> None:
        """Compile the head.

        Args:
            head: any.
            dtype: of the rows, float16 or float32.
            precision: ``auto``, ``fp32`` or ``bf16``. ``auto`` is bf16 for float16 rows where the
                CPU computes it and this head's probabilities, on rows made for the purpose, stay
                within :data:`MAX_DRIFT` of fp32's. Who kept float32 rows wants exact scores.

        Raises:
            UnknownNameError: no such precision.
            ModelError: bf16, and the head or the CPU has none.
            MissingExtraError: bf16, and OpenVINO is not installed.
        """
        if precision not in PRECISIONS:
            raise UnknownNameError("precision", precision, PRECISIONS)
        self.head = head
        self.drift: float | None = None
        """Of bf16, the largest that was seen; None where it was not measured."""
        self._dtype = dtype
        self._plan = plan_of(head)
        self._network = self._compiled(precision)

    @property
    def engine(self) -> str:
        """What computes, for a person: ``openvino bf16``."""
        return "numpy fp32" if self._network is None else f"openvino {self._network.precision}"

    @property
    def workers(self) -> int:
        """Threads that may usefully call :meth:`score` at once."""
        return cores() if self._network is None else self._network.streams

    @property
    def length_matters(self) -> bool:
        """Whether the head's scores depend on how long rows are."""
        return self._plan is None or not self._plan.norms

    def score(self, chunk: Chunk) -> Scored:
        """Load and score a chunk of at most :data:`ROWS` rows.

        Raises:
            UsageError: it cannot be loaded, or a row holds a value that is not finite.
        """
        if self._network is None:
            rows = np.empty((chunk.count, self.head.dim), self._dtype)
            self._load(chunk, rows)
            scores = self.head.scores(rows.astype(np.float32))
            return Scored(np.asarray(scores, np.float32), _norms(rows))
        with self._network.slot() as slot:
            rows = slot.rows[: chunk.count]
            try:
                self._load(chunk, rows)
            except UsageError:
                slot.rows[:] = 0  # what is left behind must be finite
                raise
            return Scored(slot.scores(chunk.count), _norms(rows))

    def _load(self, chunk: Chunk, rows: Rows) -> None:
        chunk.load(rows)
        if not all_finite(rows):
            first = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise UsageError(
                f"{chunk.place.name(first)} holds a value that is not finite",
                hint="remove the row, or compute its embedding again",
            )

    def _compiled(self, precision: str) -> Network | None:
        plan = self._plan
        if precision == "bf16":
            require("openvino", extra="openvino")
            if plan is None or not plan.bf16:
                raise ModelError(
                    "bf16 is not offered for this head: it would only be less exact",
                    hint="use --precision fp32",
                )
            if not cpu_has_bf16():
                raise ModelError("this CPU does not compute bf16", hint="use --precision fp32")
            network = self._make(plan, "bf16")
            if self._distance(network) > _ABSURD:
                raise ModelError(
                    "OpenVINO's bf16 network does not compute this head",
                    hint="use --precision fp32",
                )
            return network
        if plan is None or not available("openvino"):
            return None
        halves = self._dtype == np.float16
        if precision == "auto" and halves and plan.bf16 and cpu_has_bf16():
            fast, exact = self._make(plan, "bf16"), self._exact(plan)
            if exact is None:
                return None
            self.drift = self._measured(fast, exact)
            return fast if self.drift <= _SEEN else exact
        return self._exact(plan)

    def _exact(self, plan: Plan) -> Network | None:
        """The network in fp32, once it was seen to give the head's own scores; else None.

        Once in some thousand test runs a freshly compiled network gave quite other scores, which
        no message told. What is wrong is not used: it is compiled anew, and then done without.
        """
        for _ in range(2):
            network = self._make(plan, "fp32")
            if self._distance(network) <= _ROUNDING:
                return network
        return None

    def _distance(self, network: Network) -> float:
        """The largest difference of any stream's probabilities from the head's own."""
        rows = probe(self.head, _PROBES).astype(self._dtype)
        wanted = self.head.probabilities(self.head.scores(rows.astype(np.float32)))
        return max(
            float(np.abs(self.head.probabilities(scores) - wanted).max())
            for scores in network.of_each(rows)
        )

    def _make(self, plan: Plan, precision: str) -> Network:
        return Network(plan, self.head.dim, self._dtype, precision, ROWS)

    def _measured(self, fast: Network, exact: Network) -> float:
        """The largest difference of the head's probabilities on seeded rows."""
        worst = 0.0
        for seed in range(_PROBES):
            rows = probe(self.head, seed).astype(self._dtype)
            p = [self.head.probabilities(network.scores(rows)) for network in (fast, exact)]
            worst = max(worst, float(np.abs(p[0] - p[1]).max()))
        return worst


def probe(head: Head, seed: int) -> Float32:
    """Random rows, as many as a chunk has, of the length that ``head`` was made for.

    Embeddings as CLIP projects them are about 10 long.
    """
    made = np.random.default_rng(seed).standard_normal((ROWS, head.dim), dtype=np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made if head.unit else 10 * made


def all_finite(rows: Rows) -> bool:
    """Whether float16 or float32 rows hold no infinity and no NaN.

    Told by the largest bit pattern of either sign: several times as fast as asking every value.
    """
    if not rows.size:
        return True
    signed, unsigned, exponent = _EXPONENT[rows.dtype.itemsize]
    sign = 1 << (8 * rows.dtype.itemsize - 1)
    return bool(rows.view(signed).max() < exponent and rows.view(unsigned).max() < sign | exponent)


def _norms(rows: Rows) -> Float32:
    some = rows[:: max(1, len(rows) // _LOOKED_AT)].astype(np.float32)
    return np.asarray(np.linalg.norm(some, axis=1), dtype=np.float32)


def count_near_one(norms: Float32) -> int:
    """How many rows are as good as normalised."""
    return int((np.abs(norms - 1) <= _NEAR).sum())
