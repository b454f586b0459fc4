"""Annotators at work at once, each a program of its own."""

from __future__ import annotations

import subprocess
import sys

from tests.annotate.people import campaign_of, work
from vedette.annotate.desk import Desk, Task
from vedette.annotate.protocol import Protocol, Round
from vedette.annotate.store import Store

_ANNOTATOR = """
import random, sys
from vedette.annotate.campaign import open_campaign
from vedette.annotate.desk import Desk, Task
from vedette.annotate.store import Store

place, token, seed = sys.argv[1:]
rng = random.Random(int(seed))
with Store.open(place) as store:
    desk = Desk.enter(open_campaign(store), token)
    print("ready", flush=True)
    sys.stdin.readline()
    while (task := desk.next_item()) is not None:
        desk.answer(task, rng.choice(desk.protocol.answers(task.round)[:2]))
"""


def _first(task: Task) -> str:
    return Protocol().answers(task.round)[0]


def test_four_annotators_at_once_give_each_picture_two_or_three_answers(place: str) -> None:
    with Store.create(place) as store:
        campaign = campaign_of(store, 40)
        tokens = [campaign.join()[1] for _ in range(4)]
        people = [
            subprocess.Popen(
                [sys.executable, "-c", _ANNOTATOR, place, token, str(seed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for seed, token in enumerate(tokens)
        ]
        for person in people:
            assert person.stdout is not None
            person.stdout.readline()
        for person in people:  # all at once
            assert person.stdin is not None
            person.stdin.write("go\n")
            person.stdin.flush()
        for person in people:
            _, errors = person.communicate(timeout=120)
            assert person.returncode == 0, errors

        answered_at_once = sum(len(one.given) for one in campaign.annotated())
        assert answered_at_once >= 60
        # Who has found nothing to do while others were busy comes back for the rest.
        desks = [Desk.enter(campaign, token) for token in tokens]
        while any(work(desk, _first) for desk in desks):
            pass

        for one in campaign.annotated():
            said = one.standing(Round.SAFETY)
            assert len({answer.annotator for answer in said}) == len(said)
            assert one.outcome.safety is not None
            agree = said[0].answer == said[1].answer
            assert len(said) == (2 if agree else 3), one
            named = one.standing(Round.CATEGORY)
            wanted = 0 if one.outcome.safety != "unsafe" else len({a.answer for a in named[:2]}) + 1
            assert len(named) == wanted
