"""The characters of a tag: letters, spaces, digits and `_.:/=+-@`, so neither a comma nor a brace.

ELBv2 and ACM have the same pattern (API references, Tag); EC2 takes every character.
"""

import unicodedata
from collections.abc import Callable

from moto.core.responses import BaseResponse

from .patch import replaces

OTHERS = "_.:/=+-@"


def must_fit(
    owner: type[BaseResponse], operations: tuple[str, ...], error: Callable[[str], Exception]
) -> None:
    """Let these operations refuse a tag with another character, before anything is done."""

    def checked(original, self):
        text = _unfit(self._get_param("Tags") or [])
        if text is not None:
            raise error(f"'{text}' is not valid in a tag")
        return original(self)

    for operation in operations:
        replaces(owner, operation)(checked)


def _unfit(tags: list[dict]) -> str | None:
    """The first key or value that has another character."""
    texts = [text for tag in tags for text in (tag["Key"], tag.get("Value") or "")]
    return next((text for text in texts if not all(_fits(each) for each in text)), None)


def _fits(character: str) -> bool:
    return character in OTHERS or unicodedata.category(character)[0] in "LZN"
