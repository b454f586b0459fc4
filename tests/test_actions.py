"""Quarantine and censored copies: what happens to files, and what cannot."""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pictures import drawn, encoded
from vedette import Limits
from vedette.actions import Censor, Quarantine, pixelated, safe_path
from vedette.data.paths import PathSource
from vedette.errors import VedetteError
from vedette.policy import load_policy
from vedette.types import Action, Failure, Item, Record, Region, Verdict

POLICY = load_policy("default")


def record(
    key: str,
    action: Action = Action.BLOCK,
    regions: tuple[Region, ...] = (),
    frames: int = 1,
    fmt: str = "PNG",
) -> Record:
    return Record(
        key=key,
        sha256=None,
        width=1,
        height=1,
        frames=frames,
        scores=None,
        regions=regions,
        verdict=Verdict(action, (), POLICY.id),
        failure=None,
        models=("test@1",),
        times_ms={},
        format=fmt,
    )


def test_blocked_files_move_and_others_stay(tmp_path: Path) -> None:
    folder, jail = tmp_path / "in", tmp_path / "jail"
    folder.mkdir()
    for name in ("bad.png", "so-so.png", "good.png"):
        (folder / name).write_bytes(name.encode())
    quarantine = Quarantine(jail, move=True)
    verdicts = {"bad": Action.BLOCK, "so-so": Action.REVIEW, "good": Action.ALLOW}
    for name, action in verdicts.items():
        path = folder / f"{name}.png"
        one = record(f"in/{name}.png", action)
        assert quarantine.wants(one) is (name == "bad")
        if name == "bad":
            assert quarantine.act(one, Item("", path))
    assert sorted(p.name for p in folder.iterdir()) == ["good.png", "so-so.png"]
    assert (jail / "in" / "bad.png").read_bytes() == b"bad.png"
    assert stat.S_IMODE(jail.stat().st_mode) == 0o700
    assert stat.S_IMODE((jail / "in" / "bad.png").stat().st_mode) == 0o600
    assert list(quarantine.told()) == [f"1 moved to {jail}"]


def test_copying_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(b"x")
    Quarantine(tmp_path / "jail", move=False).act(record("bad.png"), Item("", path))
    assert path.exists()
    assert (tmp_path / "jail" / "bad.png").read_bytes() == b"x"


def test_two_files_never_share_a_place(tmp_path: Path) -> None:
    """``../a`` and ``__up__/a``, or one name twice, must not overwrite each other."""
    quarantine = Quarantine(tmp_path / "jail", move=False)
    for number, key in enumerate(["../a.png", "__up__/a.png", "x//a.png", "x/a.png"]):
        path = tmp_path / f"{number}.png"
        path.write_bytes(str(number).encode())
        assert quarantine.act(record(key), Item("", path))
    kept = sorted(p.read_bytes() for p in (tmp_path / "jail").rglob("*") if p.is_file())
    assert kept == [b"0", b"1", b"2", b"3"]


def test_acting_again_keeps_one_copy(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"same")
    quarantine = Quarantine(tmp_path / "jail", move=False)
    for _ in range(2):
        assert quarantine.act(record("a.png"), Item("", path))
    assert [p.name for p in (tmp_path / "jail").iterdir()] == ["a.png"]


def test_archive_members_are_copied_out(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("../../evil.png", b"member")
    source = PathSource([archive])
    (item,) = source.read(source.shards()[0])
    Quarantine(tmp_path / "jail", move=True).act(record(item.key), item)
    inside = [p for p in (tmp_path / "jail").rglob("*") if p.is_file()]
    assert [p.read_bytes() for p in inside] == [b"member"]
    assert archive.exists()
    assert not (tmp_path.parent / "evil.png").exists()


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "jail", move=True)
    gone = Item("gone.png", Failure("fetch", "not_found", "no file"))
    assert not quarantine.act(record("gone.png"), gone)
    assert not quarantine.act(record("gone.png"), Item("", tmp_path / "gone.png"))
    assert "2 blocked but not quarantined" in " ".join(quarantine.told())


@given(st.text(max_size=40))
def test_no_key_leads_out_of_the_folder(key: str) -> None:
    folder = Path("/jail/cell")
    target = safe_path(folder, key)
    assert target.is_relative_to(folder)
    assert target != folder
    assert ".." not in target.parts


def region(label: str, box: tuple[int, int, int, int]) -> Region:
    return Region(label, 0.9, box)


def test_pixelation_destroys_the_region_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (100, 140, 3)).astype(np.uint8)
    out = pixelated(pixels, [region("X", (40, 30, 50, 40))])
    inside, before = out[30:70, 40:90], pixels[30:70, 40:90]
    assert len(np.unique(inside.reshape(-1, 3), axis=0)) <= 7 * 7
    assert np.abs(inside.astype(int) - before).mean() > 30
    changed = (out != pixels).any(axis=2)
    assert not changed[:26].any()
    assert not changed[:, :35].any()
    assert not changed[75:].any()
    assert changed[26:74, 36:94].mean() > 0.95


def test_regions_at_the_border_and_beyond() -> None:
    pixels = np.zeros((10, 10, 3), np.uint8)
    boxes = [(0, 0, 10, 10), (9, 9, 5, 5), (3, 3, 0, 0), (20, 20, 4, 4)]
    assert pixelated(pixels, [region("X", box) for box in boxes]).shape == (10, 10, 3)


@pytest.fixture
def censor(tmp_path: Path) -> Censor:
    return Censor(tmp_path / "out", Limits(), frozenset({"BAD"}))


