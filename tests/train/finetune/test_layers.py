"""Which layers learn in which stage, and how fast."""

from __future__ import annotations

import pytest
import torch

from tests import zoo
from tests.train.finetune import sets
from vedette.train.finetune.layers import depth_of, groups, height, share_at, trained
from vedette.train.finetune.network import Network
from vedette.train.finetune.options import Stage
from vedette.train.finetune.starts import start_named


@pytest.fixture(scope="module", params=["vit", "timm", "clip"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Network:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "clip":
        from vedette.models.clip_cards import CLIP_B32
        from vedette.train.finetune.starts import Start

        start = Start("clip", CLIP_B32, zoo.clip(folder, 24))
    else:
        make = zoo.vit if request.param == "vit" else zoo.timm
        start = start_named(f"vit:{make(folder, ['safe', 'nsfw'])}")
    return start.network(("Hate", "Sexual"), 7)


def learning(network: Network, stage: Stage, decay: float = 0.5) -> dict[str, float]:
    found = trained(network.module, network.blocks, stage, sets.options(layer_decay=decay))
    assert {one.name for one in found} == {
        name for name, p in network.module.named_parameters() if p.requires_grad
    }
    return {one.name: one.rate for one in found}


def test_stages_thaw_from_the_head_downwards(network: Network) -> None:
    head = learning(network, Stage(0, 1))
    one = learning(network, Stage(1, 1))
    every = learning(network, Stage(2, 1))
    whole = learning(network, Stage(None, 1))

    assert set(head) == {"head.weight", "head.bias"}
    assert set(head) < set(one) < set(every) < set(whole)
    assert set(whole) == {name for name, _ in network.module.named_parameters()}
    assert any(".1." in name for name in one)
    assert not any(".0." in name for name in one)
    assert not any("embed" in name for name in every)
    # More blocks than there are: all of them, and not what is below them.
    assert learning(network, Stage(99, 1)) == every


def test_the_rate_falls_from_layer_to_layer(network: Network) -> None:
    rates = learning(network, Stage(None, 1))

    assert rates["head.weight"] == 1
    upper = {rate for name, rate in rates.items() if ".1." in name}
    lower = {rate for name, rate in rates.items() if ".0." in name}
    inputs = {rate for name, rate in rates.items() if "embeddings." in name}
    assert (upper, lower, inputs) == ({1.0}, {0.5}, {0.25})


def test_norms_biases_and_embeddings_do_not_decay(network: Network) -> None:
    found = trained(network.module, network.blocks, Stage(None, 1), sets.options())
    decaying = {one.name for one in found if one.decays}

    assert "head.weight" in decaying
    assert not [name for name in decaying if "norm" in name or "bias" in name or "embed" in name]
    for group in groups(found, sets.options(weight_decay=0.1)):
        sizes = {parameter.ndim for parameter in group["params"]}
        assert (group["weight_decay"] == 0.1) <= (sizes == {2})
    assert sum(len(g["params"]) for g in groups(found, sets.options())) == len(found)


def test_depths_of_a_network_of_twelve_blocks() -> None:
    assert depth_of("head.weight", 12) == 0
    assert depth_of("backbone.layernorm.weight", 12) == 1
    assert depth_of("backbone.visual_projection.weight", 12) == 1
    assert depth_of("backbone.layers.11.mlp.fc1.weight", 12) == 1
    assert depth_of("backbone.layers.0.mlp.fc1.weight", 12) == 12
    assert depth_of("backbone.embeddings.cls_token", 12) == 13
    assert depth_of("backbone.vision_model.pre_layrnorm.bias", 12) == 13


def test_the_schedule_rises_then_falls_to_nothing() -> None:
    shares = [share_at(step, 100, 0.1) for step in range(100)]

    assert shares[0] == pytest.approx(1 / 11)
    assert max(shares) == shares[10] == 1
    assert shares[:11] == sorted(shares[:11])
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert 0 < shares[-1] < 0.001
    assert share_at(0, 1, 1.0) == 1


def test_the_head_alone_has_a_rate_of_its_own() -> None:
    chosen = sets.options(learning_rate=1e-4, head_learning_rate=1e-2)

    assert height(Stage(0, 1), chosen) == 1e-2
    assert height(Stage(1, 1), chosen) == height(Stage(None, 1), chosen) == 1e-4


def test_what_is_frozen_gets_no_gradient(network: Network) -> None:
    learning(network, Stage(0, 1))
    logits, embedding = network.module(torch.zeros(2, 3, zoo.IMAGE, zoo.IMAGE))

    assert logits.requires_grad
    assert not embedding.requires_grad
