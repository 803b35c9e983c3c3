"""The local DNS answers from Route 53's zones as name servers and resolvers do: RFC 1034, RFC 2308, RFC 4592.

Aliases: Route 53 developer guide, "Choosing between alias and non-alias records".
"""

import ipaddress

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from ..local import LocalAws
from ..world import World
from .support import Balancer, Network, Zone, alias, record

# The zone of RFC 4592, 2.2.1, but for its name, its start of authority and its own name servers.
ZONE_OF_THE_RFC = [
    ("*.{}", "TXT", '"this is a wildcard"'),
    ("*.{}", "MX", "10 host1.{}."),
    ("sub.*.{}", "TXT", '"this is not a wildcard"'),
    ("host1.{}", "A", "192.0.2.1"),
    ("_ssh._tcp.host1.{}", "SRV", "0 0 22 host1.{}."),
    ("_ssh._tcp.host2.{}", "SRV", "0 0 22 host1.{}."),
    ("subdel.{}", "NS", "ns.example.com."),
]
# What is answered there, by the same section and 2.2.2: code, and values.
ANSWERS = [
    ("host3.{}", "MX", "NOERROR", ["10 host1.{}."]),
    ("host3.{}", "A", "NOERROR", []),
    ("foo.bar.{}", "TXT", "NOERROR", ['"this is a wildcard"']),
    ("host1.{}", "MX", "NOERROR", []),
    ("sub.*.{}", "MX", "NOERROR", []),
    ("sub.*.{}", "TXT", "NOERROR", ['"this is not a wildcard"']),
    ("_telnet._tcp.host1.{}", "SRV", "NXDOMAIN", []),
    ("ghost.*.{}", "MX", "NXDOMAIN", []),
    # Empty non-terminals, and what is below them.
    ("host2.{}", "TXT", "NOERROR", []),
    ("_tcp.host1.{}", "TXT", "NOERROR", []),
    ("www.host2.{}", "TXT", "NXDOMAIN", []),
    # The wildcard itself is a name like any other.
    ("*.{}", "TXT", "NOERROR", ['"this is a wildcard"']),
]


def code(response: dns.message.Message) -> str:
    return dns.rcode.to_text(response.rcode())


def values(response: dns.message.Message, kind: str | None = None) -> list[str]:
    rrsets = [rrset for rrset in response.answer if kind in (None, rrset.rdtype.name)]
    return sorted(value.to_text() for rrset in rrsets for value in rrset)


def write(zone: Zone, *records: tuple[str, str, str]) -> None:
    made = [
        record(name.format(zone.domain), kind, value.format(zone.domain)) for name, kind, value in records
    ]
    zone.change(*(("CREATE", each) for each in made))


# --- Zones -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recursion", [True, False])
@pytest.mark.parametrize(("pattern", "kind", "wanted", "data"), ANSWERS)
def test_wildcards_and_empty_non_terminals_are_those_of_rfc_4592(
    aws, zone, pattern, kind, wanted, data, recursion
):
    write(zone, *ZONE_OF_THE_RFC)
    asked = pattern.format(zone.domain)
    response = aws.query(asked, kind, recursion=recursion)
    assert (code(response), values(response)) == (wanted, [each.format(zone.domain) for each in data])
    for rrset in response.answer:
        assert rrset.name.to_text() == f"{asked}."
    # A negative answer says for how long it holds (RFC 2308).
    assert [rrset.rdtype.name for rrset in response.authority] == ([] if data else ["SOA"])
    assert bool(response.flags & dns.flags.AA) != recursion


def test_below_a_cut_the_zone_refers_to_other_name_servers(aws, zone):
    """RFC 4592, 2.2.1: host.subdel is beyond a zone cut. A resolver goes there, where nobody is."""
    write(zone, *ZONE_OF_THE_RFC)
    for name in ("subdel", "host.subdel"):
        response = aws.query(f"{name}.{zone.domain}", "A", recursion=False)
        assert (code(response), response.answer) == ("NOERROR", [])
        [cut] = response.authority
        assert (cut.name.to_text(), cut.rdtype.name) == (f"subdel.{zone.domain}.", "NS")
        assert not response.flags & dns.flags.AA
        assert code(aws.query(f"{name}.{zone.domain}", "A")) == "SERVFAIL"
    assert aws.ask(f"subdel.{zone.domain}", "NS") == ["ns.example.com."]


def test_every_type_is_answered_as_it_was_written(aws, zone):
    written = {
        "A": ["192.0.2.1", "192.0.2.2"],
        "AAAA": ["2001:db8::1"],
        "TXT": ['"one" "two"', '"with \\"quotes\\""'],
        "CAA": ['0 issue "amazon.com"'],
        "MX": ["10 mail.example.com."],
    }
    for kind, data in written.items():
        zone.change(("CREATE", record(f"www.{zone.domain}", kind, *data, ttl=42)))
    for kind, data in written.items():
        response = aws.query(f"WWW.{zone.domain}.", kind)
        assert values(response) == sorted(data)
        assert [rrset.ttl for rrset in response.answer] == [42]
    assert sorted(aws.ask(zone.domain, "NS")) == sorted(f"{server}." for server in zone.name_servers)
    assert aws.ask(zone.domain, "SOA")[0].startswith(zone.name_servers[0])


