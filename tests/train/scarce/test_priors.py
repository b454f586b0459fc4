"""Where priors come from: a tiny CLIP's texts, and heads that were trained before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import zoo
from tests.train.sets import planted
from vedette.errors import UsageError
from vedette.heads.base import Dense, Mlp
from vedette.heads.concepts import NEUTRAL
from vedette.heads.trained import TrainedHead, TrainedMlp, TrainedPrompts, facts_of, write_head
from vedette.hub.locate import usable
from vedette.hub.trust import trust
from vedette.models.clip_cards import BACKBONES
from vedette.models.dummy import CARD as DUMMY
from vedette.models.over import HEAD
from vedette.models.trained import write_manifest
from vedette.networks.clip import read_clip_config
from vedette.networks.clip_text import text_embeddings
from vedette.taxonomy import Category
from vedette.train.features import Features
from vedette.train.scarce.few_shot import FewShotOptions, learn_few_shot
from vedette.train.scarce.priors import has_texts, head_priors, text_priors
from vedette.types import Float32

DIM = 6
COUNTS = {"Hate": (Category.HATE,), "Spam": (Category.SPAM,)}


def features(rows: Float32 | None = None, backbone: str = "dummy") -> Features:
    told = np.zeros((3, DIM), np.float32) if rows is None else rows
    return Features(told, backbone, DUMMY)


def folder_of(folder: Path, head: TrainedHead, backbone: str = DUMMY.model) -> Path:
    """A trained folder with that head, without the rest of a training."""
    folder.mkdir()
    write_head(folder / HEAD, head)
    parts = {"backbone": "dummy", "backbone_model": backbone, "head": facts_of(head)}
    write_manifest(folder, "head", DUMMY, parts)
    return folder


def linear(labels: tuple[str, ...], depth: int = 1, unit: bool = True) -> TrainedMlp:
    rng = np.random.default_rng(1)

    def layer(width: int) -> Dense:
        return Dense(rng.normal(size=(DIM, width)).astype(np.float32), np.zeros(width, np.float32))

    mlps = tuple(Mlp((*(layer(DIM) for _ in range(depth - 1)), layer(1))) for _ in labels)
    return TrainedMlp(labels, mlps, unit)


def test_a_texts_direction_leads_from_harmless_to_its_definition(tmp_path: Path) -> None:
    name = "clip-b32"
    card = BACKBONES[name]
    assert card.weights is not None
    counts = {**COUNTS, "unsafe": tuple(Category)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VEDETTE_MODELS", str(tmp_path))
        zoo.clip(tmp_path / card.weights.repo, card.embedding or 0)
        trust(card)
        found = text_priors(name, counts)
        config = read_clip_config(usable(card).folder)
        rows = text_embeddings(config, [Category.SPAM.definition, *NEUTRAL])

    assert has_texts(name)
    assert not has_texts("dummy")
    assert list(found) == list(counts)
    expected = rows[0] - rows[1:].mean(axis=0)
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(found["Spam"].weight, expected, atol=1e-6)
    assert all(np.linalg.norm(prior.weight) == pytest.approx(1) for prior in found.values())


def test_a_linear_heads_directions_by_label(tmp_path: Path) -> None:
    head = linear(("Spam", "Violence"), unit=False)
    found, unit = head_priors(folder_of(tmp_path / "one", head), features(), COUNTS)

    assert unit is False
    assert list(found) == ["Spam"]
    np.testing.assert_array_equal(found["Spam"].weight, head.mlps[0].layers[0].weight[:, 0])
    assert found["Spam"].what == "one"


def test_prompts_lead_from_the_safe_to_the_unsafe_one(tmp_path: Path) -> None:
    rows = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0].astype(np.float32)
    head = TrainedPrompts(("Hate",), rows[:1], rows[1:2], scale=10.0)
    found, unit = head_priors(folder_of(tmp_path / "one", head), features(), COUNTS)

    assert unit is True
    np.testing.assert_allclose(found["Hate"].weight, 10 * (rows[1] - rows[0]), rtol=1e-6)


@pytest.mark.parametrize(
    ("head", "backbone", "what"),
    [
        (linear(("Hate",), depth=2), DUMMY.model, "is an MLP"),
        (linear(("Violence",)), DUMMY.model, "knows none of the labels"),
        (linear(("Hate",)), "other@1", "was trained over other@1"),
    ],
)
def test_heads_that_are_no_prior_are_refused(
    head: TrainedHead, backbone: str, what: str, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "one", head, backbone)

    with pytest.raises(UsageError, match=what):
        head_priors(folder, features(), COUNTS)


def test_a_training_that_starts_from_a_head_of_raw_embeddings_stays_with_them(
    tmp_path: Path,
) -> None:
    data, rows = planted(dim=16, distance=4.0)
    mlp = Mlp((Dense(np.ones((16, 1), np.float32), np.zeros(1, np.float32)),))
    folder = folder_of(tmp_path / "one", TrainedMlp(("Hate",), (mlp,), False))
    outcome = learn_few_shot(data, features(rows), FewShotOptions(start=folder), 7)

    assert outcome.parts["head"]["unit"] is False
    assert outcome.facts["labels"]["Hate"]["prior_from"] == "one"
    assert outcome.facts["labels"]["Spam"]["prior_from"] is None
