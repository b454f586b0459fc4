"""One step of prompt learning through CLIP ViT-L/14's text tower, beside CoOp's own way.

    OMP_NUM_THREADS=1 python benchmarks/prompt_learning.py --labels 11 --batch 128

The peer runs the same tower, in the same process and on the same vectors, as the published CoOp
does: every prompt filled up to the 77 tokens that the tower admits. Both take a forward and a
backward pass down to the vectors, and the cross-entropy of a batch of cached image features. The
weights are random: speed does not depend on them. Printed: seconds for a step, the ratio, and how
far the embeddings of the two are apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from vedette.networks.clip import read_clip_config
from vedette.networks.clip_prompts import PromptTower

SHAPE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "projection_dim": 768,
}
START, END, CONTEXT, SCALE = 49406, 49407, 77, 100.0


def checkpoint(folder: Path) -> Path:
    """ViT-L/14's text tower with random weights, and a tokenizer of the letter a."""
    config = CLIPTextConfig(**SHAPE)
    save_file(CLIPTextModelWithProjection(config).state_dict(), folder / "model.safetensors")
    told = {"model_type": "clip", "projection_dim": 768, "text_config": config.to_dict()}
    (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
    ids = {"a": 0, "a</w>": 1, "<|startoftext|>": START, "<|endoftext|>": END}
    words = Tokenizer(models.BPE(vocab=ids, merges=[], end_of_word_suffix="</w>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>",
        special_tokens=[("<|startoftext|>", START), ("<|endoftext|>", END)],
    )
    words.save(str(folder / "tokenizer.json"))
    return folder


def padded(tower: PromptTower, vectors: Any) -> Any:
    """The peer: sequences of 77 tokens, zeros after the end of the text."""
    count = vectors.shape[1]
    ids = torch.zeros((len(vectors), CONTEXT), dtype=torch.long)
    ids[:, 0], ids[:, count + 1] = START, END
    table = tower.network.get_input_embeddings()
    words = table(ids)
    whole = torch.cat([words[:, :1], vectors, words[:, count + 1 :]], dim=1)
    hook = table.register_forward_hook(lambda *_: whole)
    rows = tower.network(input_ids=ids).text_embeds
    hook.remove()
    return torch.nn.functional.normalize(rows, dim=-1)


def step(run: Callable[[Any], Any], vectors: Any, features: Any, targets: Any) -> float:
    """Seconds of a forward and a backward pass."""
    began = time.perf_counter()
    safe, unsafe = run(vectors).unflatten(0, (-1, 2)).unbind(dim=1)
    logits = SCALE * features @ (unsafe - safe).T
    torch.nn.functional.binary_cross_entropy_with_logits(logits, targets).backward()  # type: ignore[no-untyped-call]
    vectors.grad = None
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=11)
    parser.add_argument("--vectors", type=int, default=8)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        tower = PromptTower(read_clip_config(checkpoint(Path(folder))))
    vectors = (torch.randn(2 * args.labels, args.vectors, 768) * 0.02).requires_grad_(True)
    features = torch.nn.functional.normalize(torch.randn(args.batch, 768), dim=-1)
    targets = torch.randint(0, 2, (args.batch, args.labels)).float()
    with torch.no_grad():
        apart = float((tower(vectors) - padded(tower, vectors)).abs().max())
    ways: dict[str, Callable[[Any], Any]] = {
        "cut": tower,
        "padded": lambda given: padded(tower, given),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.runs):  # in turn, so that a busy moment hits both
        for name, run in ways.items():
            taken[name].append(step(run, vectors, features, targets))
    cut, full = (statistics.median(taken[name]) for name in ways)
    print(f"{2 * args.labels} prompts, {torch.get_num_threads()} threads, median of {args.runs}")
    print(f"cut to {args.vectors + 2} tokens: {cut:.3f} s a step")
    print(f"padded to {CONTEXT} tokens: {full:.3f} s a step, {full / cut:.1f} times as long")
    print(f"largest difference of an embedding: {apart:.1e}")


if __name__ == "__main__":
    main()
