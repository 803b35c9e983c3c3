"""How the functions start: their release builds, with the hello world, which `make bench` makes.

Each process is started against a stand-in for the Lambda Runtime API and makes its first AWS call over TLS to a stand-in
for AWS, both on loopback: every function, a hello world in Rust (startup/hello.rs), and the call of one function by
boto3. AWS denies the call, so that nothing but the first is measured. The processes take turns, once unmeasured and then
as often as is asked.

Wall time is what a user waits; CPU time is what a busy machine does not change, and what Lambda gives in proportion to a
function's memory.
"""

import json
import re
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from botocore.httpsession import where

from harness.stack import ROOT
from local_aws.authority import Authority
from local_aws.endpoints import client_variables

from .markdown import table, verdict
from .release import names

PEERS = Path(__file__).with_suffix("")

HELLO, BOTO3 = "hello world in Rust", "Python and boto3"
# Longer than any of them takes: a bound, not a measure.
PATIENCE = 30

# What the project holds itself to: beyond the hello world to the first /next, of boto3's time, at the peak, zipped.
MOST_MS, LEAST_TIMES, MOST_PEAK_MB, MOST_ZIP_MB = 5.0, 20.0, 12.0, 2.5

# Lambda developer guide, "Configure Lambda function memory": at 1,769 MB a function has one vCPU.
VCPU_MB = 1769
# A GB-second on arm64 in us-east-1 (AWS Lambda pricing).
GB_SECOND = 0.0000133334
MEMORIES = (128, 256, 512)

ARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012"
FRONT = {
    "arn": f"{ARN}:loadbalancer/app/api-elb/0123456789abcdef",
    "dnsName": "api-elb-1.us-east-1.elb.amazonaws.com",
    "canonicalHostedZoneId": "Z35SXDOTRQ7X7K",
}
RUN = "arn:aws:states:us-east-1:123456789012:execution:provision:run"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:machine"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-4000-8000-000000000000"
INPUT = {"domain": "api.example.com", "instances": ["i-0123456789abcdef0"]}
ENVIRONMENT = {
    "owner": {"stack": "albatross", "region": "us-east-1", "account": "123456789012"},
    "tags": {},
    "name": "api-example-com",
    "input": INPUT,
    "zone": {"id": "Z0123456789ABCDEFGHIJ", "name": "example.com"},
    "vpc": "vpc-0123456789abcdef0",
    "subnets": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
    "zones": ["us-east-1a", "us-east-1b"],
    "targets": [{"id": "i-0123456789abcdef0", "addresses": [], "former": []}],
    "groupsToOpen": [],
}
SEEN = {
    "complete": False,
    "securityGroup": None,
    "atDomain": {"addresses": [], "ownership": None, "made": [], "validated": True},
}
HTTP = {
    "arn": f"{ARN}:listener/app/api-elb/0123456789abcdef/0123456789abcdef",
    "port": 80,
    "protocol": "HTTP",
    "tlsPolicy": None,
    "certificates": [],
    "does": {"forward": f"{ARN}:targetgroup/api-target-group/0123456789abcdef"},
}
# One for all functions: each reads its own fields.
EVENT = {
    "environment": ENVIRONMENT,
    "seen": SEEN,
    "warnings": [],
    "input": INPUT,
    "run": RUN,
    "loadBalancer": FRONT,
    "targetGroupArn": f"{ARN}:targetgroup/api-target-group/0123456789abcdef",
    "certificateArn": CERTIFICATE,
    "active": False,
    "healthy": False,
    "issued": False,
    "again": False,
    "listeners": [HTTP],
    "http": {"arn": HTTP["arn"], "redirects": None},
    "former": {"targets": [{"id": "i-0123456789abcdef1", "port": 80}], "rules": [], "zones": []},
}
EVENTS = {
    "find-environments": {"input": {}, "noticed": False, "run": RUN},
    "find-unfinished": {
        "event": {
            "version": "0",
            "id": "00000000-0000-4000-8000-000000000000",
            "source": "aws.states",
            "account": "123456789012",
            "time": "2026-11-24T22:00:00Z",
            "region": "us-east-1",
            "resources": [RUN],
            "detail-type": "Step Functions Execution Status Change",
            "detail": {
                "executionArn": RUN,
                "stateMachineArn": MACHINE,
                "status": "ABORTED",
                "input": json.dumps(INPUT),
            },
        }
    },
    "sum-up": {"run": RUN, "tornDown": {"items": []}},
    "teardown": {"run": RUN, "input": {"domain": INPUT["domain"]}, "plan": None},
}


