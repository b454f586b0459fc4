"""Checkpoints that cannot be used, or not safely, are refused before they run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoProcessor

from tests import vlm_zoo, zoo
from tests.networks.test_vlm_answers import opened
from tests.pictures import drawn
from vedette.errors import ModelError, UsageError, VedetteError
from vedette.networks.vlm import Loading, open_network
from vedette.networks.vlm_files import read_vlm


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return vlm_zoo.llava(tmp_path / "llava")


def changed(name: str, **values: Any) -> Callable[[Path], None]:
    """A change of a JSON file."""

    def change(folder: Path) -> None:
        path = folder / name
        zoo.write_json(path, json.loads(path.read_text()) | values)

    return change


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def deep(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= {"num_hidden_layers": 100_000}
    zoo.write_json(folder / "config.json", config)


def wide(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= {"intermediate_size": 256}
    zoo.write_json(folder / "config.json", config)


def tiles(folder: Path) -> None:
    changed("processor_config.json", processor_class="LlavaNextProcessor")(folder)
    changed("tokenizer_config.json", processor_class="LlavaNextProcessor")(folder)
    own = {"image_processor_type": "LlavaNextImageProcessor", "image_grid_pinpoints": [[64, 64]]}
    changed("preprocessor_config.json", **own)(folder)


def index_that_leads_out(folder: Path) -> None:
    placed = {"weight_map": {"a": "../other/model.safetensors"}}
    zoo.write_json(folder / "model.safetensors.index.json", placed)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (removed("config.json"), "config.json is not there"),
        (removed("model.safetensors"), "model.safetensors is not there"),
        (removed("tokenizer.json"), "tokenizer.json is not there"),
        (removed("preprocessor_config.json"), "nothing says how the model takes its pictures"),
        (changed("config.json", auto_map={"AutoModel": "code.Model"}), "code of its own"),
        (changed("tokenizer_config.json", auto_map={"AutoTokenizer": "c.T"}), "code of its own"),
        (changed("config.json", model_type="no-such-network"), "transformers makes no|opens no"),
        (changed("preprocessor_config.json", do_rescale=False), "rescale_factor"),
        (lambda f: zoo.write_json(f / "adapter_config.json", {}), "an adapter, and not a whole"),
        (cut, "transformers opens no model of it"),
        (deep, "too few weights for 100000 layers"),
        (wide, "transformers opens no model of it|not this network's weights"),
        (tiles, "takes more than one square picture"),
        (index_that_leads_out, "does not name safetensors files beside it"),
    ],
)
def test_what_cannot_be_used_is_refused(
    folder: Path, change: Callable[[Path], None], told: str
) -> None:
    change(folder)

    with pytest.raises(ModelError, match=told) as raised:
        opened(folder)

    assert raised.value.code in ("weights_missing", "weights_unusable")


def test_a_checkpoint_without_any_conversation_is_refused(tmp_path: Path) -> None:
    folder = vlm_zoo.llava(tmp_path / "llava")
    zoo.write_json(folder / "chat_template.json", {"chat_template": "{{ raise_exception('no') }}"})

    with pytest.raises(ModelError, match="chat template fails"):
        opened(folder).conversation("what is this?")


def test_pixels_are_the_processors(folder: Path) -> None:
    squares = np.stack([np.asarray(drawn(seed, 32, 32)) for seed in (4, 5)])
    processor: Any = AutoProcessor.from_pretrained(folder)

    expected = processor(images=list(squares), text=["<image>"] * 2, return_tensors="pt")

    ours = opened(folder).normalised(squares)
    torch.testing.assert_close(ours, expected["pixel_values"], rtol=0, atol=1e-5)


def test_a_processors_file_may_hold_the_pictures_configuration(folder: Path) -> None:
    own = json.loads((folder / "preprocessor_config.json").read_text())
    changed("processor_config.json", image_processor=own)(folder)
    (folder / "preprocessor_config.json").unlink()

    assert read_vlm(folder).pictures["size"] == {"shortest_edge": 32}
    assert opened(folder).side == 32


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_four_bits_need_a_gpu(folder: Path) -> None:
    files = read_vlm(folder)
    network = opened(folder)

    with pytest.raises(UsageError, match="CUDA GPU"):
        open_network(files, network.side, network.norm, Loading(four_bit=True))


def test_half_precision_can_be_asked_for(folder: Path) -> None:
    files = read_vlm(folder)
    network = opened(folder)

    half = open_network(files, network.side, network.norm, Loading("bf16"))

    assert half.precision == "bf16"
    assert next(half.model.parameters()).dtype == torch.bfloat16


def test_every_refusal_is_one_of_ours(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000)

    with pytest.raises(VedetteError, match="not JSON"):
        opened(folder)
