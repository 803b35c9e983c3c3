"""The characters of a tag: letters, spaces, digits and `_.:/=+-@`, so neither a comma nor a brace.

ELBv2 and ACM have the same pattern (API references, Tag); EC2 takes every character.
"""

import unicodedata

OTHERS = "_.:/=+-@"


def unfit(tags: list[dict]) -> str | None:
    """The first key or value that has another character."""
    texts = [text for tag in tags for text in (tag["Key"], tag.get("Value") or "")]
    return next((text for text in texts if not all(_fits(each) for each in text)), None)


def _fits(character: str) -> bool:
    return character in OTHERS or unicodedata.category(character)[0] in "LZN"
