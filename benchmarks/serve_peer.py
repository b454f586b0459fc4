"""The peer of ``serve.py``: FastAPI and nudenet, written plainly and not badly.

    python benchmarks/serve_peer.py PORT

One detector is made at the start and shared, nudenet's way to give it bytes is used (no temporary
file), and the endpoint is a plain function, so that FastAPI runs it in its pool of threads and the
event loop is never blocked. ONNX Runtime and OpenCV have all cores. There is no queue bound, no
check of what comes in, no key, no guard around decoding and nothing is kept: it does less.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import nudenet
import uvicorn
from fastapi import FastAPI, File

app = FastAPI()
detector = nudenet.NudeDetector()


@app.post("/scan")
def scan(image: Annotated[bytes, File()]) -> dict[str, Any]:
    """What the detector sees."""
    return {"regions": detector.detect(image)}


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """That it has started."""
    return {"status": "ok"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
