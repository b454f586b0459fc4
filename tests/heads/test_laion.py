from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.formats import savedmodels
from tests.heads import files
from tests.heads.published import SHARED_HEADS, embeddings, needs_heads
from vedette.errors import ModelError
from vedette.heads.laion import LaionNsfw, read_h14, read_original, read_port, table
from vedette.types import Float32

LAION = SHARED_HEADS / "laion"
PUBLISHED = {
    "vit_l_14": ("clip_autokeras_binary_nsfw.zip", (180, 316, 413, 440, 644)),
    "vit_b_32": ("clip_autokeras_nsfw_b32.zip", (92, 133, 312)),
}


def golden(name: str, which: str) -> tuple[Float32, Float32]:
    with np.load(LAION / f"golden_{name}.npz") as arrays:
        suffix = "_in_tables" if which == "in tables" else ""
        return arrays[f"embeddings{suffix}"], arrays[f"probability{suffix}"].reshape(-1, 1)


# The published files


@needs_heads
@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("which", ["outside", "in tables"])
def test_the_originals_give_what_tensorflow_gave(name: str, which: str) -> None:
    file, columns = PUBLISHED[name]
    head = read_original(LAION / file)
    rows, wanted = golden(name, which)

    scores = head.scores(rows)

    assert "tensorflow" not in sys.modules
    assert head.columns == columns
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(head.probabilities(scores), scores)


@needs_heads
@pytest.mark.parametrize(
    ("name", "which", "most"),
    [
        # docs/heads.md names these.
        ("vit_l_14", "outside", 0.0155),
        ("vit_l_14", "in tables", 0.2341),
        ("vit_b_32", "outside", 0.0002),
        ("vit_b_32", "in tables", 0.5498),
    ],
)
def test_without_tables_the_probability_is_another(name: str, which: str, most: float) -> None:
    exact = read_original(LAION / PUBLISHED[name][0])
    rows, wanted = golden(name, which)

    scores = dataclasses.replace(exact, tables={}).scores(rows)

    assert abs(np.abs(scores - wanted).max() - most) < 1e-4


@needs_heads
@pytest.mark.parametrize(
    ("stored", "hits", "most"), [(np.float16, 0.79, 0.36), (np.float32, 0.08, 0.19)]
)
def test_without_tables_float16_suffers_most(stored: type, hits: float, most: float) -> None:
    exact = read_original(LAION / PUBLISHED["vit_l_14"][0])
    drawn = np.random.default_rng(0).normal(size=(20_000, 768))
    unit = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(stored)
    rows = unit.astype(np.float32)

    found = [(exact.tables[k].look_up(rows[:, k]) > 0).mean() for k in exact.columns]
    change = np.abs(exact.scores(rows) - dataclasses.replace(exact, tables={}).scores(rows))

    # docs/heads.md names these.
    assert abs(max(found) - hits) < 0.005
    assert abs(change.max() - most) < 0.005


@needs_heads
def test_the_golden_embeddings_in_tables_are_in_them() -> None:
    head = read_original(LAION / PUBLISHED["vit_l_14"][0])
    rows, _ = golden("vit_l_14", "in tables")

    for column in head.columns:
        assert (head.tables[column].look_up(rows[:, column]) > 0).all()


# The same arithmetic, written out


def plain(made: files.Laion, rows: Float32) -> list[float]:
    """Python's own printing, a dictionary, and float64."""
    found = []
    for row in rows:
        values = [float(value) for value in row]
        for column, texts in made.tables.items():
            values[column] = texts.get(f"{values[column]:.6f}", 0)
        deviation = np.maximum(np.sqrt(made.variance.astype(np.float64)), 1e-7)
        x = (np.array(values) - made.mean) / deviation
        for k, (kernel, bias) in enumerate(made.layers):
            x = x @ kernel + bias
            if k < len(made.layers) - 1:
                x = np.maximum(x, 0)
        found.append(1 / (1 + math.exp(-x.item())))
    return found


def in_tables(made: files.Laion, rows: Float32) -> Float32:
    """The rows with values of the tables in their columns."""
    changed = rows.copy()
    for column, texts in made.tables.items():
        changed[:, column] = [float(t) for t in list(texts)[: len(rows)]]
    return changed


@pytest.mark.parametrize(("dim", "columns"), [(768, (5, 700)), (512, (0, 9, 511)), (12, (3,))])
def test_an_original_is_its_arithmetic(tmp_path: Path, dim: int, columns: tuple[int, ...]) -> None:
    made = files.laion_zip(tmp_path / "nsfw.zip", dim, columns)
    head = read_original(tmp_path / "nsfw.zip")
    rows = embeddings(60, dim)

    assert (head.dim, head.columns, head.labels, head.unit) == (dim, columns, ("nsfw",), True)
    for given_rows in (rows, in_tables(made, rows)):
        scores = head.scores(given_rows)
        np.testing.assert_allclose(scores[:, 0], plain(made, given_rows), rtol=0, atol=1e-5)
        assert scores.std() > 0.01


