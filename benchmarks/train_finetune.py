"""Does loading hide behind computing? Share of the time that a fine-tuning waits for pictures.

Usage: python benchmarks/train_finetune.py [--pictures 96] [--batch 8] [--epochs 2]
           [--augment evasion] [--cache memory] [--precision auto] [--size 256]

A ViT-B/16 at 224 px with random weights (or the one of --layers and --hidden) learns from drawn
JPEGs, through the very trainer of `vedette train finetune`. The first epoch decodes, the later ones
read the squares that it kept. Beside it, the usual DataLoader loop without threads of its own: each
batch is decoded and prepared, then learned from.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from vedette.data.base import read_all
from vedette.data.opening import open_source
from vedette.decode import DecodeOptions, decode_item
from vedette.settings import Settings
from vedette.train.data import SetOptions, TrainingSet, read_training_set
from vedette.train.finetune.device import Device
from vedette.train.finetune.layers import groups, trained
from vedette.train.finetune.loss import bce
from vedette.train.finetune.network import Network, Shape, fresh_vit
from vedette.train.finetune.options import FineTuneOptions, Stage
from vedette.train.finetune.starts import Start, start_named
from vedette.train.finetune.trainer import WAITING, Place, fine_tune

warnings.simplefilter("ignore")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=96)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--augment", default="evasion")
    parser.add_argument("--cache", default="memory")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--hidden", type=int, default=768)
    given = parser.parse_args()
    shape = Shape(224, 16, given.hidden, given.layers, given.hidden // 64, 4 * given.hidden)
    data = pictures(given.pictures, given.size)
    options = FineTuneOptions(
        stages=(Stage(None, given.epochs),),
        batch=given.batch,
        augment=given.augment,
        cache=given.cache,
        precision=given.precision,
    )
    start = Start("scratch", start_named("scratch:vit-mini").card, None, shape)
    print(f"{torch.get_num_threads()} threads, {len(data.examples)} pictures of {given.size} px")
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), Path(folder))
        outcome = fine_tune(data, start, options, Settings(), 7, place, print)
    for one in outcome.history:
        print(f"epoch {one.number:g}: {one.values[WAITING]:.2%} of the time waiting for pictures")
    peer(data, fresh_vit(shape, start.card, data.examples.labels), options)


def pictures(count: int, size: int) -> TrainingSet:
    """At most that many drawn pictures, all of them for training."""
    _, source = open_source(f"synth:{max(0.02, count / 10_000):.4f}?size={size}")
    data = read_training_set("synth", source, Settings(), SetOptions())
    few = data.examples.kept(np.arange(min(count, len(data.examples))))
    return replace(data, examples=replace(few, part=np.zeros(len(few), np.int64)))


def peer(data: TrainingSet, network: Network, options: FineTuneOptions) -> None:
    """One epoch of the plain loop: decode, prepare, learn, one after the other."""
    device = Device(options.precision)
    device.place(network.module)
    parameters = trained(network.module, network.blocks, options.stages[0], options)
    optimizer = torch.optim.AdamW(groups(parameters, options), lr=1e-4)
    normalised = device.normaliser(network.recipe.norm)
    assert data.source is not None
    known = set(data.examples.keys)
    items = [item for item in read_all(data.source) if item.key in known]
    decode = DecodeOptions(fit=network.recipe.fit)
    began, loading = time.perf_counter(), 0.0
    for at in range(0, len(items), options.batch):
        started = time.perf_counter()
        batch = items[at : at + options.batch]
        images = [next(iter(decode_item(item, decode))) for item in batch]
        squares = np.stack([network.recipe.prepare(image).pixels for image in images])
        loading += time.perf_counter() - started
        with device.autocast():
            logits, _ = network.module(normalised(device.pixels(squares)))
        loss = bce(logits, torch.zeros_like(logits), torch.ones_like(logits))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seconds = time.perf_counter() - began
    print(f"plain loop: {loading / seconds:.2%} of the time loading, {len(items) / seconds:.1f}/s")


if __name__ == "__main__":
    main()
