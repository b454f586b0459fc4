"""Terms: accepted once, by their words; carried by what is trained on a set."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from vedette.data.acceptance import accepted, check_set_terms, terms_of, trained_on
from vedette.data.cards import SetCard, card_named, cards, recognised
from vedette.errors import ModelError, UnknownNameError, UsageError, VedetteError
from vedette.models.registry import check_commercial, entries

BENCH = card_named("unsafebench")


@pytest.fixture(autouse=True)
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VEDETTE_DATA", str(tmp_path / "vault"))
    return tmp_path / "vault"


def test_terms_are_asked_for_once() -> None:
    with pytest.raises(UsageError) as caught:
        check_set_terms(BENCH, accept=False, commercial=False)
    assert caught.value.code == "terms_not_accepted"
    assert "--accept-terms" in caught.value.hint

    check_set_terms(BENCH, accept=True, commercial=False)
    check_set_terms(BENCH, accept=False, commercial=False)
    (date,) = accepted()["unsafebench"].values()
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", date)


@pytest.mark.parametrize("field", ["licence", "permitted", "citation"])
def test_other_words_are_asked_for_anew(field: str) -> None:
    check_set_terms(BENCH, accept=True, commercial=False)
    changed = dataclasses.replace(BENCH, **{field: "other words"})  # type: ignore[arg-type]

    with pytest.raises(UsageError):
        check_set_terms(changed, accept=False, commercial=False)


def test_commercial_use_is_refused_whatever_was_accepted() -> None:
    check_set_terms(BENCH, accept=True, commercial=False)

    with pytest.raises(UsageError) as caught:
        check_set_terms(BENCH, accept=True, commercial=True)
    assert caught.value.code == "terms_refused"


def test_a_record_of_acceptances_that_was_damaged_is_said(vault: Path) -> None:
    check_set_terms(BENCH, accept=True, commercial=False)
    (vault / "terms.json").write_text("[1, 2")

    with pytest.raises(VedetteError) as caught:
        check_set_terms(BENCH, accept=True, commercial=False)
    assert caught.value.code == "bad_vault"


def test_what_is_trained_on_a_set_carries_its_terms() -> None:
    free = dataclasses.replace(BENCH, commercial=True, title="A free set")
    model = entries()["dummy"].card
    check_commercial(model)

    check_commercial(trained_on(model, [free]))
    bound = trained_on(model, [free, BENCH])
    assert BENCH.permitted in bound.terms
    assert model.terms in bound.terms
    assert "UnsafeBench" in bound.trained_on
    assert "A free set" in bound.trained_on
    with pytest.raises(ModelError) as caught:
        check_commercial(bound)
    assert caught.value.code == "terms_refused"


@pytest.mark.parametrize("card", cards().values(), ids=lambda card: card.id)
def test_every_card_says_what_binds(card: SetCard) -> None:
    told = "\n".join(terms_of(card))

    for fact in (card.id, card.licence, card.permitted, card.citation):
        assert fact
        assert fact in told
    assert card_named(card.repo) is card
    assert len(card.terms_hash) == 64


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("image-moderation-dataset.zip", "image-moderation"),
        ("hub/yiting/SMID", "smid"),
        ("cache/datasets--yiting--UnsafeBench/snapshots/ab", "unsafebench"),
        ("my/pictures", None),
        ("unsafebench-results.csv", None),
    ],
)
def test_a_set_is_known_by_the_hubs_names(path: str, name: str | None) -> None:
    found = recognised(path)

    assert (found and found.id) == name


def test_a_typo_is_answered() -> None:
    with pytest.raises(UnknownNameError, match="unsafebnch"):
        card_named("unsafebnch")