def test_encoding_and_the_network_are_the_head(tmp_path: Path) -> None:
    files.laion_zip(tmp_path / "nsfw.zip", 12, (3,))
    head = read_original(tmp_path / "nsfw.zip")
    rows = embeddings(9, 12)
    before = rows.copy()

    (mlp,) = head.mlps
    logits = mlp(head.encode(rows))

    assert head.final == "sigmoid"
    np.testing.assert_allclose(head.scores(rows), 1 / (1 + np.exp(-logits)), atol=1e-6)
    np.testing.assert_array_equal(rows, before)
    one_by_one = np.concatenate([head.scores(rows[k : k + 1]) for k in range(len(rows))])
    np.testing.assert_allclose(one_by_one, head.scores(rows), atol=1e-6)
    assert head.scores(rows[:0]).shape == (0, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_an_error(tmp_path: Path, value: float) -> None:
    files.laion_zip(tmp_path / "nsfw.zip", 12, (3,))
    rows = embeddings(2, 12)
    rows[1, 7] = value

    with pytest.raises(ValueError, match="not finite"):
        read_original(tmp_path / "nsfw.zip").scores(rows)


# Tables


NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.floats(
    -1, 1, width=32, allow_nan=False
)


@given(st.lists(NUMBERS, min_size=1, max_size=20), st.lists(NUMBERS, max_size=20))
def test_a_value_is_looked_up_as_it_is_printed(entries: list[float], others: list[float]) -> None:
    texts = {f"{value:.6f}": k for k, value in enumerate(entries, 1) if abs(value) < 1e8}
    texts |= {"0.000000": 100}
    values = np.array([*entries, *others, 0.0, -0.0, 4e-7, -4e-7], dtype=np.float32)

    found = table(texts).look_up(values)

    assert found.tolist() == [texts.get(f"{float(value):.6f}", 0) for value in values]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000000"),
        (-0.0, "-0.000000"),
        (-4e-7, "-0.000000"),
        (4e-7, "0.000000"),
        (6e-7, "0.000001"),
        (-6e-7, "-0.000001"),
        (2.0**-7, "0.007812"),  # 0.0078125, a tie: to the even digit
        (3 * 2.0**-7, "0.023438"),  # 0.0234375
        (-(2.0**-7), "-0.007812"),
        (1.0, "1.000000"),
        (-12.5, "-12.500000"),
    ],
)
def test_ties_and_signs_are_those_of_printf(value: float, text: str) -> None:
    assert f"{value:.6f}" == text
    assert table({text: 3}).look_up(np.array([value], dtype=np.float32)).tolist() == [3]
    other = text[1:] if text[0] == "-" else f"-{text}"
    assert table({other: 3}).look_up(np.array([value], dtype=np.float32)).tolist() == [0]


def test_numbers_beyond_any_text_are_in_no_table() -> None:
    edges = table({"999999999.000000": 1, "-999999999.000000": 2, "0.000000": 3})

    assert edges.look_up(np.array([3e38, -3e38, 1e10, 1e9], np.float32)).tolist() == [0, 0, 0, 0]


def test_every_float16_is_looked_up_by_its_bits() -> None:
    rng = np.random.default_rng(3)
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    finite = np.isfinite(halves)
    chosen = rng.choice(halves[finite], 2000)
    entries = table({f"{float(v):.6f}": k for k, v in enumerate(chosen, 1)})

    by_bits = entries.of_halves()

    assert by_bits.shape == (65536,)
    wanted = entries.look_up(halves[finite].astype(np.float32))
    np.testing.assert_array_equal(by_bits[finite], wanted)
    assert (by_bits > 0).sum() >= len(set(chosen.tolist())) / 2


@pytest.mark.parametrize("text", ["", "1", "0.5", "1.0000000", "01.000000", "+1.000000", "nan"])
def test_a_text_that_is_no_printed_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="six decimals"):
        table({"0.000000": 1, text: 2})


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        table({})


# What is refused


def original(path: Path, tables: savedmodels.Tables | None = None, **changes: Any) -> Path:
    """A small original, with other variables in place of its own."""
    variables = {
        "mean": np.zeros(6, np.float32),
        "variance": np.ones(6, np.float32),
        "kernel": np.ones((6, 1), np.float32),
        "bias": np.zeros(1, np.float32),
        **changes,
    }
    layers = {"mean": 1, "variance": 1, "kernel": 2, "bias": 2}
    named = {f"layer_with_weights-{layers[k]}/{k}": v for k, v in variables.items()}
    chosen = {1: {"0.500000": 1}} if tables is None else tables
    savedmodels.write_zip(path, savedmodels.members(6, chosen, named))
    return path