@dataclass(frozen=True)
class Peer:
    """One of those that are started."""

    name: str
    command: list[str]
    event: dict
    calls_aws: bool = True
    # What Lambda is given; of a managed runtime that is not all that runs.
    binary: Path | None = None


@dataclass(frozen=True)
class Sample:
    """One start: to the first GET /next, and to the answer of the first invocation."""

    next_ms: float
    done_ms: float
    # To the latter.
    cpu_ms: float
    peak_mb: float


def cpu_ms(process: int) -> float:
    """What all threads of a process have used: clock_getcpuclockid(3), as Linux makes its ids."""
    return time.clock_gettime_ns(~process << 3 | 2) / 1e6


def peak_mb(process: int) -> float:
    """The most memory that was resident, in MB of 10^6 bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    [peak] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak) * 1024 / 1e6


class Start:
    """One start of a process, as its Runtime API sees it."""

    def __init__(self, peer: Peer):
        self.peer = peer
        self.process: subprocess.Popen
        self.began = 0.0
        self.running = threading.Event()
        self.marks: list[tuple[float, float]] = []
        # It has answered and asks for more.
        self.idle = threading.Event()
        self.over = threading.Event()

    def mark(self, now: float) -> None:
        """Note the wall and CPU time until now; it may be here before its parent knows its id."""
        self.running.wait()
        self.marks.append(((now - self.began) * 1e3, cpu_ms(self.process.pid)))


class RuntimeApi(BaseHTTPRequestHandler):
    """Gives one event, and then none (Lambda developer guide, "Using the Lambda runtime API")."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        now = time.perf_counter()
        start = self.server.start
        if start.marks:
            start.idle.set()
            start.over.wait()
            self.close_connection = True
            return
        start.mark(now)
        event = json.dumps(start.peer.event).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "00000000-0000-4000-8000-000000000000")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + PATIENCE) * 1000)))
        self.send_header(
            "Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:f"
        )
        self.send_header("Content-Length", str(len(event)))
        self.end_headers()
        self.wfile.write(event)

    def do_POST(self) -> None:
        start = self.server.start
        self.rfile.read(int(self.headers["Content-Length"]))
        start.mark(time.perf_counter())
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Aws(BaseHTTPRequestHandler):
    """Denies every call, in the protocol that it came in."""

    protocol_version = "HTTP/1.1"
    # Else the body waits 40 ms for the acknowledgement of the headers.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.server.calls += 1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind, body = "text/xml", "<Error><Code>AccessDenied</Code><Message>denied</Message></Error>"
        if "X-Amz-Target" in self.headers:
            kind, body = (
                "application/x-amz-json-1.1",
                '{"__type": "AccessDeniedException", "message": "denied"}',
            )
        elif "/ec2/aws4_request" in self.headers["Authorization"]:
            body = f"<Response><Errors>{body}</Errors></Response>"
        else:
            body = f"<ErrorResponse>{body}</ErrorResponse>"
        self.send_response(403)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Which a killed process does not disturb."""

    daemon_threads = True
    start: Start

    def handle_error(self, *arguments: object) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*arguments)


class TlsServer(Server):
    """Whose handshakes are made by the connections' own threads, as they may come together."""

    context: ssl.SSLContext
    calls = 0

    def get_request(self) -> tuple:
        connection, address = super().get_request()
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address


