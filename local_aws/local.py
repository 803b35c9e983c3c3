"""The local AWS as a Python object: starts the two servers, hands out clients and environment, stops them."""

import json
import math
import os
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
import botocore.session
import dns.flags
import dns.message
import dns.query
from botocore.config import Config

from .authority import Authority
from .child import Child
from .endpoints import ACCOUNT, MOTO_VARIABLES, REGION, client_variables

# botocore's session variables: no profile, no configuration or credentials file, whatever the environment says.
NOTHING_OF_THE_USERS = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}

# As many times as a fault may have to strike.
FOR_GOOD = 10**9


def _request(url: str, body: dict | None = None, method: str | None = None) -> object:
    """GET, POST with a JSON body, or another method; answers the JSON it gets."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urlopen(request, timeout=60) as response:
        return json.load(response)


class LocalAws:
    """Both servers, for the length of a `with` block. `speed` is AWS seconds per real second."""

    def __init__(self, speed: float = math.inf):
        self._speed = speed
        self._session = boto3.Session(botocore_session=botocore.session.Session(NOTHING_OF_THE_USERS))
        self._clients: dict[tuple, object] = {}

    def __enter__(self) -> "LocalAws":
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        clean = client_variables() | kept | {"LANG": "C.UTF-8"}
        # Without images to find, of which moto makes a thousand at each reset; instances start from any.
        no_images = {"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
        self._moto = Child("local_aws.moto_server", [str(self._speed)], clean | no_images)
        moto = dict.fromkeys(MOTO_VARIABLES.values(), self._moto.url)
        try:
            self.authority = Authority(Path(_request(f"{self._moto.url}/_local/authority")))
            self.dns_address: str = _request(f"{self._moto.url}/_local/dns")["address"]
            # What functions reach a load balancer by, ask for names, and trust certificates with; on AWS they have none.
            front = {
                "LOCAL_AWS_RESOLVE": self.front_url,
                "LOCAL_AWS_DNS": self.dns_address,
                "SSL_CERT_FILE": str(self.authority.root_file),
            }
            self._ministack = Child("local_aws.ministack_server", [str(self._speed)], clean | moto | front)
        except BaseException:
            self._moto.stop()
            raise
        self.environment: dict[str, str] = (
            client_variables() | moto | {"AWS_ENDPOINT_URL": self._ministack.url}
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._ministack.stop()
        self._moto.stop()

    def client(self, service: str, region: str = REGION, app: str | None = None):
        """A boto3 client on the right server; `app` is the name it gives itself in its User-Agent."""
        key = (service, region, app)
        if key not in self._clients:
            self._clients[key] = self._session.client(
                service,
                region_name=region,
                endpoint_url=self.environment[MOTO_VARIABLES.get(service, "AWS_ENDPOINT_URL")],
                aws_access_key_id=ACCOUNT,
                aws_secret_access_key="local",
                config=Config(user_agent_appid=app, retries={"total_max_attempts": 1}, proxies={}),
            )
        return self._clients[key]

    def calls(self, since: int = 0) -> list[dict]:
        """Calls to moto after the one numbered `since`, each with what strict/record.py writes down of it.

        `checks` is what IAM would have checked before a function's call; of any other call it is empty.
        """
        return _request(f"{self._moto.url}/_local/calls?since={since}")

    def execution_calls(self, since: int = 0) -> list[dict]:
        """What functions have asked of Step Functions: n, service, operation, caller, changes, checks, error."""
        return _request(f"{self._ministack.url}/_local/calls?since={since}")

    def invocations(self, since: int = 0) -> list[dict]:
        """Invocations on MiniStack after the one numbered `since`: n, function, started, ended, error."""
        return _request(f"{self._ministack.url}/_local/invocations?since={since}")

    @property
    def functions_parent(self) -> int:
        """The process whose children the functions are."""
        return self._ministack.process.pid

    @property
    def front_url(self) -> str:
        """Answers what `front` does; with `/<DNS name>:<port>` after it, the one address."""
        return f"{self._moto.url}/_local/front"

    def front(self) -> dict[str, str]:
        """Where load balancers really listen: `<DNS name>:<port>` → `127.0.0.1:<port>`."""
        return _request(self.front_url)

    def reach(self, address: str) -> str | None:
        """Who really answers at an address that the local DNS gives, `<IP>:<port>` → `127.0.0.1:<port>`.

        A load balancer, or the backend of a running instance with that public IP; None: nobody.
        """
        try:
            return _request(f"{self._moto.url}/_local/reach/{address}")
        except HTTPError as error:
            if error.code == 404:
                return None
            raise

    def query(
        self, name: str, kind: str, seconds: float = 5.0, recursion: bool = True
    ) -> dns.message.Message:
        """What a resolver of the internet answers; without recursion what Route 53's own name servers do.

        Raises `dns.exception.Timeout` where a zone's name servers are silent.
        """
        host, _, port = self.dns_address.partition(":")
        asked = dns.message.make_query(name, kind, flags=dns.flags.RD if recursion else 0)
        return dns.query.udp_with_fallback(asked, host, seconds, int(port))[0]

    def ask(self, name: str, kind: str = "A", seconds: float = 5.0) -> list[str]:
        """The values that a resolver of the internet finds for a name, of this type; none where there are none."""
        answer = self.query(name, kind, seconds).answer
        return [value.to_text() for rrset in answer for value in rrset if value.rdtype.name == kind]

    def delegate(self, zone: str, name_servers: list[str] | str | None) -> None:
        """Say which name servers the internet has for a zone: `[]` none, "silent" such as do not answer.

        None, as at first: those that Route 53 gave it, or that the NS records of a hosted zone above it name.
        """
        _request(f"{self._moto.url}/_local/dns", {"zone": zone, "name_servers": name_servers})

    def fault(
        self,
        kind: str,
        operation: str | None = None,
        caller: str | None = None,
        nth: int = 1,
        times: int = 1,
        region: str | None = None,
        outside: str | None = None,
    ) -> None:
        """Let a fault of strict/faults.py strike calls to moto, of one operation and caller or of any.

        It strikes `times` of them from the `nth` on, counted from now: with `FOR_GOOD`, all. They are those to one region,
        or those `outside` of one, as by an organisation's policy. Only a function on MiniStack can be killed.
        """
        settings = {"kind": kind, "operation": operation, "caller": caller, "nth": nth, "times": times}
        settings |= {"region": region, "outside": outside}
        _request(f"{self._moto.url}/_local/faults", settings | {"parent": self.functions_parent})

    def struck(self) -> int:
        """How many calls the faults have struck."""
        return _request(f"{self._moto.url}/_local/faults")["struck"]

    def end_faults(self) -> None:
        """No fault any more; a function that is held dies."""
        _request(f"{self._moto.url}/_local/faults", method="DELETE")

    def throttle(self, on: bool = True) -> None:
        """Refuse calls that come faster than AWS's limits: to moto, and functions' and state machines' to Step Functions.

        At infinite speed they are those of real seconds.
        """
        self._tell("throttle", on=on)

    def _settings(self, **changes: int | None) -> dict:
        """Those of strict/settings.py, after the changes."""
        return _request(f"{self._moto.url}/_local/settings", changes)

    @property
    def page_size(self) -> int | None:
        """The most that moto puts on a page of a list; None: as many as AWS does."""
        return self._settings()["page_size"]

    @page_size.setter
    def page_size(self, size: int | None) -> None:
        self._settings(page_size=size)

    @property
    def seed(self) -> int:
        """Decides what moto answers where no source tells what AWS does; with 0 it is the likeliest."""
        return self._settings()["seed"]

    @seed.setter
    def seed(self, seed: int) -> None:
        self._settings(seed=seed)

    @property
    def tags_lag(self) -> bool | None:
        """Whether IAM learns late of the tags of what functions make; None, as at first: the seed decides."""
        return self._settings()["tags_lag"]

    @tags_lag.setter
    def tags_lag(self, lag: bool | None) -> None:
        self._settings(tags_lag=lag)

    def reset(self) -> None:
        """Forget all resources, calls and faults on moto, throttling and settings; what is on MiniStack stays."""
        _request(f"{self._moto.url}/_local/reset", {})
        self.throttle(False)

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._speed = speed
        self._tell("clock", speed=speed)

    def advance(self, seconds: float) -> None:
        """Let so many AWS seconds pass at once, whatever the speed; waits of Step Functions are not shortened."""
        self._tell("clock", advance=seconds)

    def _tell(self, what: str, **settings: float) -> None:
        """Both servers."""
        for server in (self._moto, self._ministack):
            _request(f"{server.url}/_local/{what}", settings)

    def output(self) -> str:
        """What both servers, and the functions, have written so far: for the report of a failure."""
        return f"--- moto ---\n{self._moto.output()}\n--- MiniStack ---\n{self._ministack.output()}"
