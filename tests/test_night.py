"""Night and morning: what goes, what stays, what comes back, when, who is told, and what it all costs."""

import time

import pytest

from harness.snapshot import differences, snapshot, without_certificate
from harness.stack import Execution, Stack
from harness.support import load_balancers, rise
from harness.world import World
from local_aws.local import LocalAws
from local_aws.waiting import until

FAR_FUTURE = "2099-01-01T00:00:00Z"
LONG_PAST = "2020-01-01T00:00:00Z"
# Two zones in us-east-1: a load balancer and two public IPv4 addresses.
HOURLY, MONTHLY = 0.0325, 23.73


def succeeded(execution: Execution) -> Execution:
    assert execution.status == "SUCCEEDED", f"{execution.error}: {execution.cause}"
    return execution


def provision(stack: Stack, world: World, **more: object) -> Execution:
    return succeeded(stack.run("provision", world.input | more))


def fall(stack: Stack) -> Execution:
    """What the schedule starts, ended."""
    return stack.wait(stack.fire(stack.schedule("nightly")))


def keep(aws: LocalAws, environment: str, until_when: str) -> None:
    """The tag that a user sets by hand."""
    elb = aws.client("elbv2")
    [balancer] = elb.describe_load_balancers(Names=[f"{environment}-elb"])["LoadBalancers"]
    tag = {"Key": "albatross:keep-until", "Value": until_when}
    elb.add_tags(ResourceArns=[balancer["LoadBalancerArn"]], Tags=[tag])


@pytest.fixture(scope="module")
def seoul(aws: LocalAws, stack: Stack) -> Stack:
    """A second stack in the account, with every schedule in its time zone and somebody to tell."""
    parameters = {
        "TimeZone": "Asia/Seoul",
        "NightlySchedule": "cron(0 0 ? * MON-FRI *)",
        "MorningSchedule": "cron(0 8 ? * MON-FRI *)",
        "NotificationEmail": "me@example.test",
    }
    deployed = Stack(aws, "seoul", parameters)
    deployed.deploy()
    return deployed


@pytest.fixture
def in_seoul(aws: LocalAws, seoul: Stack, world: World) -> Stack:
    """That stack in an empty account, with an empty mailbox."""
    seoul.mailbox.read()
    return seoul


# --- What goes -----------------------------------------------------------------------------------------------------


def test_the_night_takes_down_all_but_the_kept(aws: LocalAws, stack: Stack, world: World) -> None:
    with World(aws) as kept, World(aws) as expired:
        before = snapshot(aws)
        provision(stack, world)
        provision(stack, kept, keepUntil=FAR_FUTURE)
        provision(stack, expired, keepUntil=LONG_PAST)
        night = succeeded(fall(stack))
        assert sorted(night.output["removed"]) == sorted([world.name, expired.name])
        assert night.output["failed"] == []
        [spared] = night.output["kept"]
        assert spared["name"] == kept.name
        assert FAR_FUTURE in spared["why"]
        assert night.output["saves"] == {"hourly": 2 * HOURLY, "monthly": 47.45}
        assert night.output["stands"] == {"hourly": HOURLY, "monthly": MONTHLY}
        assert load_balancers(aws) == [f"{kept.name}-elb"]
        succeeded(stack.run("teardown", {"domain": kept.domain}))
        after = snapshot(aws)
        for each in (world, kept, expired):
            after = without_certificate(after, each.domain)
        assert differences(before, after) == []


def test_a_night_without_environments(aws: LocalAws, stack: Stack, world: World) -> None:
    before, mark = snapshot(aws), len(aws.calls())
    night = succeeded(fall(stack))
    assert night.output["summary"] == "0 removed, 0 kept, 0 failed"
    assert stack.changes(mark) == []
    assert differences(before, snapshot(aws)) == []


def test_a_dry_run_says_what_would_go(aws: LocalAws, stack: Stack, world: World) -> None:
    provision(stack, world)
    before, mark = snapshot(aws), len(aws.calls())
    plan = succeeded(stack.run("nightly", {"dryRun": True, "warn": True})).output
    assert plan["environments"] == [{"name": world.name, "hourly": HOURLY, "spared": None}]
    assert plan["saves"] == {"hourly": HOURLY, "monthly": MONTHLY}
    assert stack.changes(mark) == []
    assert differences(before, snapshot(aws)) == []


