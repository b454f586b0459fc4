"""The pipeline: one Record for each item, in order, whatever goes wrong on the way."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from tests.classifiers import Habit, NotANumber, choke_on_marked, slow
from tests.pictures import drawn, encoded, folder_of
from vedette import (
    Action,
    Category,
    Item,
    Limits,
    Policy,
    Scanner,
    ScanOptions,
    Settings,
    Verdict,
    load_policy,
    wire,
)
from vedette.errors import UsageError
from vedette.models.base import Prepared
from vedette.models.dummy import Dummy
from vedette.policy import Rule
from vedette.types import Prediction, Record, Region

RED = encoded(PIL.Image.new("RGB", (40, 30), (255, 0, 0)))


def comparable(record: Record) -> dict[str, object]:
    """A Record's JSON without its times."""
    return {k: v for k, v in wire.to_dict(record).items() if k != "times_ms"}


def test_records_come_in_order_whatever_their_cost() -> None:
    big, small = encoded(drawn(1, 1500, 1200)), encoded(drawn(2, 20, 20))
    items = [Item(str(i), big if i % 7 == 0 else small) for i in range(60)]
    with Scanner("dummy") as scanner:
        records = list(scanner.scan_many(items))
    assert [r.key for r in records] == [item.key for item in items]
    assert all(r.failure is None and r.frames == 1 for r in records)


def test_many_and_one_agree_in_any_set_up(tmp_path: Path) -> None:
    files = sorted(folder_of(tmp_path, 12).iterdir())
    outcomes = []
    for options in (
        ScanOptions(),
        ScanOptions(workers=1, batch=1, in_flight=1),
        ScanOptions(workers=3, batch=5, hardened=True),
    ):
        with Scanner("dummy", settings=Settings(scan=options)) as scanner:
            outcomes.append([comparable(r) for r in scanner.scan_many(files)])
            outcomes.append([comparable(scanner.scan(file)) for file in files])
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_one_bad_image_costs_one_record() -> None:
    model = Habit(choke_on_marked)
    items = [Item(str(i), RED if i == 11 else encoded(drawn(i, 40, 30))) for i in range(30)]
    with Scanner(model, settings=Settings(scan=ScanOptions(batch=8))) as scanner:
        records = list(scanner.scan_many(items))
    failed = [r for r in records if r.failure is not None]
    assert [r.key for r in failed] == ["11"]
    assert failed[0].failure is not None
    assert (failed[0].failure.stage, failed[0].failure.code) == ("infer", "model_failed")
    assert "the network choked" in failed[0].failure.message
    assert failed[0].verdict.action is Action.REVIEW
    assert failed[0].sha256 is not None
    assert max(model.batches) > 1, "nothing was batched, so nothing was retried"


def test_a_model_that_answers_nan_is_a_failure_not_a_score() -> None:
    with Scanner(NotANumber()) as scanner:
        bad, good = scanner.scan_many([RED, encoded(drawn(1))])
    assert bad.failure is not None
    assert bad.failure.code == "model_output_invalid"
    assert bad.scores is None
    assert bad.verdict.action is not Action.ALLOW
    assert good.failure is None


def animation(frames: list[PIL.Image.Image]) -> bytes:
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], duration=200)
    return stream.getvalue()


def test_the_worst_frame_decides() -> None:
    frames = [drawn(seed, 40, 30) for seed in range(5)]
    with Scanner("dummy") as scanner:
        whole = scanner.scan(animation(frames))
    assert whole.frames == 5
    assert [f.frame for f in whole.timeline] == [0, 1, 2, 3, 4]
    assert [f.time_s for f in whole.timeline] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert whole.scores is not None
    for category, p in whole.scores.as_dict().items():
        assert p == max(f.p[category] for f in whole.timeline)


def test_frames_within_the_limit_count_and_the_failure_too() -> None:
    settings = Settings(limits=Limits(frames=3))
    with Scanner("dummy", "permissive", settings=settings) as scanner:
        record = scanner.scan(animation([drawn(s, 40, 30) for s in range(5)]))
    assert record.frames == 3
    assert record.scores is not None
    assert record.failure is not None
    assert record.failure.code == "too_many_frames"
    assert record.verdict.action is not Action.ALLOW


