"""A set's embeddings: each image through the backbone once, and a kill costs next to nothing."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from pyarrow import parquet

from tests.embeddings.counting import DIM, Counting, about, run
from tests.pictures import drawn, encoded
from vedette.data.base import read_all
from vedette.data.memory import ItemSource
from vedette.data.opening import open_source
from vedette.embeddings.base import Columns, open_matrix
from vedette.embeddings.embed import Embedder, hashed
from vedette.embeddings.folder import FILE, Row, read_folder, row_of
from vedette.embeddings.into_folder import embed_set
from vedette.embeddings.labelled import open_embedded
from vedette.errors import FetchError, UsageError, VedetteError
from vedette.models.registry import build
from vedette.pipeline import Scanner
from vedette.settings import Limits, ScanOptions, Settings
from vedette.taxonomy import Category
from vedette.types import Failure, Item

Files = dict[str, bytes]


def pictures(folder: Path, count: int) -> Path:
    for number in range(count):
        path = folder / ("safe" if number % 2 else "Violence") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(drawn(number)))
    return folder


def files(folder: Path) -> Files:
    """Every file that a reader sees."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture
def place(tmp_path: Path) -> Path:
    pictures(tmp_path / "set", 20)
    return tmp_path


def embedded(place: Path, backbone: Counting | None = None, out: str = "out") -> Counting:
    backbone = backbone or Counting()
    run(place / "set", place / out, place / "store", backbone)
    return backbone


# Once


def test_an_image_runs_once(place: Path) -> None:
    first = embedded(place)
    assert (first.prepared, first.inferred) == (20, 20)
    before = files(place / "out")

    again = embedded(place)

    assert (again.prepared, again.inferred) == (0, 0)  # nothing was decoded either
    assert files(place / "out") == before


def test_copies_run_once(place: Path) -> None:
    shutil.copy(place / "set/safe/01.png", place / "set/safe/copy.png")
    shutil.copy(place / "set/safe/01.png", place / "set/Violence/copy.png")

    assert embedded(place).inferred == 20

    _, rows, matrix = read_folder(place / "out")
    assert len(rows) == 22
    same = [at for at, row in enumerate(rows) if row.key in ("safe/01.png", "safe/copy.png")]
    np.testing.assert_array_equal(matrix[same[0]], matrix[same[1]])


def test_only_what_is_new_runs(place: Path) -> None:
    embedded(place)
    (place / "set/Violence/00.png").unlink()
    (place / "set/safe/aa.png").write_bytes(encoded(drawn(99)))
    (place / "set/safe/01.png").rename(place / "set/Violence/01.png")  # another label

    assert embedded(place).inferred == 1

    _, rows, _ = read_folder(place / "out")
    told = {row.key: row.label for row in rows}
    assert len(told) == 20
    assert told["Violence/01.png"] == "Violence"
    assert told["safe/aa.png"] == "safe"
    assert "Violence/00.png" not in told


def test_a_smaller_set_leaves_no_shard_behind(place: Path) -> None:
    embedded(place)
    shutil.rmtree(place / "set/safe")
    embedded(place)

    assert len(list((place / "out/img_emb").iterdir())) == 2
    assert len(list((place / "out/metadata").iterdir())) == 2
    assert open_embedded(place / "out").rows == 10


def test_a_lost_cache_is_filled_from_the_folder(place: Path) -> None:
    embedded(place)
    before = files(place / "out")
    shutil.rmtree(place / "store")

    assert embedded(place).inferred == 0
    assert files(place / "out") == before


def test_a_folder_that_was_changed_by_hand_is_not_believed(place: Path) -> None:
    embedded(place)
    before = files(place / "out")
    shutil.rmtree(place / "store")
    shutil.copy(place / "out/img_emb/img_emb_1.npy", place / "out/img_emb/img_emb_0.npy")

    assert embedded(place).inferred == 8
    assert files(place / "out") == before


# Killed


def test_a_kill_costs_little_and_the_same_command_goes_on(place: Path) -> None:
    pictures(place / "set", 80)
    whole = Counting()
    run(place / "set", place / "whole", place / "other store", whole)
    command = [sys.executable, "-m", "tests.embeddings.counting"]
    arguments = [str(place / name) for name in ("set", "out", "store")]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if len(list((place / "out").glob("img_emb/*.npy"))) >= 3:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it was done before it could be killed"
    with pytest.raises(UsageError, match="is not complete"):
        read_folder(place / "out")

    done = subprocess.run([*command, *arguments], capture_output=True, check=True, timeout=60)

    assert 0 < int(done.stdout) < 80 - 3 * 8 + 1
    assert files(place / "out") == {
        name: data.replace(b"whole", b"out") for name, data in files(place / "whole").items()
    }


def test_what_a_kill_left_half_written_goes(place: Path) -> None:
    embedded(place)
    left = place / "out/img_emb/.img_emb_0.npy.123.tmp"
    left.write_bytes(b"half")
    embedded(place)
    assert not left.exists()