def test_one_stuck_environment_holds_up_no_other(aws: LocalAws, stack: Stack, world: World) -> None:
    with World(aws) as stuck:
        provision(stack, world)
        group = provision(stack, stuck).output["securityGroupId"]
        # Somebody's instance in the load balancer's own group: AWS does not delete it then.
        stuck.instance(stuck.subnets[0], group)
        night = fall(stack)
        assert (night.status, night.error) == ("FAILED", "TeardownIncomplete")
        assert night.cause.startswith("1 removed, 0 kept, 1 failed. ")
        assert f"{stuck.name}: " in night.cause
        assert group in night.cause
        assert night.cause.endswith("What stands costs $0 an hour.")
        assert load_balancers(aws) == []


def test_a_night_goes_on_where_the_sum_cannot_be_made(aws: LocalAws, stack: Stack, world: World) -> None:
    provision(stack, world)
    function = stack.functions["sum-up"]
    settings = aws.client("lambda").get_function_configuration(FunctionName=function)["Environment"]
    broken = {"Variables": {key: value for key, value in settings["Variables"].items() if "STACK" not in key}}
    aws.client("lambda").update_function_configuration(FunctionName=function, Environment=broken)
    try:
        night = succeeded(fall(stack))
    finally:
        aws.client("lambda").update_function_configuration(FunctionName=function, Environment=settings)
    assert night.output == {"removed": [world.name], "kept": [], "failed": []}


# --- When ----------------------------------------------------------------------------------------------------------


def test_one_schedule_of_the_night_is_enabled(stack: Stack, seoul: Stack) -> None:
    enabled = [(each.kind, each.expression, each.zone) for each in stack.schedules("nightly") if each.enabled]
    assert enabled == [("rule", "cron(0 15 * * ? *)", None)]
    enabled = [(each.kind, each.expression, each.zone) for each in seoul.schedules("nightly") if each.enabled]
    assert enabled == [("schedule", "cron(0 0 ? * MON-FRI *)", "Asia/Seoul")]


def test_the_morning_has_a_schedule_where_it_is_wanted(stack: Stack, seoul: Stack) -> None:
    assert [each.enabled for each in stack.schedules("morning")] == [False]
    morning = seoul.schedule("morning")
    assert (morning.expression, morning.zone) == ("cron(0 8 ? * MON-FRI *)", "Asia/Seoul")


@pytest.mark.parametrize("machine", ["nightly", "morning"])
def test_a_start_that_fails_is_tried_again_and_kept(aws: LocalAws, seoul: Stack, machine: str) -> None:
    schedule = seoul.schedule(machine)
    assert schedule.retries == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 30}
    sqs = aws.client("sqs")
    attributes = sqs.get_queue_attributes(
        QueueUrl=seoul.resource("AWS::SQS::Queue"), AttributeNames=["QueueArn"]
    )
    assert schedule.dead_letters == attributes["Attributes"]["QueueArn"]


def test_a_night_in_local_time_wants_its_hour(aws: LocalAws, stack: Stack) -> None:
    with pytest.raises(RuntimeError, match="NightlySchedule is in its local time"):
        Stack(aws, "berlin", {"TimeZone": "Europe/Berlin"}).deploy()


# --- Who is told ---------------------------------------------------------------------------------------------------


def test_mails_say_what_will_go_and_what_went(aws: LocalAws, in_seoul: Stack, world: World) -> None:
    with World(aws) as kept:
        provision(in_seoul, world)
        provision(in_seoul, kept, keepUntil=FAR_FUTURE)
        night = succeeded(fall(in_seoul))
        warning, report = in_seoul.mailbox.read()
        assert warning.subject == "Albatross: 1 environment to go in an hour"
        balancer = f"{world.name}   https://{world.domain}   $0.0325 an hour"
        for part in (balancer, f"{kept.name}   kept until {FAR_FUTURE}", "albatross:keep-until", night.arn):
            assert part in warning.message
        assert report.subject == "Albatross: 1 removed, 1 kept, 0 failed"
        for part in (
            world.name,
            f"{kept.name}   kept until {FAR_FUTURE}",
            "$0.0325 an hour ($23.73 a month)",
        ):
            assert part in report.message
        assert "mail" not in night.output


