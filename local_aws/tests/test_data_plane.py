"""What comes out of a load balancer, by clients we did not write: Python's http.client and ssl."""

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ..local import LocalAws
from ..visitor import Visitor
from ..waiting import meanwhile
from ..world import World
from .support import SETTLED, Balancer, Network, Zone, alias, issued, refused

REDIRECT = {
    "Type": "redirect",
    "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"},
}
TLS_1_2_AND_1_3 = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"


class Echo:
    """A backend that says what it was asked, and does what some paths say."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                if self.path == "/cut":
                    self.close_connection = True
                    return
                if self.path == "/slow":
                    time.sleep(3)
                length = int(self.headers.get("Content-Length") or 0)
                asked = {
                    "method": self.command,
                    "path": self.path,
                    "headers": self.headers.items(),
                    "body": self.rfile.read(length).decode(),
                }
                body = json.dumps(asked).encode()
                self.send_response(500 if self.path == "/broken" else 200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Set-Cookie", "a=1")
                self.send_header("Set-Cookie", "b=2")
                self.send_header("Strict-Transport-Security", "max-age=1")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_POST = answer

            def version_string(self) -> str:
                host, port = self.server.server_address
                return f"{host}:{port}"

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Site:
    """A load balancer with a backend behind it, and what clients of it see."""

    def __init__(self, aws: LocalAws, network: Network, name: str, backend: Echo):
        self.aws, self.network, self.backend = aws, network, backend
        self.balancer = Balancer(aws, network, name)
        self.elb = self.balancer.client
        self.dns_name: str = self.balancer.describe()["DNSName"]
        self.group = network.group(f"{name}-web")
        self.source = {
            "IpProtocol": "tcp",
            "FromPort": 80,
            "ToPort": 80,
            "UserIdGroupPairs": [{"GroupId": self.balancer.group}],
        }
        network.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[self.source])
        self.instance = network.instance(self.group, tags={"local:backend": backend.address})
        self.register(self.instance)

    def register(self, instance: str) -> None:
        self.elb.register_targets(TargetGroupArn=self.balancer.target_group, Targets=[{"Id": instance}])

    def address(self, port: int) -> tuple[str, int]:
        """Where a client that resolves the load balancer's name connects."""
        host, _, local = self.aws.front()[f"{self.dns_name}:{port}"].partition(":")
        return host, int(local)

    def get(
        self,
        path: str,
        port: int = 80,
        method: str = "GET",
        body: bytes | Iterator[bytes] | None = None,
        host: str = "example.test",
        **headers: str,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One request and the whole answer."""
        connection = http.client.HTTPConnection(*self.address(port), timeout=10)
        if port == 443:
            connection.connect()
            connection.sock = self.trusting().wrap_socket(connection.sock, server_hostname=host)
        headers = {"Host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.status, response.headers, response.read()
        connection.close()
        return answer

    def trusting(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A client that trusts the local authority alone."""
        context = ssl.create_default_context(cafile=str(self.aws.authority.root_file))
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def handshake(self, server_name: str | None, context: ssl.SSLContext | None = None) -> tuple[str, dict]:
        """The TLS version and the certificate of a connection."""
        plain = socket.create_connection(self.address(443), 10)
        with (context or self.trusting()).wrap_socket(plain, server_hostname=server_name) as secure:
            return secure.version(), secure.getpeercert()


@pytest.fixture
def backend() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.close()


@pytest.fixture
def site(aws: LocalAws, network: Network, name: str, backend: Echo) -> Iterator[Site]:
    """Active, forwarding on port 80."""
    made = Site(aws, network, name, backend)
    made.balancer.listener()
    aws.advance(SETTLED)
    yield made
    made.balancer.delete()


def imported(aws: LocalAws, *names: str, **options: timedelta) -> str:
    """A certificate of the same authority by the way of ImportCertificate."""
    certificate, key = aws.authority.certificate(*names, **options)
    imported = aws.client("acm").import_certificate(Certificate=certificate, PrivateKey=key)
    return imported["CertificateArn"]


# --- Forward -----------------------------------------------------------------------------------------------------


def test_it_forwards_and_says_for_whom(site: Site) -> None:
    """The path, the Host header and the body reach the target as they are, with X-Forwarded-For, -Proto and -Port."""
    status, headers, body = site.get("/a/b?c=%20d", method="POST", body=b"text", X_Other="1")
    asked = json.loads(body)
    sent = {name.lower(): value for name, value in asked["headers"]}
    assert (status, asked["method"], asked["path"], asked["body"]) == (200, "POST", "/a/b?c=%20d", "text")
    assert (sent["host"], sent["x-other"]) == ("example.test", "1")
    assert sent["x-forwarded-for"] == "127.0.0.1"
    assert (sent["x-forwarded-proto"], sent["x-forwarded-port"]) == ("http", "80")
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_x_forwarded_for_is_appended_to_the_others_replaced(site: Site) -> None:
    """A client cannot say that it came over HTTPS, and what it says of itself stands before what is known of it."""
    claims = {"X_Forwarded_For": "203.0.113.7", "X_Forwarded_Proto": "https", "X_Forwarded_Port": "443"}
    sent = dict(json.loads(site.get("/", **claims)[2])["headers"])
    assert sent["X-Forwarded-For"] == "203.0.113.7, 127.0.0.1"
    assert (sent["X-Forwarded-Proto"], sent["X-Forwarded-Port"]) == ("http", "80")


def test_a_body_in_chunks_arrives_whole(site: Site) -> None:
    body = json.loads(site.get("/", method="POST", body=iter([b"one, ", b"two"]))[2])["body"]
    assert body == "one, two"


def test_head_has_the_length_and_no_body(site: Site) -> None:
    status, headers, body = site.get("/", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


def test_invalid_header_names_are_dropped_where_the_attribute_says_so(site: Site) -> None:
    """routing.http.drop_invalid_header_fields.enabled: a valid name is of [-A-Za-z0-9]+."""
    connection = http.client.HTTPConnection(*site.address(80), timeout=10)

    def arrives() -> bool:
        connection.request("GET", "/", headers={"under_score": "1"})
        return "under_score" in connection.getresponse().read().decode()

    assert arrives()
    drop = {"Key": "routing.http.drop_invalid_header_fields.enabled", "Value": "true"}
    site.elb.modify_load_balancer_attributes(LoadBalancerArn=site.balancer.arn, Attributes=[drop])
    assert not arrives()
    connection.close()


def test_targets_take_turns(site: Site) -> None:
    """The default algorithm is round robin."""
    other = Echo()
    site.register(site.network.instance(site.group, tags={"local:backend": other.address}))
    site.aws.advance(SETTLED)
    counts = dict.fromkeys([site.backend.address, other.address], 0)
    for _ in range(4):
        counts[site.get("/")[1]["Server"]] += 1
    other.close()
    assert set(counts.values()) == {2}


# --- No answer of a target ---------------------------------------------------------------------------------------


def test_without_a_target_503(site: Site) -> None:
    """503: no registered target, or none that is in use."""
    site.elb.deregister_targets(TargetGroupArn=site.balancer.target_group, Targets=[{"Id": site.instance}])
    status, headers, body = site.get("/")
    assert (status, headers["Server"]) == (503, "awselb/2.0")
    assert b"503 Service Temporarily Unavailable" in body


def test_a_stopped_target_503(site: Site) -> None:
    """A target that is not running is unused."""
    site.network.ec2.stop_instances(InstanceIds=[site.instance])
    assert site.get("/")[0] == 503


def test_a_new_target_gets_nothing_before_its_first_health_check(site: Site) -> None:
    """Initial is not healthy, and not unhealthy."""
    site.elb.deregister_targets(TargetGroupArn=site.balancer.target_group, Targets=[{"Id": site.instance}])
    site.register(site.instance)
    assert site.get("/")[0] == 503
    site.aws.advance(SETTLED)
    assert site.get("/")[0] == 200


def test_with_unhealthy_targets_alone_it_fails_open(site: Site) -> None:
    """Where all registered targets are unhealthy, requests go to all of them."""
    site.elb.modify_target_group(TargetGroupArn=site.balancer.target_group, HealthCheckPath="/broken")
    assert site.get("/")[0] == 200
    assert site.get("/broken")[0] == 500


def test_with_a_healthy_target_the_unhealthy_get_nothing(site: Site) -> None:
    """Only healthy targets receive requests while there is one."""
    down = Echo()
    site.register(site.network.instance(site.group, tags={"local:backend": down.address}))
    site.aws.advance(SETTLED)
    down.close()
    assert [site.get("/")[0] for _ in range(4)] == [200] * 4


def test_a_target_that_is_down_or_breaks_off_502(site: Site) -> None:
    """502: the target closes the connection before it has answered, or refuses it."""
    status, headers, _ = site.get("/cut")
    assert (status, headers["Server"]) == (502, "awselb/2.0")
    site.backend.close()
    assert site.get("/")[0] == 502


def test_a_target_that_is_too_slow_504(site: Site) -> None:
    """504: no answer within the idle timeout."""
    timeout = {"Key": "idle_timeout.timeout_seconds", "Value": "1"}
    site.elb.modify_load_balancer_attributes(LoadBalancerArn=site.balancer.arn, Attributes=[timeout])
    assert site.get("/slow")[0] == 504


def test_a_target_whose_group_admits_no_load_balancer_504(site: Site) -> None:
    """504: the connection to the target times out. (Its ten seconds are not waited for here.)"""
    site.network.ec2.revoke_security_group_ingress(GroupId=site.group, IpPermissions=[site.source])
    assert site.get("/")[0] == 504


# --- Redirect and fixed response ---------------------------------------------------------------------------------


def redirects(site: Site, **config: str) -> None:
    [listener] = site.elb.describe_listeners(LoadBalancerArn=site.balancer.arn)["Listeners"]
    action = {"Type": "redirect", "RedirectConfig": REDIRECT["RedirectConfig"] | config}
    site.elb.modify_listener(ListenerArn=listener["ListenerArn"], DefaultActions=[action])


def test_a_redirect_keeps_host_path_and_query_and_names_the_port(site: Site) -> None:
    """Location has the port even where it is the scheme's own; a path is kept as it was asked for."""
    redirects(site)
    status, headers, body = site.get("/a/%20b?c=d&e", host="api.example.test:8080")
    assert (status, headers["Location"]) == (301, "https://api.example.test:443/a/%20b?c=d&e")
    assert b"301 Moved Permanently" in body
    assert site.get("/")[1]["Location"] == "https://example.test:443/"


def test_a_redirect_fills_in_parts_of_the_request(site: Site) -> None:
    """#{protocol}, #{host}, #{port}, #{path} without its first slash, #{query}."""
    redirects(
        site,
        Host="www.#{host}",
        Path="/new/#{path}",
        Query="#{query}&from=#{protocol}-#{port}",
        StatusCode="HTTP_302",
    )
    status, headers, _ = site.get("/a?b=c")
    assert status == 302
    assert headers["Location"] == "https://www.example.test:443/new/a?b=c&from=http-80"


def test_a_fixed_response(site: Site) -> None:
    fixed = {"StatusCode": "410", "ContentType": "text/plain", "MessageBody": "gone"}
    action = {"Type": "fixed-response", "FixedResponseConfig": fixed}
    site.balancer.listener(8080, DefaultActions=[action])
    status, headers, body = site.get("/", 8080)
    assert (status, headers["Content-Type"], body) == (410, "text/plain", b"gone")


# --- TLS ---------------------------------------------------------------------------------------------------------


def test_https_with_the_certificate_that_acm_has_issued(aws: LocalAws, site: Site, zone: Zone) -> None:
    """Chain, name and expiry hold for a client that trusts the authority; the target is told https and 443."""
    domain = f"api.{zone.domain}"
    site.balancer.https_listener(issued(aws, zone, domain).arn, SslPolicy=TLS_1_2_AND_1_3)
    status, _, body = site.get("/", 443, host=domain)
    sent = dict(json.loads(body)["headers"])
    assert status == 200
    assert (sent["X-Forwarded-Proto"], sent["X-Forwarded-Port"]) == ("https", "443")


def test_before_it_is_issued_nobody_can_trust_a_certificate(aws: LocalAws, name: str) -> None:
    """GetCertificate of a pending one: RequestInProgressException."""
    acm = aws.client("acm")
    arn = acm.request_certificate(DomainName=f"{name}.test", ValidationMethod="DNS")["CertificateArn"]
    aws.advance(SETTLED)
    with refused("RequestInProgressException"):
        acm.get_certificate(CertificateArn=arn)


def test_hsts_is_the_listeners_in_place_of_the_targets(aws: LocalAws, site: Site) -> None:
    """routing.http.response.strict_transport_security.header_value, of this listener alone."""
    listener = site.balancer.https_listener(imported(aws, "example.test"))
    assert site.get("/", 443)[1]["Strict-Transport-Security"] == "max-age=1"
    hsts = {
        "Key": "routing.http.response.strict_transport_security.header_value",
        "Value": "max-age=300",
    }
    site.elb.modify_listener_attributes(ListenerArn=listener, Attributes=[hsts])
    assert site.get("/", 443)[1].get_all("Strict-Transport-Security") == ["max-age=300"]
    assert site.get("/", 80)[1]["Strict-Transport-Security"] == "max-age=1"


@pytest.mark.parametrize(
    ("policy", "spoken"),
    [
        (TLS_1_2_AND_1_3, {"TLSv1.2", "TLSv1.3"}),
        ("ELBSecurityPolicy-TLS13-1-3-2021-06", {"TLSv1.3"}),
        ("ELBSecurityPolicy-TLS-1-2-2017-01", {"TLSv1.2"}),
        (None, {"TLSv1.2"}),
    ],
)
def test_the_policy_says_which_versions(
    aws: LocalAws, site: Site, policy: str | None, spoken: set[str]
) -> None:
    """The API's default policy, ELBSecurityPolicy-2016-08, has no TLS 1.3."""
    site.balancer.https_listener(imported(aws, "example.test"), **{"SslPolicy": policy} if policy else {})
    heard = set()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        try:
            heard.add(site.handshake("example.test", site.trusting(version))[0])
        except (ssl.SSLError, ConnectionError):
            continue
    assert heard == spoken


def test_the_certificate_is_chosen_by_server_name(aws: LocalAws, site: Site) -> None:
    """The first that fits the name, a wildcard for one label; the default one for any other name, and for none."""
    listener = site.balancer.https_listener(imported(aws, "default.test"))
    others = [imported(aws, "other.test", "www.other.test"), imported(aws, "*.wild.test")]
    for arn in others:
        site.elb.add_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": arn}])
    for server_name in ("default.test", "other.test", "WWW.other.test", "a.wild.test"):
        site.handshake(server_name)
    anybody = site.trusting()
    anybody.check_hostname = False
    for server_name in ("b.a.wild.test", "unknown.test", None):
        _, certificate = site.handshake(server_name, anybody)
        assert certificate["subjectAltName"] == (("DNS", "default.test"),)


def test_a_certificate_for_another_name_is_refused_by_the_client(aws: LocalAws, site: Site) -> None:
    """Elastic Load Balancing never compares: it serves what its listener has."""
    site.balancer.https_listener(imported(aws, "other.test"))
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        site.handshake("example.test")


def test_an_expired_certificate_is_served_on(aws: LocalAws, site: Site) -> None:
    """ACM takes no expired certificate; one that expires on a listener stays there."""
    site.balancer.https_listener(imported(aws, "example.test", life=timedelta(seconds=2)))
    site.handshake("example.test")
    time.sleep(3)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        site.handshake("example.test")


# --- Listeners come and go ---------------------------------------------------------------------------------------


def refuses(address: tuple[str, int]) -> bool:
    """Whether nothing is served at the address."""
    return no_answer(http.client.HTTPConnection(*address, timeout=10))


def no_answer(connection: http.client.HTTPConnection) -> bool:
    """Whether a request on this connection gets none."""
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return True
    return False


def test_a_load_balancer_serves_when_it_is_active(
    aws: LocalAws, network: Network, name: str, backend: Echo
) -> None:
    """Its DNS name and listeners are there at once, but while it is provisioning nothing answers."""
    site = Site(aws, network, name, backend)
    site.balancer.listener(DefaultActions=[REDIRECT])
    assert refuses(site.address(80))
    aws.advance(SETTLED)
    assert site.get("/")[0] == 301


def test_what_is_deleted_serves_no_more(site: Site) -> None:
    """DeleteListener ends one port, DeleteLoadBalancer all of them, for connections that stand too."""
    listener = site.balancer.listener(8080)
    extra, first = site.address(8080), site.address(80)
    kept = http.client.HTTPConnection(*first, timeout=10)
    kept.request("GET", "/")
    kept.getresponse().read()
    site.elb.delete_listener(ListenerArn=listener)
    assert refuses(extra)
    assert not refuses(first)
    site.balancer.delete()
    assert refuses(first)
    assert no_answer(kept)
    assert not any(name.startswith(site.dns_name) for name in site.aws.front())


@contextmanager
def steady_requests(site: Site) -> Iterator[list[int | str]]:
    """New connections one after the other, all the while; answers what each of them got."""
    got: list[int | str] = []
    address = site.address(80)

    def ask() -> None:
        connection = http.client.HTTPConnection(*address, timeout=10)
        try:
            connection.request("GET", "/")
            got.append(connection.getresponse().status)
        except (OSError, http.client.HTTPException) as error:
            got.append(repr(error))
        connection.close()

    with meanwhile(ask):
        yield got


def test_a_listener_is_modified_without_a_gap(site: Site) -> None:
    """ModifyListener replaces the action between two requests."""
    [listener] = site.elb.describe_listeners(LoadBalancerArn=site.balancer.arn)["Listeners"]
    forward = [{"Type": "forward", "TargetGroupArn": site.balancer.target_group}]
    with steady_requests(site) as got:
        for actions in [[REDIRECT], forward] * 5:
            time.sleep(0.05)
            site.elb.modify_listener(ListenerArn=listener["ListenerArn"], DefaultActions=actions)
        time.sleep(0.05)
    assert set(got) == {200, 301}


def test_a_listener_can_move_to_another_port(site: Site) -> None:
    """ModifyListener with a port."""
    [listener] = site.elb.describe_listeners(LoadBalancerArn=site.balancer.arn)["Listeners"]
    site.elb.modify_listener(ListenerArn=listener["ListenerArn"], Port=8080)
    assert site.get("/", 8080)[0] == 200
    assert f"{site.dns_name}:80" not in site.aws.front()


def test_reset_closes_everything(aws: LocalAws, site: Site) -> None:
    address = site.address(80)
    aws.reset()
    assert aws.front() == {}
    assert refuses(address)


# --- Visitors ----------------------------------------------------------------------------------------------------

RATE = 100


def point(zone: Zone, site: Site) -> None:
    zone.change(("UPSERT", alias(zone.domain, target=site.dns_name)))


def deregister(site: Site, instance: str) -> None:
    site.elb.deregister_targets(TargetGroupArn=site.balancer.target_group, Targets=[{"Id": instance}])


def health(site: Site) -> dict[str, str]:
    found = site.elb.describe_target_health(TargetGroupArn=site.balancer.target_group)
    return {each["Target"]["Id"]: each["TargetHealth"]["State"] for each in found["TargetHealthDescriptions"]}


def test_targets_that_change_places_when_the_new_is_healthy_are_not_noticed(
    aws: LocalAws, site: Site, zone: Zone
) -> None:
    """While it is initial the new target gets nothing; one that drains gets no new request (user guide, target groups)."""
    point(zone, site)
    other = Echo()
    new = site.network.instance(site.group, tags={"local:backend": other.address})
    with Visitor(aws, zone.domain, rate=RATE) as visitor:
        site.register(new)
        assert health(site) == {site.instance: "healthy", new: "initial"}
        visitor.again(5)
        aws.advance(SETTLED)
        assert health(site) == {site.instance: "healthy", new: "healthy"}
        visitor.again(5)
        deregister(site, site.instance)
        assert health(site) == {site.instance: "draining", new: "healthy"}
        site.backend.close()
        visitor.again(5)
    other.close()
    assert visitor.failures == []


def test_targets_that_change_places_at_once_are(aws: LocalAws, site: Site, zone: Zone) -> None:
    """503 until the new one has had its first health check."""
    point(zone, site)
    other = Echo()
    new = site.network.instance(site.group, tags={"local:backend": other.address})
    with Visitor(aws, zone.domain, rate=RATE) as visitor:
        visitor.again()
        deregister(site, site.instance)
        site.register(new)
        assert {visit.status for visit in visitor.again(5)} == {503}
        aws.advance(SETTLED)
        assert {visit.status for visit in visitor.again(5)} == {200}
    other.close()
    assert all(failure.endswith(": 503") for failure in visitor.failures)


def test_a_visitor_follows_to_https_and_trusts_the_certificate(aws: LocalAws, site: Site, zone: Zone) -> None:
    point(zone, site)
    redirects(site, StatusCode="HTTP_302")
    site.balancer.https_listener(issued(aws, zone).arn, SslPolicy=TLS_1_2_AND_1_3)
    with Visitor(aws, zone.domain, rate=RATE) as visitor:
        [visit] = visitor.again()
    assert visit.urls == (f"http://{zone.domain}/health", f"https://{zone.domain}:443/health")
    assert visitor.failures == []
    # Of another name the certificate is not.
    zone.change(("CREATE", alias(f"www.{zone.domain}", target=site.dns_name)))
    with Visitor(aws, f"www.{zone.domain}", scheme="https", rate=RATE) as visitor:
        pass
    assert all("certificate verify failed" in failure for failure in visitor.failures)
    assert len(visitor.failures) == len(visitor.visits)


def test_a_visitor_comes_to_the_instance_that_has_the_address_now(aws: LocalAws) -> None:
    with World(aws, ephemeral=True) as world, Visitor(aws, world.domain, rate=RATE) as visitor:
        visitor.again(3)
        assert visitor.failures == []
        world.restart(world.instances[0])
        [visit] = visitor.again()
        assert visit.error == f"nobody listens at {world.public_ip}:80"
        world.put_record(
            {"Type": "A", "TTL": 60, "ResourceRecords": [{"Value": world.address_of(world.instances[0])}]}
        )
        assert not visitor.again()[0].failed


def test_a_name_below_a_wildcard_is_dark_as_soon_as_anything_stands_under_it(aws: LocalAws) -> None:
    """RFC 4592, 2.2.2: then it is an empty non-terminal."""
    with World(aws) as world:
        world.serve_by_wildcard()
        with Visitor(aws, world.domain, rate=RATE) as visitor:
            visitor.again(3)
            assert visitor.failures == []
            text = {"Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": '"any"'}]}
            world.put_record(text, name=f"_owner.{world.domain}")
            [visit] = visitor.again()
        assert visit.error == f"{world.domain} has no address"


