"""One local AWS and one deployment for all tests; for each test an empty account with a small world in it."""

from collections.abc import Iterator

import pytest

from harness.stack import Stack, build
from harness.world import World
from local_aws.local import LocalAws


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    """The local AWS, on which nothing takes time."""
    with LocalAws() as local:
        yield local


@pytest.fixture(scope="session")
def stack(aws: LocalAws) -> Stack:
    """The project, built and deployed once."""
    build()
    deployed = Stack(aws)
    deployed.deploy()
    return deployed


@pytest.fixture
def world(aws: LocalAws, stack: Stack) -> Iterator[World]:
    """A small world, alone in its account: what earlier tests left is gone, and only the stack stays."""
    aws.reset()
    with World(aws) as made:
        yield made
        stack.stop_all()