def test_a_folder_is_not_whole_before_its_first_change(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded(place)
    pictures(place / "set", 24)

    def stopped(path: str, to: Path) -> None:
        if Path(to).suffix == ".npy":
            raise OSError(28, "No space left on device")
        os.rename(path, to)

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(VedetteError) as caught:
        embedded(place)

    assert caught.value.code == "write_failed"
    assert json.loads((place / "out" / FILE).read_text())["complete"] is False


# The same as a scan


def test_embeddings_are_those_of_a_scan(place: Path) -> None:
    settings = Settings(scan=ScanOptions(embeddings=True))
    run(place / "set", place / "out", place / "store", build("dummy"))  # type: ignore[arg-type]
    _, rows, matrix = read_folder(place / "out")
    with Scanner("dummy", settings=settings) as scanner:
        for row, embedding in zip(rows, matrix, strict=True):
            record = scanner.scan(place / "set" / row.key)
            assert record.sha256 == row.sha256
            assert record.embedding is not None
            np.testing.assert_array_equal(embedding, record.embedding.astype(np.float16))


def test_of_many_frames_the_first_where_the_model_judges_nothing(tmp_path: Path) -> None:
    frames = [drawn(number) for number in range(5)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], duration=100)
    alone = io.BytesIO()
    frames[0].save(alone, "GIF")
    clear = drawn(7).convert("RGBA")
    clear.putalpha(PIL.Image.linear_gradient("L").resize(clear.size))
    white = PIL.Image.new("RGB", clear.size, "white")
    white.paste(clear, mask=clear.getchannel("A"))
    items = [
        Item("animation", stream.getvalue()),
        Item("its first frame", alone.getvalue()),
        Item("transparent", encoded(clear)),
        Item("on white", encoded(white)),
    ]
    for streams in (1, 4):
        backbone = Counting()
        backbone.streams = streams
        settings = Settings(scan=ScanOptions(batch=1))
        with Embedder(backbone, settings, tmp_path / f"store {streams}") as embedder:
            hashes = [one for one in embedder.embed(items) if isinstance(one, str)]
            rows = embedder.store.rows(hashes)
        np.testing.assert_array_equal(rows[0], rows[1])
        np.testing.assert_allclose(rows[2], rows[3], atol=2e-3)


# What cannot be read


def test_images_that_cannot_be_read_are_named_and_left_out(place: Path) -> None:
    (place / "set/safe/broken.png").write_bytes(encoded(drawn(3))[:300])
    (place / "set/safe/copy of it.png").write_bytes(encoded(drawn(3))[:300])
    (place / "set/safe/text.png").write_text("no picture")

    counting = Counting()
    made = run(place / "set", place / "out", place / "store", counting)

    assert made.failed == (
        ("safe/broken.png", "truncated"),
        ("safe/copy of it.png", "truncated"),
        ("safe/text.png", "unsupported_format"),
    )
    told = json.loads((place / "out" / FILE).read_text())
    assert told["complete"] is True
    assert told["count"] == 20
    assert told["failed"][0] == {"key": "safe/broken.png", "code": "truncated"}
    assert {row.key for row in read_folder(place / "out")[1]}.isdisjoint(dict(made.failed))


def test_limits_are_those_of_the_settings(place: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    (place / "set/safe/large.png").write_bytes(encoded(PIL.Image.fromarray(noise)))
    for settings, code in (
        (Settings(limits=Limits(pixels=50_000)), "too_many_pixels"),
        (Settings(limits=Limits(bytes=50_000)), "too_many_bytes"),
        (
            Settings(limits=Limits(pixels=50_000), scan=ScanOptions(hardened=True, workers=1)),
            "too_many_pixels",
        ),
    ):
        made = run(place / "set", place / "out", place / "store", Counting(), settings=settings)
        assert ("safe/large.png", code) in made.failed


def test_a_value_that_float16_cannot_hold_fails_its_image(place: Path) -> None:
    def huge(embedding: np.ndarray) -> np.ndarray:
        return embedding * np.float32(1e6) if embedding[0] > 0.1 else embedding

    made = run(place / "set", place / "out", place / "store", Counting(huge))

    assert 0 < len(made.failed) < 20
    assert {code for _, code in made.failed} == {"model_output_invalid"}
    _, rows, matrix = read_folder(place / "out")
    assert len(rows) == 20 - len(made.failed)
    assert np.isfinite(matrix).all()


def test_a_set_of_nothing_that_can_be_read_is_an_empty_folder(tmp_path: Path) -> None:
    source = ItemSource([Item("a", b"no picture"), Item("b", Failure("fetch", "not_found", "b"))])
    backbone = Counting()
    with Embedder(backbone, Settings(), tmp_path / "store") as embedder:
        made = embed_set(source, embedder, tmp_path / "out", about(backbone, "none"))

    assert made.failed == (("a", "unsupported_format"), ("b", "not_found"))
    assert read_folder(tmp_path / "out")[2].shape == (0, DIM)


def test_what_is_hashed_is_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(drawn(1)))
    of_path, ready = hashed(Item("a", path), Limits())
    of_bytes, _ = hashed(Item("a", path.read_bytes()), Limits())
    assert of_path == of_bytes
    assert ready.data == path.read_bytes()
    for item, code in (
        (Item("a", tmp_path / "gone.png"), "not_found"),
        (Item("a", Path("/dev/null")), "not_a_file"),
        (Item("a", Failure("fetch", "encrypted", "locked")), "encrypted"),
    ):
        with pytest.raises(FetchError) as caught:
            hashed(item, Limits())
        assert caught.value.code == code


