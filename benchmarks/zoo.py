"""The zoo against what a user runs today, and against the machine's limit.

    python benchmarks/zoo.py PHOTOS/small PHOTOS/large

Networks have their real sizes and random weights: speed does not depend on the weights. All run in
one process on the same cores, in turns, from JPEG files to results; medians over the rounds.

Peers: for ViT-B/16 the transformers ``image-classification`` pipeline at its best batch size; for
ViT-tiny 384 Pillow and the eager network, one picture at a time; for CLIP ViT-L/14 the eager image
tower alone, its pictures prepared beforehand. The limit is 1 / (1/forward + 1/decode), each alone
on all cores.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image as Pillow

from rounds import Contender, limit, take_turns
from vedette import Scanner, ScanOptions, Settings
from vedette.backends.base import Choice, cores, open_session
from vedette.backends.openvino import cpu_has_bf16
from vedette.compile.export import ExportOptions, export
from vedette.compile.quantize import Drift, drift
from vedette.compile.torch_onnx import IMAGES
from vedette.compile.torch_onnx import export as export_onnx
from vedette.data.paths import PathSource
from vedette.decode import DecodeOptions, InlineDecoder
from vedette.heads.base import Head
from vedette.models.base import Classifier, ModelOptions, Prepared
from vedette.models.clip import EMBEDDING, ClipClassifier, open_clip
from vedette.models.clip_cards import CLIP_L14
from vedette.models.registry import build
from vedette.models.vit import FALCONSAI, MARQO, Vit, open_vit
from vedette.networks.vit import read_config, vit_module
from vedette.types import Float32, Item

PEER_BATCHES = (1, 8)
INT8_DRIFT = 0.2  # random weights drift more than trained ones: measured and printed below


class Nothing:
    """A head that says nothing: CLIP's embedding alone is timed."""

    labels = ("nothing",)
    unit = True

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def scores(self, embeddings: Float32) -> Float32:
        return np.zeros((len(embeddings), 1), dtype=np.float32)

    def probabilities(self, scores: Float32) -> Float32:
        return scores


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def vit_b(folder: Path) -> Path:
    """ViT-B/16 224 with random weights, in transformers' layout."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        id2label={0: "normal", 1: "nsfw"}, label2id={"normal": 0, "nsfw": 1}
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    half = [0.5, 0.5, 0.5]
    write_json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "rescale_factor": 1 / 255,
            "resample": 2,
            "size": {"height": 224, "width": 224},
            "image_mean": half,
            "image_std": half,
        },
    )
    return folder


def vit_tiny(folder: Path) -> tuple[Path, Any]:
    """ViT-tiny/16 384 with random weights, in transformers' layout; the folder and the network."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=192,
        num_attention_heads=3,
        intermediate_size=768,
        image_size=384,
        layer_norm_eps=1e-6,
        id2label={0: "NSFW", 1: "SFW"},
        label2id={"NSFW": 0, "SFW": 1},
    )
    network: Any = transformers.ViTForImageClassification(config)
    network.eval()
    network.save_pretrained(folder)
    write_json(
        folder / "preprocessor_config.json",
        {
            "do_center_crop": True,
            "crop_size": 384,
            "size": {"shortest_edge": 384},
            "resample": 3,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    )
    return folder, network


def clip_l(folder: Path) -> tuple[Path, Any]:
    """CLIP ViT-L/14's image tower with random weights; the folder and the network."""
    torch.manual_seed(0)
    vision = transformers.CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        patch_size=14,
        projection_dim=768,
    )
    network: Any = transformers.CLIPVisionModelWithProjection(vision)
    network.eval()
    network.save_pretrained(folder)
    write_json(
        folder / "config.json",
        {"model_type": "clip", "projection_dim": 768, "vision_config": vision.to_dict()},
    )
    write_json(
        folder / "preprocessor_config.json",
        {
            "do_center_crop": True,
            "crop_size": 224,
            "size": {"shortest_edge": 224},
            "resample": 3,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
        },
    )
    return folder, network


