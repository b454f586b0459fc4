"""Combinations: who decides what, what they cover, and what reaches the slow model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.pictures import drawn
from vedette import Action, Category, Scanner
from vedette.errors import ModelError, UnknownNameError, UsageError
from vedette.models.base import Classifier, ModelCard, ModelOptions, Prepared, labelled
from vedette.models.combine import (
    AnyOf,
    Cascade,
    MeanOf,
    any_card,
    cascade_card,
    common_fit,
    mean_card,
)
from vedette.models.registry import build, check_commercial, get
from vedette.resize import Fit, resize
from vedette.scores import to_scores
from vedette.settings import Settings
from vedette.types import Image, Prediction, Region

SEXUAL, HATE = Category.SEXUAL, Category.HATE


class Brightness:
    """A classifier of the tests: each label's probability is the picture's mean, bent."""

    streams = 1
    fit: Fit | None = None
    icc = True
    runtime = "numpy fp32"

    def __init__(
        self,
        name: str,
        labels: dict[str, tuple[Category, ...]],
        gain: float = 1.0,
        size: int = 8,
        regions: tuple[Region, ...] = (),
    ) -> None:
        self.card = ModelCard(
            id=name,
            revision="1",
            summary="of the tests",
            licence=f"licence of {name}",
            terms="none",
            trained_on="nothing",
            source="tests",
            sha256=None,
            labels=labels,
            fit=Fit(size, "stretch"),
            commercial=name != "restricted",
        )
        self.gain, self.size, self.seen = gain, size, 0
        self.regions = regions

    def prepare(self, image: Image) -> Prepared:
        pixels = np.ascontiguousarray(resize(image.pixels, self.size, self.size))
        return Prepared(pixels, image.width, image.height, frame=image.frame)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        self.seen += len(batch)
        out = []
        for prepared in batch:
            p = min(1.0, self.gain * float(prepared.pixels.mean()) / 255)
            probs = np.full(len(self.card.labels), p, dtype=np.float32)
            embedding = np.full(3, self.gain, dtype=np.float32)
            labels = tuple(self.card.labels)
            out.append(Prediction(labels, probs, self.card.model, embedding, self.regions))
        return out


def grey(value: int) -> Image:
    pixels = np.full((40, 60, 3), value, dtype=np.uint8)
    return Image(pixels, "0" * 64, 60, 40, "PNG")


def predict(model: Classifier, *images: Image) -> Sequence[Prediction]:
    return model.infer([model.prepare(image) for image in images])


def scores(model: Classifier, image: Image) -> dict[Category, float]:
    (prediction,) = predict(model, image)
    return to_scores(prediction, model.card.labels).as_dict()


def cascade(low: float = 0.25, high: float = 0.75) -> tuple[Cascade, Brightness, Brightness]:
    fast = Brightness("fast", {"f": (SEXUAL, HATE)})
    slow = Brightness("slow", {"s": (SEXUAL,), "safe": ()}, gain=0.5, size=16)
    card = cascade_card("cascade(fast -> slow)", fast.card, slow.card, low, high)
    return Cascade(card, fast, slow, low, high), fast, slow


def test_any_is_unsafe_if_either_says_so() -> None:
    low = Brightness("low", {"unsafe": (SEXUAL,)}, gain=0.1)
    high = Brightness("high", {"unsafe": (SEXUAL, HATE)}, gain=0.9, size=16)
    model = AnyOf(any_card("any(low,high)", [low.card, high.card]), [low, high])
    (prediction,) = predict(model, grey(255))
    found = to_scores(prediction, model.card.labels)

    assert prediction.labels == ("low:unsafe", "high:unsafe")
    assert found.as_dict() == {HATE: pytest.approx(0.9), SEXUAL: pytest.approx(0.9)}
    assert found.labels == {HATE: "high:unsafe", SEXUAL: "high:unsafe"}


def test_mean_is_over_the_members_that_cover_a_category() -> None:
    one = Brightness("one", {"a": (SEXUAL,)}, gain=0.2)
    two = Brightness("two", {"b": (SEXUAL, HATE)}, gain=0.8)
    model = MeanOf(mean_card("mean(one,two)", [one.card, two.card]), [one, two])

    assert scores(model, grey(255)) == {HATE: pytest.approx(0.8), SEXUAL: pytest.approx(0.5)}


def test_only_what_is_between_the_thresholds_reaches_the_slow_model() -> None:
    model, fast, slow = cascade()
    dark, middle, bright = grey(10), grey(128), grey(250)

    predictions = predict(model, dark, middle, bright)

    assert (fast.seen, slow.seen) == (3, 1)
    assert [p.labels for p in predictions] == [("fast:f",), ("slow:s", "slow:safe"), ("fast:f",)]
    assert [float(p.probs[0]) for p in predictions] == pytest.approx(
        [10 / 255, 64 / 255, 250 / 255]
    )
    assert (model.cost.pictures, model.cost.reached) == (3, 1)
    assert model.told()[0].startswith("1 of 3 pictures (33.3 %) went on to slow")


def test_the_thresholds_themselves_reach_the_slow_model() -> None:
    model, _, slow = cascade(low=51 / 255, high=204 / 255)
    predict(model, grey(51), grey(204), grey(50), grey(205))

    assert slow.seen == 2


def test_a_cascade_covers_what_both_cover() -> None:
    model, _, _ = cascade()

    assert model.card.covered == (SEXUAL,)  # nobody looks for hate where only the slow one could
    assert scores(model, grey(10)).keys() == scores(model, grey(128)).keys() == {SEXUAL}


def test_a_cascade_without_anything_in_common_is_refused() -> None:
    one = Brightness("one", {"a": (SEXUAL,)}).card
    two = Brightness("two", {"b": (HATE,)}).card
    with pytest.raises(UsageError, match="cannot settle"):
        cascade_card("cascade", one, two, 0.1, 0.9)


def test_who_decided_stands_in_the_record() -> None:
    model, _, _ = cascade()
    with Scanner(model) as scanner:
        pictures = [np.full((40, 60, 3), v, dtype=np.uint8) for v in (10, 150, 250)]
        records = [scanner.scan(picture) for picture in pictures]

    decided = [r.scores.labels[SEXUAL] for r in records if r.scores]
    assert decided == ["fast:f", "slow:s", "fast:f"]
    assert records[2].verdict.action is Action.BLOCK
    assert records[2].verdict.reasons[0].label == "fast:f"


def test_regions_and_embedding_come_through() -> None:
    region = Region("FACE", 0.5, (1, 2, 3, 4))
    one = Brightness("one", {"FACE": (SEXUAL,)}, regions=(region,))
    two = Brightness("two", {"b": (SEXUAL,)}, gain=0.5)
    model = AnyOf(any_card("any", [one.card, two.card]), [one, two])
    (prediction,) = predict(model, grey(100))

    assert prediction.regions == (region,)
    assert prediction.embedding is not None
    assert prediction.embedding[0] == 1.0


def test_a_members_terms_bind_the_combination() -> None:
    free = Brightness("free", {"a": (SEXUAL,)}).card
    restricted = Brightness("restricted", {"b": (SEXUAL,)}).card

    assert any_card("x", [free, free]).commercial
    card = any_card("x", [free, restricted])
    assert not card.commercial
    assert "licence of restricted" in card.licence
    assert card.needs == (free, restricted)


def test_members_that_want_other_colours_do_not_combine(store: object) -> None:
    with pytest.raises(UsageError, match="colours"):
        build("any(nudenet,nudenet-compatible)", ModelOptions(precision="fp32"))


@pytest.mark.parametrize(
    ("fits", "wanted"),
    [
        ([Fit(100, "stretch"), Fit(100, "stretch")], Fit(100, "stretch")),
        ([Fit(100, "stretch"), Fit(100, "inside")], Fit(100, "cover")),
        ([Fit(384, "cover", "bicubic"), Fit(224, "stretch")], Fit(384, "cover")),
        ([Fit(100, "stretch"), None], None),
        ([None, None], None),
    ],
)
def test_a_scaled_decode_must_do_for_every_member(
    fits: list[Fit | None], wanted: Fit | None
) -> None:
    assert common_fit(fits) == wanted
    for fit in fits:
        if wanted is not None and fit is not None:
            for shape in ((4000, 3000), (300, 9000), (801, 800)):
                both = zip(wanted.target(*shape), fit.target(*shape), strict=True)
                assert all(ours >= theirs for ours, theirs in both)


def test_commercial_use_is_refused_where_one_member_forbids_it(store: object) -> None:
    with pytest.raises(ModelError) as caught:
        build("any(q16,nudenet)", ModelOptions(precision="fp32", commercial=True))
    assert caught.value.code == "terms_refused"


def test_names_are_written_in_one_way() -> None:
    assert (
        get("cascade(marqo-384 → falconsai)").name
        == get(" cascade( marqo-384->falconsai , 0.10..0.9 ) ").name
        == "cascade(marqo-384 -> falconsai, 0.1..0.9)"
    )
    assert get("any( q16 , nudenet )").name == "any(q16,nudenet)"
    nested = get("mean(falconsai, any(adamcodd,nudenet))")
    assert nested.name == "mean(falconsai,any(adamcodd,nudenet))"
    assert labelled(get("q16").card, "inappropriate") in get("any(q16,nudenet)").card.labels


@pytest.mark.parametrize(
    "name",
    [
        "any(q16)",
        "any()",
        "any(q16,q16)",
        "any((q16,nudenet)",
        "any(q16,nudenet))",
        "mean(q16,)",
        "cascade(falconsai)",
        "cascade(falconsai->falconsai)",
        "cascade(falconsai->marqo-384->adamcodd)",
        "cascade(falconsai->marqo-384, 0.9..0.1)",
        "cascade(falconsai->marqo-384, 0..2)",
        "cascade(falconsai->marqo-384, 0.1..0.2..0.3)",
        "cascade(falconsai->marqo-384, 1.2.3..4)",
        "cascade(falconsai->marqo-384, 0.1..0.9, x)",
        "any(" * 9 + "a" + ")" * 9,
    ],
)
def test_what_makes_no_sense_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        get(name)


def test_a_typo_inside_is_answered() -> None:
    with pytest.raises(UnknownNameError) as caught:
        get("any(q16,nudnet)")
    assert caught.value.hint == "did you mean 'nudenet'?"


def test_a_real_combination_scans(store: object) -> None:
    model = build("any(q16,nudenet)", ModelOptions(precision="fp32"))
    with Scanner(model) as scanner:
        record = scanner.scan(np.asarray(drawn(1, 300, 200)))

    assert record.failure is None
    assert record.scores is not None
    assert set(record.scores.as_dict()) == set(model.card.covered)
    assert len(model.card.covered) == 10  # all but Spam


def test_one_label_that_two_members_count_differently_is_refused() -> None:
    first = Brightness("twin", {"gun": (SEXUAL,)})
    second = Brightness("twin", {"gun": (HATE,)})

    with pytest.raises(UsageError):
        any_card("any(twin,twin)", [first.card, second.card])


def test_lists_of_concepts_can_be_members(tmp_path: Path) -> None:
    names = []
    for category in (SEXUAL, HATE):
        path = tmp_path / f"{category}.toml"
        path.write_text(f'[a]\ncategory = "{category}"\n[a.concepts]\n"gun" = 0.2\n')
        names.append(f"clip-l14/concepts:{path}")
    entry = get(f"any({','.join(names)})")

    assert set(entry.card.covered) == {SEXUAL, HATE}
    assert entry.card.labels[f"{names[0]}:gun"] == (SEXUAL,)
    assert get(entry.name).card == entry.card


def test_a_name_may_be_longer_than_a_files() -> None:
    with pytest.raises(UnknownNameError):
        get(f"any({'a' * 300},dummy)")


def test_commercial_use_is_refused_for_what_is_needed_at_any_depth() -> None:
    card = Brightness("restricted", {"x": (HATE,)}).card
    for name in ("head", "pair"):
        card = dataclasses.replace(card, id=name, commercial=True, needs=(card,))

    with pytest.raises(ModelError) as caught:
        check_commercial(card)

    assert caught.value.code == "terms_refused"


def test_commercial_use_is_refused_for_a_classifier_that_is_given() -> None:
    with pytest.raises(ModelError) as caught:
        Scanner(model=Brightness("restricted", {"x": (HATE,)}), settings=Settings(commercial=True))

    assert caught.value.code == "terms_refused"
