"""A sample of the crash matrix, as large as fits in its time; `make crash-matrix` runs all of it."""

import os
import random
import time

import pytest
from rich.console import Console

from harness.crash_matrix import Matrix, cells, record_all, show
from harness.stack import Stack
from local_aws.local import LocalAws

SECONDS = 100


def test_every_crash_is_survived(aws: LocalAws, stack: Stack, capsys: pytest.CaptureFixture) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.randrange(2**32))
    end = time.monotonic() + SECONDS
    with stack.without_reaction():
        matrix = Matrix(aws, stack, {})
        every = cells(point for points in record_all(matrix).values() for point in points)
        order = random.Random(seed).sample(every, len(every))
        results = []
        while order and time.monotonic() < end:
            results.append(matrix.run(order.pop()))
    with capsys.disabled():
        console = Console(highlight=False)
        console.print(f"\na sample of {len(every)} points, CRASH_SEED={seed}")
        show(console, results)
    assert [str(result) for result in results if not result.survived] == [], f"CRASH_SEED={seed}"
