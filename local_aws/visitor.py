"""Somebody who visits a site all the time, as a browser with nothing in its caches: what fails of it was seen by users.

    with Visitor(aws, "api.w1.test") as visitor:
        ...                                 # whatever is done to the site
    assert visitor.failures == []

Each visit asks the local DNS anew, goes where the address leads (`LocalAws.reach`: a load balancer's listener, or the
backend of the instance that has the address now), and follows redirects; HTTPS has to be trusted for the domain.
"""

import http.client
import ssl
import threading
import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import dns.exception

from .local import LocalAws
from .waiting import PATIENCE_SECONDS

PORTS = {"http": 80, "https": 443}
MOST_REDIRECTS = 5
TIMEOUT_SECONDS = 5


@dataclass(frozen=True)
class Visit:
    """One of them: when it began, in seconds since the first one, where it led, and with which status or error it ended."""

    at: float
    urls: tuple[str, ...]
    status: int | None
    error: str | None

    @property
    def failed(self) -> bool:
        return self.error is not None or self.status >= 400

    def __str__(self) -> str:
        return f"{self.at:.1f} s: {' → '.join(self.urls)}: {self.error or self.status}"


class _Failed(Exception):
    """No answer, and why."""


class Visitor:
    """Visits a path of a domain `rate` times a second, for the length of a `with` block."""

    def __init__(
        self, aws: LocalAws, domain: str, path: str = "/health", scheme: str = "http", rate: float = 10
    ):
        self._aws, self._url, self._pause = aws, f"{scheme}://{domain}{path}", 1 / rate
        self._tls = ssl.create_default_context(cafile=str(aws.authority.root_file))
        self._began = time.monotonic()
        self._done = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._go_on)
        self.visits: list[Visit] = []

    def __enter__(self) -> "Visitor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.again()
        self._done.set()
        self._thread.join()

    @property
    def failures(self) -> list[str]:
        """The visits that failed, in words."""
        return [str(visit) for visit in self.visits if visit.failed]

    def again(self, times: int = 1) -> list[Visit]:
        """Wait for so many visits that begin from now on."""
        with self._news:
            # One may be under way.
            since = len(self.visits) + 1
            if not self._news.wait_for(lambda: len(self.visits) >= since + times, PATIENCE_SECONDS):
                raise TimeoutError(f"no {times} visits of {self._url} in {PATIENCE_SECONDS} s")
            return self.visits[since : since + times]

    def _go_on(self) -> None:
        due = time.monotonic()
        while not self._done.wait(max(0.0, due - time.monotonic())):
            due = time.monotonic() + self._pause
            visit = self._visit()
            with self._news:
                self.visits.append(visit)
                self._news.notify_all()

    def _visit(self) -> Visit:
        began, url = time.monotonic() - self._began, self._url
        urls = [url]
        try:
            while True:
                status, location = self._get(url)
                if status not in (301, 302, 303, 307, 308):
                    return Visit(began, tuple(urls), status, None)
                url = urljoin(url, location)
                urls.append(url)
                if len(urls) > MOST_REDIRECTS:
                    raise _Failed("too many redirects")
        except (_Failed, dns.exception.DNSException, OSError, http.client.HTTPException) as error:
            return Visit(began, tuple(urls), None, str(error) or type(error).__name__)

    def _get(self, url: str) -> tuple[int, str]:
        """The status and where it redirects to."""
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
        connection = http.client.HTTPConnection(self._address(parts.hostname, port), timeout=TIMEOUT_SECONDS)
        try:
            connection.connect()
            if parts.scheme == "https":
                connection.sock = self._tls.wrap_socket(connection.sock, server_hostname=parts.hostname)
            target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            connection.request("GET", target, headers={"Host": parts.hostname})
            response = connection.getresponse()
            response.read()
            return response.status, response.getheader("Location", "")
        finally:
            connection.close()

    def _address(self, name: str, port: int) -> str:
        """Where the name leads now."""
        found = self._aws.ask(name, "A", TIMEOUT_SECONDS)
        if not found:
            raise _Failed(f"{name} has no address")
        address = self._aws.reach(f"{found[0]}:{port}")
        if address is None:
            raise _Failed(f"nobody listens at {found[0]}:{port}")
        return address
