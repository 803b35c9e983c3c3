"""Route 53 as its API reference has it: exact deletes, atomic batches, names that exclude each other, changes in time.

ChangeResourceRecordSets, AliasTarget, GetChange; values: developer guide, "Supported DNS record types".
"""

from .support import ALB_NAME, ALB_ZONE, SETTLED, Zone, alias, record, refused


def test_deleting_what_is_not_there_says_so(zone):
    with refused(
        "InvalidChangeBatch",
        f"[Tried to delete resource record set [name='www.{zone.domain}.', type='A'] but it was not found]",
    ):
        zone.change(("DELETE", record(f"www.{zone.domain}", "A", "192.0.2.1")))


def test_delete_must_repeat_the_values(zone):
    www = f"www.{zone.domain}"
    zone.change(("CREATE", record(www, "A", "192.0.2.1", "192.0.2.2")))
    for wrong in (
        record(www, "A", "192.0.2.1"),
        record(www, "A", "192.0.2.1", "192.0.2.2", ttl=60),
        alias(www),
    ):
        with refused("InvalidChangeBatch", "but the values provided do not match the current values]"):
            zone.change(("DELETE", wrong))
    zone.change(("DELETE", record(www.upper(), "A", "192.0.2.2", "192.0.2.1")))
    assert zone.records() == {}


def test_delete_of_an_alias_must_repeat_its_target(zone):
    zone.change(("CREATE", alias(zone.domain)))
    with refused("InvalidChangeBatch", "do not match the current values"):
        zone.change(("DELETE", alias(zone.domain, target=f"other-{ALB_NAME}")))
    zone.change(("DELETE", alias(f"{zone.domain}.", target=f"{ALB_NAME}.")))
    assert zone.records() == {}


def test_create_of_what_exists_is_refused(zone):
    zone.change(("CREATE", record(zone.domain, "A", "192.0.2.1")))
    with refused(
        "InvalidChangeBatch",
        f"[Tried to create resource record set [name='{zone.domain}.', type='A'] but it already exists]",
    ):
        zone.change(("CREATE", record(zone.domain, "A", "192.0.2.1")))


def test_a_comment_of_more_than_256_characters_is_refused(zone):
    """Service model: ChangeBatch.Comment is a ResourceDescription, whose maximum is 256."""
    change = {"Action": "CREATE", "ResourceRecordSet": record(zone.domain, "A", "192.0.2.1")}

    def commented(length: int) -> None:
        batch = {"Comment": "x" * length, "Changes": [change]}
        zone.client.change_resource_record_sets(HostedZoneId=zone.id, ChangeBatch=batch)

    with refused("InvalidInput", "less than or equal to 256"):
        commented(257)
    assert zone.records() == {}
    commented(256)
    assert (f"{zone.domain}.", "A") in zone.records()


def test_upsert_repeats(zone):
    for value in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        zone.change(("UPSERT", record(zone.domain, "A", value)))
    assert zone.records()[f"{zone.domain}.", "A"]["ResourceRecords"] == [{"Value": "192.0.2.2"}]


def test_a_batch_is_atomic(zone):
    www = f"www.{zone.domain}"
    with refused("InvalidChangeBatch"):
        zone.change(
            ("CREATE", record(www, "A", "192.0.2.1")),
            ("DELETE", record(f"gone.{zone.domain}", "A", "192.0.2.1")),
        )
    assert zone.records() == {}
    zone.change(("CREATE", record(www, "A", "192.0.2.1")))
    zone.change(("DELETE", record(www, "A", "192.0.2.1")), ("CREATE", alias(www)))
    assert "AliasTarget" in zone.records()[f"{www}.", "A"]


def test_an_alias_needs_the_load_balancers_zone_id(zone):
    for target in (ALB_NAME, f"dualstack.{ALB_NAME}"):
        with refused("InvalidChangeBatch", "the alias target name does not lie within the target zone"):
            zone.change(("UPSERT", alias(zone.domain, "Z2P70J7EXAMPLE", target)))
        zone.change(("UPSERT", alias(zone.domain, ALB_ZONE, target)))


