"""The bench's report comes from its results alone; what is not here is skipped, and what fails is told."""

import math
import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benches.peers import AwsCli, ByHand, Failed, Terraform, measured
from benches.report import CRITICAL, OURS, bars, report
from benches.rounds import Setting, prepared, settings, takes_part

MARKDOWN = Path("BENCHMARKS.md")


def run_of(peer: str, phase: str, wall: float, number: int = 1, setting: str = "no waits", **more) -> dict:
    made = {"peer": peer, "phase": phase, "wall": wall, "round": number, "setting": setting}
    return made | {"cpu": 2.0, "memory": 2048, "reads": 3, "writes": 4, "wrong": None} | more


def results_of(*runs: dict, speed: float | None = None, **more) -> dict:
    return {
        "date": "2026-11-25",
        "machine": {"processor": "a processor", "cores": "2", "memory": "4.0 GiB", "system": "Linux 6"},
        "versions": {"Terraform": "1.2.3"},
        "skipped": [],
        "peers": [{"name": OURS, "waits_for_dns": False}, {"name": "Terraform", "waits_for_dns": True}],
        "settings": [{"name": "no waits", "speed": speed, "rounds": 3}],
        "runs": list(runs),
    } | more


def rows(results: dict, heading: str) -> list[list[str]]:
    """The cells of the table under a phase."""
    lines = report(results)[MARKDOWN].split(f"**{heading}**")[1].split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


class TestReport:
    def test_a_row_has_medians_and_what_they_are_to_ours(self):
        ours = [run_of(OURS, "provision", wall, number) for number, wall in enumerate((1, 9, 2), 1)]
        peers = [run_of("Terraform", "provision", wall, number) for number, wall in enumerate((4, 6, 50), 1)]
        heading, _, first, second = rows(results_of(*ours, *peers), "Provision")
        assert heading == ["", "s", "CPU s", "MiB", "reads", "writes", "calls"]
        assert first == [OURS, "2.0", "2.00", "2", "3", "4", "7"]
        assert second == ["Terraform", "6.0 (3.0x)", "2.00 (1.0x)", "2 (1.0x)", "3", "4", "7 (1.0x)"]

    def test_aws_seconds_are_the_clocks_and_end_where_the_alias_is_known_everywhere(self):
        runs = [run_of(OURS, "provision", 16), run_of("Terraform", "provision", 20)]
        heading, _, first, second = rows(results_of(*runs, speed=10), "Provision")
        assert heading[1:3] == ["AWS s", "beyond the critical path"]
        assert first[1:3] == ["190", f"{190 - CRITICAL['provision']}"]
        assert second[1:3] == ["200 (1.1x)", f"{200 - CRITICAL['provision']} (2.0x)"]

    def test_a_teardown_waits_for_no_alias(self):
        results = results_of(run_of(OURS, "teardown", 7), speed=10)
        assert rows(results, "Teardown")[2][1:3] == ["70", f"{70 - CRITICAL['teardown']}"]

    def test_a_run_that_failed_is_told_and_not_counted(self):
        failed = run_of("Terraform", "provision", math.nan, wrong="apply ended with 1: no such thing")
        results = results_of(run_of(OURS, "provision", 1), failed)
        assert [row[0] for row in rows(results, "Provision")][2:] == [OURS]
        assert "- Terraform, no waits, round 1, provision: apply ended with 1" in report(results)[MARKDOWN]

    def test_without_ours_there_is_nothing_to_compare_to(self):
        assert rows(results_of(run_of("Terraform", "provision", 4)), "Provision")[2][1] == "4.0"

    def test_who_is_skipped_is_named_with_the_reason(self):
        skipped = [{"peer": "AWS CLI", "setting": None, "reason": "no aws on the PATH"}]
        assert "- AWS CLI: no aws on the PATH" in report(results_of(skipped=skipped))[MARKDOWN]

    def test_what_is_left_and_what_is_lost_is_named(self):
        left = ["record a.test A in /hostedzone/Z: {...} → absent", "security group sg-1: absent → {...}"]
        runs = [run_of(OURS, "teardown", 1, left=[]), run_of("Terraform", "teardown", 1, left=left)]
        told = "record a.test A in /hostedzone/Z is gone; security group sg-1 is left"
        lines = f"- {OURS}: 0 in 1 teardowns\n- Terraform: 2 in 1 teardowns, such as {told}"
        assert lines in report(results_of(*runs))[MARKDOWN]

    def test_machine_date_and_versions_are_told(self):
        text = report(results_of())[MARKDOWN]
        for word in ("2026-11-25", "a processor", "2 cores", "4.0 GiB", "Terraform: 1.2.3", "`make bench`"):
            assert word in text

    def test_every_plot_that_is_shown_is_there(self):
        written = report(results_of(run_of(OURS, "provision", 1), run_of(OURS, "teardown", 1)))
        plots = [path for path in written if path != MARKDOWN]
        assert len(plots) == 8
        for path in plots:
            assert f"]({path})" in written[MARKDOWN]
            ElementTree.fromstring(written[path])

    def test_the_longest_bar_is_of_the_largest_median(self):
        svg = ElementTree.fromstring(bars("<seconds>", {OURS: [1, 2, 3], "other": [8]}))
        widths = [float(bar.get("width")) for bar in svg.iter("{http://www.w3.org/2000/svg}rect")]
        assert widths[1] == pytest.approx(4 * widths[0], abs=0.5)


