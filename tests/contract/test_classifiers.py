"""What every registered classifier keeps to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.pictures import drawn
from tests.trained_folders import calibration, head_folder, mlp, prompts
from vedette.errors import ModelError, UnknownNameError, UsageError
from vedette.heads.trained import TrainedHead
from vedette.models.base import Classifier, ModelOptions, bare
from vedette.models.registry import build, collect, entries, get
from vedette.scores import to_scores
from vedette.types import Image

COMBINATIONS = [
    "any(q16,nudenet)",
    "mean(falconsai,marqo-384)",
    "cascade(marqo-384 -> falconsai, 0.3..0.7)",
]
CANNOT_BE_MADE = ("gantman", "open_nsfw")
"""Their files are read as published only; where those are not beside the checkout, the tests of
their own families run on small ones."""


TRAINED: dict[str, tuple[str, TrainedHead]] = {
    "head over dummy": ("dummy", mlp(48)),
    "head over a ViT": ("marqo-384", prompts(192)),
    "head over CLIP": ("clip-b32", mlp(512)),
}


@pytest.fixture(scope="module", params=[*entries(), *COMBINATIONS, *TRAINED])
def classifier(
    request: pytest.FixtureRequest, store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Classifier:
    if request.param in TRAINED:
        backbone, head = TRAINED[request.param]
        folder = tmp_path_factory.mktemp("trained") / "own"
        made = head_folder(folder, backbone, head, calibration("isotonic"))
        return build(str(made), ModelOptions(precision="fp32"))
    try:
        return build(request.param, ModelOptions(precision="fp32"))
    except ModelError as error:
        if error.code == "weights_missing" and request.param in CANNOT_BE_MADE:
            pytest.skip(f"its weights are not beside this checkout: {request.param}")
        raise


def image(seed: int, width: int, height: int) -> Image:
    pixels = np.asarray(drawn(seed, width, height))
    return Image(pixels, "0" * 64, width, height, "PNG", frame=seed)


SIZES = [(120, 90), (90, 120), (1, 1), (1, 2000), (2000, 1), (640, 480), (33, 500)]


def test_card_is_complete(classifier: Classifier) -> None:
    card = classifier.card
    for text in (card.id, card.revision, card.licence, card.terms, card.trained_on, card.source):
        assert text.strip()
    assert card.sha256 is None or len(card.sha256) == 64
    assert "@" not in card.id
    assert card.model == f"{card.id}@{card.revision}"
    assert card.covered or card.embedding, "a model that covers no category gives embeddings"
    assert bool(card.covered) == bool(card.labels)
    for needed in card.needs:
        assert needed.licence.strip()
    assert card.precisions[0] == "fp32"


@pytest.mark.parametrize("size", SIZES)
def test_any_shape_is_prepared_and_scored(classifier: Classifier, size: tuple[int, int]) -> None:
    prepared = classifier.prepare(image(3, *size))
    assert prepared.pixels.dtype == np.uint8
    assert prepared.pixels.flags["C_CONTIGUOUS"]
    assert (prepared.width, prepared.height, prepared.frame) == (*size, 3)
    (prediction,) = classifier.infer([prepared])
    scores = to_scores(prediction, classifier.card.labels)
    assert set(scores.as_dict()) == set(classifier.card.covered)
    # A cascade's picture has the labels of the one that decided.
    assert bool(prediction.labels) == bool(classifier.card.labels)
    assert set(prediction.labels) <= set(classifier.card.labels)
    assert "cascade" in classifier.card.id or prediction.labels == tuple(classifier.card.labels)
    assert all(scores.labels.get(c, c.value) in classifier.card.labels for c in scores.as_dict())
    if classifier.card.embedding is not None:
        assert prediction.embedding is not None
        assert prediction.embedding.dtype == np.float32
    assert prediction.model == classifier.card.model
    assert all(
        r.label in map(bare, prediction.labels)
        and 0 < r.score <= 1
        and r.frame == 3
        and 0 <= r.box[0] <= r.box[0] + r.box[2] <= size[0]
        and 0 <= r.box[1] <= r.box[1] + r.box[3] <= size[1]
        for r in prediction.regions
    )


def test_preparing_leaves_the_image_alone(classifier: Classifier) -> None:
    one = image(1, 200, 150)
    before = one.pixels.copy()
    classifier.prepare(one)
    np.testing.assert_array_equal(one.pixels, before)


def test_same_result_alone_in_a_batch_and_from_threads(classifier: Classifier) -> None:
    prepared = [classifier.prepare(image(seed, 160, 120)) for seed in range(6)]
    alone = [classifier.infer([p])[0] for p in prepared]
    together = classifier.infer(prepared)
    with ThreadPoolExecutor(3) as pool:
        threaded = list(pool.map(lambda p: classifier.infer([p])[0], prepared))
    for one, two, three in zip(alone, together, threaded, strict=True):
        np.testing.assert_array_equal(one.probs, two.probs)
        np.testing.assert_array_equal(one.probs, three.probs)
        assert one.regions == two.regions == three.regions
        if one.embedding is not None:
            assert two.embedding is not None
            np.testing.assert_array_equal(one.embedding, two.embedding)


def test_different_pictures_differ(classifier: Classifier) -> None:
    first, second = classifier.infer([classifier.prepare(image(s, 160, 120)) for s in (1, 2)])
    if classifier.card.labels:
        assert not np.array_equal(first.probs, second.probs)
    if classifier.card.embedding is not None:
        assert first.embedding is not None
        assert second.embedding is not None
        assert not np.array_equal(first.embedding, second.embedding)


def test_registry_refuses_duplicates() -> None:
    entry = get("dummy")
    with pytest.raises(UsageError, match="two models are called 'dummy'"):
        collect([entry, entry])


def test_registry_answers_a_typo() -> None:
    with pytest.raises(UnknownNameError) as caught:
        get("nudnet")
    assert caught.value.hint == "did you mean 'nudenet'?"
