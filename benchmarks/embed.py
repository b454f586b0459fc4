"""What the embedding cache saves: a set embedded, embedded again, and after one more image.

    python benchmarks/embed.py [--scale 0.2]

The stand-in set is drawn into a temporary folder first. The backbone is a ViT-tiny of the real
size (224 px, 12 blocks) with random weights: speed does not depend on them. Needs
``vedette[zoo,train]``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

from transformers import ViTConfig, ViTForImageClassification

from vedette.data.opening import open_source
from vedette.data.synth.plan import Recipe
from vedette.data.synth.writing import write_set
from vedette.embeddings.embed import Embedder
from vedette.embeddings.folder import About
from vedette.embeddings.into_folder import embed_set
from vedette.embeddings.store import space_of
from vedette.models.registry import build
from vedette.settings import Settings


def vit_tiny(folder: Path) -> str:
    """The name of a ViT-tiny that is written to ``folder``."""
    labels = {0: "safe", 1: "unsafe"}
    config = ViTConfig(
        hidden_size=192,
        num_hidden_layers=12,
        num_attention_heads=3,
        intermediate_size=768,
        id2label=labels,
        label2id={label: index for index, label in labels.items()},
    )
    ViTForImageClassification(config).save_pretrained(folder)
    preprocessor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 2,
        "size": {"height": 224, "width": 224},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return f"vit:{folder}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=0.2)
    scale = parser.parse_args().scale
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        data = place / "set"
        write_set(Recipe(scale=scale), data, "folder")
        backbone = build(vit_tiny(place / "vit"))
        about = About("vit-tiny", space_of(backbone), backbone.card.fit, "set", None)

        def run() -> tuple[float, int, int]:
            began = time.perf_counter()
            _, source = open_source(str(data))
            with Embedder(backbone, Settings(), place / "store") as embedder:
                made = embed_set(source, embedder, place / "out", about)
                new = embedder.new
            return time.perf_counter() - began, made.count, new

        first, count, new = run()
        print(f"first run   {first:8.2f} s  {count} embeddings, {new} images ran")
        again = sorted(run() for _ in range(3))[1]
        print(f"second run  {again[0]:8.2f} s  {again[1]} embeddings, {again[2]} images ran")
        shutil.rmtree(place / "store")
        lost = run()
        print(f"cache lost  {lost[0]:8.2f} s  {lost[1]} embeddings, {lost[2]} images ran")
        print(f"first : second = {first / again[0]:.0f}")


if __name__ == "__main__":
    main()
