"""The local DNS: UDP and TCP on one free port of loopback, with what strict/resolver.py finds in Route 53's zones.

A query that asks for recursion gets what a resolver of the internet finds; one that does not, what Route 53's own name
servers answer. Nothing is asked of any other server, and nothing is cached.
"""

import socketserver
import struct
import threading
from contextlib import suppress

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from .strict import resolver
from .strict.record import lock

LOOPBACK = "127.0.0.1"
# What a client takes that does not say (RFC 1035, 2.3.4), and what we take (DNS flag day 2020).
UDP_SIZE = 512
OUR_SIZE = 1232
IDLE_SECONDS = 10


def answer(query: dns.message.Message) -> dns.message.Message | None:
    """The response to a query; None: nobody answers."""
    response = dns.message.make_response(query, recursion_available=True, our_payload=OUR_SIZE)
    if len(query.question) != 1:
        response.set_rcode(dns.rcode.FORMERR)
        return response
    [question] = query.question
    name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
    with lock:
        found = (
            resolver.resolve(name, kind) if query.flags & dns.flags.RD else resolver.authoritative(name, kind)
        )
    if found is None:
        return None
    response.set_rcode(dns.rcode.from_text(found.code))
    if found.authoritative:
        response.flags |= dns.flags.AA
    try:
        response.answer = [_rrset(rrset) for rrset in found.answer]
        response.authority = [_rrset(rrset) for rrset in found.authority]
    except dns.exception.DNSException:  # a value that Route 53 would have refused
        response.set_rcode(dns.rcode.SERVFAIL)
    return response


def _rrset(rrset: resolver.Rrset) -> dns.rrset.RRset:
    """A name without a last dot is fully qualified all the same (Route 53 API reference, ResourceRecordSet)."""
    name = rrset.name.replace("\\052", "*")
    made = dns.rrset.RRset(dns.name.from_text(name), dns.rdataclass.IN, dns.rdatatype.from_text(rrset.type))
    for value in rrset.values:
        data = dns.rdata.from_text(made.rdclass, made.rdtype, value, origin=dns.name.root, relativize=False)
        made.add(data, rrset.ttl)
    return made


def _respond(wire: bytes, most: int | None = None) -> bytes | None:
    """One message's response in at most so many bytes, of those that the client takes; it is cut off where it is longer."""
    try:
        query = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return None
    response = answer(query)
    if response is None:
        return None
    size = 65535 if most is None else max(query.payload, most)
    try:
        return response.to_wire(max_size=size)
    except dns.exception.TooBig:
        response.answer, response.authority = [], []
        response.flags |= dns.flags.TC
        return response.to_wire()


class _Datagram(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, sending = self.request
        if response := _respond(wire, UDP_SIZE):
            sending.sendto(response, self.client_address)


class _Stream(socketserver.StreamRequestHandler):
    """Each message has its length before it (RFC 1035, 4.2.2)."""

    timeout = IDLE_SECONDS

    def handle(self) -> None:
        with suppress(OSError):  # the client goes away, or has no more to ask
            while len(length := self.rfile.read(2)) == 2:
                response = _respond(self.rfile.read(*struct.unpack("!H", length)))
                if response is None:
                    return
                self.wfile.write(struct.pack("!H", len(response)) + response)


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _pair() -> tuple[_Tcp, _Udp]:
    """Both on one port, which has to be free for both."""
    while True:
        tcp = _Tcp((LOOPBACK, 0), _Stream)
        try:
            return tcp, _Udp((LOOPBACK, tcp.server_address[1]), _Datagram)
        except OSError:
            tcp.server_close()


def start() -> str:
    """Answer for as long as the process lives; answers its address."""
    servers = _pair()
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"{LOOPBACK}:{servers[0].server_address[1]}"
