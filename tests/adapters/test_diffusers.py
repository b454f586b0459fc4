"""The safety checker, called as a pipeline of diffusers calls its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image
import pytest

from tests.serve.doubles import KEY, services_of
from tests.serve.served import served
from vedette import Client, ClientOptions, Scanner, ServiceError
from vedette.adapters.diffusers import SafetyChecker
from vedette.adapters.scanning import Scans
from vedette.errors import UsageError
from vedette.models.base import Prepared
from vedette.models.dummy import Dummy
from vedette.settings import Settings
from vedette.types import Action, Prediction

torch = pytest.importorskip("torch")


class Red(Dummy):
    """Sees red, and nothing else."""

    def infer(self, batch: Any) -> Any:
        found = []
        for prepared in batch:
            red = float(prepared.pixels[..., 0].mean() / 255 > 0.9 > prepared.pixels[..., 1].mean())
            probs = np.full(11, 0.95 * red, np.float32)
            found.append(Prediction(tuple(self.card.labels), probs, self.card.model))
        return found


class Failing(Dummy):
    def prepare(self, image: Any) -> Prepared:
        raise ValueError("no")


@pytest.fixture(scope="module", params=["scanner", "client"])
def scanner(request: pytest.FixtureRequest) -> Iterator[Scans]:
    if request.param == "scanner":
        with Scanner(Red()) as made:
            yield made
        return
    from vedette.serve.engine import Engine

    engine = Engine([Red()], Settings(), 16)
    with served(services_of(engine=engine)) as running, Client(running.url, KEY) as client:
        yield client


def images(size: int = 32) -> Any:
    """A harmless one, a flagged one (red), a harmless one; NHWC in 0..1."""
    made = np.zeros((3, size, size, 3), np.float32)
    made[0, :, : size // 2] = 0.25
    made[1, :, :, 0] = 1
    made[2, ..., 2] = 0.5
    return made


class FeatureExtractor:
    """As CLIPImageProcessor answers."""

    pixel_values = torch.zeros(3, 3, 4, 4)

    def __call__(self, pictures: list[PIL.Image.Image], return_tensors: str) -> FeatureExtractor:
        return self

    def to(self, device: str) -> FeatureExtractor:
        return self


def run_safety_checker(checker: Any, image: Any) -> Any:
    """What a pipeline does with its checker, and with the answer (see adapters/diffusers.py)."""
    features = FeatureExtractor()([], return_tensors="pt").to("cpu")
    image, has_nsfw_concept = checker(images=image, clip_input=features.pixel_values)
    if torch.is_tensor(image):
        shown = [
            one if bad else one / 2 + 0.5 for one, bad in zip(image, has_nsfw_concept, strict=True)
        ]
        image = torch.stack(shown).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    return image, has_nsfw_concept


def test_flagged_arrays_become_black(scanner: Scans) -> None:
    given = images()

    found, flags = run_safety_checker(SafetyChecker(scanner), given)

    assert flags == [False, True, False]
    assert found is given
    assert found.shape == (3, 32, 32, 3)
    assert not found[1].any()
    np.testing.assert_array_equal(found[[0, 2]], images()[[0, 2]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_flagged_tensors_become_black_as_the_pipeline_shows_them(
    scanner: Scans, dtype: Any
) -> None:
    given = torch.from_numpy(images()).permute(0, 3, 1, 2).to(dtype) * 2 - 1

    found, flags = run_safety_checker(SafetyChecker(scanner), given.float())

    assert flags == [False, True, False]
    assert not found[1].any()
    np.testing.assert_allclose(found[[0, 2]], images()[[0, 2]], atol=0.01)
    assert SafetyChecker(scanner)(images=given)[0].dtype == dtype


def test_lists_of_pictures_are_checked_too(scanner: Scans) -> None:
    given = [PIL.Image.fromarray((one * 255).astype(np.uint8)) for one in images()]

    found, flags = SafetyChecker(scanner)(given)

    assert flags == [False, True, False]
    assert found[0] is given[0]
    assert found[1].getextrema() == ((0, 0),) * 3
    assert given[1].getextrema()[0] == (255, 255)
    assert SafetyChecker(scanner)([]) == ([], [])


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
def test_a_blur_hides_what_is_there_and_keeps_the_form(channels: int, dtype: Any) -> None:
    scale = 255 if dtype is np.uint8 else 1
    given = (np.indices((64, 64)).sum(0)[None, :, :, None] % 2 * np.ones(channels) * scale).astype(
        dtype
    )
    with Scanner("dummy") as scanner:
        checker = SafetyChecker(scanner, flag=Action.ALLOW, replace="blur")
        found, flags = checker(images=given.copy())

    assert flags == [True]
    assert (found.shape, found.dtype) == (given.shape, given.dtype)
    assert found.max() <= scale
    assert 0.3 * scale < found[..., 0].mean() < 0.7 * scale
    assert found[..., 0].std() < 0.1 * scale < given[..., 0].std()


def test_a_blurred_tensor_is_shown_as_it_is(scanner: Scans) -> None:
    given = torch.from_numpy(images()).permute(0, 3, 1, 2) * 2 - 1

    found, flags = run_safety_checker(SafetyChecker(scanner, replace="blur"), given)

    assert flags == [False, True, False]
    np.testing.assert_allclose(found[1], images()[1], atol=0.01)  # red all over stays red


def test_what_nobody_can_look_at_is_flagged_and_black(scanner: Scans) -> None:
    given = images()
    given[0, 0, 0, 0] = np.nan

    found, flags = SafetyChecker(scanner, replace="blur", flag=Action.BLOCK)(images=given)

    assert flags == [True, True, False]
    assert not found[0].any()
    with Scanner(Failing()) as failing:
        assert SafetyChecker(failing, flag=Action.BLOCK)(images=images())[1] == [True] * 3


def test_no_answer_is_no_image() -> None:
    options = ClientOptions(attempts=1)
    with Client("http://127.0.0.1:1", options=options) as client, pytest.raises(ServiceError):
        SafetyChecker(client)(images=images())


@pytest.mark.parametrize(
    "given",
    [
        [7],
        ["a.png"],
        np.zeros((2, 4, 4), np.float32),
        np.zeros((1, 4, 4, 3), np.int32),
        np.zeros((1, 4, 4, 2), np.float32),
        np.zeros((1, 0, 4, 3), np.float32),
        torch.zeros(2, 4, 4),
    ],
)
def test_anything_else_is_refused(given: Any) -> None:
    with Scanner("dummy") as scanner, pytest.raises(UsageError):
        SafetyChecker(scanner)(images=given)


def test_it_replaces_by_black_or_blur_only() -> None:
    with Scanner("dummy") as scanner, pytest.raises(UsageError, match="white"):
        SafetyChecker(scanner, replace="white")  # type: ignore[arg-type]
