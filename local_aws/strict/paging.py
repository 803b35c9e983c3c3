"""Pages: a list comes in them, by the size and token of its service; a test may make all of them small."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from moto.core.responses import ActionResult, BaseResponse

from .patch import replaces
from .settings import settings

# More than any test makes: what moto is asked for, so that the pages are cut here alone.
EVERYTHING = 10**6
# A call with parameters that end so names what it wants, and is answered at once.
NAMING = ("Ids", "Arns", "Names")


def page_size(asked: int | str | None, usual: int) -> int:
    """How many a page holds: what was asked for, or AWS's usual number, unless a test wants less."""
    return min(int(asked or usual), settings.page_size or EVERYTHING)


@dataclass(frozen=True)
class Pages:
    """A service's names for the size, the token and the next token, its usual size, its error for a wrong token."""

    size: str
    token: str
    next: str
    usual: int
    error: Callable[[str], Exception]

    def cut(self, original: Callable, call: BaseResponse, kind: str) -> ActionResult:
        """The page that a call asks for of the list that moto answers, which is of this kind."""
        asked, token = call._get_param(self.size), call._get_param(self.token)
        if call.automated_parameter_parsing:
            if any(name.endswith(NAMING) for name in call.params):
                return original(call)
            others = {name: value for name, value in call.params.items() if name != self.token}
            call.params = others | {self.size: EVERYTHING}
        answer = original(call)
        everything = list(answer.result[kind])
        start = self._start(token, kind)
        end = start + page_size(asked, self.usual)
        answer.result[kind] = everything[start:end]
        answer.result.pop(self.next, None)
        if end < len(everything):
            answer.result[self.next] = f"{kind}-{end}"
        return answer

    def _start(self, token: str | None, kind: str) -> int:
        """A token is worth nothing to another operation."""
        if not token:
            return 0
        of, _, number = token.rpartition("-")
        if of != kind or not number.isdigit():
            raise self.error(f"The token '{token}' is not valid")
        return int(number)


def paged(owner: type[BaseResponse], pages: Pages, **kinds: str) -> None:
    """Let the operations of these Python names answer their lists, each of its kind, in pages."""
    for operation, kind in kinds.items():
        replaces(owner, operation)(functools.partial(pages.cut, kind=kind))