def scan(model: Classifier) -> Callable[[list[Path]], int]:
    scanner = Scanner(model, policy="permissive", settings=Settings(scan=ScanOptions()))

    def run(files: list[Path]) -> int:
        return sum(record.failure is None for record in scanner.scan_many(files))

    return run


def decode_only(model: Classifier) -> Callable[[list[Path]], int]:
    decoder = InlineDecoder(DecodeOptions(fit=model.fit))

    def one(file: Path) -> int:
        return len([model.prepare(image) for image in decoder.frames(Item(str(file), file))])

    def run(files: list[Path]) -> int:
        with ThreadPoolExecutor(cores()) as pool:
            return sum(pool.map(one, files))

    return run


def forward_only(model: Vit | ClipClassifier) -> Callable[[list[Path]], int]:
    """The compiled network alone on tensors that are ready, on all its streams."""
    batch = prepared(model, None)[0].pixels[None]

    def one(_: Path) -> int:
        model.session.run({IMAGES: batch})
        return 1

    def run(files: list[Path]) -> int:
        with ThreadPoolExecutor(model.streams) as pool:
            return sum(pool.map(one, files))

    return run


def prepared(model: Classifier, files: Sequence[Path] | None) -> list[Prepared]:
    """Pictures as the model takes them; one of noise where no files are given."""
    decoder = InlineDecoder(DecodeOptions(fit=model.fit))
    if files is None:
        noise = np.random.default_rng(0).integers(0, 255, (500, 500, 3)).astype(np.uint8)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "noise.png"
            Pillow.fromarray(noise).save(path)
            return prepared(model, [path])
    return [model.prepare(next(iter(decoder.frames(Item(str(f), f))))) for f in files]


def pipeline_peer(folder: Path, batch: int) -> Callable[[list[Path]], int]:
    pipeline = transformers.pipeline("image-classification", model=str(folder), device="cpu")
    return lambda files: len(pipeline([str(f) for f in files], batch_size=batch))


def eager_peer(network: Any) -> Callable[[list[Path]], int]:
    """Pillow and the eager network, one picture at a time, as timm's own example does it."""

    def one(file: Path) -> int:
        picture = Pillow.open(file).convert("RGB")
        scale = 384 / min(picture.size)
        size = (int(picture.width * scale), int(picture.height * scale))
        picture = picture.resize(size, Pillow.Resampling.BICUBIC)
        left, top = (picture.width - 384) // 2, (picture.height - 384) // 2
        square = np.asarray(picture.crop((left, top, left + 384, top + 384)), np.float32) / 255
        planes = torch.from_numpy(((square - 0.5) / 0.5).transpose(2, 0, 1)[None].copy())
        with torch.inference_mode():
            network(pixel_values=planes).logits.softmax(-1)
        return 1

    return lambda files: sum(map(one, files))


def tower_peer(network: Any, batch: int) -> Callable[[list[Path]], int]:
    """The eager image tower alone, in its favour: its pictures need no decoding."""
    planes = torch.zeros(batch, 3, 224, 224)

    def run(files: list[Path]) -> int:
        with torch.inference_mode():
            for _ in range(0, len(files), batch):
                network(pixel_values=planes)
        return len(files)

    return run


def tell(ours: Contender, best: Contender, forward: Contender, decode: Contender) -> None:
    most = limit(forward, decode)
    print(
        f"  {ours.name}: {ours.rate / best.rate:.2f} x {best.name}; limit {most:.1f} images/s, "
        f"{ours.rate / most:.2f} of it; a perfect pipeline would be {most / best.rate:.2f} x",
        flush=True,
    )


def drift_of(model: Vit, other: Vit, files: Sequence[Path]) -> Drift:
    def probabilities(one: Vit) -> Float32:
        return np.stack([p.probs for p in one.infer(prepared(one, files))])

    return drift(probabilities(model), probabilities(other))


def compare(
    models: dict[str, Vit | ClipClassifier],
    peers: dict[str, Callable[[list[Path]], int]],
    files: list[Path],
    rounds: int,
) -> None:
    ours = {p: Contender(f"vedette {p}", scan(m)) for p, m in models.items()}
    forwards = {p: Contender(f"forward only {p}", forward_only(m)) for p, m in models.items()}
    decode = Contender("decode only", decode_only(next(iter(models.values()))))
    peer = best_of(peers, files[:12])
    take_turns([peer, decode, *forwards.values(), *ours.values()], files, rounds)
    for precision, contender in ours.items():
        tell(contender, peer, forwards[precision], decode)