class TestPeers:
    @pytest.mark.parametrize(("kind", "program"), [(Terraform, "terraform"), (AwsCli, "aws")])
    def test_what_is_not_installed_is_skipped(self, kind, program, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        peers, versions, skipped = prepared([kind], None, tmp_path)
        assert (peers, versions) == ([], {})
        assert skipped == [{"peer": kind.name, "setting": None, "reason": f"no {program} on the PATH"}]

    def test_terraform_without_its_provider_is_skipped(self, monkeypatch, tmp_path):
        program = tmp_path / "terraform"
        program.write_text("#!/bin/sh\necho 'Error: no such provider' >&2\nexit 1\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("ALBATROSS_BENCH_TERRAFORM_MIRROR", "/a/mirror")
        _, _, [skipped] = prepared([Terraform], None, tmp_path)
        assert skipped["reason"] == "Error: no such provider"

    def test_what_cannot_be_scaled_is_left_out_where_the_clock_is_sped_up(self):
        none, fast, real = settings(rounds=5, speed=10, real_rounds=1)
        for kind in (Terraform, AwsCli):
            assert [bool(takes_part(kind, each)) for each in (none, fast, real)] == [False, True, False]
        assert not any(takes_part(ByHand, each) for each in (none, fast, real))

    def test_a_setting_without_rounds_is_left_out(self):
        assert settings(rounds=2, speed=10, real_rounds=0) == [
            Setting("no waits", math.inf, 2),
            Setting("AWS's waits, 10 times as fast", 10, 2),
        ]

    def test_a_program_is_measured_with_the_children_it_has_waited_for(self, tmp_path):
        grandchild = "held = b'x' * (64 << 20)"
        child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
        used = measured([sys.executable, "-c", child], dict(os.environ), tmp_path)
        assert 64 << 10 < used.memory < 128 << 10
        assert used.cpu > 0

    def test_what_held_the_bench_is_not_counted(self, tmp_path):
        held = b"x" * (256 << 20)
        used = measured([sys.executable, "-S", "-c", "pass"], dict(os.environ), tmp_path)
        assert used.memory < len(held) >> 11

    def test_a_program_that_fails_says_why(self, tmp_path):
        with pytest.raises(Failed, match="ended with 3: no"):
            measured(["sh", "-c", "echo no; exit 3"], dict(os.environ), tmp_path)