# --- Backends ----------------------------------------------------------------------------------------------------


def state(site: Site) -> tuple[str, str | None]:
    """The one target's health, and why."""
    found = site.elb.describe_target_health(TargetGroupArn=site.balancer.target_group)
    [each] = found["TargetHealthDescriptions"]
    return each["TargetHealth"]["State"], each["TargetHealth"].get("Description")


@pytest.fixture
def user(aws: LocalAws) -> Iterator[World]:
    with World(aws) as world:
        yield world


def before(aws: LocalAws, network: Network, name: str, user: World, tag: str | None = None) -> Site:
    """A site with the user's backend behind it."""
    made = Site(aws, network, name, user.backend)
    if tag:
        aws.client("ec2").create_tags(
            Resources=[made.instance], Tags=[{"Key": "local:backend", "Value": tag}]
        )
    made.balancer.listener()
    aws.advance(SETTLED)
    return made


def test_a_backend_that_redirects_whatever_has_come_is_a_loop(
    aws: LocalAws, network: Network, name: str, zone: Zone, user: World
) -> None:
    """It does not heed X-Forwarded-Proto; with the matcher 200,301 it is healthy all the same."""
    site = before(aws, network, name, user)
    point(zone, site)
    site.balancer.https_listener(issued(aws, zone).arn, SslPolicy=TLS_1_2_AND_1_3)
    user.backend.redirect = "always"
    assert state(site) == ("unhealthy", "Health checks failed with these codes: [301]")
    site.elb.modify_target_group(TargetGroupArn=site.balancer.target_group, Matcher={"HttpCode": "200,301"})
    assert state(site) == ("healthy", None)
    with Visitor(aws, zone.domain, scheme="https", rate=RATE) as visitor:
        assert visitor.again()[0].error == "too many redirects"
        user.backend.redirect = "http"
        assert not visitor.again()[0].failed
    assert site.get("/health", host=zone.domain)[1]["Location"] == f"https://{zone.domain}/health"


