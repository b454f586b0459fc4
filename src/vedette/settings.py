"""Settings: limits on what is decoded, how videos are sampled, and the defaults of a scan.

They come from a TOML file (``--config FILE`` or the ``VEDETTE_CONFIG`` environment variable);
options on the command line win over the file. docs/settings.md lists them all.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from vedette.errors import SettingsError

_MAY_BE_ZERO = frozenset({"workers", "scene_change", "port", "rate", "retention_days", "redirects"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What a single input may cost. Past a limit the input fails, it is never half trusted."""

    bytes: int = 256 * 2**20
    """Size of a still or animated picture's file, in bytes."""
    pixels: int = 120_000_000
    """Width times height of a frame. The default admits 108-megapixel cameras."""
    frames: int = 10_000
    """Frames scanned of one animation, multi-page file or video."""
    seconds: float = 60.0
    """Time to decode one picture or animation. Checked between frames; in hardened mode the
    worker is also killed at that time."""
    video_bytes: int = 16 * 2**30
    """Size of a video file, in bytes."""
    video_seconds: float = 3600.0
    """Time to decode one video, in seconds."""
    archive_bytes: int = 64 * 2**30
    """Sum of the expanded sizes of an archive's members, in bytes."""
    archive_members: int = 1_000_000
    """Members of one archive."""
    worker_bytes: int = 4 * 2**30
    """Address space of a decode worker in hardened mode, in bytes."""


@dataclass(frozen=True, slots=True)
class VideoSampling:
    """Which frames of a video are scanned: one every ``interval_s``, and every scene change."""

    interval_s: float = 1.0
    """Seconds between two frames scanned."""
    scene_change: float = 0.08
    """Mean absolute difference (0..1) of two consecutive frames' 32 x 32 grey thumbnails from
    which the later one counts as a new scene. Every frame is decoded and compared."""


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """How a scan runs. None of these changes what a verdict means."""

    backend: str = "auto"
    """``auto``, ``onnx`` or ``openvino``."""
    precision: str = "auto"
    """``auto``, ``fp32`` or ``bf16``."""
    workers: int = 0
    """Decode threads (processes in hardened mode); 0 = one for each core."""
    batch: int = 8
    """Images in one call of the model, at most."""
    hardened: bool = False
    """Decode in worker processes with memory and time limits."""
    in_flight: int = 64
    """Items read but not yet delivered, at most: what bounds memory."""
    in_flight_bytes: int = 512 * 2**20
    """Bytes of items held in memory (archive members, bytes given), at most."""
    exact_decode: bool = False
    """Decode every JPEG at full size: slower on large photographs, no scaled decode."""
    embeddings: bool = False
    """Keep the model's embedding in the Record."""
    scope: str = ""
    """What a vision-language model is asked about: names of categories with commas between; empty:
    all that it can be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a settings file can say."""

    model: str = "nudenet"
    """Model name, see ``vedette models list``."""
    policy: str = "default"
    """Preset name or path of a policy file."""
    calibration: str = ""
    """File of ``vedette calibrate``, made for the model; ``""``: none."""
    commercial: bool = False
    """Refuse models whose licence or training data does not admit commercial use."""
    limits: Limits = field(default_factory=Limits)
    video: VideoSampling = field(default_factory=VideoSampling)
    scan: ScanOptions = field(default_factory=ScanOptions)


def load_settings(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read settings from ``path``, else from ``$VEDETTE_CONFIG``, else the defaults.

    Raises:
        SettingsError: unreadable, not TOML, an unknown key, or a value of the wrong type or sign.
    """
    path, table = read_table(path, environ)
    table.pop("serve", None)  # vedette.serve.options reads it
    sections = {
        "limits": read_section(Limits, table.pop("limits", {}), path, "limits"),
        "video": read_section(VideoSampling, table.pop("video", {}), path, "video"),
        "scan": read_section(ScanOptions, table.pop("scan", {}), path, "scan"),
    }
    top = read_section(Settings, table, path, "")
    whole: Settings = replace(top, **sections)
    return whole


def read_table(
    path: Path | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[Path, dict[str, Any]]:
    """The settings file as it stands, and its path; an empty table where none is named.

    Raises:
        SettingsError: unreadable, or not TOML.
    """
    if path is None:
        named = environ.get("VEDETTE_CONFIG")
        if not named:
            return Path(), {}
        path = Path(named)
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read settings {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error


def read_section(cls: type[Any], table: object, path: Path, name: str) -> Any:
    """A table of the settings file as a dataclass; what it does not name keeps its default.

    Args:
        cls: every field has a default, whose type a value must have; a tuple is a list of texts.
        table: as it stands in the file.
        path: of the file, for messages.
        name: of the table, for messages.

    Raises:
        SettingsError: an unknown key, or a value of the wrong type or sign.
    """
    where = f"[{name}] of {path}" if name else str(path)
    if not isinstance(table, dict):
        raise SettingsError(f"{where} must be a table")
    known = {f.name: f for f in fields(cls)}
    default = cls()
    given = dict(table)
    for key, value in table.items():
        if key not in known:
            raise SettingsError(f"{where}: unknown setting {key!r}")
        standard = getattr(default, key)
        expected = str if standard is None else type(standard)
        if expected is float and type(value) is int:
            continue
        if expected is tuple and isinstance(value, list):
            kind = type(standard[0]) if standard else str
            if all(type(one) is kind for one in value):
                given[key] = tuple(value)
                continue
            raise SettingsError(f"{where}: {key} must be a list of {kind.__name__}")
        if type(value) is not expected:
            raise SettingsError(f"{where}: {key} must be a {expected.__name__}, not {value!r}")
    return validated(cls(**given), where)


def validated(section: Any, where: str) -> Any:
    """``section`` itself, once every number in it is in range.

    Raises:
        SettingsError: a limit, an interval or a count that is not positive, other than those that
            mean something as 0.
    """
    for f in fields(section):
        value = getattr(section, f.name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not (value > 0 or (f.name in _MAY_BE_ZERO and value == 0)):
            raise SettingsError(f"{where}: {f.name} must be positive, not {value!r}")
    return section
