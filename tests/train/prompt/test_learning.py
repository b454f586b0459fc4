"""The learner over tiny CLIPs with random weights: what starts where, what is stored, what is
refused; and that only the prompts learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.train.sets import planted
from vedette.compile.cache import file_sha256
from vedette.errors import UsageError, VedetteError
from vedette.heads.trained import TrainedPrompts, read_head
from vedette.models.base import ModelCard
from vedette.models.clip_cards import BACKBONES, CLIP_B32
from vedette.models.clip_cards import HEADS as HEAD_CARDS
from vedette.models.dummy import CARD as DUMMY
from vedette.models.over import HEAD
from vedette.models.vit import MARQO
from vedette.networks.clip_prompts import PromptTower
from vedette.networks.clip_text import text_embeddings
from vedette.train.data import TrainingSet
from vedette.train.features import Features
from vedette.train.finishing import Outcome
from vedette.train.prompt import learning
from vedette.train.prompt.learning import PROMPTS, check_options, learn_prompts, text_config
from vedette.train.prompt.options import PromptOptions

DIM = CLIP_B32.embedding or 0
COOP = PromptOptions(epochs=3, learning_rate=1e-2)
Q16 = replace(COOP, form="q16")


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    return planted(dim=DIM)[0]


@pytest.fixture(scope="module")
def features(store: Path) -> Features:
    rows = planted(dim=DIM, distance=40.0)[1]
    return Features(rows + np.float32(1.0), "clip-b32", CLIP_B32)


@pytest.fixture
def learned(data: TrainingSet, features: Features, tmp_path: Path) -> Outcome:
    return learn_prompts(data, features, COOP, 7, tmp_path)


def head_of(outcome: Outcome, folder: Path) -> TrainedPrompts:
    outcome.write(folder)
    head = read_head(folder / HEAD, outcome.parts["head"])
    assert isinstance(head, TrainedPrompts)
    return head


def test_the_stored_head_gives_the_logits_that_the_training_told(
    data: TrainingSet, features: Features, learned: Outcome, tmp_path: Path
) -> None:
    head = head_of(learned, tmp_path)
    rows = features.rows / np.linalg.norm(features.rows, axis=1, keepdims=True)

    assert head.labels == data.examples.labels
    assert set(learned.logits) == {"validation", "calibration", "test"}
    for part, logits in learned.logits.items():
        np.testing.assert_allclose(
            logits, head.logits(rows[data.examples.rows(part)]), rtol=1e-5, atol=1e-4
        )
    np.testing.assert_allclose(np.linalg.norm(head.safe, axis=1), 1, atol=1e-5)
    assert learned.parts["backbone_model"] == CLIP_B32.model
    assert learned.trained == 2 * 3 * 8 * 32


def test_the_stored_prompts_through_the_text_tower_are_the_stored_directions(
    learned: Outcome, tmp_path: Path
) -> None:
    head = head_of(learned, tmp_path)
    config = text_config(CLIP_B32)
    assert config is not None
    tower = PromptTower(config)
    soft = load_file(tmp_path / PROMPTS)

    with torch.no_grad():
        safe = tower(torch.from_numpy(soft["safe"])).numpy()
        unsafe = tower(torch.from_numpy(soft["unsafe"])).numpy()

    assert soft["safe"].shape == (3, 8, 32)
    np.testing.assert_allclose(safe, head.safe, atol=1e-5)
    np.testing.assert_allclose(unsafe, head.unsafe, atol=1e-5)


def test_the_text_tower_is_the_same_to_the_bit_after_a_training(
    data: TrainingSet, features: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    towers: list[PromptTower] = []
    before: list[dict[str, torch.Tensor]] = []

    class Seen(PromptTower):
        """The real one, looked at."""

        def __init__(self, *given: object) -> None:
            super().__init__(*given)  # type: ignore[arg-type]
            towers.append(self)
            before.append({k: v.clone() for k, v in self.network.state_dict().items()})

    monkeypatch.setattr(learning, "PromptTower", Seen)
    config = text_config(CLIP_B32)
    assert config is not None
    file = file_sha256(config.weights)

    outcome = learn_prompts(data, features, COOP, 7, tmp_path)

    assert outcome.history[-1].values["train loss"] < outcome.history[0].values["train loss"]
    after = towers[0].network.state_dict()
    assert before[0].keys() == after.keys()
    assert all(torch.equal(before[0][name], after[name]) for name in after)
    assert file_sha256(config.weights) == file


def test_before_the_first_step_it_is_zero_shot(
    data: TrainingSet, features: Features, tmp_path: Path
) -> None:
    """A learning rate too small to move anything leaves the texts' own embeddings."""
    texts = ("an ok", "no {category}")
    options = PromptOptions(
        vectors=4, epochs=1, learning_rate=1e-12, safe_text=texts[0], unsafe_text="bad!"
    )
    config = text_config(CLIP_B32)
    assert config is not None

    soft = head_of(learn_prompts(data, features, options, 7, tmp_path), tmp_path)
    free = head_of(
        learn_prompts(data, features, replace(options, form="q16"), 7, tmp_path), tmp_path
    )

    wanted = text_embeddings(config, ["an ok", "bad!"])
    for head in (soft, free):
        np.testing.assert_allclose(head.safe, np.repeat(wanted[:1], 3, axis=0), atol=1e-5)
        np.testing.assert_allclose(head.unsafe, np.repeat(wanted[1:], 3, axis=0), atol=1e-5)


