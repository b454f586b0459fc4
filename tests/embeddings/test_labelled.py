from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.data.labelling import SAFE, UNSAFE
from vedette.data.opening import SourceOptions
from vedette.embeddings.labelled import EmbeddedSet, LabelledChunk, open_embedded
from vedette.errors import CODES, UsageError, VedetteError
from vedette.taxonomy import Category

NAMES = ("safe", "Violence", "unsafe", "safe", "Hate")


def vectors(count: int, first: int = 0) -> np.ndarray:
    return np.arange(first * 4, (first + count) * 4, dtype=np.float32).reshape(count, 4)


def clip_retrieval(root: Path, counts: tuple[int, ...] = (2, 3)) -> Path:
    """What ``clip-retrieval inference`` writes."""
    first = 0
    for number, count in enumerate(counts):
        for folder in ("img_emb", "metadata"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        np.save(root / "img_emb" / f"img_emb_{number}.npy", vectors(count, first))
        keys = [f"{number:04d}{n:05d}" for n in range(count)]
        labels = [NAMES[(first + n) % 5] for n in range(count)]
        table = {"key": keys, "caption": keys, "url": keys, "exif": ["{}"] * count, "label": labels}
        pq.write_table(pa.table(table), root / "metadata" / f"metadata_{number}.parquet")
        first += count
    return root


def joined(embedded: EmbeddedSet, rows: int = 2) -> LabelledChunk:
    chunks = list(embedded.chunks(rows))
    assert all(len(c.rows) == len(c.keys) == len(c.labels) <= rows for c in chunks)
    return LabelledChunk(
        np.concatenate([c.rows for c in chunks]),
        tuple(key for c in chunks for key in c.keys),
        tuple(label for c in chunks for label in c.labels),
    )


@pytest.mark.parametrize("below", [".", "img_emb"])
def test_clip_retrievals_folder(tmp_path: Path, below: str) -> None:
    embedded = open_embedded(clip_retrieval(tmp_path) / below)

    whole = joined(embedded)

    assert embedded.rows == 5
    np.testing.assert_array_equal(whole.rows, vectors(5))
    assert whole.keys == ("000000000", "000000001", "000100000", "000100001", "000100002")
    assert [label.unsafe for label in whole.labels] == [False, True, True, False, True]
    assert whole.labels[4].categories == frozenset({Category.HATE})
    assert "Hate = unsafe: Hate (its name)" in embedded.legend.lines()


def test_more_than_ten_shards_stay_in_step(tmp_path: Path) -> None:
    counts = (1, 2) * 6

    whole = joined(open_embedded(clip_retrieval(tmp_path, counts)), 4096)

    np.testing.assert_array_equal(whole.rows, vectors(sum(counts)))
    assert [key[:4] for key in whole.keys] == [
        f"{n:04d}" for n, c in enumerate(counts) for _ in range(c)
    ]


@pytest.mark.parametrize("name", ["labels.npy", "labels.csv", "labels.jsonl", "labels.parquet"])
def test_a_file_of_labels_beside(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "vectors.npy", vectors(3).astype(np.float16))
    numbers = np.array([1, 0, 1])
    if name.endswith("npy"):
        np.save(tmp_path / name, numbers)
    elif name.endswith("parquet"):
        pq.write_table(pa.table({"label": numbers}), tmp_path / name)
    elif name.endswith("csv"):
        (tmp_path / name).write_text("label\n" + "\n".join(map(str, numbers)))
    else:
        (tmp_path / name).write_text("\n".join(f'{{"label": {n}}}' for n in numbers))
    options = SourceOptions(labels={"0": SAFE, "1": UNSAFE})

    for path in (tmp_path, tmp_path / "vectors.npy"):
        whole = joined(open_embedded(path, options))

        assert whole.rows.dtype == np.float16
        assert whole.labels == (UNSAFE, SAFE, UNSAFE)
        assert whole.keys == tuple(f"vectors.npy#{n}" for n in range(3))
    with pytest.raises(UsageError) as caught:
        joined(open_embedded(tmp_path))
    assert caught.value.code == "unknown_label"


def test_names_in_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", vectors(2))
    np.save(tmp_path / "labels.npy", np.array(["safe", "Hate"]))

    assert [label.unsafe for label in joined(open_embedded(tmp_path)).labels] == [False, True]


def test_parquet_with_embeddings_and_labels_and_a_picture_that_failed(tmp_path: Path) -> None:
    rows = [[1.0, 2.0], None, [3.0, 4.0]]
    columns = {
        "key": ["a", "b", "c"],
        "embedding": pa.array(rows, pa.list_(pa.float32())),
        "label": ["safe", "safe", "Hate"],
    }
    pq.write_table(pa.table(columns), tmp_path / "records.parquet")

    whole = joined(open_embedded(tmp_path / "records.parquet"))

    assert whole.keys == ("a", "c")
    assert whole.rows.tolist() == [[1, 2], [3, 4]]
    assert [label.unsafe for label in whole.labels] == [False, True]


def test_numbers_of_rows_that_differ_are_refused(tmp_path: Path) -> None:
    root = clip_retrieval(tmp_path / "a")
    np.save(root / "img_emb" / "img_emb_0.npy", vectors(1))
    with pytest.raises(
        UsageError, match=r"img_emb_0\.npy has 1 embeddings and .* 2 rows"
    ) as caught:
        open_embedded(root)
    assert caught.value.code == "bad_source"
    # Shifted by one, and equal in sum: the most dangerous case.
    np.save(root / "img_emb" / "img_emb_1.npy", vectors(4))
    with pytest.raises(UsageError, match=r"img_emb_0\.npy"):
        open_embedded(root)
    np.save(tmp_path / "v.npy", vectors(3))
    np.save(tmp_path / "labels.npy", np.array(["safe"]))
    with pytest.raises(UsageError, match="3 embeddings and 1 labels"):
        open_embedded(tmp_path / "v.npy")


def test_labels_must_be_there(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", vectors(2))
    with pytest.raises(UsageError, match="no labels beside") as caught:
        open_embedded(tmp_path / "v.npy")
    assert caught.value.code == "bad_source"
    (tmp_path / "labels.csv").write_text("name\na\nb\n")
    with pytest.raises(UsageError, match="no column of labels"):
        joined(open_embedded(tmp_path / "v.npy"))
    assert joined(
        open_embedded(
            tmp_path / "v.npy", SourceOptions(label="name", labels={"a": SAFE, "b": SAFE})
        )
    ).labels == (SAFE, SAFE)


def test_several_shards_and_labels_in_one_folder_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", vectors(1))
    np.save(tmp_path / "labels.npy", np.array(["safe", "safe"]))

    with pytest.raises(UsageError, match="2 files of embeddings"):
        open_embedded(tmp_path)


@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.zeros(2), np.array(["x", "y"], "S")])
def test_arrays_that_are_no_labels(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "v.npy", vectors(2))
    np.save(tmp_path / "labels.npy", values)

    with pytest.raises(UsageError, match="holds no list of labels"):
        open_embedded(tmp_path / "v.npy")


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_as_labels(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, header: bool
) -> None:
    root = tmp_path_factory.getbasetemp()
    refused: set[str] = set()
    np.save(root / "v.npy", vectors(2))
    for name in ("labels.npy", "labels.csv", "labels.parquet"):
        start = b"\x93NUMPY\x01\x00" if header else b""
        (root / name).write_bytes(start + data)
        try:
            joined(open_embedded(root / "v.npy", labels=root / name))
        except VedetteError as error:
            refused.add(error.code)
    assert refused <= CODES.keys()
