from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.formats import hostile
from tests.heads import files
from tests.heads.published import SHARED_HEADS, embeddings, needs_heads
from vedette.errors import ModelError
from vedette.heads.vectors import Q16, Violence, read_q16, read_violence
from vedette.types import Float32


def softmax(logits: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Float32:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


# Violence


def check_violence(path: Path, dim: int) -> None:
    head = read_violence(path)
    vectors = np.load(path).astype(np.float64)
    rows = embeddings(50, dim)

    scores = head.scores(rows)
    probabilities = head.probabilities(scores)

    assert (head.dim, head.unit, head.labels) == (dim, True, ("nonviolent", "violent"))
    logits = rows @ vectors.T
    np.testing.assert_allclose(scores, logits, rtol=0, atol=1e-5)
    np.testing.assert_allclose(probabilities, softmax(logits), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(probabilities[:, 1] > 0.5, scores[:, 1] > scores[:, 0])


@needs_heads
@pytest.mark.parametrize(("name", "dim"), [("vit_l_14", 768), ("vit_b_32", 512)])
def test_the_published_vectors_give_dot_products(name: str, dim: int) -> None:
    check_violence(SHARED_HEADS / "laion" / f"violence_detection_{name}.npy", dim)


def test_vectors_give_dot_products(tmp_path: Path) -> None:
    files.violence_npy(tmp_path / "violence.npy", 512)

    check_violence(tmp_path / "violence.npy", 512)


# Q16


def check_q16(head: Q16, prompts: Float32) -> None:
    """The published arithmetic in float64: both sides normalised, a scale of 100, softmax."""
    rows = embeddings(50, 768) * np.float32(3)
    image = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    text = prompts / np.linalg.norm(prompts.astype(np.float64), axis=1, keepdims=True)

    scores = head.scores(rows)

    assert (head.dim, head.unit, head.labels) == (768, True, ("appropriate", "inappropriate"))
    np.testing.assert_allclose(scores, softmax(100 * image @ text.T), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(head.probabilities(scores), scores)
    assert scores.std() > 0.01


@needs_heads
def test_the_published_prompts_give_the_published_arithmetic() -> None:
    path = SHARED_HEADS / "q16" / "prompts.p"

    check_q16(read_q16(path), pickle.loads(path.read_bytes()).astype(np.float32))


@needs_heads
def test_the_prompts_tuned_by_unsafebench_are_read_as_torch_reads_them() -> None:
    path = SHARED_HEADS / "q16" / "finetuned_prompts.pt"
    prompts = torch.load(path, map_location="cpu", weights_only=True).detach().numpy()

    check_q16(read_q16(path), prompts)


def test_prompts_are_the_same_from_every_format(tmp_path: Path) -> None:
    files.q16_pickle(tmp_path / "prompts.p")
    prompts = pickle.loads(tmp_path.joinpath("prompts.p").read_bytes()).astype(np.float32)
    np.save(tmp_path / "prompts.npy", prompts)
    torch.save(torch.from_numpy(prompts), tmp_path / "tensor.pt")
    torch.save(torch.nn.Parameter(torch.from_numpy(prompts)), tmp_path / "parameter.pt")
    torch.save({"prompts": torch.from_numpy(prompts)}, tmp_path / "dictionary.pth")

    for name in ("prompts.p", "prompts.npy", "tensor.pt", "parameter.pt", "dictionary.pth"):
        check_q16(read_q16(tmp_path / name), prompts)


def test_an_embedding_of_zeros_has_a_score() -> None:
    head = Q16(np.eye(2, 4, dtype=np.float32))

    np.testing.assert_allclose(head.scores(np.zeros((1, 4), np.float32)), [[0.5, 0.5]])


# Refused


def refused(path: Path, code: str = "weights_unusable") -> None:
    for read in (read_q16, read_violence):
        with pytest.raises(ModelError) as caught:
            read(path)
        assert caught.value.code == code


@pytest.mark.parametrize("name", ["none.npy", "none.p", "none.pt"])
def test_a_missing_file_is_missing(tmp_path: Path, name: str) -> None:
    refused(tmp_path / name, "weights_missing")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_files_of_any_floats_are_read(tmp_path: Path, dtype: str, order: str) -> None:
    rows = np.arange(8).reshape(2, 4).astype(dtype)
    np.save(tmp_path / "v.npy", np.asfortranarray(rows) if order == "F" else rows)

    head: Violence = read_violence(tmp_path / "v.npy")

    assert head.vectors.dtype == np.float32
    np.testing.assert_array_equal(head.vectors, rows.astype(np.float32))


def objects() -> np.ndarray[tuple[int, ...], np.dtype[np.object_]]:
    made = np.empty((2, 3), dtype=object)
    made[:] = None
    return made


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros(4, np.float32),
        np.zeros((3, 4), np.float32),
        np.zeros((2, 0), np.float32),
        np.full((2, 4), np.nan, np.float32),
        np.full((2, 4), 1e300),
        np.zeros((2, 4), np.int64),
        np.zeros((2, 4), np.complex64),
        np.array([["a"], ["b"]]),
        objects(),
    ],
    ids=str,
)
def test_anything_but_two_rows_of_numbers_is_refused(
    tmp_path: Path, rows: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> None:
    np.save(tmp_path / "v.npy", rows)
    tmp_path.joinpath("v.p").write_bytes(pickle.dumps(rows))

    refused(tmp_path / "v.npy")
    refused(tmp_path / "v.p")


def test_a_prompt_of_zeros_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.eye(1, 8, dtype=np.float32).repeat(2, axis=0) * [[1], [0]])

    with pytest.raises(ModelError, match="zero"):
        read_q16(tmp_path / "v.npy")


def test_a_file_of_two_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2, 4), "b": torch.ones(2, 4)}, tmp_path / "v.pt")

    refused(tmp_path / "v.pt")


def cut(data: bytes) -> bytes:
    return data[:-3]


def longer(data: bytes) -> bytes:
    return data + bytes(4)


def larger(data: bytes) -> bytes:
    return data.replace(b"(2, 4)", b"(2, 9)")


def huge(data: bytes) -> bytes:
    return data.replace(b"'shape': (2, 4), }     ", b"'shape': (2, 4000000), }")


def newer(data: bytes) -> bytes:
    return data.replace(b"NUMPY\x01", b"NUMPY\x09")


@pytest.mark.parametrize("change", [cut, longer, larger, huge, newer])
def test_a_damaged_numpy_file_is_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    np.save(tmp_path / "v.npy", np.ones((2, 4), np.float32))
    whole = tmp_path.joinpath("v.npy").read_bytes()
    assert change(whole) != whole
    tmp_path.joinpath("v.npy").write_bytes(change(whole))

    refused(tmp_path / "v.npy")


def test_a_numpy_archive_or_a_pickle_under_its_name_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with tmp_path.joinpath("v.npy").open("wb") as file:
        np.savez(file, np.ones((2, 4), np.float32))
    refused(tmp_path / "v.npy")

    for data in hostile.pickles(marker).values():
        tmp_path.joinpath("v.npy").write_bytes(data)
        refused(tmp_path / "v.npy")
    assert not marker.exists()
