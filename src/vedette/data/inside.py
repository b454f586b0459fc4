"""File names that a data set's own tables give, held inside the data set's folder."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from vedette.fetch import fetch_error, shown
from vedette.types import Failure

_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")
_PARTS = re.compile(r"[/\\]")


def inside(folder: Path, name: str) -> Path | Failure:
    """The file called ``name`` in ``folder``, or why it is not to be read.

    Whoever wrote the table may be a stranger: a name that is absolute, that goes up, or that a link
    leads out of the folder would read any file of this machine into the data set.

    Returns:
        The path, or a Failure: ``unsafe_path``, ``not_found``, ``not_a_file``, ``unreadable``.
    """
    if not name or "\0" in name:
        return Failure("fetch", "not_found", "the row names no file")
    if _ABSOLUTE.match(name) or ".." in _PARTS.split(name):
        return Failure("fetch", "unsafe_path", "the row's path leads out of the set's folder")
    path = folder / name
    try:
        status = os.stat(path)
        real, home = os.path.realpath(path), os.path.realpath(folder)
    except OSError as error:
        return fetch_error(path, error).failure()
    except ValueError as error:  # a lone surrogate that is no byte
        return Failure("fetch", "not_found", f"no file can have this name: {error}")
    if os.path.commonpath([real, home]) != home:
        return Failure("fetch", "unsafe_path", f"{shown(path)} is a link out of the set's folder")
    if not stat.S_ISREG(status.st_mode):
        return Failure("fetch", "not_a_file", f"{shown(path)} is not a regular file")
    return path
