"""The other peer of ``serve.py``: a service over opennsfw2, with what its own service calls.

    python benchmarks/serve_peer_opennsfw2.py PORT     # in an environment of its own: see below

opennsfw2 needs TensorFlow, which Vedette does not: ``python3 -m venv PEER`` and
``PEER/bin/pip install opennsfw2 tensorflow-cpu fastapi uvicorn python-multipart``, then
``python benchmarks/serve.py --opennsfw2 PEER/bin/python``.

Its own service (``app/`` of its repository) takes base64 in JSON and blocks the event loop while it
predicts. This one takes a form, and predicts in FastAPI's pool of threads: both cost it less. The
weights are random, since they cannot be fetched here; a network takes as long with any.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from typing import Annotated

import opennsfw2
import uvicorn
from fastapi import FastAPI, File
from PIL import Image

app = FastAPI()
ROOM = threading.BoundedSemaphore(os.cpu_count() or 1)
"""One prediction a core is what serves it best: 14 images/s on two cores with two at a time or with
one, 7 with the forty that FastAPI's pool has."""
opennsfw2.predict_image(Image.new("RGB", (64, 64)), weights_path=None)  # makes its one model


@app.post("/scan")
def scan(image: Annotated[bytes, File()]) -> dict[str, float]:
    """What the classifier says."""
    picture = Image.open(io.BytesIO(image))
    with ROOM:
        return {"nsfw_probability": opennsfw2.predict_image(picture, weights_path=None)}


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """That it has started."""
    return {"status": "ok"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
