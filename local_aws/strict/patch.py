"""How the strict layer gets over moto's classes."""

import functools
from collections.abc import Callable


def replaces(owner: type, name: str | None = None) -> Callable[[Callable], Callable]:
    """The decorated function stands in for the method or property of its name; it is given moto's own first."""

    def put(function: Callable) -> Callable:
        target = name or function.__name__
        original = getattr(owner, target)
        if isinstance(original, property):
            setattr(owner, target, property(functools.partial(function, original.fget)))
            return function

        @functools.wraps(original)
        def method(self, *arguments, **named):
            return function(original, self, *arguments, **named)

        setattr(owner, target, method)
        return function

    return put