def test_the_original_that_the_next_test_alters_is_read(tmp_path: Path) -> None:
    head = read_original(original(tmp_path / "nsfw.zip"))

    assert head.scores(np.full((1, 6), 0.5, np.float32)).item() == pytest.approx(
        1 / (1 + math.exp(-3.5))
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"tables": {}}, "no column"),
        ({"tables": {1: {"half": 1}}}, "six decimals"),
        ({"mean": np.zeros((1, 6), np.float32)}, "means of shape"),
        ({"mean": np.zeros(5, np.float32)}, "means of shape"),
        ({"variance": np.ones(1, np.float32)}, "means of shape"),
        ({"variance": np.full(6, -1, np.float32)}, "that is none"),
        ({"mean": np.full(6, np.nan, np.float32)}, "not finite"),
        ({"kernel": np.ones((5, 1), np.float32)}, "for 6 inputs"),
        ({"kernel": np.ones(6, np.float32)}, "for 6 inputs"),
        ({"kernel": np.ones((6, 2), np.float32), "bias": np.zeros(2, np.float32)}, "2 outputs"),
        ({"kernel": np.full((6, 1), np.inf, np.float32)}, "not finite"),
        ({"bias": np.zeros(2, np.float32)}, "for 6 inputs"),
        ({"tables": {5: {"0.500000": 1}}, "mean": np.zeros(5), "variance": np.ones(5)}, "layers"),
    ],
)
def test_an_original_whose_parts_do_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ModelError, match=why) as caught:
        read_original(original(tmp_path / "nsfw.zip", **changes))
    assert caught.value.code == "weights_unusable"


# The port and H/14


def test_the_port_is_its_published_layers(tmp_path: Path) -> None:
    files.port_pth(tmp_path / "port.pth")
    state = torch.load(tmp_path / "port.pth", weights_only=True)
    rows = embeddings(40, 768)

    x = (torch.from_numpy(rows).double() - state["norm.mean"]) / state["norm.variance"].sqrt()
    for k in range(1, 5):
        x = x @ state[f"linear_{k}.weight"].double().T + state[f"linear_{k}.bias"]
        x = torch.relu(x) if k < 4 else torch.sigmoid(x)

    head = read_port(tmp_path / "port.pth")
    assert head.columns == ()
    scores = head.scores(rows)
    np.testing.assert_allclose(scores, x.numpy(), rtol=0, atol=1e-5)
    assert scores.std() > 0.01


@needs_heads
def test_the_port_of_the_original_is_the_original_without_tables(tmp_path: Path) -> None:
    exact = read_original(LAION / PUBLISHED["vit_l_14"][0])
    state = {"norm.mean": torch.from_numpy(exact.mean)}
    state["norm.variance"] = torch.from_numpy(exact.std) ** 2
    for k, layer in enumerate(exact.mlp.layers, 1):
        state[f"linear_{k}.weight"] = torch.from_numpy(layer.weight.T.copy())
        state[f"linear_{k}.bias"] = torch.from_numpy(layer.bias.copy())
    torch.save(state, tmp_path / "port.pth")
    rows, _ = golden("vit_l_14", "outside")

    port: LaionNsfw = read_port(tmp_path / "port.pth")

    wanted = dataclasses.replace(exact, tables={}).scores(rows)
    np.testing.assert_allclose(port.scores(rows), wanted, rtol=0, atol=1e-5)


def test_h14_is_its_published_layers(tmp_path: Path) -> None:
    files.h14_pth(tmp_path / "h14.pth")
    rows = embeddings(40, 1024)

    head = read_h14(tmp_path / "h14.pth")
    scores = head.scores(rows)

    with torch.inference_mode():
        wanted = files.h14()(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-5)
    assert (head.dim, head.unit, head.final) == (1024, True, "linear")
    np.testing.assert_array_equal(head.mlps[0](head.encode(rows)), scores)


def test_the_probability_of_h14_is_its_score_within_bounds(tmp_path: Path) -> None:
    files.h14_pth(tmp_path / "h14.pth")
    scores = np.array([[-0.2], [0.3], [0.5], [0.7], [1.4]], dtype=np.float32)

    probabilities = read_h14(tmp_path / "h14.pth").probabilities(scores)

    np.testing.assert_allclose(probabilities[:, 0], [0.0, 0.3, 0.5, 0.7, 1.0])


@pytest.mark.parametrize("read", [read_h14, read_port])
def test_tensors_that_are_missing_or_do_not_fit_are_refused(tmp_path: Path, read: Any) -> None:
    write = files.h14_pth if read is read_h14 else files.port_pth
    write(tmp_path / "head.pth")
    state = torch.load(tmp_path / "head.pth", weights_only=True)
    name = [name for name in state if name.endswith("weight")][-1]
    other: dict[str, torch.Tensor] = {k: v for k, v in state.items() if k != name}
    for changed in (other, {**other, name: state[name][:, :-1].clone()}):
        torch.save(changed, tmp_path / "bad.pth")
        with pytest.raises(ModelError, match="not this head") as caught:
            read(tmp_path / "bad.pth")
        assert caught.value.code == "weights_unusable"


def test_a_port_without_variance_is_refused(tmp_path: Path) -> None:
    files.port_pth(tmp_path / "head.pth")
    state = torch.load(tmp_path / "head.pth", weights_only=True)
    state["norm.variance"][3] = 0
    torch.save(state, tmp_path / "head.pth")

    with pytest.raises(ModelError, match="not positive"):
        read_port(tmp_path / "head.pth")