def test_censored_copy_hides_what_counts_only(tmp_path: Path, censor: Censor) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (80, 80, 3)).astype(np.uint8)
    path = tmp_path / "a.png"
    PIL.Image.fromarray(pixels).save(path)
    regions = (region("BAD", (10, 10, 20, 20)), region("FACE", (50, 50, 20, 20)))
    assert censor.act(record("a.png", Action.REVIEW, regions), Item("", path))
    with PIL.Image.open(tmp_path / "out" / "a.png") as picture:
        out = np.asarray(picture)
    assert (out[10:30, 10:30] != pixels[10:30, 10:30]).mean() > 0.9
    np.testing.assert_array_equal(out[45:], pixels[45:])
    assert path.exists()


def test_censored_jpeg_carries_no_metadata(tmp_path: Path, censor: Censor) -> None:
    picture = drawn(1)
    exif = picture.getexif()
    exif[0x010E] = "a description"
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(picture, "JPEG", exif=exif))
    assert b"a description" in path.read_bytes()
    assert censor.act(
        record("a.jpg", regions=(region("BAD", (1, 1, 30, 30)),), fmt="JPEG"), Item("", path)
    )
    assert b"a description" not in (tmp_path / "out" / "a.jpg").read_bytes()


def test_other_formats_become_png(tmp_path: Path, censor: Censor) -> None:
    data = encoded(drawn(1), "WEBP")
    regions = (region("BAD", (1, 1, 30, 30)),)
    assert censor.act(record("dir/a.webp", regions=regions, fmt="WebP"), Item("", data))
    with PIL.Image.open(io.BytesIO((tmp_path / "out/dir/a.webp.png").read_bytes())) as out:
        assert out.format == "PNG"


@pytest.mark.parametrize(
    "one",
    [
        record("no-region.png"),
        record("animated.gif", regions=(region("BAD", (1, 1, 9, 9)),), frames=3),
        record("face-only.png", regions=(region("FACE", (1, 1, 9, 9)),)),
        record("broken.png", regions=(region("BAD", (1, 1, 9, 9)),)),
    ],
    ids=lambda r: r.key,
)
def test_what_is_not_censored_is_told(tmp_path: Path, censor: Censor, one: Record) -> None:
    data = b"broken" if one.key == "broken.png" else encoded(drawn(1))
    assert not censor.act(one, Item(one.key, data))
    assert not (tmp_path / "out").exists()
    assert "1 flagged but not censored" in " ".join(censor.told())


def test_names_longer_than_the_file_system_takes(tmp_path: Path) -> None:
    long = "é" * 300 + ".png"
    quarantine = Quarantine(tmp_path / "jail", move=False)
    assert quarantine.act(record(f"a.zip!/{long}"), Item("", b"1"))
    assert quarantine.act(record(f"a.zip!/{'é' * 299}x.png"), Item("", b"2"))
    kept = sorted(p.read_bytes() for p in (tmp_path / "jail").rglob("*") if p.is_file())
    assert kept == [b"1", b"2"]


def test_an_archive_and_its_members_do_not_collide(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "jail", move=False)
    assert quarantine.act(record("a.zip"), Item("", b"the archive"))
    assert quarantine.act(record("a.zip!/b.png"), Item("", b"the member"))


def test_what_is_allowed_is_not_censored(censor: Censor) -> None:
    assert not censor.wants(record("a.png", Action.ALLOW, (region("BAD", (1, 1, 9, 9)),)))
    assert censor.wants(record("a.png", Action.REVIEW))


@pytest.mark.parametrize("move", [True, False])
def test_a_quarantine_that_leads_back_to_the_file_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pics" / "a.png"
    path.parent.mkdir()
    path.write_bytes(b"the only copy")
    before = stat.S_IMODE(tmp_path.stat().st_mode)
    quarantine = Quarantine(Path("."), move=move)
    assert not quarantine.act(record("pics/a.png"), Item("", Path("pics/a.png")))
    assert path.read_bytes() == b"the only copy"
    assert stat.S_IMODE(tmp_path.stat().st_mode) == before
    assert "1 blocked but not quarantined" in " ".join(quarantine.told())


def test_censoring_never_overwrites_the_picture_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = encoded(drawn(1))
    (tmp_path / "a.png").write_bytes(data)
    censor = Censor(Path("."), Limits(), frozenset({"BAD"}))
    one = record("a.png", regions=(region("BAD", (1, 1, 30, 30)),))
    assert not censor.act(one, Item("", Path("a.png")))
    assert (tmp_path / "a.png").read_bytes() == data


def test_one_impossible_place_does_not_end_the_scan(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "jail", move=True)
    assert quarantine.act(record("a.zip!/x"), Item("", b"a file"))
    assert not quarantine.act(record("a.zip!/x/y"), Item("", b"below that file"))
    deep = "/".join(["d" * 150] * 60)
    assert not quarantine.act(record(deep), Item("", b"too deep"))
    assert quarantine.act(record("b"), Item("", b"and on"))
    assert "2 blocked but not quarantined" in " ".join(quarantine.told())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_it(tmp_path: Path) -> None:
    (tmp_path / "jail").mkdir()
    (tmp_path / "jail" / "a.png").symlink_to("/dev/full")
    own = f"a~{hashlib.sha256(b'a.png').hexdigest()[:16]}.png"
    (tmp_path / "jail" / own).symlink_to("/dev/full")
    quarantine = Quarantine(tmp_path / "jail", move=True)
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    with pytest.raises(VedetteError) as caught:
        quarantine.act(record("a.png"), Item("", path))
    assert caught.value.code == "write_failed"
    assert path.exists()
