"""A real browser for tests: Debian's chromium, driven over its DevTools pipe.

The pipe needs nothing but the standard library, and unlike ``--dump-dom`` it can click.
"""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import PIL.Image

from vedette.types import UInt8

_SECONDS = 60.0
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
_WITH_PIPES = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execvp(sys.argv[3], sys.argv[3:])"
)
"""Chromium reads commands from file 3 and writes answers to file 4."""


class Browser:
    """One page; every request it makes and every complaint of its console is kept."""

    def __init__(self, chromium: str, profile: Path) -> None:
        commands, self._to = _pipe()
        self._from, answers = _pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _WITH_PIPES, str(commands), str(answers), chromium),
                *(*_FLAGS, f"--user-data-dir={profile}", "about:blank"),
            ],
            pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._buffer = b""
        self._last = 0
        self._session: str | None = None
        self._loaded = False

    def __enter__(self) -> Self:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._to)  # chromium ends when its pipe does
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._from)

    def open(self, path: Path) -> None:
        """Load a file, forgetting what earlier ones requested and complained about."""
        self.requests.clear()
        self.complaints.clear()
        self._loaded = False
        self.call("Page.navigate", url=path.as_uri())
        while not self._loaded:
            self._receive()

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """Click the middle of an element, as a mouse would."""
        x, y, width, height = self._rectangle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            at = {"x": x + width / 2, "y": y + height / 2}
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key of the keyboard."""
        for kind in ("keyDown", "keyUp"):
            typed = text if kind == "keyDown" else ""
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=typed
            )

    def picture(self, selector: str) -> UInt8:
        """What the middle of an element looks like: pixels [H, W, 3], half its size."""
        x, y, width, height = self._rectangle(selector)
        left, top = self.value("[scrollX, scrollY]")
        clip = {
            "x": left + x + width / 4,
            "y": top + y + height / 4,
            "width": width / 2,
            "height": height / 2,
            "scale": 1,
        }
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        with PIL.Image.open(io.BytesIO(base64.b64decode(shot["data"]))) as picture:
            return np.asarray(picture.convert("RGB"))

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """The answer to one DevTools command."""
        self._last += 1
        command = {"id": self._last, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._to, json.dumps(command).encode() + b"\0")
        while True:
            message = self._receive()
            if message.get("id") == self._last:
                assert "error" not in message, (method, message["error"])
                result: dict[str, Any] = message["result"]
                return result

    def _rectangle(self, selector: str) -> tuple[float, float, float, float]:
        element = f"document.querySelector({json.dumps(selector)})"
        self.value(f"{element}.scrollIntoView({{block: 'center'}})")
        rectangle = self.value(f"{element}.getBoundingClientRect().toJSON()")
        return rectangle["x"], rectangle["y"], rectangle["width"], rectangle["height"]

    def _receive(self) -> dict[str, Any]:
        """The next message; events are noted on the way."""
        end = time.monotonic() + _SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            got = os.read(self._from, 1 << 16)
            assert got, "the browser has gone"
            self._buffer += got
        raw, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(raw)
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(message["params"]["exceptionDetails"]["text"])
        return message


def _pipe() -> tuple[int, int]:
    """A pipe with high numbers, so that putting one end on 3 or 4 cannot hit the other."""
    ends = os.pipe()
    read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return read, write
