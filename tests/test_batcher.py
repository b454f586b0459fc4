"""The batcher: bounded, fair, one shape to a batch, and nobody waits for ever."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.batcher import Batcher, Closed


@given(
    shapes=st.lists(st.sampled_from([(1,), (2,), (3,)]), max_size=40),
    batch=st.integers(1, 5),
)
def test_everything_comes_out_once_in_batches_of_one_shape(
    shapes: list[tuple[int, ...]], batch: int
) -> None:
    batcher: Batcher[tuple[int, tuple[int, ...]]] = Batcher(100, batch)
    for number, shape in enumerate(shapes):
        batcher.put(shape, (number, shape))
    out: list[int] = []
    oldest_left = set(range(len(shapes)))
    while oldest_left:
        taken = batcher.take()
        assert 1 <= len(taken) <= batch
        assert len({shape for _, shape in taken}) == 1
        assert taken[0][0] == min(oldest_left), "the longest waiting goes first"
        numbers = [number for number, _ in taken]
        assert numbers == sorted(numbers)
        oldest_left -= set(numbers)
        out += numbers
    assert sorted(out) == list(range(len(shapes)))


def test_put_blocks_while_full() -> None:
    batcher: Batcher[int] = Batcher(2, 1)
    batcher.put((1,), 1)
    batcher.put((1,), 2)
    done = threading.Event()

    def third() -> None:
        batcher.put((1,), 3)
        done.set()

    thread = threading.Thread(target=third)
    thread.start()
    assert not done.wait(0.1)
    assert batcher.take() == [1]
    assert done.wait(5)
    thread.join()


def test_close_wakes_everybody_and_returns_the_rest() -> None:
    full: Batcher[int] = Batcher(1, 1)
    full.put((1,), 7)
    empty: Batcher[int] = Batcher(1, 1)
    outcomes: list[str] = []

    def put() -> None:
        with pytest.raises(Closed):
            full.put((1,), 8)
        outcomes.append("put")

    def take() -> None:
        with pytest.raises(Closed):
            empty.take()
        outcomes.append("take")

    threads = [threading.Thread(target=put), threading.Thread(target=take)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    assert full.close() == [7]
    assert empty.close() == []
    for thread in threads:
        thread.join(5)
    assert sorted(outcomes) == ["put", "take"]
    with pytest.raises(Closed):
        full.put((1,), 9)


def test_nobody_takes_more_than_its_share_of_what_waits() -> None:
    batcher: Batcher[int] = Batcher(100, batch=8, takers=2)
    for number in range(22):
        batcher.put((1,), number)

    sizes: list[int] = []
    while sum(sizes) < 22:
        sizes.append(len(batcher.take()))
    assert sizes == [8, 7, 4, 2, 1]
