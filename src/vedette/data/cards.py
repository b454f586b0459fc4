"""Cards of published sets: what they hold, and the terms that bind whoever uses them.

A card's terms are what we could read of the publisher's, in our words. Where a publisher states
none, the card says so and counts as the strictest: no commercial use, no redistribution.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from vedette.data.labelling import SAFE, UNSAFE, Label, of_categories
from vedette.errors import UnknownNameError
from vedette.taxonomy import Category

_UNSTATED = "none stated by the publisher"
_RESEARCH = "Research on image safety. No terms are stated for this copy: counted as the strictest."


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCard:
    """What is known of a published set of images."""

    id: str
    title: str
    repo: str
    """``owner/name`` on the model hub."""
    licence: str
    """SPDX where it is clear; the facts where it is not."""
    permitted: str
    """What the terms permit, in a sentence or two."""
    commercial: bool
    """Whether commercial use is permitted, of what is trained on it as well."""
    redistribution: bool
    """Whether pictures of it may be passed on: ``vedette data export`` refuses where they may
    not."""
    citation: str
    images: int
    """As published."""
    labels: Mapping[str, Label] = field(default_factory=dict)
    """Its own labels by the names, or the numbers, that its files use."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Images per label as published, where that is known: what a class order is checked against."""
    note: str = ""

    @property
    def counts_by_safety(self) -> Mapping[bool, int] | None:
        """Images that were published as unsafe (True) and as safe (False); None: not known."""
        if not self.counts:
            return None
        return {
            unsafe: sum(n for name, n in self.counts.items() if self.labels[name].unsafe is unsafe)
            for unsafe in (True, False)
        }

    @property
    def terms_hash(self) -> str:
        """SHA-256 of all that is accepted. Other words have to be accepted anew."""
        said = (
            self.id,
            self.licence,
            self.permitted,
            str(self.commercial),
            str(self.redistribution),
            self.citation,
        )
        return hashlib.sha256("\0".join(said).encode()).hexdigest()

    @property
    def terms(self) -> str:
        """The terms in one line, as the card of a model trained on the set carries them."""
        commercial = "commercial use permitted" if self.commercial else "no commercial use"
        passing = "may be redistributed" if self.redistribution else "no redistribution"
        return f"{self.title}: {self.permitted} ({commercial}; {passing})"


_UNSAFEBENCH = (
    "Qu, Shen, Wu, Backes, Zannettou, Zhang: UnsafeBench: Benchmarking Image Safety Classifiers on "
    "Real-World and AI-Generated Images. CCS 2025, arXiv:2405.03486"
)


def _external(name: str, title: str, images: int, citation: str, unsafe: Label) -> SetCard:
    return SetCard(
        id=name.lower().removesuffix("_dataset").replace("_", "-"),
        title=title,
        repo=f"yiting/{name}",
        licence=_UNSTATED,
        permitted=_RESEARCH,
        commercial=False,
        redistribution=False,
        citation=f"{citation} As used in: {_UNSAFEBENCH}",
        images=images,
        labels={"0": SAFE, "1": unsafe},
    )


_CARDS = (
    SetCard(
        id="unsafebench",
        title="UnsafeBench",
        repo="yiting/UnsafeBench",
        licence="none stated; access is granted on request",
        permitted="Research only; any misuse is prohibited.",
        commercial=False,
        redistribution=False,
        citation=_UNSAFEBENCH,
        images=10_146,
        labels={"Safe": SAFE, "Unsafe": UNSAFE},
        counts={"Safe": 6_098, "Unsafe": 4_048},
    ),
    _external(
        "SMID",
        "SMID",
        2_941,
        "Crone, Bode, Murawski, Laham: The Socio-Moral Image Database (SMID). PLOS ONE 2018.",
        UNSAFE,
    ),
    _external(
        "NSFWDataset",
        "NudeNet's pictures",
        1_800,
        "Bedapudi: NudeNet. 2019.",
        of_categories([Category.SEXUAL]),
    ),
    _external(
        "MultiHeaded_Dataset",
        "MultiHeaded's pictures",
        800,
        "Qu, Shen, He, Backes, Zannettou, Zhang: Unsafe Diffusion. CCS 2023.",
        UNSAFE,
    ),
    _external(
        "Violence_Dataset",
        "Violent Behavior",
        132,
        "",
        of_categories([Category.VIOLENCE]),
    ),
    _external(
        "Self-harm_Dataset",
        "Self-Harm",
        594,
        "",
        of_categories([Category.SELF_HARM]),
    ),
    SetCard(
        id="image-moderation",
        title="Image Moderation Dataset",
        repo="cloverxion/image-moderation-dataset",
        licence="the publisher's own terms",
        permitted=(
            "Academic research, AI safety engineering and moderation benchmarks; collected from "
            "the internet, rights stay with their owners."
        ),
        commercial=False,
        redistribution=False,
        citation="cloverxion: Image Moderation Dataset (binary: safe against unsafe).",
        images=30_000,
        labels={"SAFE": SAFE, "UNSAFE": UNSAFE},
        note="More than 15,000 images a class; the publisher advises to check the class order.",
    ),
    SetCard(
        id="image-moderation-specialist",
        title="Image Moderation Specialist",
        repo="cloverxion/image-moderation-specialist",
        licence=_UNSTATED,
        permitted=(
            "The multi-class sibling of Image Moderation Dataset; its own terms were not at hand: "
            "counted as the same."
        ),
        commercial=False,
        redistribution=False,
        citation="cloverxion: Image Moderation Specialist.",
        images=0,
        note="Class names were not at hand: they are read from its folders, or given.",
    ),
)


def cards() -> Mapping[str, SetCard]:
    """All cards by id."""
    return {card.id: card for card in _CARDS}


def recognised(given: str) -> SetCard | None:
    """The set whose repository a path is named after, as the hub's own tools name it.

    ``…/yiting/SMID``, ``datasets--yiting--SMID``, ``image-moderation-dataset.zip``.
    """
    parts = [part.lower() for part in given.replace("\\", "/").split("/") if part]
    for card in _CARDS:
        owner, name = card.repo.lower().split("/")
        cached = f"datasets--{owner}--{name}"
        if any(part == cached or part.split(".")[0] == name for part in parts):
            return card
    return None


def card_named(name: str) -> SetCard:
    """The card of that id, or of that repository.

    Raises:
        UnknownNameError: there is none.
    """
    for card in _CARDS:
        if name in (card.id, card.repo):
            return card
    raise UnknownNameError("data set", name, cards())
