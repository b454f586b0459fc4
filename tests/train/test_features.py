"""Embeddings beside the labels they belong to, from pictures or from a folder without any."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from tests.embeddings.counting import Counting
from vedette.cli.data.common import opened
from vedette.cli.train.common import Asked
from vedette.cli.train.heads import head_training
from vedette.data.base import read_all
from vedette.data.memory import ItemSource
from vedette.data.opening import open_source
from vedette.embeddings.embed import Embedder
from vedette.embeddings.folder import FILE, About, read_folder
from vedette.embeddings.into_folder import embed_set
from vedette.embeddings.store import space_of
from vedette.errors import ModelError, UsageError, VedetteError
from vedette.models.base import ModelEntry
from vedette.models.registry import entries
from vedette.pipeline import Scanner
from vedette.settings import Limits, ScanOptions, Settings
from vedette.train.data import SetOptions, TrainingSet, hashes_of, read_training_set
from vedette.train.embedded import read_embedded
from vedette.train.features import features_of
from vedette.types import Failure

DATA = "synth:0.02"


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """A registered backbone that counts the pictures that it is shown."""
    backbone = Counting()
    entry = ModelEntry("counting", backbone.card, lambda _: backbone)
    known = entries()
    assert isinstance(known, dict)
    monkeypatch.setitem(known, "counting", entry)
    return backbone


@pytest.fixture(scope="module")
def training_set() -> TrainingSet:
    source = opened(DATA, "auto", None, None)
    return read_training_set(DATA, source, Settings(), SetOptions())


@pytest.fixture
def folder(tmp_path: Path, counting: Counting) -> Path:
    """The set, embedded."""
    _, source = open_source(DATA)
    about = About("counting", space_of(counting), counting.card.fit, DATA, None)
    with Embedder(counting, Settings(), tmp_path / "folder's store") as embedder:
        embed_set(source, embedder, tmp_path / "folder", about)
    counting.prepared = counting.inferred = 0
    return tmp_path / "folder"


def asked(tmp_path: Path, data: str | Path = DATA, **more: object) -> Asked:
    return replace(Asked(str(data), tmp_path / "model", quiet=True), **more)  # type: ignore[arg-type]


# Of pictures


def test_rows_are_the_embeddings_of_the_examples(
    tmp_path: Path, counting: Counting, training_set: TrainingSet
) -> None:
    data, features = features_of(training_set, "counting", Settings(), tmp_path)

    assert data.examples.keys == training_set.examples.keys
    assert features.rows.dtype == np.float32
    assert (features.backbone, features.card.model) == ("counting", "counting@1")
    source = training_set.source
    assert source is not None
    with Scanner("dummy", settings=Settings(scan=ScanOptions(embeddings=True))) as scanner:
        for row in range(0, len(data.examples), 40):
            item = source.find(data.examples.keys[row])
            assert item is not None
            embedding = scanner.scan(item).embedding
            assert embedding is not None
            np.testing.assert_array_equal(features.rows[row], embedding.astype(np.float16))


def test_a_backbone_runs_once_per_image_whichever_training_asks(
    tmp_path: Path, counting: Counting, training_set: TrainingSet
) -> None:
    first = features_of(training_set, "counting", Settings(), tmp_path / "store")[1]
    n = len(training_set.examples)
    assert counting.inferred == counting.prepared == n

    again = features_of(training_set, "counting", Settings(), tmp_path / "store")[1]
    with head_training(asked(tmp_path, seed=3), "counting", tmp_path / "store", {}) as told:
        pass

    assert counting.inferred == counting.prepared == n
    np.testing.assert_array_equal(first.rows, again.rows)
    np.testing.assert_array_equal(first.rows, told[2].rows)


def test_known_images_are_not_even_read(
    tmp_path: Path, counting: Counting, training_set: TrainingSet
) -> None:
    features_of(training_set, "counting", Settings(), tmp_path)

    class Gone:
        def shards(self) -> Iterator[None]:
            raise AssertionError("the set was read")

    gone = replace(training_set, source=Gone())  # type: ignore[arg-type]
    assert features_of(gone, "counting", Settings(), tmp_path)[1].rows.shape[1] == 48


def test_images_without_an_embedding_are_left_out_and_told(
    tmp_path: Path, counting: Counting, training_set: TrainingSet
) -> None:
    source = training_set.source
    assert source is not None
    sizes = []
    for key in training_set.examples.keys:
        item = source.find(key)
        assert item is not None
        assert isinstance(item.data, bytes)
        sizes.append(len(item.data))
    limit = sorted(sizes)[-4]  # three are larger
    said: list[str] = []

    strict = Settings(limits=Limits(bytes=limit))
    data, features = features_of(training_set, "counting", strict, tmp_path, said.append)

    kept = np.array(sizes) <= limit
    assert len(data.examples) == len(features.rows) == int(kept.sum()) < len(sizes)
    wanted = [key for key, keep in zip(training_set.examples.keys, kept, strict=True) if keep]
    assert list(data.examples.keys) == wanted
    np.testing.assert_array_equal(data.examples.targets, training_set.examples.targets[kept])
    assert f"{len(sizes) - len(wanted)} images gave no embedding and are left out" in said
    assert any(line.endswith(": too_many_bytes") for line in said)
    nothing = Settings(limits=Limits(bytes=1))
    with pytest.raises(UsageError, match="no image gave an embedding"):
        features_of(training_set, "counting", nothing, tmp_path / "other")


def test_a_class_that_is_lost_with_its_images_is_told(
    tmp_path: Path, training_set: TrainingSet
) -> None:
    examples = training_set.examples
    lost = {key for key, one in zip(examples.keys, examples.targets[:, 0], strict=True) if one}
    source = training_set.source
    assert source is not None
    gone = Failure("fetch", "unreadable", "gone")
    items = [replace(i, data=gone) if i.key in lost else i for i in read_all(source)]

    with pytest.raises(UsageError, match=f"{examples.labels[0]}: no unsafe image") as caught:
        features_of(replace(training_set, source=ItemSource(items)), "dummy", Settings(), tmp_path)

    assert caught.value.code == "too_few_labels"


def test_a_model_without_embeddings_is_refused(training_set: TrainingSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nudenet gives no embeddings to train on"):
        features_of(training_set, "nudenet", Settings(), tmp_path)


def test_a_store_of_another_model_is_refused(
    training_set: TrainingSet, tmp_path: Path, counting: Counting
) -> None:
    features_of(training_set, "dummy", Settings(), tmp_path)
    with pytest.raises(UsageError, match="holds embeddings of dummy@1") as caught:
        features_of(training_set, "counting", Settings(), tmp_path)
    assert caught.value.code == "resume_mismatch"


# Of a folder


def test_a_folder_gives_what_the_pictures_give(
    tmp_path: Path, folder: Path, counting: Counting, training_set: TrainingSet
) -> None:
    wanted = features_of(training_set, "counting", Settings(), tmp_path / "folder's store")[1]

    with head_training(asked(tmp_path, folder), "counting", None, {}) as (one, data, features):
        assert one.data is data

    assert counting.inferred == counting.prepared == 0
    assert data.source is None
    assert data.stand_in
    assert data.given == DATA
    assert data.sha256 == training_set.sha256
    ours, theirs = data.examples, training_set.examples
    assert (ours.keys, ours.labels, ours.source) == (theirs.keys, theirs.labels, theirs.source)
    for name in ("targets", "known", "unsafe", "category"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    np.testing.assert_array_equal(ours.part == 3, theirs.part == 3)  # the set says which
    np.testing.assert_array_equal(features.rows, wanted.rows)
    assert features.card == counting.card
    assert data.prints is not None
    assert training_set.prints is not None
    theirs_by_key = hashes_of(training_set.prints)
    assert hashes_of(data.prints) == {key: theirs_by_key[key] for key in ours.keys}


def test_copies_are_in_one_part(folder: Path, counting: Counting) -> None:
    about, rows, _ = read_folder(folder)
    path = folder / "metadata/metadata_0.parquet"
    table = parquet.read_table(path).to_pydict()
    table["sha256"] = [table["sha256"][at // 2 * 2] for at in range(len(rows))]
    table["split"] = [None] * len(rows)
    _rewritten(folder, table)

    data, _ = read_embedded(folder, Settings(), SetOptions())

    assert about.count == len(data.examples)
    part, group = data.examples.part, data.examples.group
    assert len(set(group.tolist())) == -(-len(rows) // 2)
    assert all(len(set(part[group == one].tolist())) == 1 for one in set(group.tolist()))
    assert set(part.tolist()) == {0, 1, 2, 3}


def test_unlabelled_rows_are_left_out(folder: Path, counting: Counting) -> None:
    path = folder / "metadata/metadata_0.parquet"
    table = parquet.read_table(path).to_pydict()
    table["label"][5] = None
    _rewritten(folder, table)
    _, rows, matrix = read_folder(folder)

    data, features = read_embedded(folder, Settings(), SetOptions())

    assert rows[5].key not in data.examples.keys
    np.testing.assert_array_equal(features.rows, np.delete(matrix, 5, axis=0))

    table["label"] = [None] * len(rows)
    _rewritten(folder, table)
    with pytest.raises(UsageError, match="no labelled image") as caught:
        read_embedded(folder, Settings(), SetOptions())
    assert caught.value.code == "too_few_labels"


def test_bad_metadata_are_refused(folder: Path, counting: Counting) -> None:
    path = folder / "metadata/metadata_0.parquet"
    whole = parquet.read_table(path).to_pydict()
    for column, value in (("label", "other"), ("sha256", "0"), ("sha256", None), ("key", None)):
        _rewritten(folder, {**whole, column: [value, *whole[column][1:]]})
        with pytest.raises(UsageError) as caught:
            read_embedded(folder, Settings(), SetOptions())
        assert caught.value.code == "bad_source"
    _rewritten(folder, {**whole, "key": [whole["key"][1], *whole["key"][1:]]})
    with pytest.raises(UsageError, match="two images are called"):
        read_embedded(folder, Settings(), SetOptions())


def _rewritten(folder: Path, table: dict[str, list[str | None]]) -> None:
    """Other metadata, and the hash of their file."""
    path = folder / "metadata/metadata_0.parquet"
    parquet.write_table(pyarrow.table(table), path)
    told = json.loads((folder / FILE).read_text())
    told["shards"][0]["metadata"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / FILE).write_text(json.dumps(told))


def test_what_does_not_fit_a_folder_is_refused(
    tmp_path: Path, folder: Path, counting: Counting
) -> None:
    def refused(backbone: str = "counting", **more: object) -> VedetteError:
        with (
            pytest.raises(VedetteError) as caught,
            head_training(asked(tmp_path, folder, **more), backbone, None, {}),
        ):
            pass
        assert not (tmp_path / "model").exists()
        assert not (tmp_path / ".model.training").exists()
        return caught.value

    assert "holds embeddings of counting, and the model asked for is dummy" in str(refused("dummy"))
    assert "has its labels already" in str(refused(labels="0=safe"))
    assert "has its labels already" in str(refused(fmt="folder"))
    told = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps({**told, "complete": False}))
    assert "is not complete" in str(refused())
    shutil.rmtree(folder / "img_emb")
    (folder / FILE).write_text(json.dumps(told))
    assert "img_emb_0.npy is damaged" in str(refused())


def test_terms_of_the_set_and_the_backbone_bind(
    folder: Path, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps({**told, "set": "unsafebench"}))
    data, _ = read_embedded(folder, Settings(), SetOptions())
    assert data.card is not None
    assert data.card.id == "unsafebench"
    with pytest.raises(UsageError, match="unsafebench may not be used commercially"):
        read_embedded(folder, Settings(commercial=True), SetOptions())

    (folder / FILE).write_text(json.dumps(told))
    known = entries()
    assert isinstance(known, dict)
    card = replace(counting.card, commercial=False)
    monkeypatch.setitem(known, "counting", ModelEntry("counting", card, lambda _: counting))
    with pytest.raises(ModelError, match="counting may not be used commercially"):
        read_embedded(folder, Settings(commercial=True), SetOptions())
