"""What a user may choose about prompt learning."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from vedette.errors import UnknownNameError, UsageError
from vedette.train.examples import UNSAFE
from vedette.train.prompt.texts import sentences

Form = Literal["coop", "q16"]
FORMS: tuple[Form, ...] = get_args(Form)
Init = Literal["auto", "text", "means", "random"]
INITS: tuple[Init, ...] = get_args(Init)
SAFE_TEXT = "a safe image without {category}"
UNSAFE_TEXT = "an unsafe image of {category}"
"""Eight tokens of CLIP's with the longest category's name, "public and personal health"."""


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """Defaults are PerspectiveVision's."""

    form: Form = "coop"
    """``coop``: soft prompts through the text tower. ``q16``: free vectors in the joint space."""
    init: Init = "auto"
    """Where they start: ``text``; ``means`` of the training images' embeddings (q16 only);
    ``random``; ``auto``: text where the backbone has a text tower, else means."""
    vectors: int = 8
    """Of a soft prompt."""
    epochs: int = 80
    batch: int = 128
    learning_rate: float = 2e-4
    """Adam's."""
    patience: int = 0
    """Epochs without a lower validation loss after which a label stops, with its best epoch kept;
    0: no label stops, and the last epoch is kept, as in the paper."""
    safe_text: str = SAFE_TEXT
    unsafe_text: str = UNSAFE_TEXT

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UnknownNameError("form", self.form, FORMS)
        if self.init not in INITS:
            raise UnknownNameError("init", self.init, INITS)
        if min(self.vectors, self.epochs, self.batch) < 1 or self.patience < 0:
            raise UsageError("vectors, epochs and batch are 1 or more, patience 0 or more")
        if not 0 < self.learning_rate <= 1:
            raise UsageError(f"a learning rate of {self.learning_rate} is not within 0..1")
        sentences(self.safe_text, (UNSAFE,), "--safe-text")
        sentences(self.unsafe_text, (UNSAFE,), "--unsafe-text")
        if self.form == "coop" and self.init == "means":
            raise UsageError(
                "soft prompts are vectors of words: the images' means are none",
                hint="use --init text or --init random, or --form q16",
            )

    def as_json(self) -> dict[str, Any]:
        """For the account of the training."""
        return asdict(self)
