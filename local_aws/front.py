"""The data plane: each listener of each load balancer listens for real, on a free port of loopback.

HTTP/1.1 in plain and over TLS, with the listener's default action: forward, redirect or fixed response. What a
request meets is looked up when it comes, so a ModifyListener leaves no gap. Not here: rules beside the default one,
targets other than instances, HTTP/2, WebSockets, TLS before 1.2, streamed bodies, and whether the load balancer's own
groups admit the client.
"""

import functools
import http.client
import ipaddress
import itertools
import random
import re
import selectors
import ssl
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

from moto.acm.models import CertBundle
from moto.ec2.models import ec2_backends
from moto.elbv2.models import ELBv2Backend, FakeListener, FakeLoadBalancer, elbv2_backends
from moto.elbv2.responses import ELBV2Response
from moto.elbv2.ssl_policies import SSL_POLICIES

from .strict import acm, health
from .strict.elbv2 import sending
from .strict.patch import replaces
from .strict.record import lock

DEFAULT_POLICY = "ELBSecurityPolicy-2016-08"
IDLE_SECONDS = 60
REASONS = {
    301: "Moved Permanently",
    302: "Found",
    400: "Bad Request",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
# Of one connection alone (RFC 9110, 7.6.1); the length is that of what is sent on.
NOT_SENT_ON = {
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
FORWARDED = {"x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}
VALID_NAME = re.compile(r"[-A-Za-z0-9]+")
ADDED = re.compile(r"routing\.http\.response\.(\w+)\.header_value")


@dataclass(frozen=True)
class Answer:
    """What a client gets."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""


def own_answer(status: int, *headers: tuple[str, str]) -> Answer:
    """What a load balancer itself says of an error or a redirect."""
    title = f"{status} {REASONS[status]}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n"
        f"<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    own = [("Server", "awselb/2.0"), ("Content-Type", "text/html")]
    return Answer(status, REASONS[status], [*own, *headers], page.encode())


@dataclass(frozen=True)
class Request:
    """What a client has asked for, and through which listener."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    client: str
    listener: FakeListener

    @property
    def host(self) -> str:
        """The Host header's name, without its port."""
        host = next((value for name, value in self.headers if name.lower() == "host"), "")
        return re.sub(r":\d+$", "", host)


# --- Actions -----------------------------------------------------------------------------------------------------


def redirect(request: Request, config: dict[str, str]) -> Answer:
    """Location always names its port. #{…} stands for the part of the request, the path's without its first slash."""
    path, _, query = request.path.partition("?")
    parts = {
        "protocol": request.listener.protocol.lower(),
        "host": request.host,
        "port": str(request.listener.port),
        "path": path.removeprefix("/"),
        "query": query,
    }

    def filled(name: str) -> str:
        return re.sub(r"#\{(\w+)\}", lambda found: parts[found[1]], config[name])

    wanted_query = filled("Query")
    location = f"{filled('Protocol').lower()}://{filled('Host')}:{filled('Port')}{filled('Path')}"
    return own_answer(
        int(config["StatusCode"].removeprefix("HTTP_")),
        ("Location", f"{location}?{wanted_query}" if wanted_query else location),
    )


def fixed(config: dict[str, str]) -> Answer:
    """The action's own status, type and text."""
    status = int(config["StatusCode"])
    headers = [("Server", "awselb/2.0"), ("Content-Type", config.get("ContentType", "text/plain"))]
    reason = http.client.responses.get(status, "")
    return Answer(status, reason, headers, config.get("MessageBody", "").encode())


def forward(request: Request, load_balancer: FakeLoadBalancer, config: dict, turn: int) -> Answer:
    """503 with no target to send to; 504 where a target does not answer in time; 502 where it breaks off."""
    group = _group(load_balancer, config["TargetGroups"])
    targets = _receiving(group)
    if not targets:
        return own_answer(503)
    target = targets[turn % len(targets)]
    instance = group.ec2_backend.get_instance_by_id(target["Id"])
    with lock:
        admitted = health.admits(instance, load_balancer, int(target["Port"]))
    if not admitted:
        return own_answer(504)
    seconds = float(load_balancer.attrs.get("idle_timeout.timeout_seconds", IDLE_SECONDS))
    backend = health.backend_of(instance, int(target["Port"]))
    if backend is None:
        return own_answer(502)
    connection = http.client.HTTPConnection(backend, timeout=seconds)
    try:
        connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in _sent_on(request, load_balancer):
            connection.putheader(name, value)
        connection.endheaders(request.body)
        response = connection.getresponse()
        body = response.read()
    except TimeoutError:
        return own_answer(504)
    except (http.client.InvalidURL, UnicodeError):
        return own_answer(400)
    except (OSError, http.client.HTTPException):
        return own_answer(502)
    finally:
        connection.close()
    headers = [(name, value) for name, value in response.getheaders() if name.lower() not in NOT_SENT_ON]
    if request.method == "HEAD" and (length := response.getheader("Content-Length")):
        headers.append(("Content-Length", length))
    return Answer(response.status, response.reason, headers, body)


def _group(load_balancer: FakeLoadBalancer, weighted: list[dict]):
    """One of the action's target groups, by their weights."""
    backend = _backend_of(load_balancer)
    [chosen] = random.choices(weighted, [int(group.get("Weight", 1)) for group in weighted])
    return backend.target_groups[chosen["TargetGroupArn"]]


def _receiving(group) -> list[dict]:
    """The healthy targets. With none healthy the load balancer fails open: all the unhealthy ones."""
    with lock:
        load_balancers = sending(elbv2_backends[group.account_id][group.region_name], group.arn)
        targets = list(group.targets.values())
        known = [health.without_request(group, target, load_balancers) for target in targets]
    states = [
        (found or health.probe(group, target)).status for found, target in zip(known, targets, strict=True)
    ]
    for wanted in ("healthy", "unhealthy"):
        if found := [target for state, target in zip(states, targets, strict=True) if state == wanted]:
            return found
    return []


def _sent_on(request: Request, load_balancer: FakeLoadBalancer) -> Iterator[tuple[str, str]]:
    """The client's headers, with X-Forwarded-For appended to and -Proto and -Port replaced."""
    drops = load_balancer.attrs.get("routing.http.drop_invalid_header_fields.enabled") == "true"
    for name, value in request.headers:
        if name.lower() in NOT_SENT_ON | FORWARDED or (drops and not VALID_NAME.fullmatch(name)):
            continue
        yield name, value
    before = [value for name, value in request.headers if name.lower() == "x-forwarded-for"]
    yield "X-Forwarded-For", ", ".join([*before, request.client])
    yield "X-Forwarded-Proto", request.listener.protocol.lower()
    yield "X-Forwarded-Port", str(request.listener.port)
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        yield "Content-Length", str(len(request.body))


# --- TLS ---------------------------------------------------------------------------------------------------------


def _names(certificate: CertBundle) -> list[str]:
    return certificate.sans or [certificate.common_name]


def _is_for(certificate: CertBundle, server_name: str) -> bool:
    """A wildcard stands for one label."""
    wildcard = f"*.{server_name.partition('.')[2]}"
    return any(name.lower() in (server_name.lower(), wildcard.lower()) for name in _names(certificate))


def _context(policy: str) -> ssl.SSLContext:
    """The policy's versions and ciphers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    protocols, ciphers = SSL_POLICIES[policy]["ssl_protocols"], SSL_POLICIES[policy]["ciphers"]
    if "TLSv1.2" not in protocols:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    else:
        context.set_ciphers(":".join(cipher for cipher in ciphers if not cipher.startswith("TLS_")))
    if "TLSv1.3" not in protocols:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


@functools.lru_cache(64)
def _context_with(policy: str, chain_and_key: bytes) -> ssl.SSLContext:
    """The same with one certificate."""
    context = _context(policy)
    with tempfile.NamedTemporaryFile() as file:  # the ssl module takes no certificate from memory
        file.write(chain_and_key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def tls(listener: FakeListener) -> ssl.SSLContext:
    """A listener's TLS: of its certificates the first one for the server name, the default one for any other."""
    with lock:
        certificates = [acm.find(arn) for arn in listener.certificates]
        policy = listener.ssl_policy or DEFAULT_POLICY

    def choose(connection: ssl.SSLObject, server_name: str | None, _: ssl.SSLContext) -> None:
        fitting = [certificate for certificate in certificates if _is_for(certificate, server_name or "")]
        chosen = (fitting or certificates)[0]
        connection.context = _context_with(policy, b"\n".join((chosen.cert, chosen.chain, chosen.key)))

    context = _context(policy)
    context.sni_callback = choose
    return context


# --- Listening ---------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """The requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server: "Door"

    def respond(self) -> None:
        """Do what the listener says now."""
        listener = self.server.listener()
        if listener is None:
            self.close_connection = True
            return
        request = Request(
            self.command, self.path, self.headers.items(), self._body(), self.client_address[0], listener
        )
        answer = self._answer(request)
        self.send_response_only(answer.status, answer.reason)
        for name, value in self._headers(answer, listener):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = respond

    def _answer(self, request: Request) -> Answer:
        action = request.listener.default_actions[-1].data
        match action["Type"]:
            case "redirect":
                return redirect(request, action["RedirectConfig"])
            case "fixed-response":
                return fixed(action["FixedResponseConfig"])
        return forward(request, self.server.load_balancer, action["ForwardConfig"], next(self.server.turns))

    def _headers(self, answer: Answer, listener: FakeListener) -> Iterator[tuple[str, str]]:
        """The answer's, with those that the listener's attributes add in place of the target's own."""
        added = {
            found[1].replace("_", "-").title(): value
            for attribute, value in listener.attributes.items()
            if value and (found := ADDED.fullmatch(attribute))
        }
        yield from ((name, value) for name, value in answer.headers if name.title() not in added)
        yield from added.items()
        names = {name.lower() for name, _ in answer.headers}
        if "date" not in names:
            yield "Date", self.date_time_string()
        if "content-length" not in names and answer.status not in (204, 304):
            yield "Content-Length", str(len(answer.body))
        yield "Connection", "close" if self.close_connection else "keep-alive"

    def _body(self) -> bytes:
        """The whole of it, however its length is said."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def log_message(self, *_: object) -> None:
        """Access logs are not on."""


class Door(ThreadingTCPServer):
    """One port of one load balancer, on a free port of loopback."""

    daemon_threads = True
    request_queue_size = 128
    timeout = 0

    def __init__(self, load_balancer: FakeLoadBalancer, port: int):
        super().__init__(("127.0.0.1", 0), Handler)
        self.load_balancer, self.port = load_balancer, port
        self.turns = itertools.count()
        self.closed = False
        _bell.register(self, selectors.EVENT_READ)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def listener(self) -> FakeListener | None:
        """The listener that stands here now. A load balancer that is not active yet serves nothing."""
        with lock:
            self.load_balancer.activate()
            if self.closed or self.load_balancer.state != "active":
                return None
            return _listeners(self.load_balancer).get(self.port)

    def finish_request(self, request, client_address) -> None:
        """Talk with one client, in TLS where the listener does."""
        listener = self.listener()
        if listener is None:
            return
        if listener.protocol != "HTTPS":
            super().finish_request(request, client_address)
            return
        request.settimeout(IDLE_SECONDS)
        with tls(listener).wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request, client_address) -> None:
        """A client that goes away, or does not like the certificate, is nothing to report; all else is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        """Serve no more from now on."""
        self.closed = True
        _bell.unregister(self)
        self.server_close()


_doors: dict[tuple[str, int], Door] = {}
# Whoever comes to one of them rings here.
_bell = selectors.DefaultSelector()


def answer_the_bell() -> None:
    """Let clients in for as long as the process lives: one thread for all doors, of which a test may have thousands."""
    while True:
        for rung, _ in _bell.select():
            with lock:
                if not rung.fileobj.closed:
                    rung.fileobj.handle_request()


threading.Thread(target=answer_the_bell, daemon=True).start()


def _load_balancers() -> Iterator[FakeLoadBalancer]:
    for account in list(elbv2_backends.values()):
        for backend in list(account.values()):
            yield from backend.load_balancers.values()


def _backend_of(load_balancer: FakeLoadBalancer) -> ELBv2Backend:
    region, account = load_balancer.arn.split(":")[3:5]
    return elbv2_backends[account][region]


def _listeners(load_balancer: FakeLoadBalancer) -> dict[int, FakeListener]:
    return {int(listener.port): listener for listener in load_balancer.listeners.values()}


def follow() -> None:
    """Open and close doors until there is one for each port that a load balancer listens on."""
    with lock:
        wanted = {
            (load_balancer.dns_name, port): load_balancer
            for load_balancer in _load_balancers()
            if load_balancer.type == "application"
            for port in _listeners(load_balancer)
        }
        for key in _doors.keys() - wanted.keys():
            _doors.pop(key).close()
        for key in wanted.keys() - _doors.keys():
            _doors[key] = Door(wanted[key], key[1])


@replaces(ELBV2Response, "call_action")
def call_and_follow(original, self):
    """The answer to a call comes when its listeners listen; where it gets lost they listen too."""
    try:
        return original(self)
    finally:
        follow()


def addresses() -> dict[str, str]:
    """Where each port of each load balancer listens: `<DNS name>:<port>` → `127.0.0.1:<port>`."""
    with lock:
        return {f"{dns_name}:{port}": door.address for (dns_name, port), door in sorted(_doors.items())}


def reach(address: str) -> str:
    """Who really answers at an address that DNS gives, `<IP>:<port>`: a load balancer, or an instance's backend.

    Whether security groups admit the client is not looked at. Raises LookupError where nobody listens.
    """
    host, _, port = address.rpartition(":")
    ip = ipaddress.ip_address(host.strip("[]"))
    ip = str(getattr(ip, "ipv4_mapped", None) or ip)
    with lock:
        for (_, of_door), door in _doors.items():
            if door.load_balancer.loopback == ip and of_door == int(port):
                return door.address
        for account in list(ec2_backends.values()):
            for backend in list(account.values()):
                for instance in backend.all_instances():
                    if instance.public_ip == ip and instance.state == "running":
                        found = health.backend_of(instance, int(port))
                        if found:
                            return found
    raise LookupError(f"nobody listens at {address}")
