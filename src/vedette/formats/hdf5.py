"""A Keras ``.h5`` file: the topology in an attribute, one group of weights for each layer.

The HDF5 library is written in C, reads dozens of structures that point at each other, and on some
damaged files never comes back. So a process of its own reads the file, within a time limit; what it
finds comes back as TensorFlow.js files, which are only ever parsed as data.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vedette.backends.base import Array
from vedette.errors import ModelError
from vedette.extras import require
from vedette.formats.graph import unusable
from vedette.formats.hdf5_worker import ERROR
from vedette.formats.keras import parse
from vedette.formats.tfjs import read_tfjs


def read_h5(path: Path, seconds: float = 120) -> tuple[Mapping[str, Any], dict[str, Array]]:
    """Topology and weights of the model in a Keras ``.h5`` file.

    Args:
        path: the file.
        seconds: after which the file is taken for damaged.

    Returns:
        What :func:`vedette.formats.keras.to_onnx` takes.

    Raises:
        ModelError: ``weights_missing``, or ``weights_unusable``: truncated, no Keras model, weights
            without a topology, or content that is not inside the file.
        MissingExtraError: h5py is not installed.
    """
    if not path.is_file():
        raise ModelError(f"{path.name:.80} is not there", code="weights_missing")
    require("h5py", extra="zoo")
    with tempfile.TemporaryDirectory(prefix="vedette-") as scratch:
        folder = Path(scratch)
        command = [sys.executable, "-P", "-m", "vedette.formats.hdf5_worker"]
        try:
            ended = subprocess.run(
                [*command, str(path.absolute()), scratch],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise unusable(f"{path.name:.80} was not read within {seconds:g} s") from error
        if (folder / ERROR).is_file():
            told = parse((folder / ERROR).read_bytes(), ERROR)
            raise unusable(f"{told.get('message')}")
        if ended.returncode:
            raise unusable(f"reading {path.name:.80} ended with status {ended.returncode}")
        return read_tfjs(folder)