@contextmanager
def serving(server: Server) -> Iterator[int]:
    """Serve on a thread; gives the port."""
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@contextmanager
def stands() -> Iterator[tuple[Server, TlsServer, dict[str, str]]]:
    """Both stand-ins, and the environment of a process that uses them.

    What is trusted is the usual bundle with one root more: a client reads all of it, as on Lambda.
    """
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        for path, content in zip((certificate, key), authority.certificate("localhost"), strict=True):
            path.write_bytes(content)
        bundle = Path(folder, "bundle.pem")
        bundle.write_bytes(Path(where()).read_bytes() + authority.root)
        aws, api = TlsServer(("127.0.0.1", 0), Aws), Server(("127.0.0.1", 0), RuntimeApi)
        aws.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        aws.context.load_cert_chain(certificate, key)
        with serving(aws) as aws_port, serving(api) as api_port:
            yield (
                api,
                aws,
                client_variables()
                | {
                    "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api_port}",
                    "AWS_LAMBDA_FUNCTION_NAME": "f",
                    "AWS_LAMBDA_FUNCTION_VERSION": "1",
                    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
                    "AWS_LAMBDA_LOG_GROUP_NAME": "g",
                    "AWS_LAMBDA_LOG_STREAM_NAME": "s",
                    "AWS_ENDPOINT_URL": f"https://localhost:{aws_port}",
                    "SSL_CERT_FILE": str(bundle),
                    "AWS_CA_BUNDLE": str(bundle),
                    "NODE_EXTRA_CA_CERTS": str(authority.root_file),
                    "ALBATROSS_STACK": "albatross",
                    "ALBATROSS_ACCOUNT": "123456789012",
                    "ALBATROSS_RESOURCE_TAGS": "",
                    # Nobody answers there: public DNS is not what is measured.
                    "LOCAL_AWS_DNS": "127.0.0.1:9",
                    "PROVISION_MACHINE": MACHINE,
                    "TEARDOWN_MACHINE": MACHINE,
                    "NIGHTLY_MACHINE": MACHINE,
                    "MORNING_MACHINE": MACHINE,
                },
            )


def start(peer: Peer, api: Server, aws: TlsServer, environment: dict[str, str]) -> Sample:
    """Start it once, until it has answered its first invocation and asks for the next."""
    api.start, aws.calls = Start(peer), 0
    with tempfile.TemporaryFile() as log:
        api.start.began = time.perf_counter()
        # No copy of this process: a fork's own time would be a large part.
        process = api.start.process = subprocess.Popen(
            peer.command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=False
        )
        api.start.running.set()
        try:
            if not api.start.idle.wait(PATIENCE) or (peer.calls_aws and not aws.calls):
                log.seek(0)
                raise RuntimeError(f"{aws.calls} calls; {log.read().decode()}")
            peak = peak_mb(process.pid)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            api.start.over.set()
    (next_ms, _), (done_ms, cpu) = api.start.marks
    return Sample(next_ms, done_ms, cpu, peak)


def functions(folder: Path) -> list[Peer]:
    """Those that Cargo.toml lists."""
    return [rust(folder / name, EVENTS.get(name, EVENT)) for name in names()]


def rust(binary: Path, event: dict) -> Peer:
    """A function, by its binary."""
    return Peer(binary.name, [str(binary)], event, binary=binary)


def zipped_mb(binary: Path) -> float:
    """As the SAM CLI packs it."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(binary, "bootstrap")
        return file.tell() / 1e6


def measure(folder: Path, runs: int) -> dict:
    """All results: medians by name, zipped sizes in MB, and what was left out."""
    skipped = []
    with stands() as (api, aws, environment):
        peers = [
            *functions(folder),
            Peer(HELLO, [str(folder / "examples" / "hello")], {}, False, folder / "examples" / "hello"),
            Peer(BOTO3, [sys.executable, str(PEERS / "peer.py")], EVENT),
        ]
        for missing in [peer for peer in peers if peer.binary and not peer.binary.exists()]:
            peers.remove(missing)
            skipped.append(f"{missing.name}: not built")
        samples: dict[str, list[Sample]] = {peer.name: [] for peer in peers}
        # The first turn brings the files into memory, and shows who does not start.
        for peer in list(peers):
            try:
                start(peer, api, aws, environment)
            except RuntimeError as error:
                peers.remove(peer)
                skipped.append(f"{peer.name}: {' '.join(str(error).split())[:300]}")
        for _ in range(runs):
            for peer in peers:
                samples[peer.name].append(start(peer, api, aws, environment))
    results = {}
    for peer in peers:
        measured = [asdict(sample) for sample in samples[peer.name]]
        results[peer.name] = {key: statistics.median(one[key] for one in measured) for key in measured[0]}
        if peer.binary:
            results[peer.name]["zip_mb"] = zipped_mb(peer.binary)
    return {"runs": runs, "skipped": skipped, "results": results}


def markdown(results: dict) -> list[str]:
    """What a reader is shown: every process, and what a start is estimated to cost at each memory size."""
    measured = results["results"]
    rows = [
        [
            name,
            *(f"{one[key]:.1f}" for key in ("next_ms", "done_ms", "cpu_ms", "peak_mb")),
            f"{one['zip_mb']:.2f}" if "zip_mb" in one else "",
        ]
        for name, one in measured.items()
    ]
    head = (
        "",
        "to /next, ms",
        "with the first call, ms",
        "CPU of that, ms",
        "peak, MB",
        "zip, MB",
    )
    text = [
        "## Starts",
        "Each process against a stand-in for the Lambda Runtime API, until it asks for an event (/next), and until it has "
        "answered one with its first AWS call, over TLS to a stand-in on loopback. Release builds. Medians of "
        f"{results['runs']} starts in turns.",
        table(head, rows),
        *(f"Skipped: {why}." for why in results["skipped"]),
    ]
    return [*text, *costs(measured)] if ours(measured) else text


def ours(results: dict) -> dict:
    """The functions' results alone."""
    return {name: one for name, one in results.items() if name not in (HELLO, BOTO3)}