def test_a_cname_is_followed_to_its_end(aws, zone, name):
    other = Zone(aws, f"{name}-other.test")
    write(zone, ("www.{}", "CNAME", "shop.{}."), ("shop.{}", "CNAME", f"www.{other.domain}"))
    write(other, ("www.{}", "A", "192.0.2.1"))
    assert values(aws.query(f"www.{zone.domain}", "A"), "A") == ["192.0.2.1"]
    assert aws.ask(f"www.{zone.domain}", "CNAME") == [f"shop.{zone.domain}."]
    response = aws.query(f"www.{zone.domain}", "AAAA")
    assert (code(response), values(response, "AAAA")) == ("NOERROR", [])
    write(zone, ("gone.{}", "CNAME", "nobody.nowhere.example."), ("round.{}", "CNAME", "round.{}."))
    assert code(aws.query(f"gone.{zone.domain}", "A")) == "NXDOMAIN"
    assert code(aws.query(f"round.{zone.domain}", "A")) == "SERVFAIL"


def test_a_name_outside_all_zones_is_none(aws, zone):
    for name in ("nowhere.example", "test", f"evil-{zone.domain}"):
        assert code(aws.query(name, "A")) == "NXDOMAIN"
        assert code(aws.query(name, "A", recursion=False)) == "REFUSED"


def test_a_private_zone_is_not_seen(aws, network: Network, name):
    aws.client("route53").create_hosted_zone(
        Name=f"{name}.test",
        CallerReference=name,
        VPC={"VPCRegion": "us-east-1", "VPCId": network.vpc},
        HostedZoneConfig={"PrivateZone": True},
    )
    assert code(aws.query(f"{name}.test", "SOA")) == "NXDOMAIN"


def test_a_weight_of_0_gets_nothing(aws, zone):
    """Developer guide, "Values specific for weighted records"."""
    for address, weight in (("192.0.2.1", 0), ("192.0.2.2", 1)):
        made = record(f"www.{zone.domain}", "A", address) | {"SetIdentifier": address, "Weight": weight}
        zone.change(("CREATE", made))
    assert {aws.ask(f"www.{zone.domain}")[0] for _ in range(10)} == {"192.0.2.2"}


# --- The internet ------------------------------------------------------------------------------------------------


def test_a_zone_is_asked_where_the_upper_one_delegates_to_it(aws, zone):
    below = Zone(aws, f"api.{zone.domain}")
    write(zone, ("www.api.{}", "A", "192.0.2.1"))
    write(below, ("www.{}", "A", "192.0.2.2"))
    assert aws.ask(f"www.api.{zone.domain}") == ["192.0.2.1"]
    zone.delegate(below)
    assert aws.ask(f"www.api.{zone.domain}") == ["192.0.2.2"]
    assert sorted(aws.ask(f"api.{zone.domain}", "NS")) == sorted(f"{each}." for each in below.name_servers)


def test_of_two_zones_of_one_name_the_internet_asks_one(aws, zone):
    """The first, until the registrar has the other's name servers."""
    second = Zone(aws, zone.domain, "again")
    write(zone, ("www.{}", "A", "192.0.2.1"))
    write(second, ("www.{}", "A", "192.0.2.2"))
    assert aws.ask(f"www.{zone.domain}") == ["192.0.2.1"]
    aws.delegate(zone.domain, second.name_servers)
    assert aws.ask(f"www.{zone.domain}") == ["192.0.2.2"]
    assert sorted(aws.ask(zone.domain, "NS")) == sorted(f"{each}." for each in second.name_servers)


def test_the_internet_may_have_other_name_servers_for_a_zone_or_none(aws, zone):
    www = f"www.{zone.domain}"
    write(zone, ("www.{}", "A", "192.0.2.1"))
    aws.delegate(zone.domain, ["ns1.elsewhere.example", "ns2.elsewhere.example."])
    assert sorted(aws.ask(zone.domain, "NS")) == ["ns1.elsewhere.example.", "ns2.elsewhere.example."]
    assert code(aws.query(www, "A")) == "SERVFAIL"
    aws.delegate(zone.domain, [])
    assert code(aws.query(zone.domain, "NS")) == code(aws.query(www, "A")) == "NXDOMAIN"
    aws.delegate(zone.domain, "silent")
    with pytest.raises(dns.exception.Timeout):
        aws.query(zone.domain, "NS", seconds=0.2)
    aws.delegate(zone.domain, None)
    assert aws.ask(www) == ["192.0.2.1"]


