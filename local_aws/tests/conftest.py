"""For the tests of the local AWS itself: its clock stands still, and moves only when a test says so."""

import math
import uuid
from collections.abc import Iterator

import pytest

from ..local import LocalAws
from .support import Network, Zone


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    with LocalAws(speed=0) as local:
        yield local


@pytest.fixture(scope="session")
def another() -> Iterator[LocalAws]:
    with LocalAws() as local:
        yield local


@pytest.fixture
def own(another: LocalAws) -> LocalAws:
    """One more, on which nothing takes time: an empty account that a test may reset, as nobody else works in it."""
    another.reset()
    another.speed = math.inf
    return another


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:10]}"


@pytest.fixture
def network(aws: LocalAws) -> Network:
    return Network(aws)


@pytest.fixture
def zone(aws: LocalAws, name: str) -> Zone:
    return Zone(aws, f"{name}.test")


@pytest.fixture
def likeliest_again(aws: LocalAws) -> Iterator[None]:
    """Whatever seeds a test sets, the next one finds the likeliest answers."""
    yield
    aws.seed = 0