def test_a_cname_stands_alone(zone):
    www, other = f"www.{zone.domain}", f"other.{zone.domain}"
    zone.change(("CREATE", record(www, "A", "192.0.2.1")), ("CREATE", record(other, "CNAME", "example.com")))
    with refused("InvalidChangeBatch", "RRSet of type CNAME"):
        zone.change(("CREATE", record(www, "CNAME", "example.com")))
    with refused("InvalidChangeBatch", "a conflicting RRSet of type CNAME"):
        zone.change(("CREATE", record(other, "A", "192.0.2.1")))
    with refused("InvalidChangeBatch", "not permitted at apex"):
        zone.change(("CREATE", record(zone.domain, "CNAME", "example.com")))


def test_a_name_outside_the_zone_is_refused(zone):
    for name in ("example.com", f"evil-{zone.domain}"):
        with refused("InvalidChangeBatch", "is not permitted in zone"):
            zone.change(("CREATE", record(name, "A", "192.0.2.1")))


def test_txt_values_are_kept_exactly(zone):
    values = ['"heritage=owner stack=s target=x"', r'"a \"quoted\" word"', '"two" "strings"']
    zone.change(("CREATE", record(f"_owner.{zone.domain}", "TXT", *values)))
    found = zone.records()[f"_owner.{zone.domain}.", "TXT"]["ResourceRecords"]
    assert [each["Value"] for each in found] == values
    zone.change(("DELETE", record(f"_owner.{zone.domain}", "TXT", *values)))


def test_a_txt_value_is_quoted_and_at_most_255_long(zone):
    with refused("InvalidChangeBatch", "Value should be enclosed in quotation marks"):
        zone.change(("CREATE", record(zone.domain, "TXT", "bare")))
    with refused("InvalidChangeBatch", "CharacterStringTooLong"):
        zone.change(("CREATE", record(zone.domain, "TXT", f'"{"x" * 256}"')))
    zone.change(("CREATE", record(zone.domain, "TXT", f'"{"x" * 255}"')))


def test_a_change_takes_time_to_reach_the_name_servers(aws, zone):
    change = zone.change(("CREATE", record(zone.domain, "A", "192.0.2.1")))
    assert change["Status"] == "PENDING"
    assert zone.client.get_change(Id=change["Id"])["ChangeInfo"]["Status"] == "PENDING"
    aws.advance(SETTLED)
    assert zone.client.get_change(Id=change["Id"])["ChangeInfo"]["Status"] == "INSYNC"


def test_an_unknown_change_is_an_error(zone):
    with refused("NoSuchChange"):
        zone.client.get_change(Id="C00000000000000000000")


def test_the_change_of_a_new_zone_is_known(aws, name):
    client = aws.client("route53")
    made = client.create_hosted_zone(Name=f"{name}.test", CallerReference=name)
    aws.advance(SETTLED)
    assert client.get_change(Id=made["ChangeInfo"]["Id"])["ChangeInfo"]["Status"] == "INSYNC"


def test_a_new_zone_has_its_name_servers_and_start_of_authority(zone):
    found = zone.client.list_resource_record_sets(HostedZoneId=zone.id)["ResourceRecordSets"]
    assert {(each["Name"], each["Type"]) for each in found} == {
        (f"{zone.domain}.", "NS"),
        (f"{zone.domain}.", "SOA"),
    }
    [soa] = [each["ResourceRecords"] for each in found if each["Type"] == "SOA"]
    assert soa[0]["Value"].startswith(zone.name_servers[0])
    [servers] = [each["ResourceRecords"] for each in found if each["Type"] == "NS"]
    assert [server["Value"] for server in servers] == [f"{server}." for server in zone.name_servers]


def test_no_two_zones_have_the_same_name_servers(aws, zone):
    """Developer guide, "SOA and NS records that Amazon Route 53 creates for a public hosted zone"."""
    assert not set(zone.name_servers) & set(Zone(aws, zone.domain, "again").name_servers)


def test_an_asterisk_comes_back_in_octal(zone):
    """Terraform's provider undoes it (cleanRecordName); either way of writing it means the same record."""
    wildcard = f"*.{zone.domain}"
    zone.change(("CREATE", record(wildcard, "A", "192.0.2.1")))
    assert list(zone.records()) == [(f"\\052.{zone.domain}.", "A")]
    with refused("InvalidChangeBatch", "already exists"):
        zone.change(("CREATE", record(f"\\052.{zone.domain}", "A", "192.0.2.1")))
    zone.change(("DELETE", record(wildcard, "A", "192.0.2.1")))
    assert zone.records() == {}
