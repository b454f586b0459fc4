from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.heads import files
from tests.heads.published import SHARED_HEADS, needs_heads
from vedette.errors import ModelError
from vedette.heads.multiheaded import LABELS, read_multiheaded
from vedette.types import Float32

ROWS = np.random.default_rng(0).normal(0, 0.4, (60, 768)).astype(np.float32)
"""As CLIP projects them: not normalised."""


def published(path: Path, rows: Float32) -> Float32:
    """The published layers in torch, float64: a batch norm by its running statistics."""
    t = {name: value.double() for name, value in torch.load(path, "cpu", weights_only=True).items()}
    hidden = torch.relu(torch.from_numpy(rows).double() @ t["0.weight"].T + t["0.bias"])
    centred = (hidden - t["3.running_mean"]) / torch.sqrt(t["3.running_var"] + 1e-5)
    normed = centred * t["3.weight"] + t["3.bias"]
    logits = normed @ t["4.weight"].T + t["4.bias"]
    return np.asarray(torch.sigmoid(logits).float().numpy()[:, 0])


def check(folder: Path) -> None:
    head = read_multiheaded(folder)

    scores = head.scores(ROWS)

    assert (head.dim, head.unit, head.labels) == (768, False, LABELS)
    for k, label in enumerate(LABELS):
        wanted = published(folder / f"{label}.pt", ROWS)
        np.testing.assert_allclose(scores[:, k], wanted, rtol=0, atol=1e-5)
        assert scores[:, k].std() > 1e-4
    np.testing.assert_array_equal(head.probabilities(scores), scores)
    logits = np.concatenate([mlp(head.encode(ROWS)) for mlp in head.mlps], axis=1)
    assert head.final == "sigmoid"
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), atol=1e-6)


@needs_heads
def test_the_published_heads_are_their_layers() -> None:
    check(SHARED_HEADS / "multiheaded")


def test_heads_are_their_layers(tmp_path: Path) -> None:
    files.multiheaded_folder(tmp_path)

    check(tmp_path)


def test_labels_keep_their_order() -> None:
    assert LABELS == ("sexual", "violent", "disturbing", "hateful", "political")


def test_a_missing_head_is_missing(tmp_path: Path) -> None:
    files.multiheaded_folder(tmp_path)
    tmp_path.joinpath("hateful.pt").unlink()

    with pytest.raises(ModelError, match=r"hateful\.pt") as caught:
        read_multiheaded(tmp_path)
    assert caught.value.code == "weights_missing"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("0.weight", torch.ones(24)),
        ("0.weight", torch.ones(23, 768)),
        ("0.weight", torch.ones(24, 700)),
        ("0.bias", torch.ones(1)),
        ("3.weight", torch.ones(1)),
        ("3.running_mean", torch.ones(())),
        ("3.running_var", torch.full((24,), -1.0)),
        ("3.running_var", torch.full((24,), torch.nan)),
        ("4.weight", torch.ones(2, 24)),
        ("4.weight", torch.ones(24)),
        ("4.bias", torch.ones(2)),
        ("4.bias", None),
    ],
)
def test_a_head_whose_layers_do_not_fit_is_refused(
    tmp_path: Path, name: str, value: torch.Tensor | None
) -> None:
    files.multiheaded_folder(tmp_path)
    state = torch.load(tmp_path / "violent.pt", weights_only=True)
    del state[name]
    torch.save(state if value is None else {**state, name: value}, tmp_path / "violent.pt")

    with pytest.raises(ModelError) as caught:
        read_multiheaded(tmp_path)
    assert caught.value.code == "weights_unusable"
