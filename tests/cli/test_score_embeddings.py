"""``vedette score-embeddings`` as a user runs it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from tests.cli.test_cli import vedette
from tests.embeddings.twins import SHARED_HEADS, needs_heads, real, unit_rows, write_parquet
from vedette.hub.store import repo_folder
from vedette.models.clip_cards import VIOLENCE_L14
from vedette.types import Float32

HEAD = "laion-violence-l14"


@pytest.fixture
def vectors(tmp_path: Path) -> Float32:
    """Twins of the violence vectors, stored as ``weights.npy``."""
    made = np.random.default_rng(4).standard_normal((2, 768), dtype=np.float32)
    np.save(tmp_path / "weights.npy", made)
    return made


@pytest.fixture
def place(tmp_path: Path, vectors: Float32) -> Path:
    """With unit rows as ``in.npy``."""
    np.save(tmp_path / "in.npy", unit_rows(60, 768).astype(np.float16))
    return tmp_path


CALL = ("score-embeddings", "in.npy", "--head", HEAD, "--weights", "weights.npy", "--out")


def test_scores_are_written_and_the_rate_is_told(place: Path, vectors: Float32) -> None:
    done = vedette(*CALL, "out.npy", cwd=place)

    assert (done.returncode, done.stdout) == (0, "")
    rows = np.load(place / "in.npy").astype(np.float32)
    np.testing.assert_allclose(np.load(place / "out.npy"), rows @ vectors.T, atol=1e-5)
    rate, wrote = done.stderr.splitlines()
    assert rate.startswith("scored 60 rows in ")
    assert " rows/s, " in rate
    assert " GB/s, openvino fp32" in rate
    assert wrote == "wrote out.npy"


def test_quiet_says_nothing(place: Path) -> None:
    done = vedette(*CALL, "out.npy", "--quiet", cwd=place)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_labels_are_printed_without_an_input_and_before_one(place: Path) -> None:
    alone = vedette("score-embeddings", "--head", "multiheaded", "--labels")
    with_it = vedette(*CALL, "out.npy", "--labels", cwd=place)

    assert alone.stdout.split() == ["sexual", "violent", "disturbing", "hateful", "political"]
    assert alone.returncode == 0
    assert with_it.stdout.split() == ["nonviolent", "violent"]
    assert (place / "out.npy").is_file()


def test_a_second_run_gives_the_same_file_and_needs_overwrite(place: Path) -> None:
    vedette(*CALL, "out.npy", cwd=place)
    first = (place / "out.npy").read_bytes()

    refused = vedette(*CALL, "out.npy", cwd=place)
    again = vedette(*CALL, "out.npy", "--overwrite", cwd=place)

    assert refused.returncode == 2
    assert "[output_exists]" in refused.stderr
    assert again.returncode == 0
    assert (place / "out.npy").read_bytes() == first


def test_parquet_in_and_out(place: Path, vectors: Float32) -> None:
    rows = unit_rows(9, 768)
    keys = [f"{number}.jpg" for number in range(9)]
    path = write_parquet(place / "in.parquet", rows, keys=keys, name="clip")
    table = parquet.read_table(path).rename_columns(["name", "clip"])
    parquet.write_table(table, path)
    call = ("score-embeddings", "in.parquet", "--column", "clip", "--key", "name", "--head", HEAD)

    done = vedette(*call, "--weights", "weights.npy", "--out", "out.parquet", cwd=place)

    assert done.returncode == 0, done.stderr
    found = parquet.read_table(place / "out.parquet").to_pydict()
    assert found["name"] == keys
    np.testing.assert_allclose(found["violent"], rows @ vectors[1], atol=1e-5)


def test_rows_without_an_embedding_are_counted(place: Path) -> None:
    rows = unit_rows(3, 768)
    lists: list[list[float] | None] = [list(map(float, rows[0])), None, list(map(float, rows[2]))]
    kind = parquet.read_schema(write_parquet(place / "kind.parquet", rows)).field(0).type
    write_parquet(place / "in.parquet", lists, kind)
    call = ("score-embeddings", "in.parquet", "--head", HEAD, "--weights", "weights.npy")

    done = vedette(*call, "--out", "out.parquet", cwd=place)

    assert done.returncode == 0
    assert "1 rows have no embedding" in done.stderr


def test_rows_that_are_not_normalised_are_warned_of(place: Path) -> None:
    np.save(place / "in.npy", 7 * unit_rows(60, 768))

    done = vedette(*CALL, "out.npy", "--quiet", cwd=place)

    assert done.returncode == 0
    assert done.stderr.startswith("warning: 20 of 20 rows looked at are not L2-normalised")


def test_a_row_that_is_not_finite_is_an_error(place: Path) -> None:
    rows = np.load(place / "in.npy")
    rows[17, 500] = np.nan
    np.save(place / "in.npy", rows)

    done = vedette(*CALL, "out.npy", cwd=place)

    assert done.returncode == 2
    assert "error: row 17 of in.npy holds a value that is not finite" in done.stderr
    assert not (place / "out.npy").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["score-embeddings", "--head", HEAD], "no embeddings to score"),
        (["score-embeddings", "in.npy", "--head", HEAD], "no place for the scores"),
        (["score-embeddings", "in.npy", "--head", HEAD, "--labels"], "no place for the scores"),
        (["score-embeddings", "in.npy", "--head", "q17", "--out", "o.npy"], "did you mean 'q16'?"),
        ([*CALL, "o.csv"], "unknown output format '.csv'"),
        ([*CALL, "o.npy", "--precision", "int8"], "unknown precision 'int8'"),
        ([*CALL, "o.npy", "--precision", "bf16"], "bf16"),
        ([*CALL, "nowhere/o.npy"], "there is no folder nowhere"),
        ([*CALL, "in.npy", "--overwrite"], "in.npy is where the embeddings are"),
        (
            ["score-embeddings", ".", "--head", HEAD, "--weights", "weights.npy", "--out", "o.npy"],
            "o.npy is where the embeddings are",
        ),
        (
            ["score-embeddings", "in.npy", "--head", "laion-nsfw-b32", "--out", "o.npy"],
            "in.npy has embeddings of 768 dimensions, and laion-nsfw-b32 takes 512",
        ),
        (
            ["score-embeddings", "in.npy", "--head", HEAD, "--weights", "no.npy", "--out", "o.npy"],
            "[weights_missing]",
        ),
        (
            ["score-embeddings", "in.npy", "--head", "q16", "--out", "o.npy"],
            "vedette models pull q16",
        ),
    ],
)
def test_wrong_calls_are_one_line_with_what_to_do(
    place: Path, words: list[str], message: str
) -> None:
    (place / "weights.npy").rename(place / "weights.tmp")
    (place / "weights").mkdir()
    (place / "weights.tmp").rename(place / "weights" / "w.npy")
    words = [word.replace("weights.npy", "weights/w.npy") for word in words]

    done = vedette(*words, cwd=place, environ={"VEDETTE_MODELS": str(place / "store")})

    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in place.iterdir()) == ["in.npy", "weights"]


def test_heads_whose_terms_forbid_it_are_refused_in_commercial_use(place: Path) -> None:
    (place / "vedette.toml").write_text("commercial = true\n")
    call = ("score-embeddings", "in.npy", "--head", "multiheaded", "--out", "o.npy")

    done = vedette(*call, "--config", "vedette.toml", cwd=place)

    assert done.returncode == 2
    assert "[terms_refused]" in done.stderr


# Weights of the store


def stored(place: Path) -> Path:
    weights = VIOLENCE_L14.weights
    assert weights is not None
    assert repo_folder(weights).is_absolute()
    return place / "store" / weights.repo / weights.files[0].path


def test_weights_come_from_the_store_and_are_held_to_their_hash(place: Path) -> None:
    target = stored(place)
    target.parent.mkdir(parents=True)
    shutil.copy(place / "weights.npy", target)
    call = ("score-embeddings", "in.npy", "--head", HEAD, "--out", "o.npy")

    done = vedette(*call, cwd=place, environ={"VEDETTE_MODELS": str(place / "store")})

    assert done.returncode == 2
    assert "[weights_altered]" in done.stderr


@needs_heads
def test_published_weights_are_found_in_the_store(place: Path) -> None:
    target = stored(place)
    target.parent.mkdir(parents=True)
    shutil.copy(SHARED_HEADS / "laion" / target.name, target)
    call = ("score-embeddings", "in.npy", "--head", HEAD, "--out", "o.npy")

    done = vedette(*call, cwd=place, environ={"VEDETTE_MODELS": str(place / "store")})

    assert done.returncode == 0, done.stderr
    rows = np.load(place / "in.npy").astype(np.float32)
    np.testing.assert_allclose(np.load(place / "o.npy"), real(HEAD).scores(rows), atol=1e-5)


@needs_heads
@pytest.mark.parametrize(
    ("head", "weights"),
    [
        ("laion-nsfw-l14", "laion/clip_autokeras_binary_nsfw.zip"),
        ("laion-nsfw-l14", "laion"),
        ("multiheaded", "multiheaded"),
        ("q16", "q16/prompts.p"),
    ],
)
def test_weights_may_be_a_file_or_the_folder_of_it(place: Path, head: str, weights: str) -> None:
    call = ("score-embeddings", "in.npy", "--head", head, "--weights", SHARED_HEADS / weights)

    done = vedette(*call, "--precision", "fp32", "--out", "o.npy", cwd=place)

    assert done.returncode == 0, done.stderr
    rows = np.load(place / "in.npy").astype(np.float32)
    np.testing.assert_allclose(np.load(place / "o.npy"), real(head).scores(rows), atol=1e-5)
    assert ("warning: the rows are L2-normalised" in done.stderr) == (head == "multiheaded")
