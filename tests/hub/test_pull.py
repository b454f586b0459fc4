"""Pulls from a hub on the loopback, with everything that goes wrong on the way."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hub.cards import (
    CARD,
    CONFIG,
    FILES,
    OPEN,
    REPO,
    RESTRICTED,
    UNHASHED,
    WEIGHTS,
    card_of,
    place,
    place_in_cache,
)
from tests.hub.server import COMMIT, NEXT, Hub, serving, sha256
from vedette.errors import ModelError, UsageError, VedetteError
from vedette.hub.locate import examine, locate, revision_of
from vedette.hub.lock import NAME, read_lock
from vedette.hub.pull import pull
from vedette.hub.store import store_root
from vedette.hub.terms import terms_hash
from vedette.hub.trust import trust
from vedette.models.base import Checkpoint, ModelCard, WeightsFile


class Told:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.last: dict[str, tuple[int, int | None]] = {}

    def tell(self, line: str) -> None:
        self.lines.append(line)

    def advance(self, path: str, done: int, total: int | None) -> None:
        self.last[path] = (done, total)


def fetch(card: ModelCard = CARD, *, accept: bool = False, commercial: bool = False) -> Path:
    return pull(card, accept_terms=accept, commercial=commercial)


def refused(
    card: ModelCard = CARD, *, accept: bool = False, commercial: bool = False
) -> VedetteError:
    with pytest.raises(VedetteError) as raised:
        fetch(card, accept=accept, commercial=commercial)
    return raised.value


def weights_in_store() -> list[str]:
    """Every file in the store but the locks."""
    return sorted(
        path.relative_to(store_root()).as_posix()
        for path in store_root().rglob("*")
        if path.is_file() and path.name != NAME and path.suffix != ".held"
    )


WHOLE = [f"{REPO}/{CONFIG}", f"{REPO}/{WEIGHTS}"]


# The way that it goes


@pytest.mark.parametrize("card", [CARD, UNHASHED, OPEN], ids=["hashes", "commit", "branch"])
def test_a_pull(hub: Hub, card: ModelCard) -> None:
    told = Told()
    folder = pull(card, accept_terms=False, commercial=False, watcher=told)

    assert folder == locate(card)
    assert {path: folder.joinpath(path).read_bytes() for path in FILES} == FILES
    assert weights_in_store() == WHOLE
    assert revision_of(card) == (COMMIT[:12] if card is OPEN else "1")
    assert told.last == {path: (len(data), len(data)) for path, data in FILES.items()}
    said = "\n".join(told.lines)
    for fact in (card.licence, card.terms, card.trained_on, "262,157 bytes in 2 files"):
        assert fact in said


def test_a_pull_is_recorded(hub: Hub) -> None:
    fetch(OPEN)

    assert json.loads(store_root().joinpath(NAME).read_text()) == {
        "version": 1,
        "repos": {
            REPO: {
                "asked": "main",
                "commit": COMMIT,
                "files": {path: sha256(data) for path, data in FILES.items()},
                "trusted": {},
                "accepted": {},
            }
        },
    }


def test_the_bytes_are_asked_for_by_their_commit(hub: Hub) -> None:
    fetch(OPEN)

    assert {request.path for request in hub.gets()} == {
        f"/{REPO}/resolve/{COMMIT}/{path}" for path in FILES
    }


def test_nobody_else_is_told(hub: Hub) -> None:
    fetch()

    assert all(f"/{REPO}/resolve/" in request.path for request in hub.requests)
    for request in hub.requests:
        given = {name.lower(): value for name, value in request.headers.items()}
        assert given["user-agent"] == "vedette"
        assert "authorization" not in given


def test_a_second_pull_needs_no_network(hub: Hub) -> None:
    fetch(OPEN)
    hub.requests.clear()
    told = Told()
    pull(OPEN, accept_terms=False, commercial=False, watcher=told)

    assert not hub.requests
    assert not told.lines, "terms are shown before the first pull"


def test_what_the_hubs_cache_has_is_not_fetched_again(home: Path, hub: Hub) -> None:
    snapshot = place_in_cache(home / "hf" / "hub")

    assert fetch(UNHASHED) == snapshot
    assert not hub.requests


def test_what_somebody_has_put_there_is_checked_and_pinned(hub: Hub) -> None:
    folder = place()

    assert fetch(UNHASHED) == folder
    assert not hub.gets()
    assert revision_of(UNHASHED) == "1"


def test_a_pinned_branch_stays_where_it_was(hub: Hub) -> None:
    fetch(OPEN)
    hub.publish(REPO, NEXT, {CONFIG: b"{}", WEIGHTS: b"newer"})
    locate(OPEN).joinpath(WEIGHTS).unlink()
    fetch(OPEN)

    assert locate(OPEN).joinpath(WEIGHTS).read_bytes() == FILES[WEIGHTS]
    assert read_lock(store_root()).entry(REPO).commit == COMMIT


def test_a_new_revision_on_the_card_is_pulled(hub: Hub) -> None:
    newer = {CONFIG: b"{}", WEIGHTS: b"newer"}
    hub.publish(REPO, NEXT, newer)
    fetch(UNHASHED)
    moved = card_of(Checkpoint(REPO, NEXT, (WeightsFile(CONFIG), WeightsFile(WEIGHTS))))
    assert revision_of(moved).startswith("local-")
    fetch(moved)

    assert locate(moved).joinpath(WEIGHTS).read_bytes() == b"newer"
    assert revision_of(moved) == "1"
    assert revision_of(UNHASHED).startswith("local-")


def test_two_models_of_one_repository(hub: Hub) -> None:
    one, other = (card_of(Checkpoint(REPO, "main", (WeightsFile(path),))) for path in FILES)
    fetch(one)
    told = Told()
    pull(other, accept_terms=False, commercial=False, watcher=told)

    assert told.lines, "its own terms are shown"
    assert {revision_of(one), revision_of(other)} == {COMMIT[:12]}


def test_a_mirror_named_by_our_own_variable(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Hub()) as mirror:
        mirror.publish(REPO, COMMIT, dict(FILES))
        monkeypatch.setenv("VEDETTE_MODELS", f"{mirror.url}/")
        fetch()

        assert mirror.gets()
    assert not hub.requests


def test_a_redirect_to_where_the_bytes_are(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving(Hub(plain={"/blob": FILES[WEIGHTS]})) as cdn:

        class OnGet(dict[str, str]):
            def __contains__(self, path: object) -> bool:
                return hub.requests[-1].method == "GET" and super().__contains__(path)

        hub.redirects = OnGet({f"/{REPO}/resolve/{COMMIT}/{WEIGHTS}": f"{cdn.url}/blob?key=1"})
        cdn.redirects["/blob?key=1"] = f"{cdn.url}/blob"
        fetch()

        assert [request.path for request in cdn.requests] == ["/blob?key=1", "/blob"]
        for request in cdn.requests:
            assert "hf_secret" not in str(request.headers)
    assert locate(CARD)
    assert all(r.headers.get("Authorization") for r in hub.gets())


def test_a_token_that_is_none_is_not_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_se cret")

    error = refused()
    assert error.code == "pull_failed"
    assert "cret" not in error.message
    assert not hub.requests


# Cut connections


def asked_ranges(hub: Hub) -> list[str | None]:
    return [r.headers.get("Range") for r in hub.gets() if r.path.endswith(WEIGHTS)]


def test_a_cut_connection_is_taken_up_where_it_broke_off(hub: Hub) -> None:
    hub.cuts = [10**6, 100_000, 50_000]  # the first one is the configuration, which is sent whole
    fetch()

    assert asked_ranges(hub) == [None, "bytes=100000-", "bytes=150000-"]
    assert locate(CARD)


def test_a_pull_that_gave_up_goes_on_with_the_next_call(hub: Hub) -> None:
    hub.cuts = [10**6, 100_000, 0, 0, 0, 0, 0]
    error = refused()
    assert error.code == "pull_failed"
    assert "cut" in error.message
    assert not [path for path in weights_in_store() if path.startswith(REPO)]
    hub.requests.clear()
    fetch()

    assert asked_ranges(hub) == ["bytes=100000-"]
    assert [r for r in hub.gets() if r.path.endswith(CONFIG)] == [], "it is here whole"
    assert weights_in_store() == WHOLE


def test_a_server_that_knows_no_ranges(hub: Hub) -> None:
    hub.cuts = [10**6, 100_000]
    hub.ignore_range = True
    fetch()

    assert locate(CARD)


def test_a_server_that_is_busy(hub: Hub) -> None:
    hub.statuses = [503, 429, 500]
    fetch()

    assert locate(CARD)


def test_a_server_that_stays_busy(hub: Hub) -> None:
    hub.statuses = [503] * 9
    error = refused()

    assert error.code == "pull_failed"
    assert "503" in error.message


# Wrong bytes


@pytest.mark.parametrize("card", [CARD, UNHASHED, OPEN], ids=["hashes", "commit", "branch"])
@pytest.mark.parametrize("path", FILES)
def test_wrong_bytes_are_refused_and_nothing_is_left(hub: Hub, card: ModelCard, path: str) -> None:
    hub.served[path] = b"x" * len(FILES[path])

    assert refused(card).code == "weights_altered"
    assert not [left for left in weights_in_store() if left.startswith(REPO)]
    assert not read_lock(store_root()).entry(REPO).files
    for held in store_root().rglob("*.part"):
        assert b"xxx" not in held.read_bytes()


def test_other_weights_than_the_cards_are_not_even_fetched(hub: Hub) -> None:
    hub.publish(REPO, COMMIT, {**FILES, WEIGHTS: b"other"})

    assert refused().code == "weights_altered"
    assert not [request for request in hub.gets() if request.path.endswith(WEIGHTS)]


@pytest.mark.parametrize("more", [b"more", b"x" * 3 * 2**20])
def test_more_bytes_than_there_should_be(hub: Hub, more: bytes) -> None:
    hub.served[WEIGHTS] = FILES[WEIGHTS] + more

    error = refused()
    assert error.code == "pull_failed"
    assert "larger" in error.message
    assert not [left for left in weights_in_store() if left.startswith(REPO)]


def test_compressed_bytes(hub: Hub) -> None:
    fetched = place()
    fetched.joinpath(WEIGHTS).unlink()
    hub.compressed = True

    assert refused(UNHASHED).code == "pull_failed"


def test_a_commit_that_is_not_the_one_asked_for(hub: Hub) -> None:
    hub.head_commit = NEXT
    assert "not of" in refused().message
    hub.head_commit = "main"
    assert "does not say which commit" in refused().message
    assert not hub.gets()


def test_a_hub_that_states_no_hash_is_held_to_the_first_pull(hub: Hub) -> None:
    hub.no_etag_hash = True
    fetch(UNHASHED)
    hub.served[WEIGHTS] = b"x" * len(FILES[WEIGHTS])
    locate(UNHASHED).joinpath(WEIGHTS).unlink()

    assert refused(UNHASHED).code == "weights_altered"
    assert weights_in_store() == [f"{REPO}/{CONFIG}"]


@pytest.mark.parametrize("card", [CARD, UNHASHED])
def test_what_was_pulled_and_then_altered_is_pulled_again(hub: Hub, card: ModelCard) -> None:
    fetch(card)
    place(model=b"damaged")
    with pytest.raises(ModelError, match="is not the file"):
        locate(card)
    fetch(card)

    assert locate(card).joinpath(WEIGHTS).read_bytes() == FILES[WEIGHTS]


@pytest.mark.parametrize("card", [CARD, UNHASHED])
def test_what_no_pull_has_put_there_is_not_written_over(hub: Hub, card: ModelCard) -> None:
    folder = place(model=b"a fine-tune")
    error = refused(card)

    assert error.code == "weights_altered"
    assert "--trust" in error.hint
    assert folder.joinpath(WEIGHTS).read_bytes() == b"a fine-tune"


def test_trusted_weights_are_left_alone(hub: Hub) -> None:
    folder = place(model=b"a fine-tune")
    trust(CARD)

    assert fetch() == folder
    assert not hub.requests
    assert folder.joinpath(WEIGHTS).read_bytes() == b"a fine-tune"


def test_trusted_weights_over_pulled_ones_are_left_alone(hub: Hub) -> None:
    fetch()
    folder = place(model=b"a fine-tune")
    trust(CARD)
    folder.joinpath(CONFIG).unlink()

    assert "is there" in refused().message
    assert folder.joinpath(WEIGHTS).read_bytes() == b"a fine-tune"


# What a server says no to


def test_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, "1")
            error = refused()
            assert error.code == "pull_failed"
            assert "HF_HUB_OFFLINE" in error.message
            assert "VEDETTE_MODELS" in error.hint
    assert not hub.requests
    assert not store_root().exists()


def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Hub()) as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone.url)

    error = refused()
    assert error.code == "pull_failed"
    assert gone.url in error.message


@pytest.mark.parametrize(
    ("card", "says"),
    [
        (card_of(Checkpoint("owner/gone", COMMIT, (WeightsFile(CONFIG),))), "no repository"),
        (card_of(Checkpoint(REPO, NEXT, (WeightsFile(CONFIG),))), "no revision"),
        (card_of(Checkpoint(REPO, "dev", (WeightsFile(CONFIG),))), "no revision dev"),
        (card_of(Checkpoint(REPO, COMMIT, (WeightsFile("gone.json"),))), "no file gone.json"),
    ],
)
def test_what_is_not_there(hub: Hub, card: ModelCard, says: str) -> None:
    error = refused(card)

    assert error.code == "pull_failed"
    assert says in error.message
    assert "\n" not in error.message


def test_a_gated_repository(hub: Hub) -> None:
    hub.gated = True

    assert "HF_TOKEN" in refused().hint


@pytest.mark.parametrize(
    "path", ["run.py", "model.pkl", "x", "weights.so", "model.safetensors.exe", "group1-shard1of1x"]
)
def test_files_of_other_kinds_are_never_fetched(hub: Hub, path: str) -> None:
    assert (
        "of this kind" in refused(card_of(Checkpoint(REPO, COMMIT, (WeightsFile(path),)))).message
    )
    assert not hub.requests


def test_shards_of_tensorflow_js_have_no_suffix(hub: Hub) -> None:
    hub.publish(REPO, COMMIT, {"group1-shard1of1": b"weights"})

    assert fetch(card_of(Checkpoint(REPO, COMMIT, (WeightsFile("group1-shard1of1"),))))


def test_paths_that_lead_out_are_never_fetched(hub: Hub) -> None:
    with pytest.raises(UsageError):
        fetch(card_of(Checkpoint(REPO, COMMIT, (WeightsFile("../x.json"),))))
    assert not hub.requests


def test_a_full_disk(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 100

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Full)

    error = refused()
    assert error.code == "pull_failed"
    assert "100 left" in error.message


def test_a_store_that_cannot_be_written(
    home: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.joinpath("file").write_text("no folder")
    monkeypatch.setenv("VEDETTE_MODELS", str(home / "file"))

    assert refused().code == "write_failed"


def test_without_huggingface_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)

    error = refused()
    assert error.code == "missing_extra"
    assert "vedette[zoo]" in error.hint


def test_a_card_without_weights() -> None:
    assert "no weights" in refused(replace(CARD, weights=None)).message


# Terms


def test_terms_that_restrict_are_to_be_accepted(hub: Hub) -> None:
    told = Told()
    with pytest.raises(ModelError) as raised:
        pull(RESTRICTED, accept_terms=False, commercial=False, watcher=told)

    assert raised.value.code == "terms_not_accepted"
    assert "--accept-terms" in raised.value.hint
    assert "for research only" in "\n".join(told.lines)
    assert not hub.requests
    assert not store_root().exists()


def test_accepted_terms_are_recorded_and_not_asked_for_again(hub: Hub) -> None:
    fetch(RESTRICTED, accept=True)

    accepted = read_lock(store_root()).entry(REPO).accepted
    assert list(accepted) == [terms_hash(RESTRICTED)]
    locate(RESTRICTED).joinpath(CONFIG).unlink()
    fetch(RESTRICTED)
    assert locate(RESTRICTED)


def test_other_terms_are_to_be_accepted_anew(hub: Hub) -> None:
    fetch(RESTRICTED, accept=True)

    assert refused(replace(RESTRICTED, terms="for nobody")).code == "terms_not_accepted"


def test_weights_that_are_here_already_do_not_go_round_the_terms(hub: Hub) -> None:
    place()

    assert refused(RESTRICTED).code == "terms_not_accepted"
    assert fetch(RESTRICTED, accept=True)
    assert not hub.requests


def test_commercial_use_refuses_whatever_is_accepted(hub: Hub) -> None:
    assert refused(RESTRICTED, accept=True, commercial=True).code == "terms_refused"
    assert not read_lock(store_root()).entry(REPO).accepted
    fetch(RESTRICTED, accept=True)
    assert refused(RESTRICTED, accept=True, commercial=True).code == "terms_refused"
    assert fetch(CARD, commercial=True), "other terms are no matter"


# Plain addresses


def at(hub: Hub, prefix: str = "/files", *, hashed: bool = True) -> ModelCard:
    hub.plain.update({f"/files/{path}": data for path, data in FILES.items()})
    files = tuple(
        WeightsFile(path, sha256(data) if hashed else None) for path, data in FILES.items()
    )
    return card_of(Checkpoint("somebody/site", "v1", files, f"{hub.url}{prefix}"))


def test_a_plain_address(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    card = at(hub)
    folder = fetch(card)

    assert locate(card) == folder == store_root() / "somebody" / "site"
    assert revision_of(card) == "1"
    assert read_lock(store_root()).entry("somebody/site").commit is None
    assert "hf_secret" not in str(hub.requests)


def test_a_plain_address_is_resumed(hub: Hub) -> None:
    card = at(hub)
    hub.cuts = [10**6, 100_000, 0, 0, 0, 0, 0]
    assert refused(card).code == "pull_failed"
    hub.requests.clear()
    fetch(card)

    assert asked_ranges(hub) == ["bytes=100000-"]


def test_a_beginning_that_belongs_to_nothing_is_thrown_away(hub: Hub) -> None:
    card = at(hub)
    hub.cuts = [10**6, 100_000, 0, 0, 0, 0, 0]
    refused(card)
    (part,) = [p for p in store_root().rglob("*.part") if p.stat().st_size == 100_000]
    part.write_bytes(b"x" * (len(FILES[WEIGHTS]) + 5))
    fetch(card)

    assert locate(card)


def test_a_plain_address_needs_a_hash_on_the_card(hub: Hub) -> None:
    assert "states no SHA-256" in refused(at(hub, hashed=False)).message
    assert not hub.requests


def test_a_plain_address_with_other_bytes(hub: Hub) -> None:
    card = at(hub)
    hub.plain[f"/files/{WEIGHTS}"] = b"other"

    assert refused(card).code == "weights_altered"
    assert not [left for left in weights_in_store() if left.startswith("somebody")]


def test_a_plain_address_that_is_gone(hub: Hub) -> None:
    assert "404" in refused(at(hub, "/gone")).message


@pytest.mark.parametrize(
    "address",
    [
        "http://example.com/files",
        "ftp://example.com/files",
        "file:///etc",
        "//example.com/files",
        "https://name:password@example.com/files",
    ],
)
def test_addresses_that_nothing_is_fetched_from(hub: Hub, address: str) -> None:
    card = at(hub)
    assert card.weights is not None
    error = refused(replace(card, weights=replace(card.weights, url=address)))

    assert error.code == "pull_failed"
    assert "password@" not in error.message


@pytest.mark.parametrize(
    "target", ["http://example.com/x", "ftp://127.0.0.1/x", "file:///etc/hosts"]
)
def test_redirects_that_nothing_is_fetched_from(hub: Hub, target: str) -> None:
    card = at(hub)
    hub.redirects[f"/files/{WEIGHTS}"] = target
    error = refused(card)

    assert error.code == "pull_failed"
    assert not [left for left in weights_in_store() if left.startswith("somebody")]


def test_a_redirect_in_circles(hub: Hub) -> None:
    card = at(hub)
    hub.redirects[f"/files/{WEIGHTS}"] = f"{hub.url}/files/{WEIGHTS}"

    assert refused(card).code == "pull_failed"


def test_a_mirror_is_no_mirror_of_plain_addresses(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEDETTE_MODELS", "https://mirror.invalid")

    assert fetch(at(hub))


def test_altered_files_are_seen_by_examine(hub: Hub) -> None:
    card = at(hub)
    fetch(card).joinpath(WEIGHTS).write_bytes(b"other")
    located = examine(card)

    assert located is not None
    assert [file.state.value for file in located.files] == ["ok", "altered"]
    fetch(card)
    assert locate(card)