# The folder


def test_it_is_laid_out_as_clip_retrieval_does(place: Path) -> None:
    embedded(place)

    _, source = open_source(str(place / "set"))
    items = list(read_all(source))
    chunks = list(open_embedded(place / "out").chunks())
    assert [key for chunk in chunks for key in chunk.keys] == [item.key for item in items]
    labels = [label for chunk in chunks for label in chunk.labels]
    assert [(label.unsafe, label.categories) for label in labels] == [
        (item.unsafe, item.labels) for item in items
    ]
    matrix = open_matrix(place / "out/img_emb", Columns())
    assert (matrix.rows, matrix.dim, matrix.dtype.name) == (20, DIM, "float16")
    assert [len(np.load(place / f"out/img_emb/img_emb_{n}.npy")) for n in range(3)] == [8, 8, 4]
    table = parquet.read_table(place / "out/metadata/metadata_1.parquet")
    assert table.column_names == ["key", "sha256", "label", "category", "source", "split"]
    assert table.num_rows == 8


@pytest.mark.parametrize(
    "item",
    [
        Item("a", b""),
        Item("a", b"", unsafe=True),
        Item("a", b"", frozenset()),
        Item("a", b"", frozenset({Category.HATE, Category.SPAM}), {"source": "Lexica"}),
        Item(
            "a",
            b"",
            frozenset({Category.HEALTH}),
            {"split": "test", "category": "Hate"},
        ),
    ],
)
def test_a_row_says_all_that_the_item_said(item: Item) -> None:
    assert row_of(item, "0" * 64).item() == item


def test_an_unknown_label_in_the_metadata_is_an_error() -> None:
    with pytest.raises(ValueError, match="other"):
        Row("a", "0" * 64, "other", None, None, None).item()


def test_another_model_or_set_is_refused_unless_it_is_to_be_replaced(place: Path) -> None:
    embedded(place)
    pictures(place / "second", 3)
    other = Counting()
    other.card = replace(Counting.card, revision="2")

    with pytest.raises(UsageError, match=r"embeddings of counting@1, .*, not of counting@2"):
        run(place / "set", place / "out", place / "store 2", other)
    with pytest.raises(UsageError, match="holds the embeddings of") as caught:
        run(place / "second", place / "out", place / "store", Counting())
    assert caught.value.code == "output_exists"
    assert len(read_folder(place / "out")[1]) == 20  # it is as it was

    run(place / "second", place / "out", place / "store 2", other, overwrite=True)
    made, rows, _ = read_folder(place / "out")
    assert made.space.model == "counting@2"
    assert len(rows) == 3


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_else_is_written_over(place: Path, overwrite: bool) -> None:
    (place / "mine").mkdir()
    (place / "mine/letter.txt").write_text("dear")
    for out in ("mine", "set", "mine/letter.txt"):
        with pytest.raises(UsageError) as caught:
            run(place / "set", place / out, place / "store", Counting(), overwrite=overwrite)
        assert caught.value.code == "output_exists"
    assert sorted(path.name for path in (place / "mine").iterdir()) == ["letter.txt"]


def test_a_description_that_lies_about_the_shards_is_refused(place: Path) -> None:
    embedded(place)
    told = json.loads((place / "out" / FILE).read_text())
    for name, value in (("rows", 10**15), ("img_emb", "0" * 64)):
        lie = json.loads(json.dumps(told))
        lie["shards"][1][name] = value
        (place / "out" / FILE).write_text(json.dumps(lie))
        with pytest.raises(UsageError, match=r"img_emb_1\.npy is damaged"):
            read_folder(place / "out")


@pytest.mark.parametrize("told", ["", "[]", '{"format": "x"}', "[" * 100_000])
def test_a_damaged_description_is_refused(place: Path, told: str) -> None:
    embedded(place)
    (place / "out" / FILE).write_text(told)
    for use in (lambda: read_folder(place / "out"), lambda: embedded(place)):
        with pytest.raises(UsageError) as caught:
            use()
        assert caught.value.code == "bad_source"


def test_damaged_shards_are_refused(place: Path) -> None:
    for name in ("img_emb/img_emb_1.npy", "metadata/metadata_1.parquet"):
        for damage in (b"", b"other", None):
            embedded(place)
            path = place / "out" / name
            before = path.read_bytes()
            if damage is None:
                shutil.copy(str(path).replace("_1.", "_2."), path)  # of another length
            else:
                path.write_bytes(damage)
            with pytest.raises(UsageError):
                read_folder(place / "out")
            path.write_bytes(before)
