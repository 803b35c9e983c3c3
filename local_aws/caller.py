"""Who makes a call, by the application's name that its client sends."""

import re
from collections.abc import Mapping

# A call without an application's name: a person's, or a test's.
OTHER = "other"
_APP = re.compile(r"\bapp/(\S+)")


def caller(headers: Mapping[str, str]) -> str:
    """The name in `app/NAME`: the Rust SDK sends it in x-amz-user-agent too, boto3 in User-Agent only."""
    named = {name.lower(): value for name, value in headers.items()}
    found = _APP.search(f"{named.get('user-agent', '')} {named.get('x-amz-user-agent', '')}")
    return found[1] if found else OTHER
