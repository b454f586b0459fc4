"""What an annotator is asked, and that nobody learns what another has answered."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import fields

import pytest

from tests.annotate.people import Clock, campaign_of, desk_of, work
from vedette.annotate.campaign import Campaign, open_campaign
from vedette.annotate.desk import RETRY_S, Desk, Task
from vedette.annotate.protocol import Protocol, Round, Safety, Standing, wanted
from vedette.annotate.store import Store
from vedette.errors import FetchError, UnknownNameError, UsageError
from vedette.taxonomy import Category


def answers_of(campaign: Campaign, round_: Round = Round.SAFETY) -> list[int]:
    return [len(one.standing(round_)) for one in campaign.annotated()]


# The protocol


def test_two_annotators_get_every_picture_and_a_third_those_where_they_differ(
    store: Store,
) -> None:
    campaign = campaign_of(store, 8)
    one, other, third = (desk_of(campaign) for _ in range(3))
    differ = {f"{n:03}.png" for n in (2, 3, 5)}

    assert len(work(one, lambda _: "safe")) == 8
    assert len(work(other, lambda t: "na" if t.key in differ else "safe")) == 8
    assert {task.key for task in work(third, lambda _: "na")} == differ

    assert answers_of(campaign) == [3 if f"{n:03}.png" in differ else 2 for n in range(8)]
    outcomes = {one.picture.key: one.outcome for one in campaign.annotated()}
    assert {key for key, outcome in outcomes.items() if outcome.safety is Safety.NA} == differ
    assert [one.picture.key for one in campaign.decided()] == sorted(set(outcomes) - differ)


def test_three_different_answers_wait_for_a_fourth(store: Store) -> None:
    campaign = campaign_of(store, 1)
    for said in Safety:
        assert len(work(desk_of(campaign), lambda _, said=said: said)) == 1  # type: ignore[misc]

    progress = campaign.progress().rounds[Round.SAFETY]
    assert progress.standings[Standing.UNDECIDED] == 1
    assert campaign.decided() == []
    work(desk_of(campaign), lambda _: "unsafe", most=1)
    assert [one.outcome.safety for one in campaign.annotated()] == [Safety.UNSAFE]


def test_round_two_asks_for_the_category_of_what_was_decided_unsafe(store: Store) -> None:
    campaign = campaign_of(store, 6)
    desks = [desk_of(campaign) for _ in range(2)]
    unsafe = {"001.png", "004.png"}

    def said(task: Task) -> str:
        if task.round is Round.CATEGORY:
            return "Spam"
        return "unsafe" if task.key in unsafe else "safe"

    first = work(desks[0], said)
    assert {task.round for task in first} == {Round.SAFETY}
    assert not campaign.progress().opened
    second = work(desks[1], said)
    assert {task.key for task in second if task.round is Round.CATEGORY} == unsafe
    assert {task.key for task in work(desks[0], said)} == unsafe
    labels = {one.picture.key: one.outcome.label.categories for one in campaign.annotated()}
    assert {key for key, named in labels.items() if named == frozenset([Category.SPAM])} == unsafe
    assert {key for key, named in labels.items() if named == frozenset()} == set(labels) - unsafe


def test_round_two_does_not_begin_while_anybody_could_be_swayed(store: Store) -> None:
    campaign = campaign_of(store, 4)
    one, other, third = (desk_of(campaign) for _ in range(3))
    work(one, lambda _: "unsafe")
    work(other, lambda t: "safe" if t.key == "000.png" else "unsafe")

    assert one.next_item() is None  # waits: one picture needs a third opinion
    work(third, lambda _: "unsafe", most=1)
    task = one.next_item()
    assert task is not None
    assert task.round is Round.CATEGORY


def test_one_annotator_for_the_category_if_so_asked(store: Store) -> None:
    campaign = campaign_of(store, 3, Protocol(2, 1))
    for desk in (desk_of(campaign), desk_of(campaign)):
        work(desk, lambda t: "unsafe" if t.round is Round.SAFETY else "Hate")

    assert answers_of(campaign, Round.CATEGORY) == [1, 1, 1]
    assert len(campaign.decided()) == 3


def test_the_database_finds_what_the_protocol_wants(store: Store) -> None:
    """A random campaign to its end: at each step somebody is asked exactly what is wanted."""
    rng = random.Random(4)
    campaign = campaign_of(store, 10)
    desks = [desk_of(campaign) for _ in range(5)]

    def open_keys(pseudonym: str) -> set[str]:
        return {
            one.picture.key
            for one in campaign.annotated()
            if wanted([a.answer for a in one.standing(Round.SAFETY)], 2)
            and pseudonym not in {a.annotator for a in one.standing(Round.SAFETY)}
        }

    for _ in range(200):
        desk = rng.choice(desks)
        expected = open_keys(desk.pseudonym)
        task = desk.next_item()
        if task is None or task.round is Round.CATEGORY:
            assert not expected
            if not any(open_keys(other.pseudonym) for other in desks):
                break
            continue
        assert task.key in expected
        desk.answer(task, rng.choice(list(Safety)))
    assert all(one.outcome.safety is not None for one in campaign.annotated())


# Leases


def test_a_picture_given_out_is_not_given_to_more_than_are_wanted(store: Store) -> None:
    campaign = campaign_of(store, 1)
    desks = [desk_of(campaign) for _ in range(3)]

    tasks = [desk.next_item() for desk in desks]
    assert [task is not None for task in tasks] == [True, True, False]
    assert desks[0].next_item() == tasks[0]  # the same again until it is answered


def test_a_lease_that_ran_out_goes_to_another(place: str) -> None:
    clock = Clock()
    with Store.create(place, clock) as store:
        campaign = campaign_of(store, 1, Protocol(1, 1))
        slow, quick = (desk_of(campaign, lease_s=60) for _ in range(2))
        late = slow.next_item()
        assert late is not None
        assert quick.next_item() is None
        clock.now += 61
        task = quick.next_item()
        assert task is not None
        with pytest.raises(UsageError, match="not yours any more"):
            slow.answer(late, "safe")
        quick.answer(task, "unsafe")
        with pytest.raises(UsageError, match="not yours any more"):
            slow.answer(late, "safe")
        assert answers_of(campaign) == [1]


def test_a_late_answer_counts_where_nobody_else_has_the_picture(place: str) -> None:
    clock = Clock()
    with Store.create(place, clock) as store:
        campaign = campaign_of(store, 1)
        desk = desk_of(campaign, lease_s=60)
        task = desk.next_item()
        clock.now += 600
        assert task is not None
        desk.answer(task, "safe")
        assert answers_of(campaign) == [1]


# Corrections


def test_a_correction_supersedes_and_keeps_what_was_said(store: Store) -> None:
    campaign = campaign_of(store, 1)
    desk = desk_of(campaign)
    work(desk, lambda _: "safe")
    task = desk.last()
    assert task is not None
    assert task.answer == "safe"
    desk.correct(task, "unsafe")
    desk.correct(task, "unsafe")  # the same again: nothing to add

    (one,) = campaign.annotated()
    assert [given.answer for given in one.given] == ["safe", "unsafe"]
    assert one.given[1].supersedes == one.given[0].id
    assert [given.answer for given in one.standing(Round.SAFETY)] == ["unsafe"]
    assert desk.answered() == 1


def test_an_answer_is_given_once_and_corrected_only_if_given(store: Store) -> None:
    desk = desk_of(campaign_of(store, 2))
    task = desk.next_item()
    assert task is not None
    with pytest.raises(UsageError, match="no answer to correct"):
        desk.correct(task, "safe")
    desk.answer(task, "safe")
    with pytest.raises(UsageError, match="it is answered"):
        desk.answer(task, "na")
    with pytest.raises(UsageError, match="no answer of round 1"):
        desk.correct(task, "Hate")


def test_round_one_is_closed_once_round_two_has_begun(store: Store) -> None:
    campaign = campaign_of(store, 1)
    one, other = desk_of(campaign), desk_of(campaign)
    work(one, lambda _: "unsafe")
    mine = one.last()
    task = other.next_item()
    assert task is not None
    other.answer(task, "unsafe")
    asked = one.next_item()
    assert asked is not None
    assert asked.round is Round.CATEGORY
    assert mine is not None
    with pytest.raises(UsageError, match="round one is over"):
        one.correct(mine, "safe")


# Pictures that cannot be shown


def test_a_picture_that_cannot_be_shown_stays_unanswered_and_goes_to_others(place: str) -> None:
    clock = Clock()
    with Store.create(place, clock) as store:
        campaign = campaign_of(store, 1)
        desk, other = desk_of(campaign), desk_of(campaign)
        task = desk.next_item()
        assert task is not None
        desk.report(task, FetchError("gone", code="not_found"))

        assert desk.next_item() is None
        assert answers_of(campaign) == [0]
        assert campaign.progress().unreadable == (("000.png", "not_found"),)
        assert other.next_item() is not None
        clock.now += RETRY_S + 1
        assert desk.next_item() == task


def test_what_cannot_be_shown_does_not_hold_round_two_up(store: Store) -> None:
    campaign = campaign_of(store, 2)
    desks = [desk_of(campaign), desk_of(campaign)]
    for desk in desks:
        for _ in range(2):
            task = desk.next_item()
            assert task is not None
            if task.key == "000.png":
                desk.report(task, FetchError("gone"))
            else:
                desk.answer(task, "unsafe")

    asked = desks[0].next_item()
    assert asked is not None
    assert (asked.key, asked.round) == ("001.png", Round.CATEGORY)
    assert [one.picture.key for one in campaign.decided()] == ["001.png"]


# Who is who


def test_pseudonyms_and_tokens(store: Store) -> None:
    campaign = campaign_of(store, 1)
    pseudonym, token = campaign.join()

    assert Desk.enter(campaign, token).pseudonym == pseudonym
    again, newer = campaign.join(pseudonym)
    assert again == pseudonym
    assert Desk.enter(campaign, newer).pseudonym == pseudonym
    other = campaign_of(store, 1, name="other")
    for desk_in, wrong in ((campaign, token), (campaign, ""), (campaign, "x"), (other, newer)):
        with pytest.raises(UsageError, match="no annotator of this campaign"):
            Desk.enter(desk_in, wrong)
    with pytest.raises(UnknownNameError):
        campaign.join("a-none")


def test_neither_tokens_nor_names_are_stored(store: Store) -> None:
    campaign = campaign_of(store, 1)
    _, token = campaign.join()
    imported = campaign.pseudonym_for("label-studio:someone@example.org")
    with store.writing() as connection:
        campaign.admit(connection, imported)
        stored = [
            str(cell)
            for table in ("tokens", "annotators", "campaigns")
            for row in connection.exec_driver_sql(f"SELECT * FROM vedette_{table}")
            for cell in row
        ]

    assert not [cell for cell in stored if token in cell or "someone" in cell]
    assert imported == open_campaign(store).pseudonym_for("label-studio:someone@example.org")


# Blindness


def seen_by_second(store: Store, name: str, first: dict[int, str] | None) -> list[object]:
    """All that an annotator gets to know in a campaign whose first annotator answers so."""
    campaign = campaign_of(store, 9, name=name)
    if first is not None:
        work(desk_of(campaign, "a-first"), lambda t: first[int(t.key[:3])])
    desk = desk_of(campaign, "a-second")
    seen: list[object] = []
    while (task := desk.next_item()) is not None:
        seen.append((task.key, task.sha256, task.round, task.answer))
        before = Task(task.item - 1, task.round, "", "")
        for forged in (before, Task(task.item, Round.CATEGORY, "", "")):
            said = "safe" if forged.round is Round.SAFETY else "Hate"
            try:
                desk.answer(forged, said)
            except UsageError as refused:
                seen.append((refused.message, refused.hint))
        desk.answer(task, "na")
        last = desk.last()
        assert last is not None
        seen += [last.key, last.answer, desk.answered()]
        if len(seen) > 36:
            break  # from here on a picture may be in need of a third opinion, or not
    return seen


def test_an_annotator_sees_the_same_whatever_the_other_has_answered(store: Store) -> None:
    worlds: list[dict[int, str] | None] = [
        None,
        dict.fromkeys(range(9), "safe"),
        dict.fromkeys(range(9), "unsafe"),
        dict.fromkeys(range(9), "na"),
        {n: ("safe", "unsafe", "na")[n % 3] for n in range(9)},
    ]
    seen = [seen_by_second(store, f"world {n}", first) for n, first in enumerate(worlds)]

    assert len(seen[0]) > 30
    assert all(one == seen[0] for one in seen)


def test_a_third_opinion_looks_like_any_other_question(store: Store) -> None:
    """In one order for all, whoever has answered before; the task has no place to say it."""
    alone = campaign_of(store, 24, name="alone")
    everything = [task.key for task in work(desk_of(alone, "a-three"), lambda _: "na")]
    differ = set(everything[::5])
    orders = []
    for name, (usual, other) in {"x": ("safe", "unsafe"), "y": ("na", "safe")}.items():
        answers = {key: other if key in differ else usual for key in everything}
        campaign = campaign_of(store, 24, name=name)
        work(desk_of(campaign, "a-one"), lambda _, usual=usual: usual, most=24)  # type: ignore[misc]
        two = desk_of(campaign, "a-two")
        done = work(two, lambda t, answers=answers: answers[t.key], most=16)  # type: ignore[misc]
        orders.append([task.key for task in work(desk_of(campaign, "a-three"), lambda _: "na")])
        third = {task.key for task in done} & differ
        assert set(orders[-1]) == third | (set(everything) - {task.key for task in done})
        # Mixed: what needs a third opinion comes neither first nor last.
        kinds = [key in third for key in orders[-1]]
        assert kinds not in (sorted(kinds), sorted(kinds, reverse=True))

    assert orders[0] == orders[1]
    assert orders[0] == [key for key in everything if key in orders[0]]
    assert {field.name for field in fields(Task)} == {"item", "round", "key", "sha256", "answer"}


def test_the_desk_has_no_other_doors() -> None:
    """What is added here must be held against the tests above."""
    assert {name for name in dir(Desk) if not name.startswith("_")} == {
        *("answer", "answered", "correct", "enter", "last", "next_item", "protocol", "report")
    }


def test_annotators_begin_at_different_places(store: Store) -> None:
    campaign = campaign_of(store, 50)
    tasks = [desk_of(campaign, f"a-{n}").next_item() for n in range(5)]
    firsts = Counter(task.key for task in tasks if task is not None)

    assert len(firsts) >= 3


def test_whoever_guesses_pictures_learns_nothing_of_their_state(store: Store) -> None:
    campaign = campaign_of(store, 4)
    one, other, guesser = (desk_of(campaign) for _ in range(3))
    items: dict[str, int] = {}
    for desk, said in ((one, "safe"), (other, "na")):
        for _ in range(3):
            task = desk.next_item()
            assert task is not None
            items[task.key] = task.item
            desk.answer(task, said if task.key != "000.png" else "unsafe")

    told = set()
    for item in (*items.values(), 10_000):
        with pytest.raises(UsageError) as caught:
            guesser.answer(Task(item, Round.SAFETY, "", ""), "safe")
        told.add((caught.value.message, caught.value.hint))
    states = {len(picture.standing(Round.SAFETY)) for picture in campaign.annotated()}
    assert states & {0, 1}
    assert 2 in states
    assert len(told) == 1
