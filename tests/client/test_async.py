"""The client that awaits: the same answers as the one that waits."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.client.made import PNG, Answer, allowed, picture, records, stub
from tests.client.test_scan import given, untimed
from tests.serve.doubles import KEY
from tests.serve.served import Served
from vedette import AsyncClient, Client, Item, ServiceError
from vedette.client.async_ import AsyncJobs
from vedette.client.sync import Jobs
from vedette.errors import UsageError


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


def test_it_answers_what_the_one_that_waits_answers(
    service: Served, client: Client, tmp_path: Path
) -> None:
    async def main() -> list[str]:
        async with AsyncClient(service.url, KEY) as asked:
            found = [untimed(record) async for record in asked.scan_many(given(tmp_path))]
            assert [untimed(await asked.scan(one)) for one in given(tmp_path)] == found
            return found

    assert run(main()) == [untimed(record) for record in client.scan_many(given(tmp_path))]


def test_requests_run_side_by_side(service: Served) -> None:
    async def main() -> list[str]:
        async with AsyncClient(service.url, KEY) as asked:
            images = [Item(f"k{i}", picture((i, 0, 0))) for i in range(12)]
            found = await asyncio.gather(*(asked.scan(image) for image in images))
            return [record.key for record in found]

    assert run(main()) == [f"k{i}" for i in range(12)]


def test_decide_models_and_policies(service: Served, client: Client) -> None:
    async def main() -> None:
        async with AsyncClient(service.url, KEY) as asked:
            outcome = await asked.judge(PNG)
            assert outcome.decision
            (decided,) = await asked.decide([outcome], policy="strict")
            assert decided.verdict.policy == "strict@1"
            assert (await asked.scan_video(PNG)).frames == 1
            assert await asked.models() == client.models()
            assert await asked.policies() == client.policies()
            with pytest.raises(ServiceError) as caught:
                await asked.jobs.get("0" * 32)
            assert caught.value.code == "not_found"

    run(main())


def test_busy_services_are_asked_again() -> None:
    busy = Answer(503, b"{}", {"Retry-After": "0"})

    async def main(url: str) -> None:
        async with AsyncClient(url) as asked:
            assert (await asked.scan(Item("k", PNG))).key == "k"

    with stub([busy, Answer(cut=True), records(allowed("k"))]) as made:
        run(main(made.url))
    assert len(made.seen) == 3
    assert len({body for *_, body in made.seen}) == 1


def test_it_can_be_cancelled_and_closed(service: Served) -> None:
    async def main() -> None:
        asked = AsyncClient(service.url, KEY)
        task = asyncio.create_task(asked.scan(Path(__file__)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asked.close()
        with pytest.raises(UsageError, match="is closed"):
            await asked.models()
        assert KEY not in f"{asked!r} {vars(asked)!r}"

    run(main())


@pytest.mark.parametrize(("waits", "awaits"), [(Client, AsyncClient), (Jobs, AsyncJobs)])
def test_both_clients_can_do_the_same(waits: type, awaits: type) -> None:
    def methods(cls: type) -> dict[str, list[inspect.Parameter]]:
        return {
            name: list(inspect.signature(method).parameters.values())
            for name, method in vars(cls).items()
            if inspect.isfunction(method) and not name.startswith("_")
        }

    assert methods(waits) == methods(awaits)
