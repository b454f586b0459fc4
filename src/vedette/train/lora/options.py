"""What a user may choose about a LoRA training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from vedette.errors import UsageError
from vedette.networks.vlm_adapter import MOST_ALPHA

Negatives = Literal["definitions", "bare"]
_MOST_RATE = 1e30
"""With more, a step itself is no number of float32."""


@dataclass(frozen=True, slots=True)
class LoraOptions:
    """The defaults are the paper's."""

    rank: int = 128
    alpha: float = 256.0
    dropout: float = 0.05
    learning_rate: float = 2e-4
    warm_up: float = 0.03
    """Share of the steps in which the learning rate rises; then it falls as half a cosine."""
    epochs: int = 1
    batch: int = 16
    """Examples of one step."""
    gradient_accumulation: int = 1
    """Parts that a step's examples go through the network in: less memory, the same step."""
    gradient_checkpointing: bool = False
    """Compute activations twice and keep few: less memory, a third more time."""
    four_bit: bool = False
    """Hold the frozen weights in four bits (QLoRA)."""
    negatives: Negatives = "definitions"
    """``bare``: as the published code has them, for comparison: the prompt betrays the answer."""
    merge: bool = False
    """Add the adapter to the weights, and write a whole model."""

    def check(self) -> None:
        """Refuse values that no training can have.

        Raises:
            UsageError: a number out of its range, or four bits with a merge.
        """
        if not (0 < self.learning_rate <= _MOST_RATE and 0 < self.alpha <= MOST_ALPHA):
            raise UsageError(
                "--learning-rate and --alpha must be positive numbers, "
                f"at most {_MOST_RATE:g} and {MOST_ALPHA:g}"
            )
        if min(self.rank, self.epochs, self.batch, self.gradient_accumulation) < 1:
            raise UsageError("--rank, --epochs, --batch and --gradient-accumulation start at 1")
        if self.four_bit and self.merge:
            raise UsageError(
                "an adapter cannot be merged into weights of four bits without loss",
                hint="leave --merge out: the folder then holds the adapter",
            )

    def as_json(self) -> dict[str, Any]:
        """For the account of the training."""
        return asdict(self)
