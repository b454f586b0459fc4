"""The engine: admission, deadlines, cancellation, shutdown; the count always comes back to 0."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.classifiers import Habit
from tests.pictures import drawn, encoded
from tests.trained_folders import head_folder, mlp
from vedette.calibrate import Calibration, Calibrator, sigmoid
from vedette.errors import UnknownNameError, UsageError
from vedette.models.base import Prepared
from vedette.models.registry import entries
from vedette.pipeline import Scanner
from vedette.policy import load_policy
from vedette.serve.engine import _ENTERING_S, Engine
from vedette.serve.pace import Pace
from vedette.serve.refusals import Refusal
from vedette.settings import ScanOptions, Settings
from vedette.taxonomy import Category
from vedette.types import Image, Item, Record

POLICY = load_policy("default")
FEW_THREADS = Settings(scan=ScanOptions(workers=2))
PNG = encoded(drawn(1))
STRANGE = Calibration("strange", "m@1", {"Hate": Calibrator("temperature", (2.0,))})


def items(count: int) -> list[Item]:
    return [Item(str(place), PNG) for place in range(count)]


class Gate:
    """A model that waits until it is told to go on."""

    def __init__(self, bound: int) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        self.model = Habit(self._wait)
        self.engine = Engine([self.model], FEW_THREADS, bound)

    def _wait(self, batch: object) -> None:
        self.reached.set()
        assert self.open.wait(30)

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(3000):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it does not happen")

    def scan(self, count: int, seconds: float = 30) -> Coroutine[Any, Any, list[Record]]:
        return self.engine.scan(items(count), None, POLICY, seconds)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate(4)
    yield made
    made.open.set()
    made.engine.close()


def test_records_come_in_order_under_the_callers_policy() -> None:
    engine = Engine(["dummy"], Settings(), 8)

    records = asyncio.run(engine.scan(items(3), None, load_policy("strict"), 30))

    engine.close()
    assert [record.key for record in records] == ["0", "1", "2"]
    assert {record.verdict.policy for record in records} == {"strict@1"}
    assert engine.load.waiting == 0
    assert engine.load.rate > 0


def test_an_unknown_model_and_an_empty_engine_are_refused() -> None:
    with pytest.raises(UsageError, match="without a model"):
        Engine([], Settings(), 8)
    with pytest.raises(UsageError, match="admits nothing"):
        Engine(["dummy"], Settings(), 0)
    engine = Engine(["dummy"], Settings(), 8)
    with pytest.raises(UnknownNameError, match="dumy"):
        asyncio.run(engine.scan(items(1), "dumy", POLICY, 30))
    engine.close()
    assert engine.load.waiting == 0


def test_each_model_has_its_own_calibration_and_none_is_left_over() -> None:
    curve = {"Hate": Calibrator("platt", (0.0, -9.0))}
    mine = Calibration("mine", entries()["dummy"].card.model, curve)
    other = Habit(lambda batch: None)
    other.card = replace(other.card, id="other")

    engine = Engine(["dummy", other], Settings(), 8, [mine])
    (record,) = asyncio.run(engine.scan(items(1), "dummy", POLICY, 30))
    (plain,) = asyncio.run(engine.scan(items(1), other.card.id, POLICY, 30))
    engine.close()

    assert engine.calibrated == {"dummy": "mine", other.card.id: None}
    assert record.scores is not None
    assert record.scores[Category.HATE] == pytest.approx(float(sigmoid(np.array(-9.0))), abs=1e-6)
    assert record.scores.calibrated == "mine"
    assert plain.scores is not None
    assert plain.scores.calibrated is None
    for wrong, told in (([mine, mine], "2 calibrations"), ([STRANGE], "not served")):
        with pytest.raises(UsageError, match=told) as caught:
            Engine(["dummy"], Settings(), 8, wrong)
        assert caught.value.code == "bad_calibration"


def test_a_folder_beside_the_service_renames_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nudenet").mkdir()

    engine = Engine(["nudenet"], Settings(), 8)
    engine.close()

    assert list(engine.models) == ["nudenet"]
    assert engine.models["nudenet"].id != "nudenet"


def test_a_folder_goes_by_its_cards_id_and_not_by_where_it_lies(tmp_path: Path) -> None:
    ours = head_folder(tmp_path / "a" / "ours", "dummy", mlp(48))
    same = head_folder(tmp_path / "b" / "ours", "dummy", mlp(48, seed=1))

    engine = Engine(["dummy", str(ours), "dummy"], Settings(), 8)
    engine.close()

    assert list(engine.models) == ["dummy", "ours"]
    with pytest.raises(UsageError, match="two models are called 'ours'"):
        Engine([str(ours), str(same)], Settings(), 8)


def test_warming_runs_each_shape_of_a_model() -> None:
    shapes: set[tuple[int, ...]] = set()

    class Shaped(Habit):
        def prepare(self, image: Image) -> Prepared:
            tall = image.height > image.width
            pixels = image.pixels[: 32 if tall else 16, :16].copy()
            return replace(super().prepare(image), pixels=pixels)

    model = Shaped(lambda batch: shapes.update(one.pixels.shape for one in batch))
    engine = Engine([model], Settings(), 8)

    engine.warm()

    engine.close()
    assert shapes == {(16, 16, 3), (32, 16, 3)}


def test_warming_runs_the_model() -> None:
    model = Habit(lambda batch: None)
    engine = Engine([model], Settings(), 8)

    engine.warm()

    engine.close()
    assert sum(model.batches) >= 2


def test_past_the_bound_images_are_refused_at_once(gate: Gate) -> None:
    async def run() -> None:
        first = asyncio.ensure_future(gate.scan(3))
        await gate.until(lambda: gate.engine.load.waiting == 3)
        with pytest.raises(Refusal) as refused:
            await gate.scan(2)
        assert refused.value.code == "overloaded"
        assert refused.value.status == 503
        assert 1 <= (refused.value.retry_after_s or 0) <= 60
        with pytest.raises(Refusal):
            gate.engine.check_room(2)
        gate.engine.check_room(1)
        assert gate.engine.load.waiting == 3
        assert gate.engine.load.refused == 4
        gate.open.set()
        assert len(await first) == 3
        assert gate.engine.load.waiting == 0

    asyncio.run(run())


def test_who_is_let_in_has_a_place_until_it_is_admitted_or_for_a_moment() -> None:
    engine = Engine(["dummy"], Settings(), 4)

    def is_open() -> bool:
        with suppress(Refusal), engine.entered():
            return True
        return False

    with ExitStack() as inside:
        for _ in range(3):
            inside.enter_context(engine.entered())
        with engine.entered():
            assert not is_open()
        assert is_open()  # it has ended without an image
        inside.enter_context(engine.entered())
        with engine.room(1):
            assert not is_open()  # its place at the door is its place in the queue now
        assert is_open()
        inside.enter_context(engine.entered())
        assert not is_open()
        time.sleep(1.2 * _ENTERING_S)  # four whose bodies do not come
        assert is_open()
        refused = engine.load.refused
        engine.drain()
        assert not is_open()
    engine.close()

    assert refused == 3
    assert engine.load.waiting == 0


def test_a_request_larger_than_the_bound_is_admitted_alone(gate: Gate) -> None:
    gate.open.set()

    assert len(asyncio.run(gate.scan(6))) == 6


def test_a_deadline_ends_the_wait_and_frees_the_room(gate: Gate) -> None:
    async def run() -> None:
        with pytest.raises(Refusal) as refused:
            await gate.scan(4, seconds=0.05)
        assert refused.value.code == "request_timeout"
        assert refused.value.status == 504
        assert gate.engine.load.waiting == 0

    asyncio.run(run())


def test_what_is_cancelled_before_its_turn_is_never_run(gate: Gate) -> None:
    async def run() -> None:
        first = asyncio.ensure_future(gate.scan(1))
        await gate.until(gate.reached.is_set)
        second = asyncio.ensure_future(gate.scan(3))
        await gate.until(lambda: gate.engine.load.waiting == 4)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert gate.engine.load.waiting == 1
        gate.open.set()
        await first

    asyncio.run(run())
    gate.engine.close()
    assert sum(gate.model.batches) == 1


def test_closing_tells_who_waits_that_the_service_goes_down(gate: Gate) -> None:
    async def run() -> None:
        waiting = asyncio.ensure_future(gate.scan(2))
        await gate.until(gate.reached.is_set)
        closing = asyncio.get_running_loop().run_in_executor(None, gate.engine.close)
        with pytest.raises(Refusal) as refused:
            await waiting
        assert refused.value.code == "shutting_down"
        gate.open.set()
        await closing
        with pytest.raises(Refusal, match="shutting down"):
            await gate.scan(1)
        assert gate.engine.load.waiting == 0

    asyncio.run(run())


def test_draining_takes_nothing_new_and_ends_what_is_under_way(gate: Gate) -> None:
    async def run() -> None:
        first = asyncio.ensure_future(gate.scan(1))
        await gate.until(gate.reached.is_set)
        gate.engine.drain()
        with pytest.raises(Refusal, match="shutting down"):
            await gate.scan(1)
        gate.open.set()
        (record,) = await first
        assert record.failure is None

    asyncio.run(run())
    assert gate.engine.draining


def test_a_room_is_given_back_once_whatever_is_done_in_it(gate: Gate) -> None:
    async def run() -> None:
        with gate.engine.room(4) as room:
            assert gate.engine.load.waiting == 4
            with pytest.raises(Refusal, match="too many images"):
                gate.engine.room(1)
            gate.engine.room(0)  # nothing can be in nobody's way
            gate.open.set()
            assert len(await gate.engine.scan(items(3), None, POLICY, 30, room)) == 3
            assert gate.engine.load.waiting == 1
        assert gate.engine.load.waiting == 0
        with pytest.raises(ZeroDivisionError), gate.engine.room(2):
            raise ZeroDivisionError
        assert gate.engine.load.waiting == 0

    asyncio.run(run())


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.sampled_from(["wait", "cancel", "late"])),
        min_size=1,
        max_size=6,
    )
)
def test_the_count_comes_back_to_zero_whatever_happens(
    requests: list[tuple[int, str]],
) -> None:
    gate = Gate(8)

    async def run() -> None:
        tasks = []
        for count, fate in requests:
            seconds = 0.01 if fate == "late" else 30
            tasks.append(asyncio.ensure_future(gate.scan(count, seconds)))
            await asyncio.sleep(0)
            assert gate.engine.load.waiting >= 0
        await asyncio.sleep(0.02)
        for task, (_, fate) in zip(tasks, requests, strict=True):
            if fate == "cancel":
                task.cancel()
        gate.open.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            assert isinstance(outcome, list | Refusal | asyncio.CancelledError), outcome
        await gate.until(lambda: gate.engine.load.waiting == 0)

    asyncio.run(run())
    gate.engine.close()
    assert gate.engine.load.waiting == 0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_pace_is_that_of_work_not_of_idle_time_nor_of_bursts() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.rate == 0
    for _ in range(200):  # ten images every second of work, each second followed by an idle hour
        pace.passed(busy=False)
        clock.now += 1
        for _ in range(10):
            pace.passed(busy=True, done=1)
        clock.now += 3600
        pace.passed(busy=False)

    assert pace.rate == pytest.approx(10, rel=0.05)


def test_the_pace_follows_a_change() -> None:
    clock = Clock()
    pace = Pace(clock)
    for done in [5] * 100 + [1] * 100:
        clock.now += 1
        pace.passed(busy=True, done=done)

    assert pace.rate == pytest.approx(1, rel=0.3)


def test_what_is_cancelled_while_it_waits_for_a_thread_is_never_decoded() -> None:
    begun, go = threading.Event(), threading.Event()
    seen: list[str] = []
    with Scanner("dummy", settings=Settings(scan=ScanOptions(workers=1))) as scanner:
        frames = scanner.decoder.frames

        def watched(item: Item) -> Iterator[Image]:
            seen.append(item.key)
            begun.set()
            assert go.wait(30)
            return frames(item)

        scanner.decoder.frames = watched  # type: ignore[method-assign]
        first, second, third = (scanner.submit(item) for item in items(3))
        assert begun.wait(30)
        second.cancel()
        go.set()
        assert first.result(30).failure is third.result(30).failure is None

    assert seen == ["0", "2"]
