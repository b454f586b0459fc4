"""The decisive frame of a file, explained by regions or by a map, whatever the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests import zoo
from tests.explain.looking import SEXUAL, SIDE, Looks, dummy, noise
from tests.pictures import drawn, encoded, face
from tests.samples import animation
from vedette import Scanner
from vedette.errors import DecodeError, ItemError, UnknownNameError, UsageError
from vedette.explain.explanation import (
    ExplainOptions,
    Explanation,
    category_named,
    explain,
    to_dict,
)
from vedette.explain.subject import find_subject
from vedette.models.base import Classifier, ModelOptions, Prepared
from vedette.models.registry import build
from vedette.settings import Limits, ScanOptions, Settings
from vedette.taxonomy import Category
from vedette.types import Item, Prediction, Region

QUICK = ExplainOptions(grid=4, orders=2)
MOVING = Path(__file__).parents[2] / "docs" / "pictures" / "moving.gif"
DEFAULTS = Settings()


def item(picture: PIL.Image.Image) -> Item:
    return Item("a", encoded(picture))


def explained(
    model: Classifier, data: bytes, options: ExplainOptions = QUICK, settings: Settings = DEFAULTS
) -> Explanation:
    return explain(model, Item("a", data), settings, options)


def test_scores_are_those_of_a_scan() -> None:
    data = encoded(drawn(3, 900, 700), "JPEG", quality=90)  # large enough for a scaled decode
    with Scanner("dummy") as scanner:
        record = scanner.scan(data)
    assert record.scores is not None
    told = to_dict(explained(dummy(), data))

    assert told["scores"] == {c.value: p for c, p in record.scores.as_dict().items()}
    assert told["category"] == max(told["scores"], key=told["scores"].get)
    assert told["p"] == max(told["scores"].values())


@pytest.mark.parametrize("hardened", [False, True])
def test_of_an_animation_the_frame_with_the_highest_score(hardened: bool) -> None:
    data = MOVING.read_bytes()
    with Scanner("dummy") as scanner:
        timeline = scanner.scan(data).timeline
    settings = Settings(scan=ScanOptions(hardened=hardened))
    for category in (None, Category.SEXUAL, Category.SPAM):
        worst = max(timeline, key=lambda f: f.p[category] if category else max(f.p.values()))
        subject, failure = find_subject(dummy(), Item("a", data), settings, category)

        assert failure is None
        assert subject.image.frame == worst.frame
        assert subject.p == pytest.approx(worst.p[subject.category], abs=1e-6)


def test_of_an_animation_the_frame_that_is_asked_for() -> None:
    found = explained(dummy(), MOVING.read_bytes(), ExplainOptions(frame=2, grid=2, orders=2))

    assert found.subject.image.frame == 2
    assert to_dict(found)["frame"] == 2
    with pytest.raises(UsageError, match="frame 99") as caught:
        explained(dummy(), MOVING.read_bytes(), ExplainOptions(frame=99))
    assert "near it is 5;" in caught.value.hint


def test_what_could_be_decoded_is_explained_and_the_failure_kept() -> None:
    data = animation("GIF")
    settings = Settings(limits=Limits(frames=2))
    found = explained(dummy(), data, settings=settings)

    assert found.failure is not None
    assert found.failure.code == "too_many_frames"
    assert to_dict(found)["failure"]["code"] == "too_many_frames"


def test_what_cannot_be_decoded_is_an_error() -> None:
    with pytest.raises(DecodeError) as caught:
        explained(dummy(), b"no picture")
    assert caught.value.code == "unsupported_format"
    with pytest.raises(ItemError) as missing:
        explain(dummy(), Item("no", Path("no")), DEFAULTS, QUICK)
    assert missing.value.code == "not_found"


def test_a_map_peaks_where_the_model_looks() -> None:
    data = encoded(PIL.Image.fromarray(noise()))
    found = explained(Looks(40, 8, 8), data, ExplainOptions(SEXUAL))

    assert found.relevance is not None
    assert found.deletion is not None
    assert divmod(int(found.relevance.cells.argmax()), 8) == (5, 1)
    assert found.deletion.beats_random
    assert to_dict(found) == to_dict(explained(Looks(40, 8, 8), data, ExplainOptions(SEXUAL)))


def nudenet() -> Classifier:
    return build("nudenet", ModelOptions("onnx", "fp32"))


def test_regions_explain_the_score_of_their_label() -> None:
    found = explained(nudenet(), encoded(face()))

    assert found.relevance is None
    assert found.deletion is None
    (region, *_) = found.subject.prediction.regions
    assert found.counts(region)
    told = to_dict(found)
    assert told["map"] is None
    assert told["regions"][0]["counts"] is True
    assert told["p"] == pytest.approx(region.score, abs=1e-5)


def test_without_a_region_a_detectors_score_has_a_map() -> None:
    found = explained(nudenet(), encoded(drawn(5, 300, 200)))

    assert not found.subject.prediction.regions
    assert found.relevance is not None


def test_in_a_combination_regions_explain_only_their_own_labels_score() -> None:
    data = encoded(face())
    model = build("any(nudenet,dummy)", ModelOptions("onnx", "fp32"))
    own = explained(model, data, ExplainOptions(SEXUAL, grid=2, orders=2))
    other = explained(model, data, ExplainOptions(Category.SPAM, grid=2, orders=2))

    assert own.relevance is None
    assert own.labels()[0][0].startswith("nudenet-320n:")
    assert other.relevance is not None
    assert other.subject.prediction.regions
    assert not any(other.counts(region) for region in other.subject.prediction.regions)


def test_labels_stand_the_nearest_first_with_what_they_count_for() -> None:
    told = to_dict(explained(nudenet(), encoded(face())))

    p = [label["p"] for label in told["labels"]]
    assert p == sorted(p, reverse=True)
    assert len(p) == 18
    assert told["labels"][0]["categories"] == ["Sexual"]


def test_a_vit_of_ones_own(tmp_path: Path) -> None:
    folder = zoo.vit(tmp_path / "vit", ["normal", "nsfw"])
    model = build(f"vit:{folder}", ModelOptions("onnx", "fp32"))
    found = explained(model, encoded(drawn(1, 120, 90)))

    assert found.relevance is not None
    assert found.deletion is not None
    assert found.relevance.category is Category.SEXUAL
    assert found.relevance.cells.any()
    assert [label for label, _ in found.labels()] in (["normal", "nsfw"], ["nsfw", "normal"])
    nsfw = dict(found.labels())["nsfw"]
    assert found.relevance.p == pytest.approx(nsfw, abs=1e-5)


def test_concepts_of_ones_own_are_shown_by_nearness(store: Path, tmp_path: Path) -> None:
    del store
    path = tmp_path / "c.toml"
    path.write_text(
        '[weapons]\ncategory = "Violence"\n[weapons.concepts]\n"a knife" = 0.2\n'
        '[animals.concepts]\n"a cat" = 0.2\n'
    )
    model = build(f"clip-b32/concepts:{path}", ModelOptions("onnx", "fp32"))
    told = to_dict(explained(model, encoded(drawn(1))))

    assert {label["label"] for label in told["labels"]} == {"a knife", "a cat"}
    assert told["category"] == "Violence"
    assert np.array(told["map"]).shape == (4, 4)


class NoMap(Looks):
    """Finds a region of a label that counts for nothing."""

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        return [
            Prediction(p.labels, p.probs, p.model, regions=(Region("TREE", 0.9, (1, 2, 3, 4)),))
            for p in super().infer(batch)
        ]


def test_regions_of_labels_that_do_not_count_explain_nothing() -> None:
    found = explained(NoMap(0, 0, SIDE), encoded(PIL.Image.fromarray(noise())))

    assert found.relevance is not None
    assert to_dict(found)["regions"] == [
        {"label": "TREE", "score": 0.9, "box": [1, 2, 3, 4], "counts": False}
    ]


@pytest.mark.parametrize("options", [{"grid": 1}, {"grid": 33}, {"orders": 1}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        ExplainOptions(**options)  # type: ignore[arg-type]


def test_categories_by_name() -> None:
    assert category_named("self harm") is Category.SELF_HARM
    with pytest.raises(UnknownNameError, match="Spum"):
        category_named("Spum")
    with pytest.raises(UsageError, match="does not look for Spam"):
        explained(nudenet(), b"", ExplainOptions(Category.SPAM))