def best_of(peers: dict[str, Callable[[list[Path]], int]], files: list[Path]) -> Contender:
    """The fastest setting of a peer, found on a few pictures: the one that is compared with."""
    tried = [Contender(name, run) for name, run in peers.items()]
    for contender in tried:
        contender.run(files[:2])
        contender.round(files)
    best = max(tried, key=lambda c: c.rate)
    return Contender(best.name, best.run)


def both_for_the_price_of_one(folder: Path, temporary: Path, rounds: int) -> None:
    """Probabilities and embedding from one pass, against a network of probabilities only."""
    config = read_config(folder)
    module = vit_module(config)

    class LogitsOnly(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, images: Any) -> Any:
            return self.inner(images)[0]

    choice = Choice("openvino", "bf16" if cpu_has_bf16() else "fp32")
    contenders = []
    for name, made, outputs in (
        ("both", module, ("logits", "embedding")),
        ("probabilities only", LogitsOnly(), ("logits",)),
    ):
        path = temporary / f"{outputs[-1]}-{len(outputs)}.onnx"
        export_onnx(made, 224, outputs, path)
        session = open_session(path, None, choice, (224, 224))
        planes = np.zeros((1, 3, 224, 224), dtype=np.float32)

        def run(files: list[Path], session: Any = session, planes: Any = planes) -> int:
            for _ in files:
                session.run({IMAGES: planes})
            return len(files)

        contenders.append(Contender(name, run))
    take_turns(contenders, [Path()] * 60, 2 * rounds + 1)
    cost = contenders[1].rate / contenders[0].rate
    print(f"  asking for both costs {cost:.3f} x of asking for one")