def test_what_is_kept_in_the_hour_of_the_warning_stays(aws: LocalAws, in_seoul: Stack, world: World) -> None:
    provision(in_seoul, world)
    aws.speed = 600
    try:
        night = in_seoul.fire(in_seoul.schedule("nightly"))
        [warning] = until(in_seoul.mailbox.read, "the warning")
        assert world.name in warning.message
        keep(aws, world.name, FAR_FUTURE)
        ended = succeeded(in_seoul.wait(night))
    finally:
        aws.speed = float("inf")
    assert ended.output["removed"] == []
    assert [each["name"] for each in ended.output["kept"]] == [world.name]
    assert load_balancers(aws) == [f"{world.name}-elb"]


def test_a_failure_is_told_with_what_to_do(aws: LocalAws, in_seoul: Stack, world: World) -> None:
    group = provision(in_seoul, world).output["securityGroupId"]
    world.instance(world.subnets[0], group)
    assert fall(in_seoul).status == "FAILED"
    _, report = in_seoul.mailbox.read()
    assert report.subject == "Albatross: 0 removed, 0 kept, 1 failed"
    for part in (group, f'start seoul-teardown with {{"name": "{world.name}"}}'):
        assert part in report.message


def test_nobody_is_told_of_nothing(aws: LocalAws, in_seoul: Stack) -> None:
    succeeded(fall(in_seoul))
    assert in_seoul.mailbox.read() == []


def test_a_night_by_hand_does_not_wait(aws: LocalAws, in_seoul: Stack, world: World) -> None:
    provision(in_seoul, world)
    succeeded(in_seoul.run("nightly", {}))
    [report] = in_seoul.mailbox.read()
    assert report.subject == "Albatross: 1 removed, 0 kept, 0 failed"


def test_every_alarm_is_told(aws: LocalAws, in_seoul: Stack) -> None:
    cloudwatch = aws.client("cloudwatch")
    prefix = f"{in_seoul.name}-"
    alarms = [found["AlarmName"] for found in cloudwatch.describe_alarms()["MetricAlarms"]]
    ours = [alarm for alarm in alarms if alarm.startswith(prefix)]
    kinds = {alarm.removeprefix(prefix).split("-")[0] for alarm in ours}
    assert kinds == {
        "NightFailed",
        "NightTimedOut",
        "NightMissing",
        "TeardownFailed",
        "CleanupFailed",
        "MorningFailed",
        "RunUnstarted",
    }
    for alarm in ours:
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="as asked")
    assert len(in_seoul.mailbox.read()) == len(ours)


# --- What comes back -----------------------------------------------------------------------------------------------


def test_the_morning_brings_back_what_the_night_removed(aws: LocalAws, in_seoul: Stack, world: World) -> None:
    first = provision(in_seoul, world, hstsMaxAge=60).output
    succeeded(fall(in_seoul))
    assert load_balancers(aws) == []
    back = {world.name: f"https://{world.domain}"}
    assert rise(in_seoul, world) == back
    elb = aws.client("elbv2")
    [balancer] = elb.describe_load_balancers()["LoadBalancers"]
    listeners = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    [https] = [listener for listener in listeners if listener["Port"] == 443]
    # By the same input, and with the certificate that was kept.
    assert [held["CertificateArn"] for held in https["Certificates"]] == [first["certificateArn"]]
    attributes = elb.describe_listener_attributes(ListenerArn=https["ListenerArn"])["Attributes"]
    assert "max-age=60" in {attribute["Value"] for attribute in attributes}
    # It is not away any more; and the next morning knows this morning's own provision.
    assert rise(in_seoul, world) == {}
    succeeded(fall(in_seoul))
    assert rise(in_seoul, world) == back


def test_an_instance_that_the_night_stopped_is_started(aws: LocalAws, in_seoul: Stack, world: World) -> None:
    world.tag(world.instances[0], "albatross:on-teardown", "stop")
    provision(in_seoul, world)
    succeeded(fall(in_seoul))
    ec2 = aws.client("ec2")

    def state() -> str:
        [reservation] = ec2.describe_instances(InstanceIds=world.instances)["Reservations"]
        return reservation["Instances"][0]["State"]["Name"]

    assert state() == "stopped"
    assert rise(in_seoul, world) == {world.name: f"https://{world.domain}"}
    assert state() == "running"


def test_an_instance_that_its_user_stopped_is_not(aws: LocalAws, in_seoul: Stack, world: World) -> None:
    provision(in_seoul, world)
    succeeded(fall(in_seoul))
    aws.client("ec2").stop_instances(InstanceIds=world.instances)
    assert "stopped; start it" in rise(in_seoul, world)[world.name]


