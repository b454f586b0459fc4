"""The pipeline callable, held to what transformers answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from vedette import Item, Scanner
from vedette.adapters.hf_pipeline import ImageClassifier, pipeline
from vedette.errors import UsageError, VedetteError
from vedette.taxonomy import Category

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
CIRCLE = PICTURES / "circle.png"


@pytest.fixture(scope="module")
def scanner() -> Any:
    with Scanner("dummy") as made:
        yield made


@pytest.mark.parametrize(
    "given",
    [
        CIRCLE,
        str(CIRCLE),
        CIRCLE.read_bytes(),
        PIL.Image.open(CIRCLE),
        np.asarray(PIL.Image.open(CIRCLE).convert("RGB")),
        Item("mine", CIRCLE),
    ],
    ids=lambda given: type(given).__name__,
)
def test_one_image_has_its_labels_the_likeliest_first(scanner: Any, given: Any) -> None:
    found: Any = ImageClassifier(scanner)(given)

    scores = scanner.scan(given).scores.as_dict()
    best = sorted(scores, key=scores.__getitem__, reverse=True)[:5]
    assert found == [{"label": category.value, "score": scores[category]} for category in best]
    assert [type(one["label"]) for one in found] == [str] * 5


def test_several_images_have_a_list_each(scanner: Any) -> None:
    classifier = ImageClassifier(scanner, top_k=None)

    found: Any = classifier([str(CIRCLE), CIRCLE])

    assert found == [classifier(CIRCLE)] * 2
    assert len(found[0]) == len(Category)
    assert classifier(one for one in [CIRCLE]) == [classifier(CIRCLE)]
    assert classifier([]) == []
    assert len(classifier(CIRCLE, top_k=2)) == 2


def test_the_shape_is_that_of_transformers(scanner: Any) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = transformers.ViTConfig(
        image_size=8, patch_size=4, num_labels=3, intermediate_size=8, **sizes
    )
    torch.manual_seed(0)
    processor = transformers.ViTImageProcessor(size={"height": 8, "width": 8})
    theirs = transformers.pipeline(
        "image-classification",
        model=transformers.ViTForImageClassification(config).eval(),
        image_processor=processor,
    )
    ours = ImageClassifier(scanner)

    for given in (str(CIRCLE), [str(CIRCLE), str(CIRCLE)], PIL.Image.open(CIRCLE).convert("RGB")):
        assert _shape(ours(given)) == _shape(theirs(given))
    assert ours.task == theirs.task


def _shape(told: Any) -> Any:
    """Types and keys, with how deep lists go; scores fall."""
    if isinstance(told, dict):
        return {key: type(value) for key, value in told.items()}
    scores = [one["score"] for one in told if isinstance(one, dict)]
    assert scores == sorted(scores, reverse=True)
    return [_shape(told[0])]


def test_what_cannot_be_scanned_raises(scanner: Any, tmp_path: Path) -> None:
    classifier = ImageClassifier(scanner)

    with pytest.raises(VedetteError) as caught:
        classifier(tmp_path / "gone.png")
    assert caught.value.code == "not_found"
    with pytest.raises(VedetteError):
        classifier([CIRCLE, b"no picture"])


def test_urls_and_other_things_are_refused(scanner: Any) -> None:
    classifier = ImageClassifier(scanner)

    for given in ("https://a.example/a.png", ["HTTP://a.example/a.png"], 7, [7]):
        with pytest.raises(UsageError):
            classifier(given)  # type: ignore[arg-type]
    for top_k in (0, -1):
        with pytest.raises(UsageError):
            ImageClassifier(scanner, top_k=top_k)


def test_it_is_made_as_with_transformers() -> None:
    classifier = pipeline("image-classification", model="dummy", top_k=1)
    try:
        assert len(classifier(CIRCLE)) == 1
    finally:
        classifier.close()
    with pytest.raises(UsageError, match="text-generation"):
        pipeline("text-generation", model="dummy")
