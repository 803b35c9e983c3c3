"""The AWS that is worked on: moto with the strict layer, in a process of its own.

Besides AWS's wire protocols it answers under /_local/: GET calls, front, reach and authority, POST reset and throttle,
GET and POST clock, settings and dns, GET, POST and DELETE faults. It answers DNS on a port of its own, which GET dns tells.
"""

import functools
import json
import sys
from urllib.parse import parse_qs

from moto import backends
from moto.core import responses
from moto.core.base_backend import BackendDict
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from . import child, front, nameserver
from .buckets import buckets
from .clock import clock
from .strict import acm, faults, record, resolver  # importing the package puts the strict layer in place
from .strict.settings import settings

CONTROL = "/_local/"
_dns_address = nameserver.start()

# What moto looks up anew for each call, which is half of a call's time, does not change.
responses.method_names_from_class = functools.cache(responses.method_names_from_class)
_MODULES = frozenset(backends.list_of_moto_modules())
backends.list_of_moto_modules = lambda: _MODULES


def control(method: str, what: str, query: dict[str, list[str]], body: dict) -> object:
    """One request to the control path."""
    match method, what.split("/"):
        case "GET", ["calls"]:
            return record.calls(int(query.get("since", ["0"])[0]))
        case "GET", ["front"]:
            return front.addresses()
        case "GET", ["front", name_and_port]:
            return front.addresses()[name_and_port]
        case "GET", ["reach", address]:
            return front.reach(address)
        case "GET" | "POST", ["dns"]:
            with record.lock:
                if method == "POST":
                    resolver.delegate(**body)
                return {"address": _dns_address, "delegations": resolver.delegations}
        case "GET", ["authority"]:
            return str(acm.authority.folder)
        case "POST", ["reset"]:
            with record.lock:
                BackendDict.reset()
                front.follow()
                record.clear()
                faults.end()
                buckets.switch(False)
                settings.reset()
                resolver.delegations.clear()
            return {}
        case "POST", ["throttle"]:
            with record.lock:
                buckets.switch(body["on"])
            return {}
        case "GET" | "POST", ["settings"]:
            with record.lock:
                settings.change(**body)
            return vars(settings)
        case "GET" | "POST", ["clock"]:
            clock.change(body)
            return {"speed": clock.speed, "now": clock.now()}
        case "GET" | "POST" | "DELETE", ["faults"]:
            with record.lock:
                if method == "POST":
                    faults.add(**body)
                if method == "DELETE":
                    faults.end()
                return {"struck": faults.struck()}
    raise LookupError(f"{method} {CONTROL}{what}")


class Application:
    """moto's WSGI application with the control path beside it."""

    def __init__(self) -> None:
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict, start_response):
        path = environ.get("PATH_INFO", "")
        if not path.startswith(CONTROL):
            return self.moto(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        query = parse_qs(environ.get("QUERY_STRING", ""))
        try:
            answer = control(
                environ["REQUEST_METHOD"], path.removeprefix(CONTROL), query, json.loads(body or b"{}")
            )
            status = "200 OK"
        except LookupError as unknown:
            answer, status = {"error": str(unknown)}, "404 Not Found"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]


def main() -> None:
    """Serve on a free loopback port at the speed given as argument."""
    clock.speed = float(sys.argv[1])
    server = make_server("127.0.0.1", 0, Application(), threaded=True, request_handler=MotoRequestHandler)
    child.when_parent_ends(server.shutdown)
    child.announce(server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
