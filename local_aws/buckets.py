"""Throttling: token buckets of requests on AWS's clock. Off until switched on."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .clock import clock


@dataclass(frozen=True)
class Limit:
    """A bucket's size and its tokens a second, for the operations of a service that match one of the patterns."""

    service: str
    operations: str
    burst: float
    rate: float
    # One bucket for each operation, or one for them all.
    each: bool = False

    def is_for(self, service: str, *names: str) -> bool:
        """Whether it is for an operation of the service that goes by one of the names."""
        return self.service == service and any(
            fnmatchcase(name, pattern) for pattern in self.operations.split() for name in names
        )


@dataclass
class Bucket:
    """Full at first."""

    limit: Limit
    tokens: float
    at: float

    def fill(self) -> None:
        """Put in what the time since the last fill is worth; to the micro-token, as clock.age is."""
        now = clock.now()
        self.tokens = min(self.limit.burst, round(self.tokens + (now - self.at) * self.limit.rate, 6))
        self.at = now


class Buckets:
    """All of a server's. Each call is to be asked about under one lock."""

    def __init__(self) -> None:
        self._on = False
        self._buckets: dict[tuple, Bucket] = {}

    def switch(self, on: bool) -> None:
        """Begin with full buckets, or end."""
        self._on = on
        self._buckets.clear()

    def refuse(self, operation: str, limits: Iterable[Limit], owner: tuple) -> bool:
        """Whether one of the owner's buckets for this is empty; if not, a token is taken from each of them."""
        if not self._on:
            return False
        buckets = [self._bucket(operation, limit, owner) for limit in limits]
        for bucket in buckets:
            bucket.fill()
        if any(bucket.tokens < 1 for bucket in buckets):
            return True
        for bucket in buckets:
            bucket.tokens -= 1
        return False

    def _bucket(self, operation: str, limit: Limit, owner: tuple) -> Bucket:
        key = (owner, limit, operation if limit.each else None)
        return self._buckets.setdefault(key, Bucket(limit, limit.burst, clock.now()))


buckets = Buckets()
