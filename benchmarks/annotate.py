"""How long the next picture takes in a campaign of the paper's size, at the worst moment.

    python benchmarks/annotate.py [postgresql+psycopg://USER@HOST/EMPTY_DATABASE]

All pictures but one have two answers, and a fifth of those differ: whoever asks now makes the
database look at nearly every picture.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from vedette.annotate.annotated import Picture
from vedette.annotate.campaign import Campaign, create_campaign
from vedette.annotate.desk import Desk
from vedette.annotate.exchange import Chain, Entry, Said, add
from vedette.annotate.protocol import Protocol, Round
from vedette.annotate.store import Store

PICTURES = 12_932
CALLS = 20


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = sys.argv[1] if len(sys.argv) > 1 else str(Path(folder) / "a.sqlite")
        with Store.create(place) as store:
            measure(store)


def measure(store: Store) -> None:
    pictures = [Picture(f"{n:05}.png", "", "Laion5B", "Hate") for n in range(PICTURES)]
    campaign = create_campaign(store, "benchmark", pictures, Protocol())
    one, other, third = (campaign.join() for _ in range(3))
    rng = random.Random(1)
    entries = []
    for picture in pictures[:-1]:
        said = rng.choice(["safe", "unsafe"])
        differs = rng.random() < 0.2
        answers = {one[0]: said, other[0]: "na" if differs else said}
        chains = (Chain(who, Round.SAFETY, (Said(a, 0),)) for who, a in answers.items())
        entries.append(Entry(picture, tuple(chains)))
    report("import", 1, lambda: add(campaign, entries))
    desk = Desk.enter(campaign, third[1])
    report("next_item and answer", CALLS, lambda: once(desk))
    report("the last open picture", 1, Desk.enter(campaign, one[1]).next_item)
    report("progress", 1, campaign.progress)
    report("annotated", 1, lambda: whole(campaign))


def once(desk: Desk) -> None:
    task = desk.next_item()
    assert task is not None
    desk.answer(task, "safe")


def whole(campaign: Campaign) -> None:
    assert len(campaign.annotated()) == PICTURES


def report(what: str, times: int, call: Callable[[], object]) -> None:
    start = time.perf_counter()
    for _ in range(times):
        call()
    print(f"{what:<24} {(time.perf_counter() - start) / times * 1000:8.0f} ms")


if __name__ == "__main__":
    main()
