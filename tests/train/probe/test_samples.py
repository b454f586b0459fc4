"""What a probe learns from: weights of classes, what is known, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.train.sets import planted
from vedette.errors import VedetteError
from vedette.taxonomy import Category
from vedette.train.probe.samples import predominant, samples_of


def test_embeddings_of_length_one() -> None:
    data, features = planted()

    found = samples_of(data.examples, features, unit=True)

    np.testing.assert_allclose(np.linalg.norm(found.x, axis=1), 1, atol=1e-6)
    assert (samples_of(data.examples, features, unit=False).x == features).all()


def test_embeddings_that_are_no_numbers_are_refused_by_name() -> None:
    data, features = planted()
    features[3, 2] = np.inf

    with pytest.raises(VedetteError, match=data.examples.keys[3]) as caught:
        samples_of(data.examples, features, unit=False)

    assert caught.value.code == "training_failed"


def test_embeddings_that_are_all_alike_are_refused() -> None:
    data, features = planted()

    with pytest.raises(VedetteError, match="same embedding") as caught:
        samples_of(data.examples, np.ones_like(features), unit=False)

    assert caught.value.code == "training_failed"


def test_an_image_with_a_predominant_category_tells_nothing_of_the_others() -> None:
    data, _ = planted(categories=(Category.HATE, Category.SPAM))
    examples = data.examples

    found = predominant(examples)

    hate = examples.category == Category.HATE.position
    assert found.known[hate].tolist() == [[True, False]] * int(hate.sum())
    assert found.known[~examples.unsafe].all()
    half_known = replace(examples, known=np.zeros_like(examples.known))
    assert not predominant(half_known).known.any()