def speeds(files: list[Path]) -> dict[str, dict[str, float]]:
    """Images/s of ``build(name)`` models that are here, for docs/speed.json."""
    found: dict[str, dict[str, float]] = {}
    for name in ("nudenet", "nudenet-compatible", "dummy", "gantman"):
        try:
            model = build(name, ModelOptions())
        except Exception as error:  # noqa: BLE001 - a benchmark of what is here
            print(f"  {name} is not here: {error}")
            continue
        contender = Contender(name, scan(model))
        take_turns([contender], files, 3)
        found[name] = {model.runtime.split()[-1]: round(contender.rate, 1)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("small", type=Path)
    parser.add_argument("large", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=48, help="small photographs, at most")
    parser.add_argument("--parts", default="vit-b,vit-tiny,clip", help="which of them")
    parser.add_argument("--speeds", type=Path, help="write images/s of each model here (JSON)")
    args = parser.parse_args()
    torch.set_num_threads(cores())
    small, large = (sorted(folder.glob("*.jpg")) for folder in (args.small, args.large))
    small = small[: args.images]
    fast = "bf16" if cpu_has_bf16() else "fp32"
    print(f"{cores()} cores, {fast} is native; medians of {args.rounds} rounds")
    table = speeds(small) if args.speeds else {}
    with tempfile.TemporaryDirectory() as made:
        temporary = Path(made)
        os.environ["VEDETTE_CACHE"] = str(temporary / "cache")
        if "vit-b" in args.parts:
            _vit_b(temporary, small, large, fast, args.rounds, table)
        if "vit-tiny" in args.parts:
            _vit_tiny(temporary, small, large, fast, args.rounds, table)
        if "clip" in args.parts:
            _clip(temporary, small, fast, args.rounds, table)
    if args.speeds:
        command = "python benchmarks/zoo.py PHOTOS/small PHOTOS/large --speeds docs/speed.json"
        machine = f"{cores()} cores, {fast} native, AMX {'yes' if _has_amx() else 'no'}"
        write_json(args.speeds, {"machine": machine, "command": command, "images_per_s": table})


def _vit_b(
    temporary: Path,
    small: list[Path],
    large: list[Path],
    fast: str,
    rounds: int,
    table: dict[str, dict[str, float]],
) -> None:
    folder = vit_b(temporary / "vit-b")
    models: dict[str, Vit | ClipClassifier] = {
        precision: open_vit(FALCONSAI, folder, ModelOptions(precision=precision))
        for precision in dict.fromkeys((fast, "fp32"))
    }
    full = models["fp32"]
    assert isinstance(full, Vit)
    out = temporary / "int8"
    source = PathSource([str(small[0].parent)])
    moved = export(full, out, ExportOptions(precision="int8", max_drift=INT8_DRIFT), source)
    int8 = build(str(out), ModelOptions())
    assert isinstance(int8, Vit)
    models["int8"] = int8
    quick = models[fast]
    assert isinstance(quick, Vit)
    print("ViT-B/16 224")
    print(f"  {fast}: {drift_of(full, quick, small)}")
    print(f"  int8: {moved}")
    peers = {
        f"transformers pipeline, batch {batch}": pipeline_peer(folder, batch)
        for batch in PEER_BATCHES
    }
    print(f" {small[0].parent.name}")
    compare(models, peers, small, rounds)
    print(f" {large[0].parent.name}")
    compare(models, peers, large * 4, rounds)
    both_for_the_price_of_one(folder, temporary, rounds)
    table["falconsai"] = _rates(models, small)


def _vit_tiny(
    temporary: Path,
    small: list[Path],
    large: list[Path],
    fast: str,
    rounds: int,
    table: dict[str, dict[str, float]],
) -> None:
    folder, network = vit_tiny(temporary / "vit-tiny")
    models: dict[str, Vit | ClipClassifier] = {
        precision: open_vit(MARQO, folder, ModelOptions(precision=precision))
        for precision in dict.fromkeys((fast, "fp32"))
    }
    full, quick = models["fp32"], models[fast]
    assert isinstance(full, Vit)
    assert isinstance(quick, Vit)
    print("ViT-tiny/16 384")
    print(f"  {fast}: {drift_of(full, quick, small)}")
    for files in (small, large * 4):
        print(f" {files[0].parent.name}")
        compare(models, {"Pillow + eager fp32": eager_peer(network)}, files, rounds)
    table["marqo-384"] = _rates(models, small)


def _clip(
    temporary: Path,
    small: list[Path],
    fast: str,
    rounds: int,
    table: dict[str, dict[str, float]],
) -> None:
    folder, network = clip_l(temporary / "clip-l14")
    card = replace(CLIP_L14, labels={"nothing": FALCONSAI.labels["nsfw"]})

    def head(config: Any) -> Head:
        return Nothing(config.dim)

    models: dict[str, Vit | ClipClassifier] = {
        fast: open_clip(card, folder, head, ModelOptions(precision=fast))
    }
    print("CLIP ViT-L/14 embeddings")
    with torch.inference_mode():
        model = models[fast]
        pixels = np.stack([p.pixels for p in prepared(model, small[:8])])
        ours = model.session.run({IMAGES: pixels})[EMBEDDING]
        assert isinstance(model, ClipClassifier)
        norm = model.recipe.norm
        planes = ((pixels / 255 - norm.mean) / norm.std).transpose(0, 3, 1, 2)
        theirs = network(pixel_values=torch.from_numpy(planes).float()).image_embeds.numpy()
    cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    print(f"  {fast}: cosine to fp32 at least {cosine.min():.5f}")
    peers = {f"eager fp32, batch {b}": tower_peer(network, b) for b in (1, 4)}
    compare(models, peers, small[:24], min(rounds, 3))
    table["clip-l14/nsfw-detector"] = _rates(models, small[:24])


def _rates(models: dict[str, Vit | ClipClassifier], files: list[Path]) -> dict[str, float]:
    rates = {}
    for precision, model in models.items():
        contender = Contender(precision, scan(model))
        for _ in range(3):
            contender.round(files)
        rates[precision] = round(contender.rate, 1)
    return rates


def _has_amx() -> bool:
    path = Path("/proc/cpuinfo")
    return path.is_file() and "amx_bf16" in path.read_text()


if __name__ == "__main__":
    main()
