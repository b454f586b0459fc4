"""Stand-ins of every published head: the same files and layout, random weights.

What a head's name fixes (the width of its embeddings, names of tensors) is as published; hidden
layers are small. The writers return what they wrote where a file does not show it plainly.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.formats import savedmodels
from vedette.heads.multiheaded import LABELS

Rows = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Laion:
    """What a stand-in of LAION's original holds."""

    mean: Rows
    variance: Rows
    layers: Sequence[tuple[Rows, Rows]]
    """(kernel [inputs, outputs], bias)"""
    tables: Mapping[int, Mapping[str, int]]


def laion(dim: int, columns: Sequence[int], seed: int = 0) -> Laion:
    """Random weights whose probabilities differ from embedding to embedding."""
    rng = np.random.default_rng(seed)
    tables = {column: table(rng) for column in columns}
    mean = rng.normal(0, 0.3 / np.sqrt(dim), dim).astype(np.float32)
    variance = np.full(dim, 1 / dim, dtype=np.float32)
    for column, texts in tables.items():
        mean[column], variance[column] = len(texts) / 3, len(texts) ** 2 / 12
    layers = []
    for inputs, outputs in ((dim, 16), (16, 24), (24, 1)):
        kernel = rng.normal(0, 1.5 / np.sqrt(inputs), (inputs, outputs)).astype(np.float32)
        layers.append((kernel, rng.normal(0, 0.1, outputs).astype(np.float32)))
    return Laion(mean, variance, layers, tables)


def table(rng: np.random.Generator, entries: int = 200) -> dict[str, int]:
    """Printed float16 values as embeddings have them, numbered from 1; both zeros are there."""
    values = np.unique(rng.normal(0, 0.04, 2 * entries).astype(np.float16))
    texts = dict.fromkeys(["0.000000", "-0.000000", *(f"{value:f}" for value in values)])
    shuffled = rng.permutation(list(texts))[:entries].tolist()
    return {text: index for index, text in enumerate(shuffled, start=1)}


def laion_zip(path: Path, dim: int, columns: Sequence[int]) -> Laion:
    """``clip_autokeras_*.zip``: a zipped SavedModel with tables for these columns."""
    made = laion(dim, columns)
    variables: dict[str, Any] = {
        "layer_with_weights-1/count": np.array(1000, dtype=np.int64),
        "layer_with_weights-1/mean": made.mean,
        "layer_with_weights-1/variance": made.variance,
    }
    for position, (kernel, bias) in enumerate(made.layers, start=2):
        variables[f"layer_with_weights-{position}/kernel"] = kernel
        variables[f"layer_with_weights-{position}/bias"] = bias
    savedmodels.write_zip(path, savedmodels.members(dim, made.tables, variables))
    return made


def h14(seed: int = 0) -> torch.nn.Sequential:
    """The published ``Sequential``, narrower inside."""
    layers: list[torch.nn.Module] = []
    for inputs, outputs in ((1024, 32), (32, 48), (48, 32), (32, 24), (24, 16)):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU(), torch.nn.Dropout(0.2)]
    layers += [torch.nn.Linear(16, 16), torch.nn.Linear(16, 1)]
    made = _seeded(torch.nn.Sequential(*layers), seed)
    with torch.no_grad():  # around the decision: a score below 0 or above 1 is cut
        last = made[-1]
        assert isinstance(last, torch.nn.Linear)
        last.weight.mul_(0.02)
        last.bias.fill_(0.5)
    return made


def h14_pth(path: Path) -> None:
    """``h14_nsfw.pth``."""
    _save({f"layers.{name}": tensor for name, tensor in h14().state_dict().items()}, path)


def port_pth(path: Path, dim: int = 768) -> None:
    """The ``.pth`` port of the L/14 original: the same layers, no tables."""
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "norm.mean": torch.randn(dim, generator=generator) * 0.01,
        "norm.variance": torch.rand(dim, generator=generator) / dim + 0.1 / dim,
    }
    for k, (inputs, outputs) in enumerate(((dim, 16), (16, 24), (24, 20), (20, 1)), start=1):
        weight = torch.randn(outputs, inputs, generator=generator) * 1.5 / inputs**0.5
        tensors[f"linear_{k}.weight"] = weight
        tensors[f"linear_{k}.bias"] = torch.randn(outputs, generator=generator) * 0.1
    _save(tensors, path)


def violence_npy(path: Path, dim: int) -> None:
    """``violence_detection_vit_*.npy``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.random.default_rng(0).normal(0, 0.3, (2, dim)).astype(np.float32))


def q16_pickle(path: Path) -> None:
    """``prompts.p``: a pickled float16 array, protocol 3 as published."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.random.default_rng(0).normal(0, 0.3, (2, 768)).astype(np.float16)
    path.write_bytes(pickle.dumps(rows, protocol=3))


def multiheaded(seed: int) -> torch.nn.Sequential:
    """The published ``Sequential``, narrower inside, with running statistics of its own."""
    made = _seeded(
        torch.nn.Sequential(
            torch.nn.Linear(768, 24),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.5),
            torch.nn.BatchNorm1d(24),
            torch.nn.Linear(24, 1),
        ),
        seed,
    )
    generator = torch.Generator().manual_seed(seed)
    for buffer, spread in ((made[3].running_mean, 0.3), (made[3].running_var, 0.5)):
        assert isinstance(buffer, torch.Tensor)
        buffer.copy_(torch.rand(24, generator=generator) * spread + 0.05)
    return made


def multiheaded_folder(path: Path) -> None:
    """``sexual.pt`` and the four others."""
    for seed, label in enumerate(LABELS):
        _save(dict(multiheaded(seed).state_dict()), path / f"{label}.pt")


def _seeded(module: torch.nn.Sequential, seed: int) -> torch.nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            width = parameter.shape[-1] if parameter.ndim == 2 else 100
            parameter.copy_(noise * (1.5 / width**0.5))
    return module.eval()


def _save(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(tensors), path)


def pickled_by_torch(value: object) -> bytes:
    """What ``torch.save`` writes of anything."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()
