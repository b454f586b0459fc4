from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.formats import hostile
from tests.heads import files
from tests.heads.published import SHARED_HEADS, embeddings, needs_heads
from vedette.errors import ModelError, UnknownNameError
from vedette.heads.registry import HEADS, head_entry, load
from vedette.models.clip_cards import HEADS as CARDS

HERE = {  # of the published files, those that are beside the checkout
    "laion-nsfw-l14": "laion/clip_autokeras_binary_nsfw.zip",
    "laion-nsfw-b32": "laion/clip_autokeras_nsfw_b32.zip",
    "laion-violence-l14": "laion/violence_detection_vit_l_14.npy",
    "laion-violence-b32": "laion/violence_detection_vit_b_32.npy",
    "q16": "q16/prompts.p",
    "multiheaded": "multiheaded",
}


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stand-in of every file of every head."""
    folder = tmp_path_factory.mktemp("heads")
    files.laion_zip(folder / "clip_autokeras_binary_nsfw.zip", 768, (180, 316, 413, 440, 644))
    files.laion_zip(folder / "clip_autokeras_nsfw_b32.zip", 512, (92, 133, 312))
    files.h14_pth(folder / "h14_nsfw.pth")
    files.port_pth(folder / "clip_autokeras_binary_nsfw.pth")
    files.violence_npy(folder / "violence_detection_vit_l_14.npy", 768)
    files.violence_npy(folder / "violence_detection_vit_b_32.npy", 512)
    files.q16_pickle(folder / "prompts.p")
    files.multiheaded_folder(folder)
    return folder


def check(name: str, weights: Path) -> None:
    entry, head = head_entry(name), load(name, weights)

    scores = head.scores(embeddings(7, entry.dim))
    probabilities = head.probabilities(scores)

    assert (head.labels, head.dim) == (entry.labels, entry.dim)
    assert scores.shape == probabilities.shape == (7, len(head.labels))
    assert scores.dtype == probabilities.dtype == np.float32
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


@needs_heads
@pytest.mark.parametrize("name", HERE)
def test_the_published_files_load(name: str) -> None:
    check(name, SHARED_HEADS / HERE[name])


@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_found_in_a_folder_of_its_files(stand_ins: Path, name: str) -> None:
    check(name, stand_ins)


@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_read_from_its_file(stand_ins: Path, name: str) -> None:
    names = HEADS[name].files

    check(name, stand_ins / names[0] if len(names) == 1 else stand_ins)


@pytest.mark.parametrize("name", HEADS)
def test_its_files_are_called_as_on_its_card(name: str) -> None:
    weights = CARDS[name].weights
    assert weights is not None

    assert HEADS[name].files == tuple(file.path.rpartition("/")[2] for file in weights.files)
    assert set(HEADS[name].labels) == set(CARDS[name].labels)


def test_a_typo_is_answered_with_the_name() -> None:
    with pytest.raises(UnknownNameError, match="laion-nsfw-l15") as caught:
        load("laion-nsfw-l15", Path("x"))
    assert "laion-nsfw-l14" in caught.value.hint


@pytest.mark.parametrize("name", HEADS)
def test_missing_weights_are_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError) as caught:
        load(name, tmp_path / "none")
    assert caught.value.code == "weights_missing"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("laion-nsfw-l14", "clip_autokeras_nsfw_b32.zip"),
        ("laion-nsfw-b32", "clip_autokeras_binary_nsfw.zip"),
        ("laion-violence-l14", "violence_detection_vit_b_32.npy"),
        ("laion-violence-b32", "violence_detection_vit_l_14.npy"),
        ("q16", "violence_detection_vit_b_32.npy"),
        ("laion-nsfw-l14-unsafebench", "h14_nsfw.pth"),
        ("laion-nsfw-h14", "clip_autokeras_binary_nsfw.pth"),
        ("laion-nsfw-l14", "clip_autokeras_binary_nsfw.pth"),
        ("laion-nsfw-l14-unsafebench", "clip_autokeras_binary_nsfw.zip"),
        ("laion-nsfw-h14", "sexual.pt"),
    ],
)
def test_weights_of_another_head_are_refused(stand_ins: Path, name: str, file: str) -> None:
    with pytest.raises(ModelError) as caught:
        load(name, stand_ins / file)
    assert caught.value.code == "weights_unusable"


@pytest.mark.parametrize("name", HEADS)
def test_truncated_and_hostile_files_are_refused(
    tmp_path: Path, stand_ins: Path, name: str
) -> None:
    marker = tmp_path / "marker"
    reduce = hostile.pickles(marker)["reduce"]
    file = HEADS[name].files[-1]
    whole = stand_ins.joinpath(file).read_bytes()
    folder = tmp_path / "bad"
    shutil.copytree(stand_ins, folder)
    for bad in (b"", whole[:1000], whole[:-1], reduce, hostile.torch_file(reduce)):
        folder.joinpath(file).write_bytes(bad)
        with pytest.raises(ModelError) as caught:
            load(name, folder)
        assert caught.value.code == "weights_unusable"
    assert not marker.exists()


def test_heads_need_numpy_alone(stand_ins: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'tensorflow', 'google', 'h5py', 'transformers'):\n"
        "    sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from vedette.heads.registry import HEADS, load\n"
        "assert all(load(name, Path(sys.argv[1])) for name in HEADS)\n"
    )

    subprocess.run([sys.executable, "-c", code, str(stand_ins)], check=True)


def test_every_head_is_in_the_docs_with_its_dimensions_and_labels() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "heads.md").read_text(encoding="utf-8")

    for name, entry in HEADS.items():
        (row,) = [
            line for line in page.splitlines() if line.startswith(f"| `{name}` | {entry.dim}")
        ]
        labels = ", ".join(f"`{label}`" for label in entry.labels)
        assert f"| {labels} | `{entry.files[0]}`" in row
