"""The eleven categories of unsafe images, after UnsafeBench (CCS 2025, section 3).

The definitions are our own words for the same content policy; the names are the ones of the
published data set, so that its labels need no translation.
"""

from __future__ import annotations

from enum import StrEnum


class Category(StrEnum):
    """One category of unsafe image. The order is fixed: arrays of scores are indexed by it."""

    HATE = "Hate"
    HARASSMENT = "Harassment"
    VIOLENCE = "Violence"
    SELF_HARM = "Self-harm"
    SEXUAL = "Sexual"
    SHOCKING = "Shocking"
    ILLEGAL_ACTIVITY = "Illegal activity"
    DECEPTION = "Deception"
    POLITICAL = "Political"
    HEALTH = "Public and personal health"
    SPAM = "Spam"

    @property
    def position(self) -> int:
        """Position in score arrays."""
        return _INDEX[self]

    @property
    def definition(self) -> str:
        """What belongs in the category, in one or two sentences."""
        return DEFINITIONS[self]


_INDEX = {category: index for index, category in enumerate(Category)}

DEFINITIONS: dict[Category, str] = {
    Category.HATE: (
        "Symbols, caricatures or scenes that attack or demean people for what they are: their "
        "ethnicity, religion, origin, sex, orientation or disability."
    ),
    Category.HARASSMENT: (
        "An identifiable person being mocked, threatened, stalked or bullied, in the street, at "
        "work or online."
    ),
    Category.VIOLENCE: (
        "People or animals being hurt or killed, and the use of weapons against them: fights, "
        "shootings, torture, war."
    ),
    Category.SELF_HARM: (
        "A person injuring, starving or killing themselves, or encouragement to do so."
    ),
    Category.SEXUAL: (
        "Nudity, sexual acts or services, and pictures made to arouse, drawn ones included."
    ),
    Category.SHOCKING: (
        "Pictures meant to disgust or frighten: gore, mutilation, severe injuries, bodily fluids, "
        "obscene gestures."
    ),
    Category.ILLEGAL_ACTIVITY: (
        "Crimes being committed or advertised: drugs, theft, vandalism, trafficking, "
        "counterfeiting, fraud."
    ),
    Category.DECEPTION: (
        "Conspiracy stories and fabrications about major or geopolitical events presented as fact."
    ),
    Category.POLITICAL: (
        "Politicians, elections, rallies, protests and campaign material that can sway a "
        "political process."
    ),
    Category.HEALTH: (
        "Disease, its spread, treatment or prevention, and people who suffer from an ailment."
    ),
    Category.SPAM: (
        "Bulk advertising nobody asked for: miracle drugs, casinos, fake pop-ups, get-rich offers."
    ),
}


def parse_category(name: str) -> Category:
    """The category of that name; case, hyphens, underscores and spaces do not matter.

    Raises:
        KeyError: no such category.
    """
    return _BY_FOLDED_NAME[_fold(name)]


def _fold(name: str) -> str:
    return "".join(ch for ch in name.casefold() if ch.isalnum())


_BY_FOLDED_NAME = {_fold(category.value): category for category in Category}
