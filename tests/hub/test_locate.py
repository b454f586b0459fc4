"""Weights that are here: found in every layout, held to their hashes, named by what they are."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hub.cards import (
    CARD,
    CONFIG,
    FILES,
    OPEN,
    REPO,
    UNHASHED,
    WEIGHTS,
    card_of,
    place,
    place_in_cache,
)
from tests.hub.server import COMMIT, NEXT, sha256
from vedette.errors import ModelError, UsageError
from vedette.hub.locate import State, examine, folder_of, locate, parts, revision_of
from vedette.hub.lock import Entry, read_lock, update_lock
from vedette.hub.store import store_root
from vedette.hub.trust import trust
from vedette.models.base import Checkpoint, ModelCard, WeightsFile


def code_of(card: ModelCard) -> str:
    with pytest.raises(ModelError) as raised:
        locate(card)
    return raised.value.code


def states(card: ModelCard) -> list[str]:
    located = examine(card)
    assert located is not None
    return [file.state.value for file in located.files]


def test_nothing_is_here() -> None:
    with pytest.raises(ModelError) as raised:
        locate(CARD)

    assert raised.value.code == "weights_missing"
    assert "vedette models pull tested" in raised.value.hint
    assert "VEDETTE_MODELS" in raised.value.hint
    assert examine(CARD) is None
    assert folder_of(CARD) is None


def test_the_store_is_the_users_data_folder(home: Path) -> None:
    folder = place()

    assert folder == home / "data" / "vedette" / "models" / "owner" / "model"
    assert locate(CARD) == folder
    assert folder_of(CARD) == folder
    assert revision_of(CARD) == "1"


def test_a_folder_named_by_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEDETTE_MODELS", str(home / "mine"))
    folder = place(home / "mine" / "owner" / "model")

    assert locate(CARD) == folder


def test_an_address_leaves_the_store_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place()
    monkeypatch.setenv("VEDETTE_MODELS", "https://mirror.example")

    assert locate(CARD) == folder


def test_no_other_kind_of_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEDETTE_MODELS", "ftp://mirror.example")

    with pytest.raises(UsageError, match="https://"):
        locate(CARD)


@pytest.mark.parametrize("card", [CARD, UNHASHED, OPEN], ids=["hashes", "commit", "branch"])
@pytest.mark.parametrize("where", ["store", "cache"])
def test_the_hubs_own_layout(
    home: Path, monkeypatch: pytest.MonkeyPatch, card: ModelCard, where: str
) -> None:
    if where == "store":
        monkeypatch.setenv("VEDETTE_MODELS", str(home / "mine"))
    snapshot = place_in_cache(home / "mine" if where == "store" else home / "hf" / "hub")

    assert locate(card) == snapshot
    # What a branch was at that time is known by its commit only.
    assert revision_of(card) == (COMMIT[:12] if card is OPEN else "1")


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"])
def test_the_hubs_cache_where_the_user_has_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(home / "elsewhere"))

    snapshot = place_in_cache(home / "elsewhere")

    assert locate(CARD) == snapshot


def test_a_blob_that_is_not_what_its_name_says(home: Path) -> None:
    snapshot = place_in_cache(home / "hf" / "hub")
    for path in FILES:
        before = snapshot.joinpath(path).read_bytes()
        snapshot.joinpath(path).write_bytes(b"other")
        assert code_of(UNHASHED) == "weights_altered"
        snapshot.joinpath(path).write_bytes(before)
    assert locate(UNHASHED) == snapshot


def test_files_of_ones_own_in_the_hubs_layout_have_no_published_name(home: Path) -> None:
    snapshot = place_in_cache(home / "hf" / "hub")
    snapshot.joinpath(WEIGHTS).unlink()
    snapshot.joinpath(WEIGHTS).write_bytes(b"a fine-tune")

    assert states(UNHASHED) == ["ok", "not pinned"]
    assert revision_of(UNHASHED).startswith("local-")


def test_a_branch_that_leads_nowhere_in_the_cache(home: Path) -> None:
    snapshot = place_in_cache(home / "hf" / "hub")
    for content in ("", "../../..", "main", "\xff"):
        snapshot.parents[1].joinpath("refs", "main").write_bytes(content.encode("latin-1"))
        assert code_of(OPEN) == "weights_missing"


def test_the_store_comes_before_the_cache(home: Path) -> None:
    place_in_cache(home / "hf" / "hub")
    folder = place()

    assert locate(CARD) == folder


def test_a_place_that_has_all_files_comes_before_one_that_has_some(home: Path) -> None:
    place().joinpath(CONFIG).unlink()
    snapshot = place_in_cache(home / "hf" / "hub")

    assert locate(CARD) == snapshot


@pytest.mark.parametrize("damage", [b"", b"other", FILES[WEIGHTS][:-1], FILES[WEIGHTS] + b"\0"])
def test_altered_weights_are_refused(damage: bytes) -> None:
    place(model=damage)

    assert code_of(CARD) == "weights_altered"
    assert states(CARD) == ["ok", "altered"]


def test_a_missing_file_is_named() -> None:
    place().joinpath(WEIGHTS).unlink()

    assert code_of(CARD) == "weights_missing"
    assert states(CARD) == ["ok", "missing"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
def test_a_pipe_is_no_file() -> None:
    folder = place()
    folder.joinpath(WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)

    assert code_of(CARD) == "weights_missing"


def test_no_lock_and_no_published_hash() -> None:
    place()
    first = revision_of(UNHASHED)
    place(model=b"other")

    assert states(UNHASHED) == ["not pinned", "not pinned"]
    assert first.startswith("local-")
    assert len(first) == len("local-") + 12
    assert revision_of(UNHASHED) not in (first, "1")


def test_one_file_without_a_published_hash_is_enough_to_lose_the_name() -> None:
    place()
    files = (WeightsFile(CONFIG), WeightsFile(WEIGHTS, sha256(FILES[WEIGHTS])))
    card = card_of(Checkpoint(REPO, COMMIT, files))

    assert states(card) == ["not pinned", "ok"]
    assert revision_of(card).startswith("local-")


def pulled(asked: str = COMMIT, commit: str = COMMIT, **changed: str) -> None:
    hashes = {path: sha256(data) for path, data in FILES.items()}
    hashes |= {
        f"{name}.{'json' if name == 'config' else 'safetensors'}": h for name, h in changed.items()
    }
    update_lock(store_root(), REPO, lambda _: Entry(asked, commit, hashes))


def test_hashes_of_the_first_pull_count_where_the_card_has_none() -> None:
    place()
    pulled()

    assert revision_of(UNHASHED) == "1"
    place(model=b"other")
    assert code_of(UNHASHED) == "weights_altered"


def test_a_pull_from_a_branch_is_named_by_its_commit() -> None:
    place()
    pulled("main", NEXT)

    assert revision_of(OPEN) == NEXT[:12]


def test_what_was_pulled_at_another_revision_has_no_published_name() -> None:
    place()
    pulled(NEXT, NEXT)

    assert states(UNHASHED) == ["not pinned", "not pinned"]
    assert revision_of(UNHASHED).startswith("local-")


def test_a_lock_that_was_changed_is_noticed() -> None:
    place()
    pulled(model="0" * 64)

    assert code_of(UNHASHED) == "weights_altered"
    assert revision_of(CARD) == "1", "the card's own hashes do not depend on the lock"


def test_a_pulled_hash_does_not_override_the_cards() -> None:
    place(model=b"other")
    pulled(model=sha256(b"other"))

    assert code_of(CARD) == "weights_altered"


@pytest.mark.parametrize("card", [CARD, UNHASHED, OPEN])
def test_weights_of_ones_own_are_accepted_by_their_hash(card: ModelCard) -> None:
    place(model=b"a fine-tune")
    pulled()

    located = trust(card)

    assert located.only(State.OK, State.OWN, State.UNPINNED)
    assert revision_of(card).startswith("local-")
    place(model=b"another one")
    assert code_of(card) == "weights_altered"
    place()
    assert states(card)[1] == "ok" or card is OPEN


def test_trusting_what_is_published_changes_nothing() -> None:
    place()
    trust(CARD)

    assert read_lock(store_root()).entry(REPO) == Entry()
    assert revision_of(CARD) == "1"


def test_what_is_not_here_cannot_be_trusted() -> None:
    place().joinpath(CONFIG).unlink()

    with pytest.raises(ModelError) as raised:
        trust(CARD)
    assert raised.value.code == "weights_missing"


@pytest.mark.parametrize(
    "path",
    [
        *("../x.json", "/etc/x.json", "a/../../x.json", "", ".", "..", "a//b", "a/", "a\\b.json"),
        *("C:/x.json", "a\0b", "~/x.json", "a/./b", "x.json ", "x.", ".hidden"),
    ],
)
def test_paths_that_lead_out_are_refused(path: str) -> None:
    with pytest.raises(UsageError):
        locate(card_of(Checkpoint(REPO, COMMIT, (WeightsFile(path),))))


@pytest.mark.parametrize(
    ("repo", "revision"),
    [
        ("../model", COMMIT),
        ("owner", COMMIT),
        ("owner/..", COMMIT),
        ("owner/a/b", COMMIT),
        ("a--b/c", COMMIT),
        ("/owner/model", COMMIT),
        (REPO, ""),
        (REPO, "../main"),
        (REPO, "a/../b"),
        (REPO, "/main"),
    ],
)
def test_repositories_and_revisions_that_lead_out_are_refused(repo: str, revision: str) -> None:
    with pytest.raises(UsageError):
        locate(card_of(Checkpoint(repo, revision, (WeightsFile(CONFIG),))))


def test_a_card_without_weights() -> None:
    with pytest.raises(ModelError) as raised:
        locate(replace(CARD, weights=None, extra="nudenet"))

    assert raised.value.hint == "pip install 'vedette[nudenet]'"


def test_parts_are_a_models_own_weights_and_those_it_needs_once() -> None:
    backbone = replace(CARD, id="backbone")
    head = replace(CARD, id="head", weights=None, needs=(backbone, backbone))

    assert parts(backbone) == (backbone,)
    assert parts(head) == (backbone,)
    assert parts(replace(CARD, needs=(head,))) == (replace(CARD, needs=(head,)), backbone)


def test_nothing_is_written_by_looking(home: Path) -> None:
    place()
    before = sorted(home.rglob("*"))
    locate(CARD)
    examine(UNHASHED)

    assert sorted(home.rglob("*")) == before
