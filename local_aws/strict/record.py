"""The record of every call, and the one lock that each call is carried out under."""

import functools
import re
import threading
import time
import traceback

from moto.core.responses import BaseResponse

from ..caller import OTHER, caller
from . import faults, iam, propagation, throttle
from .patch import replaces

lock = threading.RLock()
_calls: list[dict] = []

_READS = ("Describe", "List", "Get", "Test")
_ERROR_CODE = re.compile(r"<Code>([^<]+)</Code>")


def calls(since: int = 0) -> list[dict]:
    """The calls after the one numbered `since`, oldest first."""
    return _calls[since:]


def clear() -> None:
    """Forget all calls; numbers begin at 1 again."""
    _calls.clear()
    propagation.clear()


def _error(status: int, headers: dict, body) -> str | None:
    """The error code that the client will see, in any of the AWS protocols."""
    if status < 400:
        return None
    code = headers.get("x-amzn-errortype") or headers.get("X-Amzn-ErrorType")
    found = _ERROR_CODE.search(body if isinstance(body, str) else "")
    return code or (found[1] if found else str(status))


@replaces(BaseResponse)
def call_action(original, self):
    """One call at a time, written down: so two identical creates at once make one resource."""
    with lock:
        operation = self._get_action() or self.path
        calling, changes = caller(self.headers), not operation.startswith(_READS)
        call = {
            "n": len(_calls) + 1,
            "service": self.service_name,
            # Route 53 has none.
            "region": None if self.service_name == "route53" else self.region,
            "operation": operation,
            "caller": calling,
            "changes": changes,
            # Before the call is carried out, as IAM sees the tags of that time.
            "checks": [] if calling == OTHER else iam.checks(self, operation, changes),
            "error": "InternalFailure",
            "at": time.time(),
        }
        _calls.append(call)
        carry_out, fault = functools.partial(original, self), None
        if throttle.refuses(self, operation):
            refused = (self.service_name, faults.THROTTLED, "Rate exceeded")
            carry_out = functools.partial(faults.refusal, *refused)
        elif propagation.denies(call):
            refused = (
                self.service_name,
                faults.DENIED,
                f"{calling} is not authorized to perform: {operation}",
            )
            carry_out = functools.partial(faults.refusal, *refused)
        else:  # a fault strikes only what comes through
            fault = faults.due(call)
        call["fault"] = fault.kind if fault else None
        try:
            status, headers, body = fault.strike(self.service_name, carry_out) if fault else carry_out()
        except Exception:
            traceback.print_exc()
            raise
        call["error"] = _error(status, headers, body)
        if not call["error"]:
            propagation.note(call, body if isinstance(body, str) else "")
    if fault:
        fault.hold()
    return status, headers, body
