"""Campaigns and annotators for tests."""

from __future__ import annotations

from collections.abc import Callable

from vedette.annotate.annotated import Picture
from vedette.annotate.campaign import Campaign, create_campaign
from vedette.annotate.desk import Desk, Task
from vedette.annotate.protocol import Protocol
from vedette.annotate.store import Store


def pictures(count: int) -> list[Picture]:
    """Pictures of two sources and two categories."""
    return [
        Picture(
            f"{n:03}.png",
            f"{n:064x}",
            ("Laion5B", "Lexica")[n % 2],
            ("Hate", "Spam")[n // 2 % 2],
        )
        for n in range(count)
    ]


def campaign_of(
    store: Store, count: int, protocol: Protocol | None = None, name: str = "campaign"
) -> Campaign:
    return create_campaign(store, name, pictures(count), protocol or Protocol())


def desk_of(campaign: Campaign, pseudonym: str | None = None, lease_s: float = 1800) -> Desk:
    """The desk of a new annotator, under a pseudonym that the test may choose."""
    if pseudonym is not None:
        with campaign.store.writing(campaign.id) as connection:
            campaign.admit(connection, pseudonym)
    return Desk.enter(campaign, campaign.join(pseudonym)[1], lease_s)


def work(desk: Desk, said: Callable[[Task], str], most: int = 1000) -> list[Task]:
    """Answer what there is; the tasks in order."""
    done: list[Task] = []
    while len(done) < most and (task := desk.next_item()) is not None:
        desk.answer(task, said(task))
        done.append(task)
    return done


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now
