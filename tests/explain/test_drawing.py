"""A drawing shows the map and the regions, and of the picture nothing that could be recognised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from tests.explain.looking import SEXUAL, SIDE, Looks, dummy, noise
from tests.pictures import drawn, encoded, face
from vedette.explain.deletion import Deletion
from vedette.explain.drawing import blurred, draw
from vedette.explain.explanation import ExplainOptions, Explanation, explain
from vedette.explain.occlusion import Relevance
from vedette.explain.palette import colours
from vedette.models.base import Classifier, ModelOptions, Prepared
from vedette.models.registry import build
from vedette.settings import Settings
from vedette.types import Item, Region, UInt8

GOOD = Deletion(0.1, 0.5, 0.05, 10, 0, 10, ())
BAD = replace(GOOD, area=0.5)
QUICK = ExplainOptions(grid=4, orders=2)


def explained(model: Classifier, picture: PIL.Image.Image) -> Explanation:
    return explain(model, Item("a", encoded(picture)), Settings(), QUICK)


def with_map(cells: list[list[float]], pixels: UInt8, test: Deletion = GOOD) -> Explanation:
    found = explained(Looks(0, 0, SIDE), PIL.Image.fromarray(noise()))
    prepared = Prepared(pixels, pixels.shape[1], pixels.shape[0])
    return replace(
        found,
        subject=replace(found.subject, prepared=prepared),
        relevance=Relevance(SEXUAL, 0.9, np.array(cells, dtype=np.float32)),
        deletion=test,
    )


def steepest(pixels: UInt8) -> int:
    """The largest step between neighbouring pixels, 0..255."""
    values = pixels.astype(int)
    return int(max(np.abs(np.diff(values, axis=axis)).max() for axis in (0, 1)))


def array(picture: PIL.Image.Image) -> UInt8:
    return np.asarray(picture)


@pytest.mark.parametrize("size", [(64, 64), (300, 40), (31, 200)])
def test_a_blur_leaves_nothing_steep(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 2, (size[1], size[0], 3)).astype(np.uint8) * 255

    assert steepest(pixels) == 255
    assert steepest(blurred(pixels)) < 16


def test_under_a_map_there_is_no_detail() -> None:
    nothing = [[0.0, 0.0], [0.0, 0.0]]
    sharp = array(face(320, 320))
    hidden = array(draw(with_map(nothing, sharp)))[:640]
    shown = array(draw(with_map(nothing, sharp), sharp=True))[:640]

    assert steepest(hidden) <= 2
    assert steepest(shown) > 40
    # What a viewer could still see of one picture and of its blur is the same.
    other = array(draw(with_map(nothing, blurred(sharp))))[:640]
    assert np.abs(hidden.astype(int) - other).mean() < 12


def test_around_regions_there_is_no_detail() -> None:
    found = explained(build("nudenet", ModelOptions("onnx", "fp32")), face())
    assert found.subject.prediction.regions
    prediction = replace(found.subject.prediction, regions=())
    plain = replace(found, subject=replace(found.subject, prediction=prediction))

    assert steepest(array(draw(plain))[:480]) <= 3
    assert steepest(array(draw(plain, sharp=True))[:480]) > 40
    # And the boxes are all that is drawn into it.
    changed = (array(draw(found))[:480] != array(draw(plain))[:480]).any(axis=2)
    assert 0 < changed.mean() < 0.05


def test_light_is_where_the_map_is() -> None:
    cells = [[0.0] * 4, [0.0, 0.0, 2.0, 0.0], [0.0] * 4, [-3.0, 0.0, 0.0, 0.0]]
    picture = array(draw(with_map(cells, np.full((80, 80, 3), 128, dtype=np.uint8))))
    light = picture[:640].reshape(4, 160, 4, 160, 3).mean(axis=(1, 3, 4))

    assert divmod(int(light.argmax()), 4) == (1, 2)
    assert light[3, 0] == pytest.approx(light[3, 3], abs=1)  # what raises the score has no colour
    assert picture.shape[0] > 640  # a legend


def test_colours_grow_lighter_evenly() -> None:
    rgb = colours(np.linspace(0, 1, 65, dtype=np.float32)) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness = 116 * np.cbrt(luminance) - 16  # CIE L*
    steps = np.diff(lightness)

    assert (steps > 0).all()
    assert steps.max() < 2.5 * steps.mean()
    assert lightness[0] < 25
    assert lightness[-1] > 90


def test_the_legend_says_whether_the_map_can_be_trusted() -> None:
    pixels = np.full((80, 80, 3), 128, dtype=np.uint8)
    cells = [[0.0, 1.0], [0.0, 0.0]]
    good, bad = (array(draw(with_map(cells, pixels, test)))[640:] for test in (GOOD, BAD))

    def warns(legend: UInt8) -> bool:
        return bool((legend == (255, 120, 110)).all(axis=2).any())

    assert warns(bad)
    assert not warns(good)


def test_a_region_is_drawn_where_it_is() -> None:
    region = Region("TREE", 0.9, (100, 50, 80, 60))
    found = explained(dummy(), drawn(1, 400, 200))
    subject = found.subject
    subject = replace(subject, prediction=replace(subject.prediction, regions=(region,)))
    picture = array(draw(replace(found, subject=subject, relevance=None, deletion=None)))
    scale = 640 / 400
    boxed = (picture == (150, 160, 170)).all(axis=2)[:320]
    rows, columns = np.nonzero(boxed)

    assert (columns.min(), columns.max()) == pytest.approx((100 * scale, 180 * scale), abs=2)
    assert (rows.min(), rows.max()) == pytest.approx((50 * scale, 110 * scale), abs=2)


def test_on_a_map_boxes_follow_the_models_own_geometry() -> None:
    # Half the size of the original, and padded below to a square.
    found = with_map([[0.0, 0.0], [0.0, 0.0]], np.full((100, 100, 3), 90, dtype=np.uint8))
    prepared = replace(found.subject.prepared, width=200, height=120, scale=(2.0, 2.0))
    region = Region("TREE", 0.9, (50, 20, 100, 80))
    prediction = replace(found.subject.prediction, regions=(region,))
    subject = replace(found.subject, prepared=prepared, prediction=prediction)
    boxed = (array(draw(replace(found, subject=subject))) == (150, 160, 170)).all(axis=2)[:640]
    rows, columns = np.nonzero(boxed)

    assert (columns.min(), columns.max()) == pytest.approx((160, 480), abs=2)
    assert (rows.min(), rows.max()) == pytest.approx((64, 320), abs=2)
    # The members of a combination each have a geometry of their own.
    combined = replace(subject, prepared=replace(prepared, others=(prepared,)))
    assert (
        not (array(draw(replace(found, subject=combined)))[:640] == (150, 160, 170))
        .all(axis=2)
        .any()
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2000, 3)])
def test_odd_sizes_can_be_drawn(size: tuple[int, int]) -> None:
    picture = PIL.Image.new("RGB", size, "red")
    found = explained(dummy(), picture)

    for one in (found, replace(found, relevance=None, deletion=None)):
        assert draw(one).width >= 480


def test_many_and_long_labels_fit() -> None:
    found = explained(dummy(), drawn(1))
    regions = tuple(Region("LABEL" * 40 + "\n\x1b[1m", 0.5, (k, k, 9, 9)) for k in range(30))
    subject = replace(found.subject, prediction=replace(found.subject.prediction, regions=regions))
    picture = draw(replace(found, subject=subject, relevance=None, deletion=None))

    assert picture.width == 640
    assert picture.height < 480 + 17 * 22