@pytest.mark.parametrize("options", [COOP, Q16], ids=["coop", "q16"])
def test_learned_prompts_beat_the_texts_that_they_started_from(
    data: TrainingSet, features: Features, tmp_path: Path, options: PromptOptions
) -> None:
    outcome = learn_prompts(data, features, replace(options, epochs=40), 7, tmp_path)

    start = outcome.facts["at the start"]
    end = outcome.history[-1].values
    assert outcome.facts["started from"] == "text"
    assert end["validation F1"] > start["validation F1"] + 0.1
    assert end["validation loss"] < start["validation loss"]


@pytest.mark.parametrize("options", [COOP, Q16], ids=["coop", "q16"])
@pytest.mark.parametrize("init", ["text", "random"])
def test_the_same_seed_gives_the_same_bytes(
    data: TrainingSet, features: Features, tmp_path: Path, options: PromptOptions, init: str
) -> None:
    options = replace(options, init=init)  # type: ignore[arg-type]
    found = []
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        seed = 8 if name == "c" else 7
        learn_prompts(data, features, options, seed, tmp_path / name).write(tmp_path / name)
        found.append({p.name: p.read_bytes() for p in (tmp_path / name).glob("*[ds].safetensors")})

    assert HEAD in found[0]
    assert found[0] == found[1] != found[2]


def test_texts_longer_than_their_prompts_are_told(
    data: TrainingSet, features: Features, tmp_path: Path
) -> None:
    said: list[str] = []

    learn_prompts(data, features, replace(COOP, safe_text="ok"), 7, tmp_path, said.append)

    # The tiny tokenizer's tokens are letters: every unsafe text has more than eight.
    assert said[0].startswith("3 of 6 texts have more than 8 tokens")


def test_a_backbone_without_texts_starts_from_the_means_of_its_images(
    data: TrainingSet, features: Features, tmp_path: Path
) -> None:
    other = replace(features, backbone="dummy", card=DUMMY)
    options = replace(Q16, learning_rate=1e-12, epochs=1)

    outcome = learn_prompts(data, other, options, 7, tmp_path)

    head = head_of(outcome, tmp_path)
    rows = features.rows / np.linalg.norm(features.rows, axis=1, keepdims=True)
    train = data.examples.rows("train")
    unsafe = rows[train][data.examples.targets[train, 0]].mean(axis=0)
    np.testing.assert_allclose(head.unsafe[0], unsafe / np.linalg.norm(unsafe), atol=1e-5)
    assert outcome.facts["started from"] == "means"
    assert not (tmp_path / PROMPTS).exists()


@pytest.mark.parametrize("card", [DUMMY, MARQO], ids=["dummy", "marqo"])
@pytest.mark.parametrize("options", [COOP, replace(Q16, init="text"), replace(COOP, init="random")])
def test_texts_over_a_backbone_without_a_text_tower_are_refused(
    card: ModelCard, options: PromptOptions
) -> None:
    with pytest.raises(UsageError) as told:
        check_options(card, options)

    assert "clip-l14" in (told.value.hint or "")
    check_options(card, Q16)


def test_a_head_over_clip_has_the_texts_of_its_clip(store: Path) -> None:
    for card in HEAD_CARDS.values():
        config = text_config(card)
        assert config is not None
        assert config.dim == card.embedding == BACKBONES[card.needs[0].id].embedding
    assert text_config(DUMMY) is None


def test_more_vectors_than_the_tower_reads(
    data: TrainingSet, features: Features, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="reads 22 at most"):
        learn_prompts(data, features, replace(COOP, vectors=23), 7, tmp_path)


def test_an_embedding_that_is_no_number_is_an_error(
    data: TrainingSet, features: Features, tmp_path: Path
) -> None:
    rows = features.rows.copy()
    rows[3, 5] = np.inf

    with pytest.raises(VedetteError) as told:
        learn_prompts(data, replace(features, rows=rows), Q16, 7, tmp_path)

    assert told.value.code == "training_failed"
