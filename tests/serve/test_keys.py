"""Keys: shown once, stored as hashes, refused when wrong, expired or revoked."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.serve.postgres import Postgres
from vedette.errors import UsageError
from vedette.serve import keys as subject
from vedette.serve.database.store import open_database, writing
from vedette.serve.database.tables import metadata
from vedette.serve.keys import DAY_S, KeyStore, digest, matches
from vedette.serve.refusals import Refusal
from vedette.serve.services import Scope

SCAN = [Scope.SCAN]


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Any]:
    engine = open_database(str(tmp_path / "service.sqlite"))
    yield engine
    engine.dispose()


@pytest.fixture
def keys(database: Any, clock: Clock) -> Iterator[KeyStore]:
    store = KeyStore(database, clock)
    yield store
    store.close()


@pytest.fixture
def postgres(server: Postgres) -> Postgres:
    return server


def rows(database: Any) -> list[Any]:
    with writing(database) as connection:
        return list(connection.execute(metadata().tables["api_keys"].select()).all())


def until(holds: Any, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


# A key


def test_a_key_opens_what_it_was_made_for(keys: KeyStore) -> None:
    key, info = keys.create("a platform", [Scope.SCAN, Scope.JOBS], rate=5)

    caller = keys.caller(key)

    assert caller is not None
    assert (caller.key_id, caller.name, caller.rate) == (info.id, "a platform", 5)
    assert caller.scopes == {Scope.SCAN, Scope.JOBS}
    assert key == f"vdt_{info.id}_{key[17:]}"
    assert len(key) == 60


def test_keys_differ(keys: KeyStore) -> None:
    made = {keys.create("one", SCAN)[0] for _ in range(5)}

    assert len({key.split("_", 2)[1] for key in made}) == len({key[17:] for key in made}) == 5


def test_the_secret_is_stored_nowhere_and_shown_nowhere(
    keys: KeyStore, database: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key, info = keys.create("one", SCAN)
    secret = key[17:]
    keys.caller(key)
    keys.caller(key[:-1] + "!")
    with pytest.raises(UsageError) as raised:
        keys.revoke(key)  # somebody gives the whole key where the id is asked for
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    shown = [repr(info), repr(keys.list()), str(raised.value), raised.value.hint, caplog.text]
    shown += [repr(keys), repr(keys.caller(key))]

    assert secret.encode() not in files
    assert not any(secret in text or rows(database)[0].hash in text for text in shown)
    assert rows(database)[0].hash == digest(info.id, secret)


def test_the_hash_is_bound_to_the_key_it_is_of() -> None:
    assert matches("0" * 12, "secret", digest("0" * 12, "secret"))
    assert not matches("1" * 12, "secret", digest("0" * 12, "secret"))


def test_a_wrong_secret_is_refused(keys: KeyStore) -> None:
    key, _ = keys.create("one", SCAN)
    other, _ = keys.create("two", SCAN)

    for place in (17, 30, 59):
        swapped = "A" if key[place] != "A" else "B"
        assert keys.caller(key[:place] + swapped + key[place + 1 :]) is None
    assert keys.caller(key[:17] + other[17:]) is None


@given(st.one_of(st.text(max_size=80), st.from_regex(r"vdt_[0-9a-f]{12}_[\w-]{43}")))
@example("vdt_" + "0" * 12 + "_" + "A" * 43)
@example("vdt_" + "0" * 12 + "_" + "A" * 43 + "\n")
@example("vdt_" + "\u0661" * 12 + "_" + "A" * 43)
@example("\ud800" * 60)
@example("vdt_" + "x" * 1_000_000)
def test_what_is_no_key_is_refused(presented: str) -> None:
    assert NOTHING_KNOWN.caller(presented) is None


class NothingKnown(KeyStore):
    def _all(self) -> dict[str, Any]:
        return {}


NOTHING_KNOWN = NothingKnown(None, refresh_s=3600)  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def _end_nothing_known() -> Iterator[None]:
    yield
    NOTHING_KNOWN.close()


def test_an_unknown_id_is_compared_like_a_wrong_secret(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = keys.create("one", SCAN)
    wrong = key[:-4] + "AAAA"
    unknown = f"vdt_{'0' * 12}_{key[17:]}"
    keys.caller(key)
    compared: list[tuple[int, int]] = []

    def compare(left: str, right: str) -> bool:
        compared.append((len(left), len(right)))
        return left == right

    read = []
    monkeypatch.setattr("vedette.serve.keys.hmac.compare_digest", compare)
    monkeypatch.setattr(keys, "_all", lambda: read.append(1))

    assert keys.caller(wrong) is keys.caller(unknown) is None
    assert compared == [(64, 64), (64, 64)]
    assert not read, "neither of them asks the database"


def test_expired_and_revoked_keys_are_compared_before_they_are_refused(
    keys: KeyStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, info = keys.create("one", SCAN)
    keys.revoke(info.id)
    compared = []

    def compare(left: str, right: str) -> bool:
        compared.append(left)
        return left == right

    monkeypatch.setattr("vedette.serve.keys.hmac.compare_digest", compare)

    assert keys.caller(key) is None
    assert len(compared) == 1


def test_a_key_expires(keys: KeyStore, clock: Clock) -> None:
    key, info = keys.create("one", SCAN, lasts_s=30 * DAY_S)

    clock.now += 30 * DAY_S - 1
    assert keys.caller(key) is not None
    clock.now += 1
    assert keys.caller(key) is None
    assert info.state(clock.now) == "expired"


@pytest.mark.parametrize("name", ["", "  ", "a" * 101, "a\nb", "\u202eevil"])
def test_a_name_is_printable(keys: KeyStore, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        keys.create(name, SCAN)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_lifetimes_and_rates_are_above_zero(keys: KeyStore, value: float) -> None:
    with pytest.raises(UsageError, match="above 0"):
        keys.create("one", SCAN, lasts_s=value)
    with pytest.raises(UsageError, match="above 0"):
        keys.create("one", SCAN, rate=value)
    assert keys.list() == ()


def test_a_key_has_a_scope(keys: KeyStore) -> None:
    with pytest.raises(UsageError, match="scope"):
        keys.create("one", [])


def test_a_scope_of_a_later_version_gives_nothing_here(keys: KeyStore, database: Any) -> None:
    key, _ = keys.create("one", SCAN)
    table = metadata().tables["api_keys"]
    with writing(database) as connection:
        connection.execute(table.update().values(scopes=json.dumps(["scan", "everything"])))
    keys.caller(key)
    keys._known.refresh()

    caller = keys.caller(key)

    assert caller is not None
    assert caller.scopes == {Scope.SCAN}


# Rotation and revoking


def test_a_rotated_key_has_a_successor_and_a_time_of_grace(keys: KeyStore, clock: Clock) -> None:
    old, first = keys.create("one", [Scope.JOBS], rate=3)
    new, second = keys.rotate(first.id, grace_s=100)

    assert (second.replaces, second.name, second.rate) == (first.id, "one", 3)
    assert second.scopes == {Scope.JOBS}
    assert second.expires is None
    assert keys.caller(old) is not None
    clock.now += 100
    assert keys.caller(old) is None
    assert keys.caller(new) is not None


def test_rotation_without_grace_ends_the_old_key_at_once(keys: KeyStore) -> None:
    old, info = keys.create("one", SCAN)
    new, _ = keys.rotate(info.id, grace_s=0)

    assert keys.caller(old) is None
    assert keys.caller(new) is not None


def test_rotation_makes_no_key_last_longer_than_it_would_have(keys: KeyStore, clock: Clock) -> None:
    _, info = keys.create("one", SCAN, lasts_s=1000)
    clock.now += 990
    _, second = keys.rotate(info.id, grace_s=500)

    by_id = {one.id: one for one in keys.list()}
    assert by_id[info.id].expires == info.expires
    assert second.expires == clock.now + 1000, "the new one lasts as long as the old one was for"


def test_what_has_ended_is_not_rotated(keys: KeyStore) -> None:
    _, info = keys.create("one", SCAN)
    keys.revoke(info.id)

    with pytest.raises(UsageError, match="revoked"):
        keys.rotate(info.id)
    assert len(keys.list()) == 1


def test_a_revoked_key_is_refused_at_once_and_stays_listed(keys: KeyStore, clock: Clock) -> None:
    key, info = keys.create("one", SCAN)
    first = keys.revoke(info.id).revoked
    clock.now += 5

    assert keys.caller(key) is None
    assert keys.revoke(info.id).revoked == first, "the first time counts"
    assert [one.state(clock.now) for one in keys.list()] == ["revoked"]


def test_an_unknown_id_cannot_be_revoked_or_rotated(keys: KeyStore) -> None:
    for act in (keys.revoke, keys.rotate):
        with pytest.raises(UsageError) as raised:
            act("0" * 12)
        assert raised.value.code == "not_found"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_key_revoked_on_one_replica_is_refused_on_the_other(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        place = str(tmp_path / "service.sqlite")
    else:
        place = request.getfixturevalue("postgres").new_database()
    here, there = open_database(place), open_database(place)
    one, other = KeyStore(here), KeyStore(there, refresh_s=0.1)
    try:
        assert other.caller(f"vdt_{'0' * 12}_{'A' * 43}") is None
        key, info = one.create("one", SCAN)
        assert until(lambda: other.caller(key) is not None)
        one.revoke(info.id)
        assert until(lambda: other.caller(key) is None)
        new, _ = one.rotate(one.create("two", SCAN)[1].id)
        assert until(lambda: other.caller(new) is not None)
    finally:
        one.close()
        other.close()
        here.dispose()
        there.dispose()


def test_a_revoked_key_is_refused_within_five_seconds_by_default() -> None:
    assert subject.REFRESH_S <= 3


def test_two_rotations_at_once_do_not_lose_the_old_key(postgres: Postgres) -> None:
    engine = open_database(postgres.new_database())
    store = KeyStore(engine)
    _, info = store.create("one", SCAN)
    threads = [
        threading.Thread(target=store.rotate, args=(info.id,), kwargs={"grace_s": 50})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = {one.id: one for one in store.list()}
    engine.dispose()
    assert len(found) == 5
    assert found[info.id].expires is not None


# The database is away


class Away(KeyStore):
    """Its database goes away and comes back; ``age_s`` is how old the last reading is."""

    away = False

    def _all(self) -> Any:
        if self.away:
            raise OSError("gone")
        return super()._all()


def test_known_keys_are_believed_for_a_time_and_unknown_ones_are_not(
    database: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store = Away(database, refresh_s=3600, trust_s=300)
    try:
        key, info = store.create("one", SCAN)
        assert store.caller(key) is not None
        store.away = True
        later, _ = store.create("two", SCAN)  # it is in the database, but cannot be read
        assert store.caller(key) is not None
        assert store.caller(later) is None
        assert "cannot be read: OSError" in caplog.text

        held, asked = store._known._held  # type: ignore[misc]
        store._known._held = (held, asked - 301)
        for presented in (key, later, f"vdt_{'0' * 12}_{'A' * 43}"):
            with pytest.raises(Refusal) as raised:
                store.caller(presented)
            assert raised.value.code == "no_database"
            assert raised.value.status == 503
        assert store.caller("nothing like a key") is None

        store.away = False
        store.revoke(info.id)
        assert store.caller(key) is None
        assert store.caller(later) is not None
    finally:
        store.close()


def test_nobody_is_let_in_before_the_first_reading(database: Any) -> None:
    store = Away(database, refresh_s=3600)
    key, _ = store.create("one", SCAN)
    store.away = True
    try:
        with pytest.raises(Refusal, match="database is away"):
            store.caller(key)
    finally:
        store.close()


def test_a_key_that_expires_while_the_database_is_away_is_refused(
    database: Any, clock: Clock
) -> None:
    store = Away(database, clock, refresh_s=3600)
    try:
        key, _ = store.create("one", SCAN, lasts_s=60)
        assert store.caller(key) is not None
        store.away = True
        clock.now += 61
        assert store.caller(key) is None
    finally:
        store.close()


def test_postgresql_stopped_and_started_again(postgres: Postgres) -> None:
    engine = open_database(postgres.new_database())
    store = KeyStore(engine, refresh_s=0.1)
    try:
        key, info = store.create("one", SCAN)
        assert until(lambda: store.caller(key) is not None)
        postgres.stop()
        time.sleep(0.3)
        assert store.caller(key) is not None
        postgres.start()
        assert until(lambda: not store._known._away)
        store.revoke(info.id)
        assert store.caller(key) is None
    finally:
        store.close()
        engine.dispose()
