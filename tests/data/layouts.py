"""Copies of published sets as the hub has them: their layout and columns, with drawn pictures."""

from __future__ import annotations

import base64
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.pictures import drawn, encoded

CLASSES = ("SAFE", "UNSAFE")
SPECIALIST = ("neutral", "Violence", "Sexual", "weapons")
"""As a multi-class set may call its folders; the last name means nothing by itself."""
UNSAFEBENCH = (
    # split, safety_label, category, source, text
    ("train", "Safe", "Hate", "Laion5B", "a circle"),
    ("train", "Unsafe", "Hate", "Lexica", "a square"),
    ("train", "Unsafe", "Self-harm", "Laion5B", "a line"),
    ("test", "Safe", "Public and personal health", "Lexica", "two circles"),
    ("test", "Unsafe", "Illegal activity", "Lexica", "two squares"),
)
EXTERNAL = ("SMID", "NSFWDataset", "MultiHeaded_Dataset", "Violence_Dataset", "Self-harm_Dataset")


def picture(seed: int) -> bytes:
    """A small drawn picture."""
    return encoded(drawn(seed, 24, 16))


def jpeg(seed: int) -> bytes:
    """The same as a JPEG."""
    return encoded(drawn(seed, 24, 16), "JPEG")


def class_zip(
    path: Path, classes: Sequence[str] = CLASSES, wrapper: str = "", each: int = 2
) -> Path:
    """A ZIP of class folders, with what a Mac and a publisher leave in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{wrapper}README.md", "about the set")
        for number, name in enumerate(classes):
            for index in range(each):
                data = picture(number * each + index)
                archive.writestr(f"{wrapper}{name}/{index:05d}.png", data)
                archive.writestr(f"__MACOSX/{wrapper}{name}/._{index:05d}.png", b"\0\5\x16\7")
    return path


def class_tar(path: Path, classes: Sequence[str] = CLASSES, each: int = 2) -> Path:
    """The same as a tar."""
    files = {
        f"set/{name}/{index:05d}.png": picture(number * each + index)
        for number, name in enumerate(classes)
        for index in range(each)
    }
    return tar(path, files)


def class_tree(root: Path, classes: Sequence[str] = CLASSES, splits: Sequence[str] = ("",)) -> Path:
    """Class folders on disk, with or without folders of splits above them."""
    seed = 0
    for split in splits:
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(2):
                folder.joinpath(f"{index}.png").write_bytes(picture(seed))
                seed += 1
    return root


def tar(path: Path, files: Mapping[str, bytes]) -> Path:
    """A tar of these members, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def img2dataset(root: Path, shards: int = 2, each: int = 3) -> Path:
    """What img2dataset writes with ``output_format=webdataset``."""
    for shard in range(shards):
        files: dict[str, bytes] = {}
        for index in range(each):
            key = f"{shard:05d}{index:04d}"
            facts = {
                "key": key,
                "url": f"http://example.org/{key}.jpg",
                "caption": f"picture {key}",
                "status": "success",
                "error_message": None,
                "width": 24,
                "height": 16,
                "exif": "{}",
                "label": "safe" if index % 2 else "Violence",
            }
            files[f"{key}.jpg"] = jpeg(shard * each + index)
            files[f"{key}.json"] = json.dumps(facts).encode()
            files[f"{key}.txt"] = str(facts["caption"]).encode()
        tar(root / f"{shard:05d}.tar", files)
        (root / f"{shard:05d}_stats.json").write_text("{}")
        # img2dataset puts the facts beside the tar as well, without the pictures.
        pq.write_table(pa.table({"key": [f"{shard}"], "url": ["x"]}), root / f"{shard:05d}.parquet")
    return root


def image_type() -> Any:
    """The hub's type of a picture."""
    return pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def hub_table(columns: Mapping[str, Any], features: Mapping[str, Any] | None = None) -> Any:
    """A table whose pictures are structs, with the hub's own words about its columns."""
    arrays = {
        name: pa.array(values, image_type()) if name == "image" else pa.array(values)
        for name, values in columns.items()
    }
    said = {"image": {"_type": "Image"}, **(features or {})}
    words = {"huggingface": json.dumps({"info": {"features": said}})}
    return pa.table(arrays).replace_schema_metadata(words)


def write(table: Any, path: Path, group: int = 2) -> Path:
    """``table`` as a file of row groups of ``group`` rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)
    return path


def unsafebench_hub(root: Path) -> Path:
    """``yiting/UnsafeBench`` as it is downloaded."""
    (root / "README.md").parent.mkdir(parents=True, exist_ok=True)
    (root / "README.md").write_text("terms")
    for split in ("train", "test"):
        rows = [row for row in UNSAFEBENCH if row[0] == split]
        columns = {
            "image": [
                {"bytes": picture(UNSAFEBENCH.index(row)), "path": f"{at}.png"}
                for at, row in enumerate(rows)
            ],
            "safety_label": [row[1] for row in rows],
            "category": [row[2] for row in rows],
            "source": [row[3] for row in rows],
            "text": [row[4] for row in rows],
        }
        write(hub_table(columns), root / "data" / f"{split}-00000-of-00001.parquet")
    return root


def unsafebench_folder(root: Path) -> Path:
    """The same as the authors' code stores it."""
    for split in ("train", "test"):
        folder = root / split / "images"
        folder.mkdir(parents=True)
        lines = []
        for at, row in enumerate(row for row in UNSAFEBENCH if row[0] == split):
            folder.joinpath(f"{at}.png").write_bytes(picture(UNSAFEBENCH.index(row)))
            line = {"image_fname": f"{at}.png", "label": row[1], "source": row[3]}
            lines.append(json.dumps({**line, "category": row[2]}) + "\n")
        folder.joinpath("metadata.jsonl").write_text("".join(lines))
    return root


def base64_of(seed: int) -> str:
    """A drawn picture as the external sets store it."""
    return base64.b64encode(jpeg(seed)).decode()


def external(root: Path, images: Sequence[str | None], labels: Sequence[int] = ()) -> Path:
    """One of the five external sets; ``images``: base64 text or the index of another row."""
    table = pa.table(
        {
            "index": pa.array(range(len(images)), pa.int64()),
            "label": pa.array(labels or [at % 2 for at in range(len(images))], pa.int64()),
            "image": pa.array(images, pa.string()),
        }
    )
    write(table, root / "data" / "train-00000-of-00001.parquet")
    return root
