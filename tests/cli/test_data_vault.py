"""``vedette data import`` and what follows it, as a user runs them, on each published set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.data.layouts import (
    EXTERNAL,
    base64_of,
    class_tree,
    class_zip,
    external,
    img2dataset,
    jpeg,
    picture,
    unsafebench_folder,
    unsafebench_hub,
)
from tests.data.test_archive_check import HOSTILE
from vedette.cli import app
from vedette.data.base import CATEGORY, SOURCE, SPLIT, TEXT, read_all
from vedette.data.vault.source import source_of
from vedette.data.vault.stored import names, open_set
from vedette.taxonomy import Category


@pytest.fixture(autouse=True)
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VEDETTE_DATA", str(tmp_path / "vault"))
    return tmp_path / "vault"


def vedette(*args: object, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, args)], input=given)


PUBLISHED: dict[str, tuple[Callable[[Path], Path], int]] = {
    "yiting/UnsafeBench": (unsafebench_hub, 4),
    **{
        f"yiting/{name}": (lambda root: external(root, [base64_of(0), base64_of(1), "0"]), 3)
        for name in EXTERNAL
    },
    "cloverxion/image-moderation-dataset": (lambda root: class_zip(root / "data.zip").parent, 4),
}


@pytest.mark.parametrize("repo", PUBLISHED)
def test_a_copy_of_each_published_set_imports(tmp_path: Path, repo: str) -> None:
    make, images = PUBLISHED[repo]
    root = make(tmp_path / repo)

    asked = vedette("import", root, "--name", "one")
    assert asked.exit_code == 2
    assert "[terms_not_accepted]" in asked.output
    assert names() == []
    done = vedette("import", root, "--name", "one", "--accept-terms")

    assert done.exit_code == 0, done.output
    items = list(read_all(source_of("one")))
    assert len(items) >= min(images, 3)
    assert {item.unsafe for item in items} == {True, False}
    assert vedette("verify").exit_code == 0
    refused = vedette("export", "one", "--out", tmp_path / "out", "--yes")
    assert "[terms_refused]" in refused.output


def test_unsafebenchs_columns_come_out_right(tmp_path: Path) -> None:
    vedette("import", unsafebench_hub(tmp_path / "hub"), "--name", "one", "--accept-terms")

    items = list(read_all(source_of("one")))

    hate, safe = Category.HATE, frozenset[Category]()
    assert {item.meta[SPLIT] for item in items} == {"train", "test"}
    assert {item.meta[SOURCE] for item in items} == {"Laion5B", "Lexica"}
    for item in items:
        assert item.labels in (safe, frozenset({Category(item.meta[CATEGORY])}))
        assert item.meta[TEXT]
    assert any(item.meta[CATEGORY] == hate for item in items)


def test_a_layout_that_is_known_asks_for_terms_whatever_it_is_called(tmp_path: Path) -> None:
    for make in (unsafebench_hub, unsafebench_folder):
        root = make(tmp_path / make.__name__)
        assert "[terms_not_accepted]" in vedette("import", root, "--name", "one").output
    done = vedette("import", root, "--name", "mine", "--set", "none")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("how", ["manifest", "files"])
def test_terms_bind_whatever_the_set_is_read_as(tmp_path: Path, how: str) -> None:
    root = unsafebench_folder(tmp_path / "yiting" / "UnsafeBench")
    place = next(root.rglob("metadata.jsonl")).parent if how == "manifest" else root
    for given in ((place, "--format", how), (f"{how}:{place}",)):
        asked = vedette("import", *given, "--name", "one")
        assert asked.exit_code == 2, asked.output
        assert "[terms_not_accepted]" in asked.output
    assert names() == []


def test_digit_references_come_out_as_the_picture_they_point_to(tmp_path: Path) -> None:
    root = external(tmp_path / "yiting" / "SMID", [base64_of(0), "0", base64_of(1), "2"])
    vedette("import", root, "--name", "one", "--accept-terms")

    items = list(read_all(source_of("one")))

    data = [item.data.read_bytes() for item in items if isinstance(item.data, Path)]
    assert data == [jpeg(0), jpeg(0), jpeg(1), jpeg(1)]


def test_other_sources_import(tmp_path: Path) -> None:
    for name, root in (
        ("tree", class_tree(tmp_path / "tree")),
        ("tars", img2dataset(tmp_path / "tars")),
    ):
        done = vedette("import", root, "--name", name)
        assert done.exit_code == 0, done.output
    assert vedette("list").output.startswith("tars  6 images")
    assert "2 sets: as left" in vedette("verify").output


@pytest.mark.parametrize("name", [n for n in HOSTILE if n not in ("bomb", "many entries")])
def test_of_a_hostile_archive_nothing_is_kept(tmp_path: Path, vault: Path, name: str) -> None:
    make, code = HOSTILE[name]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "set.zip").write_bytes(make())
    before = sorted(tmp_path.rglob("*"))

    done = vedette("import", tmp_path / "in" / "set.zip", "--name", "one")

    assert done.exit_code == 2
    assert f"[{code}]" in done.output
    assert sorted(tmp_path.rglob("*")) == before
    assert not vault.exists()


def test_commercial_settings_refuse_a_set_for_research(tmp_path: Path) -> None:
    config = tmp_path / "vedette.toml"
    config.write_text("commercial = true\n")
    root = unsafebench_hub(tmp_path / "hub")

    done = vedette("import", root, "--name", "x", "--accept-terms", "--config", config)

    assert "[terms_refused]" in done.output
    assert names() == []


def test_what_cannot_be_decoded_is_told_and_not_kept(tmp_path: Path) -> None:
    root = class_tree(tmp_path / "tree")
    (root / "SAFE" / "cut.png").write_bytes(picture(9)[:100])

    done = vedette("import", root, "--name", "one")

    assert done.exit_code == 3
    assert "not imported: SAFE/cut.png: truncated" in done.output
    assert vedette("verify").exit_code == 0


@pytest.mark.parametrize("command", [("delete", "one"), ("export", "one", "--out", "x")])
def test_nothing_happens_unasked(tmp_path: Path, command: tuple[str, ...]) -> None:
    vedette("import", class_tree(tmp_path / "tree"), "--name", "one")

    done = vedette(*command, given="one\n")  # not typed by a person: no terminal

    assert done.exit_code == 2
    assert "[not_confirmed]" in done.output
    assert names() == ["one"]


@pytest.mark.parametrize(
    "options",
    [("--quarantine", "q"), ("--censor", "c"), ("--html", "r.html")],
    ids=lambda options: options[0],
)
@pytest.mark.parametrize("where", ["vault/one", "."])
def test_a_scan_copies_nothing_out_of_the_vault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, str], where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    vedette("import", class_tree(tmp_path / "tree"), "--name", "one")
    before = sorted(tmp_path.rglob("*"))
    scan = ["scan", where, "--model", "dummy"]

    done = CliRunner().invoke(app, [*scan, *options])
    assert done.exit_code == 2
    assert "out of the vault" in done.output
    picture = next(p for p in (tmp_path / "vault" / "one" / "objects").rglob("*") if p.is_file())
    done = CliRunner().invoke(app, ["explain", str(picture), "--model", "dummy", "--out", "e.png"])
    assert "out of the vault" in done.output
    assert sorted(tmp_path.rglob("*")) == before
    assert CliRunner().invoke(app, scan).exit_code != 2  # to look is no copy


def test_the_vault_is_no_source_of_imports(tmp_path: Path, vault: Path) -> None:
    vedette("import", class_tree(tmp_path / "tree"), "--name", "one")

    inside = vault / "one"
    for given in (
        ("vault:one",),
        ("one", "--format", "vault"),
        (inside,),
        (f"files:{inside}",),
        (tmp_path,),
    ):
        assert vedette("import", *given, "--name", "two").exit_code == 2, given
    assert names() == ["one"]


def test_a_link_into_the_vault_is_not_imported(tmp_path: Path, vault: Path) -> None:
    vedette("import", class_tree(tmp_path / "tree"), "--name", "one")
    inside = next(p for p in (vault / "one" / "objects").rglob("*") if p.is_file())
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "own.png").write_bytes(picture(50))
    (folder / "link.png").symlink_to(inside)

    done = vedette("import", folder, "--name", "two")

    assert done.exit_code == 3, done.output
    assert open_set("two").header.failures == {"unsafe_path": 1}
    assert open_set("two").header.stored == 1


def test_a_stopped_import_goes_on_with_the_same_labels_only(tmp_path: Path, vault: Path) -> None:
    root = class_tree(tmp_path / "tree")
    vedette("import", root, "--name", "one")
    (vault / "one").rename(vault / ".importing-one")
    manifest = next((vault / ".importing-one").glob("manifest-*.jsonl"))
    manifest.rename(manifest.with_name("journal.jsonl"))
    swapped = ("--labels", "SAFE=unsafe,UNSAFE=safe")

    for other in ((root, *swapped), (class_tree(tmp_path / "other"),)):
        done = vedette("import", *other, "--name", "one")
        assert (done.exit_code, "was stopped before its end" in done.output) == (2, True)
    assert vedette("import", root, "--name", "one").exit_code == 0
    assert {item.unsafe for item in read_all(source_of("one"))} == {True, False}


def test_one_bad_set_hides_no_other(tmp_path: Path, vault: Path) -> None:
    for name in ("a", "b", "c"):
        vedette("import", class_tree(tmp_path / name), "--name", name)
    (vault / "a" / "set.json").write_text("[]")
    next(p for p in (vault / "c" / "objects").rglob("*") if p.is_file()).unlink()

    listed, verified = vedette("list"), vedette("verify")

    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.output.splitlines()] == ["a", "b", "c"]
    assert verified.exit_code == 1
    assert "not verified: a" in verified.output
    assert "missing: c/" in verified.output


def test_hardened_imports_are_the_same(tmp_path: Path) -> None:
    root = class_tree(tmp_path / "tree")
    (root / "SAFE" / "cut.png").write_bytes(picture(9)[:100])

    assert vedette("import", root, "--name", "one", "--hardened").exit_code == 3
    assert vedette("import", root, "--name", "two").exit_code == 3
    one, two = (list(source_of(name).stored.entries()) for name in ("one", "two"))
    assert one == two


def test_deletion_and_verification_by_the_command(tmp_path: Path, vault: Path) -> None:
    vedette("import", class_tree(tmp_path / "tree"), "--name", "one")
    assert vedette("delete", "one", "--key", "SAFE/0.png", "--yes").exit_code == 0
    next(p for p in (vault / "one" / "objects").rglob("*") if p.is_file()).write_bytes(b"")

    damaged = vedette("verify")
    assert damaged.exit_code == 1
    assert damaged.output.startswith("changed: one/objects/")
    assert vedette("delete", "one", "--reason", "damaged", "--yes").exit_code == 0
    assert "0 sets: as left" in vedette("verify").output


def test_the_cards_can_be_read() -> None:
    assert "yiting/UnsafeBench" in vedette("sets").output
    shown = vedette("sets", "smid").output
    assert "label       1 = unsafe" in shown
    assert "not permitted" in shown
    assert "[unknown_name]" in vedette("sets", "smidd").output