def test_a_name_may_be_said_to_be_delegated_away(aws, zone):
    write(zone, ("api.{}", "A", "192.0.2.1"), ("www.{}", "A", "192.0.2.2"))
    aws.delegate(f"api.{zone.domain}", ["ns1.elsewhere.example."])
    assert aws.ask(f"api.{zone.domain}", "NS") == ["ns1.elsewhere.example."]
    assert code(aws.query(f"api.{zone.domain}", "A")) == "SERVFAIL"
    assert aws.ask(f"www.{zone.domain}") == ["192.0.2.2"]


def test_a_reset_forgets_zones_and_delegations(own: LocalAws):
    zone = Zone(own, "w1.test")
    own.delegate(zone.domain, ["ns1.elsewhere.example."])
    own.reset()
    assert code(own.query(zone.domain, "NS")) == "NXDOMAIN"


# --- Load balancers and instances --------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "dualstack."])
def test_an_alias_is_answered_with_addresses_of_the_load_balancer(aws, network, zone, name, prefix):
    """By which whoever has the address finds where the load balancer really listens."""
    balancer = Balancer(aws, network, name)
    balancer.listener()
    dns_name = balancer.describe()["DNSName"]
    zone.change(
        *(("CREATE", alias(zone.domain, target=prefix + dns_name, kind=kind)) for kind in ("A", "AAAA"))
    )
    [address] = aws.ask(zone.domain)
    assert ipaddress.ip_address(address).is_loopback
    assert aws.ask(dns_name) == aws.ask(f"dualstack.{dns_name}") == [address]
    assert aws.reach(f"{address}:80") == aws.front()[f"{dns_name}:80"]
    assert aws.reach(f"{address}:443") is None
    assert aws.ask(zone.domain, "AAAA") == []
    aws.client("elbv2").set_ip_address_type(LoadBalancerArn=balancer.arn, IpAddressType="dualstack")
    [of_ipv6] = aws.ask(zone.domain, "AAAA")
    assert aws.reach(f"[{of_ipv6}]:80") == aws.front()[f"{dns_name}:80"]


def test_no_two_load_balancers_have_the_same_address(aws, network, name):
    made = [Balancer(aws, network, f"{name}-{number}").describe()["DNSName"] for number in range(2)]
    assert len({address for dns_name in made for address in aws.ask(dns_name)}) == 2


def test_an_alias_to_a_load_balancer_that_is_gone_has_no_answer(aws, network, zone, name):
    balancer = Balancer(aws, network, name)
    dns_name = balancer.describe()["DNSName"]
    zone.change(("CREATE", alias(zone.domain, target=dns_name)))
    balancer.delete()
    response = aws.query(zone.domain, "A")
    assert (code(response), response.answer) == ("NOERROR", [])
    assert code(aws.query(dns_name, "A")) == "NXDOMAIN"


def test_an_alias_to_a_record_of_the_zone_is_answered_with_its_values(aws, zone):
    write(zone, ("www.{}", "A", "192.0.2.1"))
    zone.change(("CREATE", alias(zone.domain, zone.id, f"www.{zone.domain}")))
    assert aws.ask(zone.domain) == ["192.0.2.1"]


def test_a_name_of_ec2_is_an_instances_address(aws):
    """VPC user guide, "DNS attributes for your VPC"; the address leads to the instance's backend while it runs."""
    with World(aws, ephemeral=True) as world:
        named = f"ec2-{world.public_ip.replace('.', '-')}.compute-1.amazonaws.com"
        world.put_record(
            {"Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": named}]}, name=f"www.{world.domain}"
        )
        assert aws.ask(f"www.{world.domain}") == aws.ask(world.domain) == [world.public_ip]
        assert aws.reach(f"{world.public_ip}:80") == world.backend.address
        world.restart(world.instances[0])
        assert aws.reach(f"{world.public_ip}:80") is None


# --- The protocol ------------------------------------------------------------------------------------------------


def test_what_is_too_long_for_udp_is_asked_for_again_by_tcp(aws, zone):
    texts = [f'"{number:03} {"x" * 200}"' for number in range(20)]
    zone.change(("CREATE", record(zone.domain, "TXT", *texts)))
    host, port = aws.dns_address.split(":")
    query = dns.message.make_query(zone.domain, "TXT")
    short = dns.query.udp(query, host, 5, int(port))
    assert short.flags & dns.flags.TC
    assert len(short.to_wire()) <= 512
    assert len(aws.ask(zone.domain, "TXT")) == 20


def test_a_value_that_is_none_of_its_type_is_no_answer(aws, zone):
    """Route 53 would have refused it; the local one takes it."""
    write(zone, ("www.{}", "A", "nonsense"))
    assert code(aws.query(f"www.{zone.domain}", "A")) == "SERVFAIL"
