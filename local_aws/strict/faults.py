"""Faults on demand: what AWS, the network and Lambda may do to any call."""

import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

import flask

Response = tuple[int, dict, str]

# Instead of the call, AWS answers with its error of that sort, or the network with nothing.
THROTTLED, FAILED, DENIED, CUT = "throttled", "failed", "denied", "cut"
# The call is carried out. Then nobody answers, or its caller dies.
LOST, KILLED = "lost", "killed"
# The caller waits until `end`, and dies: of a call that is not carried out, or of one that is.
STALLED, HELD = "stalled", "held"
KINDS = (THROTTLED, FAILED, DENIED, CUT, LOST, KILLED, STALLED, HELD)

# Status and code, by service: its API reference, "Common errors". EC2: the user guide's "Error codes"; Route 53
# throttles as its developer guide's "Quotas" says.
ERRORS: dict[str, dict[str, tuple[int, str]]] = {
    "ec2": {
        THROTTLED: (503, "RequestLimitExceeded"),
        FAILED: (500, "InternalError"),
        DENIED: (403, "UnauthorizedOperation"),
    },
    "elbv2": {
        THROTTLED: (400, "ThrottlingException"),
        FAILED: (500, "InternalFailure"),
        DENIED: (403, "AccessDenied"),
    },
    "route53": {
        THROTTLED: (400, "Throttling"),
        FAILED: (500, "InternalFailure"),
        DENIED: (403, "AccessDenied"),
    },
    "acm": {
        THROTTLED: (400, "ThrottlingException"),
        FAILED: (500, "InternalFailure"),
        DENIED: (400, "AccessDeniedException"),
    },
}


@dataclass
class Fault:
    """Strikes `times` of the calls that it is about, from the `nth` on."""

    kind: str
    operation: str | None = None
    caller: str | None = None
    # Calls to this region alone, or to all but this one; a service without regions is in neither.
    region: str | None = None
    outside: str | None = None
    nth: int = 1
    times: int = 1
    # The process whose children may be killed.
    parent: int | None = None
    seen: int = 0
    struck: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise LookupError(f"{self.kind} is none of the faults {', '.join(KINDS)}")

    def is_about(self, call: dict) -> bool:
        """Whether the call is of the operation, the caller and the region that the fault is set for."""
        return (
            self.operation in (None, call["operation"])
            and self.caller in (None, call["caller"])
            and self.region in (None, call["region"])
            and (self.outside is None or call["region"] not in (None, self.outside))
        )

    def strikes(self) -> bool:
        """Whether it strikes this call, which it is about."""
        self.seen += 1
        strikes = self.nth <= self.seen < self.nth + self.times
        self.struck += strikes
        return strikes

    def strike(self, service: str, carry_out: Callable[[], Response]) -> Response:
        """The response to the call; where there is none, nobody is there any more to get it."""
        if self.kind in (THROTTLED, FAILED, DENIED):
            return refusal(service, self.kind, f"A fault on demand: {self.kind}")
        response = (500, {}, "") if self.kind in (CUT, STALLED) else carry_out()
        if self.kind in (CUT, LOST):
            flask.request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        if self.kind == KILLED:
            self.kill_caller()
        return response

    def hold(self) -> None:
        """Keeps the caller waiting where the fault says so; not to be called under a lock."""
        if self.kind in (STALLED, HELD):
            self.ended.wait()
            self.kill_caller()

    def kill_caller(self) -> None:
        """Ends the process at the other end of this call's connection, if it is the parent's child."""
        port = int(flask.request.environ["REMOTE_PORT"])
        for pid in processes_at(port):
            if parent_of(pid) == self.parent:
                os.kill(pid, signal.SIGKILL)


_faults: list[Fault] = []


def add(**settings: object) -> None:
    """One more fault, from now on."""
    _faults.append(Fault(**settings))


def struck() -> int:
    """How many calls the faults have struck."""
    return sum(fault.struck for fault in _faults)


def end() -> None:
    """No fault any more; callers that are held die."""
    for fault in _faults:
        fault.ended.set()
    _faults.clear()


def due(call: dict) -> Fault | None:
    """The fault that strikes this call."""
    return next((fault for fault in _faults if fault.is_about(call) and fault.strikes()), None)


def refusal(service: str, kind: str, message: str) -> Response:
    """The service's own error, in its own protocol."""
    status, code = ERRORS[service][kind]
    if service == "acm":
        return status, {"x-amzn-errortype": code}, json.dumps({"__type": code, "message": message})
    error = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    if service == "ec2":
        body = f"<Response><Errors><Error>{error}</Error></Errors><RequestID>local</RequestID></Response>"
    else:
        body = f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error><RequestId>local</RequestId></ErrorResponse>"
    return status, {"Content-Type": "text/xml"}, body


def processes_at(port: int) -> list[int]:
    """The processes that hold the loopback connection from this port (proc(5): net/tcp, fd)."""
    local = f"0100007F:{port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{fields[9]}]" for fields in lines if fields[1] == local}
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if holds(process, sockets)]


def holds(process: Path, sockets: set[str]) -> bool:
    """Whether a process has one of the sockets open."""
    with suppress(OSError):  # it ended, or is another user's
        return any(os.readlink(descriptor) in sockets for descriptor in (process / "fd").iterdir())
    return False


def parent_of(pid: int) -> int:
    """The parent's process id (proc(5): stat; the name before it may hold spaces and parentheses)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
