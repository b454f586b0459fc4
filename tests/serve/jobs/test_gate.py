"""Who has to be alone in the engine is."""

from __future__ import annotations

import asyncio

from vedette.serve.jobs.gate import Gate


def test_suspects_are_alone_and_do_not_wait_for_ever() -> None:
    inside: list[bool] = []
    seen: list[tuple[bool, int]] = []

    async def one(gate: Gate, alone: bool) -> None:
        async with gate.enter(alone=alone):
            inside.append(alone)
            await asyncio.sleep(0)
            seen.append((alone, len(inside)))
            assert not (True in inside and len(inside) > 1)
            inside.remove(alone)

    async def all_of_them() -> None:
        gate = Gate(2)
        works = [one(gate, place % 5 == 0) for place in range(40)]
        await asyncio.wait_for(asyncio.gather(*works), 60)

    asyncio.run(all_of_them())

    assert len(seen) == 40
    assert max(count for _, count in seen) == 2


def test_who_is_cancelled_while_waiting_keeps_nobody_out() -> None:
    async def work() -> None:
        gate = Gate(2)
        async with gate.enter(alone=False):
            waiting = asyncio.ensure_future(gate.enter(alone=True).__aenter__())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            async with asyncio.timeout(60), gate.enter(alone=False):
                pass
        async with asyncio.timeout(60), gate.enter(alone=True):
            pass

    asyncio.run(work())
