"""Vision-language models as classifiers: their card, their scope, and where their files lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import vlm_zoo
from tests.pictures import drawn
from vedette import Category, Scanner
from vedette.errors import ModelError, UnknownNameError, UsageError
from vedette.models.base import ModelOptions
from vedette.models.differentiable import decision_module, network_pixels
from vedette.models.registry import build, get
from vedette.models.scope import parse_scope
from vedette.models.vlm import Vlm
from vedette.settings import ScanOptions, Settings
from vedette.types import Image

TWO = ModelOptions(scope=(Category.HATE, Category.SPAM))


def picture(seed: int, width: int = 120, height: int = 90) -> Image:
    pixels = np.asarray(drawn(seed, width, height))
    return Image(pixels, "0" * 64, width, height, "PNG")


PICTURES = [picture(1), picture(2, 33, 80), picture(3, 32, 32)]


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vlm_zoo.llava(tmp_path_factory.mktemp("vlm") / "llava")


@pytest.fixture(scope="module")
def model(llava: Path) -> Vlm:
    found = build(f"vlm:{llava}", TWO)
    assert isinstance(found, Vlm)
    return found


def probs(model: Vlm) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.stack([p.probs for p in model.infer([model.prepare(p) for p in PICTURES])])


def test_without_a_scope_every_category_is_asked_about(llava: Path) -> None:
    model = build(f"vlm:{llava}")

    (prediction,) = model.infer([model.prepare(PICTURES[0])])

    assert prediction.labels == tuple(category.value for category in Category)
    assert model.card.covered == tuple(Category)
    assert prediction.probs.sum() < 1, "something is left for safe"
    assert prediction.text in {"safe: none", *(f"unsafe: {c.value}" for c in Category)}


def test_what_is_out_of_scope_is_not_covered(model: Vlm) -> None:
    assert model.card.covered == (Category.HATE, Category.SPAM)
    assert probs(model).shape == (3, 2)


def test_records_have_the_scope_and_nothing_else(llava: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    drawn(1, 64, 48).save(path)
    settings = Settings(scan=ScanOptions(scope="spam,hate"))

    with Scanner(f"vlm:{llava}", settings=settings) as scanner:
        record = scanner.scan(path)

    assert record.failure is None
    assert record.scores is not None
    assert record.scores.covered.sum() == 2
    assert record.scores.covered[Category.SPAM.position]


def test_a_batch_gives_what_single_pictures_give(model: Vlm) -> None:
    single = [model.infer([model.prepare(p)])[0].probs for p in PICTURES]

    np.testing.assert_allclose(probs(model), single, rtol=0, atol=1e-5)


def test_the_torch_module_gives_the_same_decision(model: Vlm) -> None:
    module = decision_module(model)
    pixels = np.stack([network_pixels(model, p.pixels) for p in PICTURES])
    given = torch.from_numpy(pixels).requires_grad_(True)

    z = module(given)[:, 1]
    z.sum().backward()

    highest = probs(model).max(axis=1)
    np.testing.assert_allclose(z.sigmoid().detach().numpy(), highest, rtol=0, atol=1e-5)
    assert given.grad is not None
    assert bool((given.grad.abs().amax(dim=(1, 2, 3)) > 0).all())


def test_weights_in_several_files_are_the_same_model(llava: Path, tmp_path: Path) -> None:
    several = vlm_zoo.llava(tmp_path / "several", shard="200KB")
    assert len(list(several.glob("model-*.safetensors"))) > 1

    found = build(f"vlm:{several}", TWO)

    assert isinstance(found, Vlm)
    np.testing.assert_array_equal(probs(found), probs(build(f"vlm:{llava}", TWO)))  # type: ignore[arg-type]


def test_the_revision_follows_every_file_that_a_score_rests_on(tmp_path: Path) -> None:
    folder = vlm_zoo.llava(tmp_path / "llava")
    before = get(f"vlm:{folder}").card.revision
    template = folder / "chat_template.json"
    template.write_text(template.read_text().replace("ASSISTANT", "assistant"))

    after = get(f"vlm:{folder}").card.revision

    assert before.startswith("local-")
    assert after != before


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a checkpoint in several files, as a pull leaves it."""
    monkeypatch.setenv("VEDETTE_MODELS", str(tmp_path / "store"))
    return vlm_zoo.llava(tmp_path / "store" / "some" / "llava", shard="200KB")


def test_a_hub_id_is_looked_for_in_the_store(hub: Path) -> None:
    found = build("vlm:some/llava", TWO)

    assert isinstance(found, Vlm)
    assert found.card.revision.startswith("local-"), "nobody vouches for these files"
    assert found.card.source == "some/llava"


def test_a_hub_id_whose_index_alone_is_here_names_the_files_that_are_missing(hub: Path) -> None:
    for path in hub.glob("model-*.safetensors"):
        path.unlink()

    with pytest.raises(ModelError, match=r"no model-00001-of-0000\d.safetensors") as raised:
        build("vlm:some/llava")

    assert raised.value.code == "weights_missing"
    assert "vedette models pull vlm:some/llava" in raised.value.hint


def test_a_hub_id_that_is_not_here_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEDETTE_MODELS", str(tmp_path))
    assert get("vlm:no/where").card.weights is not None

    with pytest.raises(ModelError) as raised:
        build("vlm:no/where")

    assert raised.value.code == "weights_missing"
    assert "vedette models pull vlm:no/where" in raised.value.hint


def test_a_folder_without_a_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json is not there"):
        build(f"vlm:{tmp_path}")


@pytest.mark.parametrize(
    "options", [ModelOptions(backend="onnx"), ModelOptions(precision="int8")], ids=["onnx", "int8"]
)
def test_other_backends_are_refused(llava: Path, options: ModelOptions) -> None:
    with pytest.raises(ModelError, match="run in torch alone") as raised:
        build(f"vlm:{llava}", options)

    assert raised.value.code == "backend_failed"


def test_a_model_of_ones_own_choice_is_not_for_commercial_use(llava: Path) -> None:
    with pytest.raises(ModelError) as raised:
        build(f"vlm:{llava}", ModelOptions(commercial=True))

    assert raised.value.code == "terms_refused"


def test_other_models_take_no_scope() -> None:
    with pytest.raises(UsageError, match="only vision-language models take a scope") as raised:
        build("dummy", TWO)

    assert "--policy" in raised.value.hint


def test_scopes_are_read_in_any_spelling() -> None:
    assert parse_scope(" spam , HATE,Self harm,hate") == (
        Category.HATE,
        Category.SELF_HARM,
        Category.SPAM,
    )
    assert parse_scope("") == ()
    with pytest.raises(UnknownNameError):
        parse_scope("Hate,,Spam")


def test_an_altered_file_of_a_pull_is_refused(hub: Path) -> None:
    from vedette.hub.trust import trust

    trust(get("vlm:some/llava").card)
    config = json.loads((hub / "preprocessor_config.json").read_text())
    shutil.copyfile(hub / "preprocessor_config.json", hub / "kept.json")
    (hub / "preprocessor_config.json").write_text(json.dumps(config | {"resample": 0}))

    with pytest.raises(ModelError) as raised:
        build("vlm:some/llava")

    assert raised.value.code == "weights_altered"
