"""The child process of hardened decoding: decodes what the parent names, under resource limits.

Started by :mod:`vedette.hardened` as ``python -P -m vedette.decode_worker FD``. The wire is a
socket of length-prefixed messages, JSON or raw bytes, never pickle: what comes back from a
process that a hostile file may have taken over is only ever parsed as data.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from vedette.decode import DecodeOptions, decode_item
from vedette.errors import ItemError
from vedette.resize import Fit
from vedette.settings import Limits, VideoSampling
from vedette.types import Image, Item

_MOST_CPU_S = 2**31
"""Where a limit of the settings is infinite."""


def main() -> None:
    """Serve the parent until it hangs up."""
    wire = Connection(int(sys.argv[1]))
    options = _options(json.loads(wire.recv_bytes()))
    _restrict(options.limits)
    while True:
        try:
            job = json.loads(wire.recv_bytes())
        except EOFError:
            return
        data: bytes | Path = Path(job["path"]) if "path" in job else wire.recv_bytes()
        _allow_cpu(options.limits)
        try:
            for image in decode_item(Item("", data), options):
                _send(wire, image)
            end: dict[str, Any] = {"end": True}
        except ItemError as error:
            end = {
                "end": True,
                "stage": error.stage,
                "code": error.code,
                "message": error.message,
                "sha256": error.sha256,
                "format": error.format,
            }
        except MemoryError:
            end = {"end": True, "stage": "decode", "code": "out_of_memory", "message": "no memory"}
        wire.send_bytes(json.dumps(end).encode())


def _send(wire: Connection, image: Image) -> None:
    header = {
        "shape": image.pixels.shape[:2],
        "sha256": image.sha256,
        "size": (image.width, image.height),
        "format": image.format,
        "place": (image.frame, image.frames),
        "time_s": image.time_s,
        "view": image.view,
    }
    pixels = image.pixels.tobytes()  # first: no memory for it must not leave a header behind
    wire.send_bytes(json.dumps(header).encode())
    wire.send_bytes(pixels)


def _options(given: dict[str, Any]) -> DecodeOptions:
    fit = Fit(**given["fit"]) if given["fit"] else None
    limits, sampling = Limits(**given["limits"]), VideoSampling(**given["sampling"])
    return DecodeOptions(limits, sampling, fit, given["icc"])


def _restrict(limits: Limits) -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = limits.worker_bytes if hard == resource.RLIM_INFINITY else min(limits.worker_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # writes no file, starts no process
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        os.nice(1)


def _allow_cpu(limits: Limits) -> None:
    """CPU seconds for one more job, on top of those used; past them the kernel ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = used.ru_utime + used.ru_stime + max(limits.seconds, limits.video_seconds) + 2
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    most = _MOST_CPU_S if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_CPU, (int(min(seconds, most)), hard))


if __name__ == "__main__":
    main()
