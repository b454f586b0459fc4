"""Services on this machine's loopback that answer as OpenAI, AWS and Google do, and as they fail.

What a picture scores follows from its mean red value, so that answers can be checked.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import PIL.Image

KEY = "sk-secret-key-of-the-tests"
IMAGE_KEYS = (
    *("sexual", "violence", "violence/graphic"),
    *("self-harm", "self-harm/intent", "self-harm/instructions"),
)
TEXT_KEYS = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening"),
    *("illicit", "illicit/violent", "sexual/minors"),
)
LEVELS = ("VERY_UNLIKELY", "UNLIKELY", "POSSIBLE", "LIKELY", "VERY_LIKELY")


@dataclass(frozen=True)
class Reply:
    """One answer that a test has prepared."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    """Before the answer's headers."""
    drip_s: float = 0.0
    """Between two bytes of the body."""
    cut: int | None = None
    """Bytes of the body after which the connection is closed."""


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float


def redness(data: bytes) -> float:
    """Mean of the red channel, 0..1."""
    return float(np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"))[..., 0].mean() / 255)


def openai_answer(p: float) -> dict[str, Any]:
    scores = dict.fromkeys(IMAGE_KEYS, round(p, 6)) | dict.fromkeys(TEXT_KEYS, 0.0)
    return {
        "id": "modr-1",
        "model": "omni-moderation-2024-09-26",
        "results": [
            {
                "flagged": p >= 0.3,
                "categories": {key: score >= 0.3 for key, score in scores.items()},
                "category_scores": scores,
                "category_applied_input_types": {
                    **{key: ["image"] for key in IMAGE_KEYS},
                    **{key: [] for key in TEXT_KEYS},
                },
            }
        ],
    }


def rekognition_answer(p: float) -> dict[str, Any]:
    labels = [
        ("Explicit", "", 1),
        ("Explicit Nudity", "Explicit", 2),
        ("Exposed Buttocks or Anus", "Explicit Nudity", 3),
        ("Rude Gestures", "", 1),
    ]
    return {
        "ModerationModelVersion": "7.0",
        "ModerationLabels": [
            {"Name": name, "ParentName": parent, "Confidence": 100 * p, "TaxonomyLevel": level}
            for name, parent, level in labels
        ],
    }


def safesearch_answer(p: float) -> dict[str, Any]:
    level = LEVELS[min(4, int(p * 5))]
    names = ("adult", "spoof", "medical", "violence", "racy")
    return {"responses": [{"safeSearchAnnotation": dict.fromkeys(names, level)}]}


@dataclass
class Service:
    """One service; tests set what goes wrong."""

    answer: Callable[[float], dict[str, Any]] = openai_answer
    replies: list[Reply] = field(default_factory=list)
    """Given to the next requests instead."""
    always: Reply | None = None
    """Given to all requests but the first, which is the probe."""
    choke_on: Callable[[float], Reply | None] = lambda p: None
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply_to(self, request: Request) -> Reply:
        with self.lock:
            self.requests.append(request)
            if self.replies:
                return self.replies.pop(0)
            if self.always is not None and len(self.requests) > 1:
                return self.always
        p = redness(picture_of(request.body))
        return self.choke_on(p) or Reply(200, json.dumps(self.answer(p)).encode())


def picture_of(body: dict[str, Any]) -> bytes:
    """The picture that a request of any of the three forms holds."""
    if "input" in body:
        (part,) = body["input"]
        text = part["image_url"]["url"].partition(",")[2]
    elif "Image" in body:
        text = body["Image"]["Bytes"]
    else:
        (asked,) = body["requests"]
        text = asked["image"]["content"]
    return base64.b64decode(text, validate=True)


class _Handler(BaseHTTPRequestHandler):
    service: Service
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.service.reply_to(Request(self.path, headers, body, time.monotonic()))
        time.sleep(reply.delay_s)
        try:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            body_sent = reply.body[: reply.cut]
            if reply.drip_s:
                for byte in body_sent:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(reply.drip_s)
            else:
                self.wfile.write(body_sent)
        except OSError:
            pass  # the client has left
        self.close_connection = True

    def do_GET(self) -> None:
        self.service.requests.append(Request(self.path, {}, {}, time.monotonic()))
        self.send_error(405)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def serving(answer: Callable[[float], dict[str, Any]] = openai_answer) -> Iterator[Service]:
    service = Service(answer)
    handler = type("Handler", (_Handler,), {"service": service})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        service.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