def test_a_model_failure_on_one_frame_spoils_the_file() -> None:
    red = PIL.Image.new("RGB", (40, 30), (255, 0, 0))
    with Scanner(Habit(choke_on_marked)) as scanner:
        record = scanner.scan(animation([drawn(1, 40, 30), red, drawn(2, 40, 30)]))
    assert record.frames == 2
    assert record.failure is not None
    assert record.failure.code == "model_failed"
    assert record.verdict.action is not Action.ALLOW


def test_in_flight_items_are_bounded() -> None:
    read = 0

    def source() -> Iterator[Item]:
        nonlocal read
        for number in range(200):
            read += 1
            yield Item(str(number), encoded(drawn(number % 5, 20, 20)))

    options = ScanOptions(in_flight=10)
    with Scanner("dummy", settings=Settings(scan=options)) as scanner:
        for count, _ in enumerate(scanner.scan_many(source()), start=1):
            assert read - count <= options.in_flight
    assert read == 200


def test_in_flight_bytes_are_bounded() -> None:
    data = encoded(drawn(1, 200, 200))
    options = ScanOptions(in_flight_bytes=3 * len(data))
    delivered = read = 0

    def source() -> Iterator[Item]:
        nonlocal read
        for number in range(30):
            assert read - delivered <= 4
            read += 1
            yield Item(str(number), data)

    with Scanner("dummy", settings=Settings(scan=options)) as scanner:
        for _ in scanner.scan_many(source()):
            delivered += 1
    assert delivered == 30


def test_an_error_of_the_source_reaches_the_caller() -> None:
    def source() -> Iterator[Item]:
        yield Item("a", RED)
        raise OSError("the disk is gone")

    with Scanner("dummy") as scanner:
        records = scanner.scan_many(source())
        with pytest.raises(OSError, match="the disk is gone"):
            list(records)
        assert scanner.scan(RED).failure is None  # the scanner lives on


def test_close_ends_every_waiting_item() -> None:
    scanner = Scanner(Habit(slow(0.2)), settings=Settings(scan=ScanOptions(batch=1)))
    futures = [scanner.submit(Item(str(i), encoded(drawn(i, 20, 20)))) for i in range(20)]
    time.sleep(0.05)
    started = time.monotonic()
    scanner.close()
    assert time.monotonic() - started < 5
    records = [future.result(timeout=0) for future in futures]
    stopped = [r for r in records if r.failure and r.failure.code == "cancelled"]
    assert len(stopped) >= 15
    assert all(r.verdict.action is not Action.ALLOW for r in stopped)
    with pytest.raises(UsageError, match="closed"):
        scanner.submit(Item("late", RED))
    scanner.close()  # a second time is no error


def test_no_thread_outlives_the_scanner() -> None:
    before = threading.active_count()
    with Scanner("dummy") as scanner:
        scanner.scan(RED)
        assert threading.active_count() > before
    assert threading.active_count() == before


def test_stopping_early_cancels_what_was_read_ahead() -> None:
    model = Habit(slow(0.02))
    with Scanner(model, settings=Settings(scan=ScanOptions(batch=1))) as scanner:
        records = scanner.scan_many(Item(str(i), encoded(drawn(i, 20, 20))) for i in range(1000))
        next(records)
        records.close()
        assert scanner.scan(RED).failure is None
    assert len(model.batches) < 100


def test_everything_that_python_gives(tmp_path: Path) -> None:
    picture = drawn(4)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture))
    given: list[Any] = [
        path,
        str(path),
        path.read_bytes(),
        picture,
        np.asarray(picture),
        Item("x", path),
    ]
    with Scanner("dummy") as scanner:
        records = [scanner.scan(one) for one in given]
        with pytest.raises(UsageError):
            scanner.scan(42)  # type: ignore[arg-type]
    first = records[0].scores
    assert first is not None
    for record in records:
        assert record.failure is None
        assert record.scores is not None
        assert record.scores.as_dict() == first.as_dict()
        assert (record.width, record.height) == (120, 90)


def test_embeddings_only_on_request() -> None:
    with Scanner("dummy") as scanner:
        assert scanner.scan(RED).embedding is None
    keep = Settings(scan=ScanOptions(embeddings=True))
    with Scanner("dummy", settings=keep) as scanner:
        embedding = scanner.scan(RED).embedding
    assert embedding is not None
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


