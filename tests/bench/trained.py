"""A tiny ViT that really learned something: the stand-in set's glyphs, in seconds.

Training proper belongs to ``vedette train``; this is as much of it as the benchmark's tests need.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import ViTConfig, ViTForImageClassification

from tests import zoo
from vedette.bench.fingerprints import FILE, fingerprints, write_fingerprints
from vedette.data.base import SPLIT, read_all
from vedette.data.opening import open_source
from vedette.decode import DecodeOptions, decode_item
from vedette.resize import resize
from vedette.settings import Settings

SIDE = 48
"""px of the network's square"""
LABELS = ("safe", "unsafe")
"""The second counts for every category."""


def pictures(given: str, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """uint8 [n, 3, SIDE, SIDE] and the class of each, of one part of a set."""
    _, source = open_source(given)
    planes, classes = [], []
    for item in read_all(source):
        if item.meta.get(SPLIT) != part:
            continue
        image = next(iter(decode_item(item, DecodeOptions())))
        planes.append(resize(image.pixels, SIDE, SIDE, "bilinear").transpose(2, 0, 1))
        classes.append(int(bool(item.unsafe)))
    return torch.from_numpy(np.stack(planes)), torch.tensor(classes)


def train(folder: Path, given: str, epochs: int = 10, seed: int = 0) -> Path:
    """A checkpoint in transformers' layout, with the fingerprints of what it was trained on."""
    torch.manual_seed(seed)
    network = ViTForImageClassification(
        ViTConfig(
            hidden_size=96,
            num_hidden_layers=3,
            num_attention_heads=3,
            intermediate_size=192,
            image_size=SIDE,
            patch_size=8,
            id2label=dict(enumerate(LABELS)),
            label2id={label: index for index, label in enumerate(LABELS)},
        )
    ).train()
    pixels, classes = pictures(given, "train")
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.02)
    steps = epochs * -(-len(pixels) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(pixels), generator=generator).split(64):  # type: ignore[no-untyped-call]
            batch = (pixels[rows].float() / 255 - 0.5) / 0.5
            loss = torch.nn.functional.cross_entropy(network(batch).logits, classes[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    network.eval().save_pretrained(folder)
    zoo.write_json(
        folder / "preprocessor_config.json",
        zoo.vit_preprocessor(size={"height": SIDE, "width": SIDE}),
    )
    _, source = open_source(given)
    write_fingerprints(folder / FILE, fingerprints(source, Settings(), "train"))
    return folder
