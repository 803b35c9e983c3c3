"""Waiting for what has to come, and doing something meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

POLL_SECONDS = 0.05
# Far above what anything takes here: a bound, not a measure.
PATIENCE_SECONDS = 120

T = TypeVar("T")


def until(look: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """Look again and again until there is something to see; it must come within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come about in {seconds} s")
        time.sleep(POLL_SECONDS)
    return seen


@contextmanager
def meanwhile(act: Callable[[], None], pause: float = 0) -> Iterator[None]:
    """Do something again and again, so many seconds apart, for the length of a `with` block."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(pause):
            act()

    acting = threading.Thread(target=repeat)
    acting.start()
    try:
        yield
    finally:
        done.set()
        acting.join()
