"""``vedette data collect`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from tests import zoo
from tests.pictures import drawn, encoded
from vedette.cli import app
from vedette.models.clip_cards import CLIP_L14
from vedette.networks.clip import read_clip_config
from vedette.networks.clip_text import text_embeddings

OWN = '[keywords]\nPolitical = ["protest march", "ballot box"]\nSpam = ["casino banner"]\n'
CAPTIONS = {
    "a": "a protest march in town",
    "b": "casino banner",
    "c": "a banner in a protest",
    "d": "a lake",
}


def vedette(*args: object) -> Result:
    return CliRunner().invoke(app, ["data", "collect", *map(str, args)])


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures with a text beside each."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, (key, text) in enumerate(CAPTIONS.items()):
        (folder / f"{key}.png").write_bytes(encoded(drawn(seed)))
        (folder / f"{key}.txt").write_text(text)
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_candidates_become_a_campaign(pictures: Path, own: Path, tmp_path: Path) -> None:
    out, store = tmp_path / "candidates.jsonl", tmp_path / "labels.sqlite"
    done = vedette(pictures, "--keywords", own, "--out", out, "--queue", store)

    assert done.exit_code == 0, done.output
    assert "3 pictures in campaign" in done.output
    told = CliRunner().invoke(app, ["annotate", "status", str(store)])
    assert told.exit_code == 0, told.output
    assert "3" in told.output
    assert (
        "there is a campaign"
        in vedette(
            pictures, "--keywords", own, "--out", out, "--overwrite", "--queue", store
        ).output
    )


def test_a_folder_of_pictures_with_texts(pictures: Path, own: Path, tmp_path: Path) -> None:
    out = tmp_path / "candidates.jsonl"
    done = vedette(pictures, "--keywords", own, "--out", out)

    assert done.exit_code == 0, done.output
    assert "pictures with a text beside each" in done.stderr
    found = lines(out)
    assert [(f["file_name"], f["category"], f["rank"]) for f in found] == [
        ("in/a.png", "Political", 1),
        ("in/c.png", "Political", 2),
        ("in/b.png", "Spam", 1),
    ]
    assert found[1]["also"][0]["keyword"] == "casino banner"
    assert {f["measure"] for f in found} == {"bm25"}
    assert {f["source"] for f in found} == {"in"}
    assert "not below" not in done.stderr
    below = tmp_path / "below"
    below.mkdir()
    done = vedette(pictures, "--keywords", own, "--out", below / "candidates.jsonl")
    assert "3 pictures are not below the folder of candidates.jsonl" in done.stderr
    assert done.stdout.splitlines() == [
        "Political                   2",
        "Spam                        1",
        "3 keywords, 4 hits, 3 entries, 3 looked at, 3 candidates",
        "1 keywords found nothing: ballot box",
    ]


def test_laions_metadata_with_our_keywords(tmp_path: Path) -> None:
    rows = [{"URL": f"https://example.org/{k}", "TEXT": t} for k, t in CAPTIONS.items()]
    for number in (0, 1):
        pq.write_table(pa.Table.from_pylist(rows[number::2]), tmp_path / f"part-{number}.parquet")
    out = tmp_path / "candidates.jsonl"
    options = ("--category", "political", "--category", "Spam", "--top", 1, "--name", "Laion5B")
    done = vedette(tmp_path, *options, "--out", out)

    assert done.exit_code == 0, done.output
    assert "2 tables of captions" in done.stderr
    found = lines(out)
    assert found[0]["keyword"] == "protest march with banners"
    assert {f["category"] for f in found} <= {"Political", "Spam"}
    assert {f["source"] for f in found} == {"Laion5B"}
    assert found[0]["where"] == found[0]["key"]
    assert found[0]["file_name"] is None


def test_a_table_beside_its_pictures_and_named_columns(
    pictures: Path, own: Path, tmp_path: Path
) -> None:
    rows = [{"picture": f"{k}.png", "words": t, "n": k} for k, t in CAPTIONS.items()]
    (pictures / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = ("--text", "words", "--where", "picture", "--key", "n")
    out = tmp_path / "candidates.jsonl"
    done = vedette(pictures, "--keywords", own, *named, "--out", out)

    assert done.exit_code == 0, done.output
    assert "pictures with a table of captions" in done.stderr
    assert [(f["key"], f["file_name"]) for f in lines(out)] == [
        ("a", "in/a.png"),
        ("c", "in/c.png"),
        ("b", "in/b.png"),
    ]
    assert "words" in vedette(pictures, "--kind", "captions", "--out", tmp_path / "x").stderr


@pytest.fixture
def index(tmp_path: Path, store: Path) -> Path:
    """What clip-retrieval writes: embeddings of what the texts say, each twice, and their names."""
    assert CLIP_L14.weights is not None
    config = read_clip_config(store / CLIP_L14.weights.repo)
    own = ["protest march", "ballot box", "casino banner"]
    rows = np.repeat(text_embeddings(config, own), 2, axis=0)
    noise = zoo.random_rows(50, 768)
    root = tmp_path / "index"
    for name in ("img_emb", "metadata"):
        (root / name).mkdir(parents=True)
    np.save(root / "img_emb" / "img_emb_0.npy", np.concatenate([noise, rows]).astype(np.float16))
    names = [{"url": f"https://example.org/{n}", "caption": f"text {n}"} for n in range(56)]
    pq.write_table(pa.Table.from_pylist(names), root / "metadata" / "metadata_0.parquet")
    return root


def test_an_index_of_embeddings(index: Path, own: Path, tmp_path: Path) -> None:
    out = tmp_path / "candidates.jsonl"
    done = vedette(index, "--keywords", own, "--top", 2, "--out", out)

    assert done.exit_code == 0, done.output
    assert "56 embeddings, with metadata, searched with clip-l14" in done.stderr
    found = lines(out)
    best = {f["keyword"]: f for f in found if f["score"] > 0.99}
    assert {k: f["key"].rpartition("/")[2] for k, f in best.items()}.items() >= {
        ("casino banner", "54")
    }
    assert all(len(f["duplicates"]) >= 1 for f in best.values())
    again = tmp_path / "again.jsonl"
    assert vedette(index, "--keywords", own, "--top", 2, "--out", again).exit_code == 0
    assert out.read_bytes() == again.read_bytes()
    kept = tmp_path / "kept.jsonl"
    assert vedette(index, "--keywords", own, "--duplicates", "-o", kept).exit_code == 0
    assert all("duplicates" not in f for f in lines(kept))
    bare = ("--kind", "embeddings", "--clip", "clip-l14", "--keywords", own)
    bare_out = tmp_path / "bare.jsonl"
    matrix = index / "img_emb" / "img_emb_0.npy"
    (index / "metadata").rename(index / "said")
    assert vedette(matrix, *bare, "--out", bare_out).exit_code == 0
    assert lines(bare_out)[0]["key"].startswith("img_emb_0.npy#")
    said = index / "said" / "metadata_0.parquet"
    assert vedette(matrix, *bare, "--metadata", said, "-o", kept, "--overwrite").exit_code == 0
    assert lines(kept)[0]["text"].startswith("text ")


def test_what_cannot_be_read_is_said(pictures: Path, own: Path, tmp_path: Path) -> None:
    (pictures / "b.png").write_bytes((pictures / "b.png").read_bytes()[:300])
    out = tmp_path / "candidates.jsonl"
    done = vedette(pictures, "--keywords", own, "--out", out)

    assert done.exit_code == 3
    assert f"not read: {pictures}/b.png [truncated]" in done.stdout
    assert [f.get("failure") for f in lines(out)] == [None, None, "truncated"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--kind", "embedding"), "unknown kind of collection"),
        (("--category", "Voilence"), "did you mean 'Violence'"),
        (("--kind", "embeddings"), "no .npy and no .parquet"),
        (("--keywords", "nowhere.toml"), "there is no nowhere.toml"),
        (("--metadata", "nowhere", "--kind", "embeddings"), "no .npy"),
    ],
)
def test_wrong_usage(pictures: Path, tmp_path: Path, options: tuple[str, ...], why: str) -> None:
    done = vedette(pictures, *options, "--out", tmp_path / "c.jsonl")

    assert done.exit_code == 2
    assert why in done.stderr
    assert not (tmp_path / "c.jsonl").exists()


def test_places_are_looked_at_first(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.jsonl"
    out.write_text("mine")
    assert "output_exists" in vedette(pictures, "--out", out).stderr
    assert out.read_text() == "mine"
    done = vedette(tmp_path / "nowhere", "--out", tmp_path / "d.jsonl")
    assert done.exit_code == 2
    assert "not_found" in done.stderr


def test_a_source_whose_pictures_come_with_texts(own: Path, tmp_path: Path) -> None:
    rows = [
        {"image": {"bytes": encoded(drawn(n)), "path": f"{k}.png"}, "text": t, "source": "Lexica"}
        for n, (k, t) in enumerate(CAPTIONS.items())
    ]
    path = tmp_path / "train.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    out = tmp_path / "candidates.jsonl"
    done = vedette(path, "--keywords", own, "--out", out)

    assert done.exit_code == 0, done.output
    assert "a source of pictures with texts" in done.stderr
    assert "3 looked at" in done.stdout
    assert [f["text"] for f in lines(out)] == [CAPTIONS[key] for key in "acb"]
    assert {f["source"] for f in lines(out)} == {"Lexica"}
    assert all(len(f["sha256"]) == 64 for f in lines(out))
