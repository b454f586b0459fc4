"""Text from outside, made safe to show."""

from __future__ import annotations


def printable(text: str) -> str:
    """``text`` with control and direction characters spelt out.

    A file name must not drive the terminal, nor turn the reading direction to look like another.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def is_utf8(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8: a file name of other bytes cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