def test_a_health_check_names_the_targets_address_as_its_host(
    aws: LocalAws, network: Network, name: str, user: World
) -> None:
    """User guide, troubleshooting: a backend that insists on the domain fails it, though it answers whoever uses that."""
    site = before(aws, network, name, user)
    user.backend.host = "example.test"
    assert state(site) == ("unhealthy", "Health checks failed with these codes: [400]")
    _, headers = user.backend.requests[-1]
    address = network.describe(site.instance)["PrivateIpAddress"]
    assert (headers["Host"], headers["User-Agent"]) == (f"{address}:80", "ELB-HealthChecker/2.0")
    assert site.get("/health", host="example.test")[0] == 200


def test_a_backend_may_be_on_one_port_alone(aws: LocalAws, network: Network, name: str, user: World) -> None:
    other = user.new_backend()
    other.status = 503
    site = before(aws, network, name, user, f"8080={other.address} 80={user.backend.address}")
    assert state(site) == ("healthy", None)
    assert site.get("/health")[0] == 200
    aws.client("ec2").create_tags(
        Resources=[site.instance], Tags=[{"Key": "local:backend", "Value": f"8080={other.address}"}]
    )
    assert state(site) == ("unhealthy", "Health checks failed")
    assert site.get("/health")[0] == 502
    instance = user.instance(user.subnets[0], user.group, other, port=8080)
    assert aws.reach(f"{user.public_ip}:8080") == user.backend.address
    assert user.address_of(instance) is None


def test_an_instance_joins_an_auto_scaling_group(aws: LocalAws, name: str, user: World) -> None:
    """Auto Scaling user guide: its instances have the tag aws:autoscaling:groupName, and the group replaces what ends."""
    [instance] = user.instances
    ec2, scaling = aws.client("ec2"), aws.client("autoscaling")
    user.join_auto_scaling_group(instance, name)
    [found] = ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    tags = {tag["Key"]: tag["Value"] for tag in found["Instances"][0]["Tags"]}
    assert tags["aws:autoscaling:groupName"] == name
    ec2.terminate_instances(InstanceIds=[instance])
    [group] = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    assert [each["InstanceId"] for each in group["Instances"]] != [instance]
    assert len(group["Instances"]) == 1