def targets(results: dict) -> list[list[str]]:
    """Each target beside the function that is furthest from it: what, bound, measured, verdict."""
    mine, boto3, hello = ours(results), results[BOTO3], results.get(HELLO)

    def row(
        what: str, value: Callable[[dict], float], bound: float, most: bool = True, why: str = ""
    ) -> list[str]:
        if not mine or (value is beyond and not hello):
            return [what, f"{bound:g}", "", verdict(None, bound)]
        values = {name: value(one) for name, one in mine.items()}
        worst = (max if most else min)(values, key=values.get)
        said = verdict(values[worst], bound, most)
        said = f"{said}: {why}" if why and said != "met" else said
        return [what, f"{bound:g}", f"{values[worst]:.2f} ({worst})", said]

    def beyond(one: dict) -> float:
        return one["next_ms"] - hello["next_ms"]

    return [
        row("start: at most, ms beyond the hello world to /next", beyond, MOST_MS),
        row(
            "start: at least, times quicker than boto3 to /next",
            lambda one: boto3["next_ms"] / one["next_ms"],
            LEAST_TIMES,
            False,
        ),
        row(
            "start: at least, times quicker than boto3 with the first call",
            lambda one: boto3["done_ms"] / one["done_ms"],
            LEAST_TIMES,
            False,
        ),
        row("start: at most, MB at the peak", lambda one: one["peak_mb"], MOST_PEAK_MB),
        row(
            "function: at most, MB zipped",
            lambda one: one["zip_mb"],
            MOST_ZIP_MB,
            why="teardown decides about every kind of resource itself",
        ),
    ]


def costs(results: dict) -> list[str]:
    """An estimate: no machine but Lambda has its CPUs. The work is the CPU time that was measured here."""
    work = statistics.median(one["cpu_ms"] for one in ours(results).values())
    [ours_is] = re.findall(r"^    MemorySize: (\d+)$", (ROOT / "template.yaml").read_text(), re.MULTILINE)

    def took(memory: int) -> float:
        return work * VCPU_MB / memory

    def dollars(memory: int, ms: float) -> str:
        return f"{ms / 1e3 * memory / 1024 * GB_SECOND * 1e6:.2f}"

    rows = [
        [f"{memory}", f"{took(memory):.0f}", dollars(memory, took(memory)), dollars(memory, 1000)]
        for memory in MEMORIES
    ]
    head = [
        "memory, MB",
        "start and first call, ms",
        "USD for a million of them",
        "USD for a million seconds of waiting for AWS",
    ]
    return [
        f"**The memory size.** Estimated, not measured: {work:.1f} ms of CPU for start and first call (the median "
        f"function) at the share of a CPU that Lambda gives, {VCPU_MB:,} MB being one; without what AWS takes to answer.",
        table(head, rows, left=0),
        "CPU comes in proportion to memory, so a start costs the same at each size and is quicker at a larger one; what "
        "a function waits for AWS costs in proportion and is not quicker. "
        + " ".join(
            f"{memory} MB would make a start {took(memory) - took(int(ours_is)):+.0f} ms and waiting "
            f"{memory / int(ours_is):g} times as dear."
            for memory in MEMORIES
            if memory != int(ours_is)
        )
        + f" The template has {ours_is} MB.",
    ]