def test_several_streams_share_the_work() -> None:
    model = Habit(slow(0.02), streams=3)
    with Scanner(model, settings=Settings(scan=ScanOptions(batch=2))) as scanner:
        items = [Item(str(i), encoded(drawn(i, 20, 20))) for i in range(40)]
        records = list(scanner.scan_many(items))
    assert [r.key for r in records] == [i.key for i in items]
    assert sum(model.batches) == 40


def test_record_fields_of_a_still_picture(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(encoded(drawn(2, 64, 48)))
    with Scanner("dummy") as scanner:
        record = scanner.scan(path)
    assert record.format == "PNG"
    assert record.models == ("dummy@1",)
    assert record.timeline == ()
    assert set(record.times_ms) == {"decode", "infer"}
    assert all(ms >= 0 for ms in record.times_ms.values())


def test_a_defect_in_a_policy_reaches_the_caller_instead_of_hanging_it() -> None:
    class Broken(Policy):
        def decide(self, *evidence: object) -> Verdict:
            raise ZeroDivisionError("a defect")

    policy = Broken(name="broken", version="1", categories=load_policy("default").categories)
    with Scanner("dummy", policy) as scanner:
        for _ in range(2):  # the threads outlive it
            with pytest.raises(ZeroDivisionError, match="a defect"):
                scanner.submit(Item("a", RED)).result(timeout=20)


def test_a_policy_that_the_model_can_see_nothing_of_is_refused() -> None:
    only = load_policy("default").categories
    policy = Policy("spam", "1", {Category.SPAM: only[Category.SPAM]})
    with pytest.raises(UsageError, match="can see nothing that the policy spam@1 asks about"):
        Scanner("nudenet", policy)
    region_rule = load_policy("children").regions["BUTTOCKS_COVERED"]
    by_region = Policy("region", "1", {}, {"BUTTOCKS_COVERED": region_rule})
    Scanner("nudenet", by_region).close()


def test_a_policy_that_asks_about_nothing_is_for_embeddings_and_allows_no_image() -> None:
    settings = Settings(scan=ScanOptions(embeddings=True))
    with Scanner("dummy", Policy("embeddings", "1", {}), settings) as scanner:
        record = scanner.scan(RED)
    assert record.verdict.action is Action.REVIEW
    assert record.failure is None
    assert record.embedding is not None


def test_a_model_that_judges_nothing_is_refused_for_a_scan() -> None:
    class Backbone(Dummy):
        card = replace(Dummy.card, labels={})

    with pytest.raises(UsageError, match="can see nothing") as caught:
        Scanner(Backbone())
    assert "it gives embeddings and judges nothing" in caught.value.hint


class Sloppy(Dummy):
    """A third party's model with one thing wrong in what it returns."""

    def __init__(self, wrong: Callable[[Prediction], Prediction]) -> None:
        self._wrong = wrong

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        return [self._wrong(prediction) for prediction in super().infer(batch)]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p: replace(p, regions=None),
        lambda p: replace(p, regions=(Region("X", float("nan"), (0, 0, 1, 1)),)),
        lambda p: replace(p, regions=(Region("X", 0.5, (0.5, 0, 1, 1)),)),  # type: ignore[arg-type]
        lambda p: replace(p, probs=p.probs.tolist()),
        lambda p: replace(p, probs=p.probs[:-1]),
        lambda p: replace(p, labels=(*p.labels[:-1], "unknown")),
        lambda p: replace(p, embedding=np.array([np.inf])),
        lambda p: None,
    ],
)
def test_whatever_a_model_returns_ends_in_a_record(
    wrong: Callable[[Prediction], Prediction],
) -> None:
    with Scanner(Sloppy(wrong)) as scanner:
        futures = [scanner.submit(Item(str(n), encoded(drawn(n)))) for n in range(3)]
        for future in futures:
            record = future.result(timeout=20)
            assert record.failure is not None
            assert record.failure.stage == "infer"
            assert record.verdict.action is not Action.ALLOW


def test_thresholds_for_calibrated_scores_are_refused_over_others() -> None:
    policy = Policy("house", "1", {Category.SEXUAL: Rule(0.5, None)}, calibrated="mine")

    with pytest.raises(UsageError, match="not calibrated") as caught:
        Scanner("dummy", policy)

    assert caught.value.code == "bad_calibration"
