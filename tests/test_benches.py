"""The bench's report comes from its results alone; what is not here is skipped, and what fails is told."""

import math
import os
import sys

import pytest

from benches import growth, startup
from benches.markdown import verdict
from benches.peers import AwsCli, Failed, Terraform, measured
from benches.release import built, names
from benches.report import CRITICAL, OURS, report
from benches.rounds import prepared

PART = {
    "date": "2026-11-25",
    "machine": "a processor, 2 cores",
    "load": 0.5,
    "versions": {"Terraform": "1.2.3"},
}


def run_of(peer: str, phase: str, wall: float, number: int = 1, setting: str = "no waits", **more) -> dict:
    made = {"peer": peer, "phase": phase, "wall": wall, "round": number, "setting": setting}
    return made | {"memory": 2048, "cost": None, "reads": 3, "writes": 4, "wrong": None, **more}


def results_of(*runs: dict, speed: float | None = None, **more) -> dict:
    return PART | {
        "skipped": [],
        "peers": [{"name": OURS, "waits_for_dns": False}, {"name": "Terraform", "waits_for_dns": True}],
        "setting": {"name": "no waits", "speed": speed},
        "rounds": list(runs),
        **more,
    }


def text_of(side: dict, **parts: dict) -> str:
    return report({"no-waits": side, **parts})


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    lines = text.split(heading)[1].split("\n| ", 1)[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def row(text: str, heading: str, name: str) -> list[str]:
    """The cells after the name of one row of it."""
    [found] = [each[1:] for each in rows(text, heading) if each[0] == name]
    return found


def cells(text: str, heading: str, name: str) -> dict[str, str]:
    """One row, by the heads of the columns."""
    return dict(zip(rows(text, heading)[0][1:], row(text, heading, name), strict=True))


class TestSideBySide:
    def test_a_row_has_medians_and_what_they_are_to_ours(self):
        ours = [run_of(OURS, "provision", wall, number) for number, wall in enumerate((1, 9, 2), 1)]
        peers = [run_of("Terraform", "provision", wall, number) for number, wall in enumerate((4, 6), 1)]
        text = text_of(results_of(*ours, *peers))
        heading, _, first, second = rows(text, "**Provision**")
        assert heading == ["", "s", "MiB", "reads", "writes", "calls", "rounds"]
        assert first == [OURS, "2.0", "2", "3", "4", "7", "3"]
        assert second == ["Terraform", "5.0 (2.5x)", "2 (1.0x)", "3", "4", "7 (1.0x)", "2"]

    def test_aws_seconds_are_the_clocks_and_end_where_the_alias_is_known_everywhere(self):
        runs = [run_of(OURS, "provision", 16), run_of("Terraform", "provision", 20)]
        heading, _, first, second = rows(text_of(results_of(*runs, speed=10)), "**Provision**")
        assert heading[1:4] == ["AWS s", "beyond the critical path", "share of it"]
        # The longer of load balancer and certificate, targets, DNS.
        assert CRITICAL["provision"] == 180
        assert first[1:4] == ["190", "10", "6%"]
        assert second[1:4] == ["200 (1.1x)", "20 (2.0x)", "11%"]

    def test_a_teardown_waits_for_no_alias(self):
        text = text_of(results_of(run_of(OURS, "teardown", 7), speed=10))
        assert rows(text, "**Teardown**")[2][1:4] == ["70", f"{70 - CRITICAL['teardown']}", "17%"]

    def test_what_a_sped_up_clock_counts_more_than_once_is_told(self):
        fast = results_of(run_of("Terraform", "provision", 90, setting="fast"))
        fast["setting"] = {"name": "fast", "speed": 4}
        text = text_of(results_of(run_of("Terraform", "provision", 84)), waits=fast)
        assert "Terraform's 84.0 s of a provision with no waits are 336 here." in text

    def test_a_repeated_provision_has_no_critical_path(self):
        text = text_of(results_of(run_of(OURS, "again", 2), speed=10))
        assert cells(text, "**Again, with nothing to change**", OURS)["AWS s"] == "20"
        assert "beyond the critical path" not in rows(text, "**Again, with nothing to change**")[0]

    def test_a_run_that_failed_is_told_and_not_counted(self):
        failed = run_of("Terraform", "provision", math.nan, wrong="apply ended with 1: no such thing")
        text = text_of(results_of(run_of(OURS, "provision", 1), failed))
        assert [row[0] for row in rows(text, "**Provision**")][2:] == [OURS]
        assert "- Terraform, no waits, round 1, provision: apply ended with 1" in text

    def test_without_ours_there_is_nothing_to_compare_to(self):
        text = text_of(results_of(run_of("Terraform", "provision", 4)))
        assert cells(text, "**Provision**", "Terraform")["s"] == "4.0"

    def test_who_is_skipped_is_named_with_the_reason(self):
        skipped = [{"peer": "AWS CLI", "reason": "no aws on the PATH"}]
        assert "- AWS CLI: no aws on the PATH" in text_of(results_of(skipped=skipped))

    def test_what_is_left_and_what_is_lost_is_named(self):
        left = ["record a.test A in /hostedzone/Z: {...} → absent", "security group sg-1: absent → {...}"]
        runs = [run_of(OURS, "teardown", 1, left=[]), run_of("Terraform", "teardown", 1, left=left)]
        told = "record a.test A in /hostedzone/Z is gone; security group sg-1 is left"
        lines = f"- {OURS}: 0 in 1 teardowns\n- Terraform: 2 in 1 teardowns, such as {told}"
        assert lines in text_of(results_of(*runs))

    def test_what_an_execution_costs_is_told(self):
        cost = {"transitions": 12, "gbSeconds": 0.5, "dollars": 0.0003}
        text = text_of(results_of(run_of(OURS, "provision", 1, cost=cost)))
        assert "provision 12 state transitions, 0.500 GB-seconds, $0.000300." in text

    def test_machine_date_and_versions_are_told(self):
        text = text_of(results_of())
        for word in (
            "2026-11-25",
            "a processor",
            "2 cores",
            "load of 0.5",
            "Terraform 1.2.3",
            "`make bench`",
        ):
            assert word in text


class TestGains:
    def test_everybody_has_a_column_and_what_nobody_can_do_is_empty(self):
        quick = [
            run_of(OURS, "provision", 1),
            run_of(OURS, "again", 0.5),
            run_of(OURS, "teardown", 2, left=[]),
            run_of("Terraform", "provision", 60, memory=4096),
            run_of("Terraform", "teardown", 30, left=["record a.test A: {...} → absent"]),
        ]
        slow = results_of(run_of("Terraform", "provision", 36, setting="slow"))
        slow["setting"] = {"name": "slow", "speed": 10}
        text = text_of(results_of(*quick), waits=slow)
        assert text.index("## What you gain") < text.index("## Targets")
        gained = {name: cells for name, *cells in rows(text, "## What you gain")}
        assert gained[""] == [OURS, "Terraform"]
        assert gained["minutes until HTTPS serves"] == ["", "6.0"]
        assert gained["seconds of both that are its own"] == ["3.0", "90.0"]
        assert gained["seconds to find that nothing is to change"] == ["0.5", ""]
        assert gained["API calls of both"] == ["14", "14"]
        assert gained["MiB of memory, at most"] == ["2", "4"]
        assert gained["things of the user's that a teardown changes"] == ["0", "1"]

    def test_without_a_measurement_nothing_is_promised(self):
        assert "What you gain" not in report({})

    def test_what_a_provision_and_a_night_cost_is_told(self):
        runs = [run_of(OURS, phase, 10, cost={"dollars": 0.0008}) for phase in ("provision", "keep")]
        assert "executions of a provision and a night's teardown cost $0.0016." in text_of(
            results_of(*runs, speed=10)
        )


class TestTargets:
    def test_why_a_target_is_missed_stands_in_its_line(self):
        slow = results_of(run_of(OURS, "keep", 10, reads=30), speed=10)
        calls = row(text_of(slow), "## Targets", "API calls of a night's teardown, no waits")
        assert calls == ["at most 20", "34", "missed by 14: the rest are looks whether AWS is done"]

    def test_calls_are_met_or_missed_by_so_many(self):
        runs = [run_of(OURS, phase, 1, reads=20, writes=0) for phase in ("provision", "again", "teardown")]
        text = text_of(results_of(*runs))
        assert row(text, "## Targets", "API calls of a provision, no waits") == ["at most 24", "20", "met"]
        again = row(text, "## Targets", "API calls of a repeated provision, no waits")
        assert again == [
            "at most 14",
            "20",
            "missed by 6: it looks at all that stands, so that drift is found",
        ]
        assert row(text, "## Targets", "API calls of a teardown, no waits") == ["at most 20", "20", "met"]

    def test_time_beyond_the_critical_path_is_a_share_of_it_and_compared_to_terraforms(self):
        # 27 and 180 AWS seconds beyond it.
        runs = [run_of(OURS, "provision", 17.7), run_of("Terraform", "provision", 36)]
        text = text_of(results_of(*runs, speed=10))
        share = row(text, "## Targets", "time beyond the critical path of a provision, no waits, share of it")
        assert share[:2] == ["at most 5%", "15.0%"]
        assert share[2].startswith("missed by 10.0%: the last look comes after AWS is done")
        times = row(text, "## Targets", "how many times Terraform's is that of a provision, no waits")
        assert times == ["at least 10", "6.667", "missed by 3.333"]

    def test_no_time_beyond_it_is_less_than_any(self):
        runs = [run_of(OURS, "provision", 14), run_of("Terraform", "provision", 36)]
        text = text_of(results_of(*runs, speed=10))
        times = row(text, "## Targets", "how many times Terraform's is that of a provision, no waits")
        assert times == ["at least 10", "inf", "met"]

    def test_without_terraform_there_is_no_ratio(self):
        text = text_of(results_of(run_of(OURS, "provision", 16), speed=10))
        times = row(text, "## Targets", "how many times Terraform's is that of a provision, no waits")
        assert times == ["at least 10", "", "not measured"]

    def test_a_provision_and_its_teardown_cost_together(self):
        phases = {"provision": 0.0015, "keep": 0.00075}
        runs = [run_of(OURS, phase, 1, cost={"dollars": dollars}) for phase, dollars in phases.items()]
        cost = row(
            text_of(results_of(*runs)),
            "## Targets",
            "dollars for a provision and a night's teardown, no waits",
        )
        assert cost == ["at most 0.002", "0.002250", "missed by 0.000250"]

    @pytest.mark.parametrize(
        ("value", "most", "said"),
        [(5, True, "met"), (5, False, "met"), (6, True, "missed by 1"), (3, False, "missed by 2")],
    )
    def test_a_bound_itself_is_met(self, value, most, said):
        assert verdict(value, 5, most) == said

    def test_nothing_is_met_unmeasured(self):
        text = report({})
        assert "met" not in text.split("## Targets")[1].split("\n##")[0]
        assert text.count("Not measured") == 4


def start_of(next_ms: float, done_ms: float) -> dict:
    return {
        "next_ms": next_ms,
        "done_ms": done_ms,
        "cpu_ms": done_ms,
        "peak_mb": 10,
        "zip_mb": 2,
    }


class TestStarts:
    def part(self, **results: dict) -> dict:
        return PART | {"runs": 1, "skipped": ["slow: not built"], "results": results}

    def test_the_worst_function_is_held_to_the_targets(self):
        part = self.part(
            quick=start_of(4, 30),
            slow=start_of(8, 50),
            **{startup.HELLO: start_of(2, 2), startup.BOTO3: start_of(200, 400)},
        )
        told = {each[0]: each[1:] for each in startup.targets(part["results"])}
        beyond = told["start: at most, ms beyond the hello world to /next"]
        assert beyond == ["5", "6.00 (slow)", "missed by 1"]
        quicker = told["start: at least, times quicker than boto3 to /next"]
        assert quicker == ["20", "25.00 (slow)", "met"]
        text = report({"startup": part})
        assert "Skipped: slow: not built." in text

    def test_every_function_takes_its_event_and_calls_aws(self, stack):
        with startup.stands() as (api, aws, environment):
            for name in names():
                started = startup.rust(built(name), startup.EVENTS.get(name, startup.EVENT))
                assert startup.start(started, api, aws, environment).peak_mb > 0, name

    def test_memory_makes_a_start_quicker_and_no_cheaper(self):
        text = "\n".join(startup.costs({"one": start_of(4, 17.69)}))
        rows = [
            line.split("|")[1:-1]
            for line in text.splitlines()
            if line.startswith("| 1") or line.startswith("| 2")
        ]
        (small, slow, cost, _), (large, quick, same, _) = rows
        assert (int(small), int(large)) == (128, 256)
        assert float(slow) == pytest.approx(17.69 * 1769 / 128, abs=1)
        assert float(quick) == pytest.approx(float(slow) / 2, abs=1)
        assert cost == same

    def test_what_is_not_built_is_skipped(self):
        part = self.part(**{startup.BOTO3: start_of(200, 400)})
        assert {each[-1] for each in startup.targets(part["results"])} == {"not measured"}
        assert "The memory size" not in report({"startup": part})


def phase_of(seconds: float, **more) -> dict:
    through = {"elbv2:CreateLoadBalancer": 100, "elbv2:CreateListener": 200, "route53:ListHostedZones": 100}
    return {
        "seconds": seconds,
        "calls": 450,
        "refused": 50,
        "memory": 20 << 10,
        "held_by": "teardown",
        "through": through,
        "done": 100,
        "wrong": [],
        **more,
    }


GROWTH = PART | {
    "speed": 4,
    "sizes": [{"environments": 100, "provision": phase_of(600), "teardown": phase_of(300, events=1000)}],
}


class TestBuilds:
    def test_minutes_of_each_are_told(self):
        part = PART | {"builds": {"make test": {"cold": 20.0, "warm": 10.5}}}
        assert rows(report({"builds": part}), "## Building it")[2] == [
            "`make test`",
            "20.0",
            "10.5",
        ]

    def test_who_has_not_measured_them_is_told_how(self):
        assert "`make bench-build`" in report({})


class TestGrowth:
    def test_a_row_has_what_each_environment_takes(self):
        text = report({"growth": GROWTH})
        assert rows(text, "**Provision**")[2] == ["100", "600", "450", "4.5", "50", "20 (teardown)", "100"]

    def test_what_failed_is_told(self):
        wrong = ["AwsUnavailable a reason"] * 2
        sizes = [GROWTH["sizes"][0] | {"provision": phase_of(600, done=98, wrong=wrong)}]
        assert "- 100: 2 x AwsUnavailable a reason" in report({"growth": GROWTH | {"sizes": sizes}})

    def test_a_limit_binds_by_its_burst_and_its_rate(self):
        through = {"elbv2:CreateLoadBalancer": 1, "elbv2:CreateListener": 2, "route53:ListHostedZones": 1}
        least = growth.bounds(through, 1000)
        assert next(iter(least.values())) == (1000 - 10) / 0.2
        assert sorted(least.values()) == [
            (1000 - 50) / 10,
            (3000 - 40) / 10,
            (2000 - 20) / 3,
            (1000 - 10) / 0.2,
        ]

    def test_an_operation_with_a_limit_of_its_own_does_not_use_up_anothers(self):
        least = growth.bounds({"acm:DescribeCertificate": 1, "acm:DeleteCertificate": 1}, 110)
        assert list(least.values()) == [10, 10]

    def test_what_fits_in_a_burst_takes_no_time(self):
        assert set(growth.bounds({"elbv2:CreateLoadBalancer": 1}, 10).values()) == {0}

    def test_ten_thousand_are_spread(self):
        text = report({"growth": GROWTH})
        # 50 in a pair of account and region; 730 in one within an hour.
        assert "over 200 pairs" in text
        assert "over 14, if all" in text
        assert "room for 2,500 environments of 10 events each" in text


class TestPeers:
    @pytest.mark.parametrize(("kind", "program"), [(Terraform, "terraform"), (AwsCli, "aws")])
    def test_what_is_not_installed_is_skipped(self, kind, program, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        peers, versions, skipped = prepared([kind], None, tmp_path)
        assert (peers, versions) == ([], {})
        assert skipped == [{"peer": kind.name, "reason": f"no {program} on the PATH"}]

    def test_terraform_without_its_provider_is_skipped(self, monkeypatch, tmp_path):
        program = tmp_path / "terraform"
        program.write_text("#!/bin/sh\necho 'Error: no such provider' >&2\nexit 1\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("ALBATROSS_BENCH_TERRAFORM_MIRROR", "/a/mirror")
        _, _, [skipped] = prepared([Terraform], None, tmp_path)
        assert skipped["reason"] == "Error: no such provider"

    def test_a_program_is_measured_with_the_children_it_has_waited_for(self, tmp_path):
        grandchild = "held = b'x' * (64 << 20)"
        child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
        used = measured([sys.executable, "-c", child], dict(os.environ), tmp_path)
        assert 64 << 10 < used.memory < 128 << 10

    def test_what_held_the_bench_is_not_counted(self, tmp_path):
        held = b"x" * (256 << 20)
        used = measured([sys.executable, "-S", "-c", "pass"], dict(os.environ), tmp_path)
        assert used.memory < len(held) >> 11

    def test_a_program_that_fails_says_why(self, tmp_path):
        with pytest.raises(Failed, match="ended with 3: no"):
            measured(["sh", "-c", "echo no; exit 3"], dict(os.environ), tmp_path)
