"""The preview: blurred first, nothing readable by others, nothing left behind."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.pictures import drawn, encoded
from vedette.annotate.preview import BLURS, SIDE, Preview, frames_of, sheet
from vedette.decode import DecodeOptions, InlineDecoder
from vedette.errors import ItemError, UsageError, VedetteError
from vedette.types import Item

DECODER = InlineDecoder(DecodeOptions())


def animated(count: int) -> bytes:
    """Each frame says its number in its red, by fives."""
    frames = [PIL.Image.new("RGB", (60, 40), (n * 5, 0, 90)) for n in range(count)]
    return encoded(
        frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50, disposal=1
    )


def detail(picture: PIL.Image.Image) -> float:
    """How much neighbouring pixels differ."""
    pixels = np.asarray(picture.convert("L"), dtype=float)
    return float(np.abs(np.diff(pixels)).mean() + np.abs(np.diff(pixels, axis=0)).mean())


def test_the_first_sight_is_heavily_blurred_and_each_next_one_less() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    frames = frames_of(Item("a", encoded(PIL.Image.fromarray(noise))), "", DECODER)
    details = [detail(sheet(frames, sharpness)) for sharpness in range(len(BLURS))]

    assert details == sorted(details)
    assert details[0] < details[-1] / 10
    sharp = np.asarray(sheet(frames, len(BLURS) - 1))
    assert sharp.shape == (round(SIDE * 7 / 9), SIDE, 3)
    assert (np.asarray(sheet(frames, 99)) == sharp).all()


@pytest.mark.parametrize("count", [2, 16, 17, 50])
def test_an_animation_is_shown_whole_in_a_grid(count: int) -> None:
    frames = frames_of(Item("a", animated(count)), "", DECODER)

    assert min(count, 9) <= len(frames) <= 16
    shown = [round(int(frame[0, 0, 0]) / 5) for frame in frames]
    (apart,) = set(np.diff(shown).tolist())
    assert shown[0] == 0
    assert shown[-1] + apart >= count
    assert max(sheet(frames, 0).size) <= SIDE


def test_other_bytes_than_the_campaigns_are_not_shown() -> None:
    data = encoded(drawn(1))
    assert frames_of(Item("a", data), hashlib.sha256(data).hexdigest(), DECODER)

    with pytest.raises(ItemError, match="not the one"):
        frames_of(Item("a", data), "0" * 64, DECODER)


def test_half_a_picture_is_none() -> None:
    with pytest.raises(ItemError):
        frames_of(Item("a", encoded(drawn(1, 300, 300), "JPEG")[:-4000]), "", DECODER)


def test_the_file_is_its_owners_only_and_gone_at_the_end(tmp_path: Path) -> None:
    with Preview() as own, Preview(tmp_path / "look.png") as given:
        for preview in (own, given):
            for seed in (1, 2):
                preview.show(drawn(seed))
                assert stat.S_IMODE(preview.path.stat().st_mode) == 0o600
                with PIL.Image.open(preview.path) as shown:
                    assert (np.asarray(shown) == np.asarray(drawn(seed))).all()
        assert stat.S_IMODE(own.path.parent.stat().st_mode) == 0o700
        given.clear()
        assert not given.path.exists()

    assert not own.path.parent.exists()
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_nothing_either(tmp_path: Path) -> None:
    def fail(preview: Preview) -> None:
        with preview:
            preview.show(drawn(1))
            raise KeyboardInterrupt

    preview = Preview()
    with pytest.raises(KeyboardInterrupt):
        fail(preview)
    assert not preview.path.parent.exists()


def test_a_preview_replaces_nothing(tmp_path: Path) -> None:
    there = tmp_path / "there.png"
    there.write_bytes(b"mine")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    for path in (there, tmp_path / "link.png"):
        with pytest.raises(UsageError) as caught:
            Preview(path)
        assert caught.value.code == "output_exists"
    with pytest.raises(UsageError, match=r"is no \.png"):
        Preview(tmp_path / "a.jpg")
    with Preview(tmp_path / "no" / "a.png") as preview, pytest.raises(VedetteError) as unwritable:
        preview.show(drawn(1))
    assert unwritable.value.code == "write_failed"
    assert there.read_bytes() == b"mine"