def test_what_somebody_took_down_stays_down(aws: LocalAws, in_seoul: Stack, world: World) -> None:
    with World(aws) as other:
        provision(in_seoul, world)
        provision(in_seoul, other)
        succeeded(fall(in_seoul))
        # After all not to come back.
        succeeded(in_seoul.run("teardown", {"domain": other.domain}))
        assert rise(in_seoul, world, other) == {world.name: f"https://{world.domain}"}
        succeeded(in_seoul.run("teardown", {"domain": world.domain}))
        assert rise(in_seoul, world, other) == {}


def test_one_that_cannot_come_back_holds_up_no_other(aws: LocalAws, in_seoul: Stack, world: World) -> None:
    with World(aws) as gone:
        provision(in_seoul, world)
        provision(in_seoul, gone)
        succeeded(fall(in_seoul))
        aws.client("ec2").terminate_instances(InstanceIds=gone.instances)
        said = rise(in_seoul, world, gone)
        assert said[world.name] == f"https://{world.domain}"
        assert "InvalidInput" in said[gone.name]
        assert gone.instances[0] in said[gone.name]


# --- What it costs -------------------------------------------------------------------------------------------------


def test_provision_says_what_stands_costs(stack: Stack, world: World) -> None:
    cost = provision(stack, world).output["cost"]
    # The instance's own Elastic IP too.
    assert (cost["hourly"], cost["monthly"]) == (0.0375, 27.38)
    assert {line["what"]: (line["count"], line["hourly"]) for line in cost["items"]} == {
        "load balancer": (1, 0.0225),
        "public IPv4 of the load balancer, one a zone": (2, 0.01),
        "public IPv4 of the instances": (1, 0.005),
    }
    assert "us-east-1" in cost["prices"]


def test_teardown_says_what_it_saves(stack: Stack, world: World) -> None:
    world.tag(world.allocation, "albatross:on-teardown", "release")
    provision(stack, world)
    plan = succeeded(stack.run("teardown", {"domain": world.domain, "dryRun": True})).output
    done = succeeded(stack.run("teardown", {"domain": world.domain})).output
    assert plan["saves"] == done["saves"] == {"hourly": 0.0375, "monthly": 27.38}
    priced = {item["resource"]: item["hourly"] for item in done["items"] if "hourly" in item}
    assert priced == {"load balancer": HOURLY, "Elastic IP": 0.005}
    nothing = succeeded(stack.run("teardown", {"domain": world.domain})).output
    assert nothing["saves"] == {"hourly": 0, "monthly": 0}


def test_an_execution_says_what_itself_cost(aws: LocalAws, stack: Stack, world: World) -> None:
    execution = provision(stack, world)
    cost = execution.output["executionCost"]
    events = aws.client("stepfunctions").get_execution_history(
        executionArn=execution.arn, maxResults=1000, includeExecutionData=False
    )["events"]
    kinds = [event["type"] for event in events]
    entered = sum(kind.endswith("StateEntered") for kind in kinds)
    retries = kinds.count("TaskScheduled") - kinds.count("TaskStateEntered")
    assert cost["transitions"] == entered + retries
    assert 0 < cost["gbSeconds"] <= execution.seconds * 2 * 0.25
    exact = cost["transitions"] * 0.000025 + cost["gbSeconds"] * 0.0000166667
    assert cost["dollars"] == pytest.approx(exact, abs=0.000005)


# --- What is measured ----------------------------------------------------------------------------------------------


def test_metrics_are_lines_of_the_log(aws: LocalAws, in_seoul: Stack, world: World) -> None:
    began = time.time()
    provision(in_seoul, world)
    provision(in_seoul, world)
    in_seoul.invoke("count-environments", {})
    succeeded(fall(in_seoul))
    lines = [line for line in in_seoul.log_lines(began) if "_aws" in line]
    assert all(line["Stack"] == "seoul" for line in lines)
    values: dict[str, list[float]] = {}
    for line in lines:
        [directive] = line["_aws"]["CloudWatchMetrics"]
        assert (directive["Namespace"], directive["Dimensions"]) == ("Albatross", [["Stack"]])
        for metric in directive["Metrics"]:
            values.setdefault(metric["Name"], []).append(line[metric["Name"]])
    assert values["EnvironmentsStanding"] == [1]
    assert values["CostPerHour"] == [HOURLY]
    assert (values["NightRemoved"], values["NightKept"], values["NightFailed"]) == ([1], [0], [0])
    # Of the first alone: the second found it whole.
    assert len(values["TimeToHttps"]) == 1
