"""Pace, budget, backoff, kept answers, pictures as sent, options and names."""

from __future__ import annotations

import io
import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.bench.endpoints import EndpointOptions, forms, is_endpoint, open_endpoint
from vedette.bench.endpoints.kept import FILE, Answers, Kept, key_of
from vedette.bench.endpoints.pacing import Budget, Pace, backoff, retry_after
from vedette.bench.endpoints.pictures import PictureLimits, encoded
from vedette.errors import UnknownNameError, UsageError, VedetteError
from vedette.settings import Settings


def test_a_pace_spaces_requests_whatever_thread_makes_them() -> None:
    pace, stop = Pace(100.0), threading.Event()
    times: list[float] = []

    def ask() -> None:
        for _ in range(4):
            pace.wait(stop)
            times.append(time.monotonic())

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(times) == 12
    assert max(times) - min(times) >= 0.11 * 0.9


def test_a_pause_is_for_all_and_a_stop_ends_it() -> None:
    pace, stop = Pace(1e4), threading.Event()
    pace.pause(3600)
    waiting = threading.Thread(target=pace.wait, args=(stop,), daemon=True)
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()

    stop.set()
    waiting.join(10)
    assert not waiting.is_alive()


@given(
    base=st.floats(0, 60),
    attempt=st.integers(0, 20),
    seed=st.integers(0, 99),
    name=st.text(max_size=5),
)
def test_backoff_is_bounded_and_repeatable(base: float, attempt: int, seed: int, name: str) -> None:
    waited = backoff(base, attempt, seed, name)

    assert waited == backoff(base, attempt, seed, name)
    assert min(base * 2**attempt, 600) / 2 <= waited <= min(base * 2**attempt, 600)


def test_backoff_differs_by_image() -> None:
    assert len({backoff(1, 0, 7, str(n)) for n in range(50)}) == 50


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        (" 12 ", 12.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("١٢", None),
    ],
)
def test_retry_after_of_both_forms(header: str, seconds: float | None) -> None:
    assert retry_after(header, 100.0) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_is_taken(header: str) -> None:
    found = retry_after(header, 0.0)

    assert found is None or found >= 0


@given(most=st.integers(0, 200), price=st.floats(1e-6, 10))
def test_a_budget_is_never_passed(most: int, price: float) -> None:
    cap = most * price
    budget = Budget(cap, price)
    for _ in range(most):
        budget.take()

    with pytest.raises(VedetteError) as caught:
        budget.take()

    assert caught.value.code == "cost_cap"
    assert budget.paid == most


def test_kept_answers_are_there_for_the_next_program(tmp_path: Path) -> None:
    first = Answers(tmp_path / "deep" / "er")
    first.put("a", Kept({"x": [1, "ä", None]}, 2.5))
    second = Answers(tmp_path / "deep" / "er")

    assert second.get("a") == Kept({"x": [1, "ä", None]}, 2.5)
    assert second.get("b") is None
    first.close()
    second.close()


def test_a_damaged_answer_is_asked_for_again(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    answers.put("a", Kept(1, 1.0))
    answers.close()
    database = sqlite3.connect(tmp_path / FILE)
    with database:
        database.execute("UPDATE answers SET body = '{'")
    database.close()

    again = Answers(tmp_path)

    assert again.get("a") is None
    again.put("a", Kept(2, 1.0))
    assert again.get("a") == Kept(2, 1.0)
    again.close()


@pytest.mark.parametrize("spoil", ["bytes", "folder", "file in the way"])
def test_a_file_of_answers_that_cannot_be_used_is_told(spoil: str, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    if spoil == "file in the way":
        folder.write_bytes(b"")
    else:
        folder.mkdir()
    if spoil == "bytes":
        (folder / FILE).write_bytes(b"no database" * 1000)
    elif spoil == "folder":
        (folder / FILE).mkdir()

    with pytest.raises(VedetteError) as caught:
        Answers(folder)

    assert caught.value.code == "write_failed"


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_names_of_answers_differ_where_their_parts_do(one: list[str], other: list[str]) -> None:
    assert (key_of(one) == key_of(other)) == (one == other)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_within_the_limits_is_sent_pixel_for_pixel() -> None:
    pixels = noise(60, 40)

    picture = encoded(pixels, PictureLimits())

    assert picture.mime == "image/png"
    assert (np.asarray(PIL.Image.open(io.BytesIO(picture.data))) == pixels).all()


@pytest.mark.parametrize(
    ("limits", "mime", "size"),
    [
        (PictureLimits(side=100), "image/png", (100, 50)),
        (PictureLimits(bytes=40_000), "image/jpeg", (200, 100)),
        (PictureLimits(bytes=8_000), "image/jpeg", (100, 50)),
        (PictureLimits(side=1), "image/png", (1, 1)),
    ],
)
def test_a_larger_one_is_made_smaller(
    limits: PictureLimits, mime: str, size: tuple[int, int]
) -> None:
    picture = encoded(noise(200, 100), limits)

    assert len(picture.data) <= limits.bytes
    assert picture.mime == mime
    assert PIL.Image.open(io.BytesIO(picture.data)).size == size
    assert picture == encoded(noise(200, 100), limits)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0.0},
        {"rate": float("nan")},
        {"rate": float("inf")},
        {"timeout_s": -1.0},
        {"retries": -1},
        {"retries": 10**6},
        {"concurrency": 0},
        {"price": -1.0},
        {"price": 0.1, "max_cost": float("nan")},
        {"max_cost": 1.0},
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        EndpointOptions(**wrong)  # type: ignore[arg-type]


def test_forms_are_what_is_opened(tmp_path: Path) -> None:
    names = [form.partition(":")[0] for form, _ in forms()]

    assert names == ["openai", "rekognition", "safesearch", "command", "predictions"]
    assert all(is_endpoint(f"{name}:x") for name in names)
    assert not is_endpoint("openai-clip")
    with pytest.raises(UnknownNameError, match="opnai") as caught:
        open_endpoint("opnai:x", EndpointOptions(cache=tmp_path), Settings())
    assert "openai" in caught.value.hint


@pytest.mark.parametrize("name", ["predictions:", "command:", "command:'", "rekognition"])
def test_names_that_say_too_little_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_endpoint(name, EndpointOptions(cache=tmp_path), Settings())
