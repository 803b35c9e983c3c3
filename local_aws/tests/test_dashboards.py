"""Dashboards are the account's, in all regions (CloudFormation reference, AWS::CloudWatch::Dashboard)."""

import json

from ..local import LocalAws
from ..waiting import until


class Deployed:
    """A stack of one dashboard."""

    def __init__(self, aws: LocalAws, name: str, dashboard: str, region: str = "us-east-1"):
        self.client, self.name = aws.client("cloudformation", region), name
        self.client.create_stack(StackName=name, TemplateBody=self._template(dashboard))

    def _template(self, dashboard: str) -> str:
        properties = {"DashboardName": dashboard, "DashboardBody": json.dumps({"widgets": []})}
        return json.dumps(
            {"Resources": {"Board": {"Type": "AWS::CloudWatch::Dashboard", "Properties": properties}}}
        )

    def update(self, dashboard: str) -> None:
        self.client.update_stack(StackName=self.name, TemplateBody=self._template(dashboard))

    def delete(self) -> None:
        self.client.delete_stack(StackName=self.name)

    def end(self) -> str:
        """The status that it comes to rest in."""

        def settled() -> str | None:
            [stack] = self.client.describe_stacks(StackName=self.name)["Stacks"]
            return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack["StackStatus"]

        return until(settled, f"the end of {self.name}")

    def reasons(self) -> list[str]:
        events = self.client.describe_stack_events(StackName=self.name)["StackEvents"]
        return [event.get("ResourceStatusReason", "") for event in events]


def dashboards(aws: LocalAws, region: str) -> list[str]:
    entries = aws.client("cloudwatch", region).list_dashboards()["DashboardEntries"]
    return [entry["DashboardName"] for entry in entries]


def test_a_dashboards_name_is_taken_in_every_region(aws: LocalAws, name: str):
    first = Deployed(aws, f"{name}-a", name)
    assert first.end() == "CREATE_COMPLETE"
    assert name in dashboards(aws, "eu-west-1")
    for region in ("us-east-1", "eu-west-1"):
        second = Deployed(aws, f"{name}-{region}", name, region)
        assert second.end() == "ROLLBACK_COMPLETE"
        assert any(f"Dashboard '{name}' already exists" in reason for reason in second.reasons())
        assert name in dashboards(aws, "us-east-1"), "the first one's is left alone"
    first.update(f"{name}-other")
    assert first.end() == "UPDATE_COMPLETE"
    third = Deployed(aws, f"{name}-c", name, "eu-west-1")
    assert third.end() == "CREATE_COMPLETE"
    third.update(f"{name}-other")
    assert third.end() == "UPDATE_ROLLBACK_COMPLETE"
    assert {name, f"{name}-other"} <= set(dashboards(aws, "us-east-1"))
