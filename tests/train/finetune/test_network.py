"""Starts, and the folders that networks become."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageClassification

from tests import zoo
from tests.full_disk import full_disk
from tests.train.finetune import sets
from vedette.errors import ModelError, UnknownNameError, UsageError
from vedette.models.clip import read_clip_recipe
from vedette.models.vit import read_recipe
from vedette.networks.clip import read_clip_config, vision_module
from vedette.networks.vit import read_config, vit_module
from vedette.train.finetune.starts import start_named

LABELS = ("Hate", "Sexual", "Spam")


def pixels(side: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_other_tools_read_a_vit_that_was_written(tmp_path: Path) -> None:
    network = sets.network(LABELS)
    network.write(tmp_path)

    theirs = AutoModelForImageClassification.from_pretrained(tmp_path, local_files_only=True)
    x = pixels(16)
    with torch.no_grad():
        torch.testing.assert_close(
            theirs.eval()(pixel_values=x).logits, network.module.eval()(x)[0]
        )
    assert theirs.config.id2label == dict(enumerate(LABELS))
    assert theirs.config.problem_type == "multi_label_classification"
    assert not [p for p in tmp_path.iterdir() if p.suffix not in (".json", ".safetensors")]


def test_a_full_disk_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with full_disk(4096), pytest.raises(OSError, match="too large"):
        sets.network(LABELS).write(tmp_path)


@pytest.mark.parametrize("layout", ["vit", "timm"])
def test_a_vit_is_written_and_read_again(layout: str, tmp_path: Path) -> None:
    made = getattr(zoo, layout)(tmp_path / "start", ["safe", "nsfw"])
    start = start_named(f"vit:{made}")
    network = start.network(LABELS, 7)
    out = tmp_path / "out"
    out.mkdir()
    network.write(out)

    config = read_config(out)
    assert config.labels == LABELS
    assert config.multi_label
    recipe = read_recipe(config)
    assert (recipe.fit, recipe.crop, recipe.norm) == (
        network.recipe.fit,
        network.recipe.crop,
        network.recipe.norm,
    )
    assert network.parts == {"halves_to_even": layout == "timm"}
    x = pixels(zoo.IMAGE)
    with torch.no_grad():
        ours, read = network.module.eval()(x), vit_module(config)(x)
    for one, other in zip(ours, read, strict=True):
        torch.testing.assert_close(one, other)
    # The body is the start's own; only the head is new.
    with torch.no_grad():
        torch.testing.assert_close(ours[1], vit_module(read_config(made))(x)[1])


def test_a_clip_tower_is_written_and_read_again(store: Path, tmp_path: Path) -> None:
    start = start_named("clip-b32")
    assert start.kind == "clip"
    network = start.network(LABELS, 7)
    network.write(tmp_path)

    config = read_clip_config(tmp_path)
    assert read_clip_recipe(config) == network.recipe
    x = pixels(zoo.IMAGE)
    with torch.no_grad():
        ours, theirs = network.module.eval()(x), vision_module(config)(x)
    torch.testing.assert_close(ours[1], theirs)
    assert network.parts["head"] == {"form": "mlp", "labels": list(LABELS), "unit": False}
    said = json.loads((tmp_path / "config.json").read_text())
    assert said["model_type"] == "clip_vision_model"


@pytest.mark.parametrize("name", ["falconsai", "marqo-384", "adamcodd", "clip-l14"])
def test_models_of_the_zoo_are_starts(name: str, store: Path) -> None:
    start = start_named(name)

    assert start.card.id == name
    assert start.card.revision.startswith("local-")  # the tests' own weights
    assert start.network(LABELS, 7).module.head.weight.shape[0] == len(LABELS)


def test_the_seed_decides_the_weights() -> None:
    start = start_named("scratch:vit-mini")
    one, same, other = (start.network(LABELS, seed).module.state_dict() for seed in (1, 1, 2))

    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_scratch_says_what_it_is() -> None:
    card = start_named("scratch:vit-tiny").card

    assert card.commercial
    assert "random" in card.licence
    with pytest.raises(UnknownNameError) as caught:
        start_named("scratch:vit-tini")
    assert "vit-tiny" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["dummy", "nudenet", "q16", "clip-b32/zero-shot", "any(q16,nudenet)"]
)
def test_what_has_no_tower_of_its_own_cannot_be_fine_tuned(name: str, store: Path) -> None:
    with pytest.raises(UsageError) as caught:
        start_named(name)
    assert "cannot be fine-tuned" in caught.value.message
    assert "falconsai" in caught.value.hint


def test_an_unknown_start_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError):
        start_named("falconsay")


def test_altered_weights_are_no_start(tmp_path: Path) -> None:
    folder = zoo.vit(tmp_path / "start", ["safe", "nsfw"])
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])

    with pytest.raises(ModelError) as caught:
        start_named(f"vit:{folder}").network(LABELS, 7)
    assert caught.value.code == "weights_unusable"


def test_the_head_of_clip_is_the_same_in_numpy(store: Path) -> None:
    network = start_named("clip-b32").network(LABELS, 7)
    with torch.no_grad():
        logits, embedding = network.module.eval()(pixels(zoo.IMAGE))

    np.testing.assert_allclose(
        network._head().logits(embedding.numpy()), logits.numpy(), rtol=1e-5, atol=1e-6
    )


def test_patches_beside_each_other_start_with_positions_alike() -> None:
    network = start_named("scratch:vit-mini").network(LABELS, seed=1)
    positions = network.module.backbone.embeddings.position_embeddings[0].detach()
    side = 6
    grid = torch.nn.functional.normalize(positions[1:], dim=1).reshape(side, side, -1)

    beside = (grid[:, :-1] * grid[:, 1:]).sum(dim=-1)
    below = (grid[:-1] * grid[1:]).sum(dim=-1)
    across = (grid[0, 0] * grid[-1, -1]).sum()

    assert min(beside.min(), below.min()) > across + 0.1
    assert len(torch.unique(positions[1:], dim=0)) == side * side
    assert not positions[0].any()
