"""The functions: their rules, sources and states; and the events of the input bucket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from remotejob.cli.doctor.deployed.context import Context
from remotejob.cli.doctor.findings import Finding
from remotejob.names import Part

_DEPLOY: Final = "deploy the functions stack again, with a change of it"


def check_rules(context: Context) -> Iterator[Finding]:
    """What starts the scheduler, and what announces uploads."""
    client = context.client("events")
    for rule in context.inventory.of("AWS::Events::Rule"):
        name, does = rule.physical_id, rule.properties.get("Description", "")
        try:
            state = client.describe_rule(Name=name)["State"]
        except client.exceptions.ResourceNotFoundException:
            yield Finding(place=f"rule {name}", what=f"it does not exist ({does})", remedy=_DEPLOY)
            continue
        if state == "DISABLED":
            yield Finding(
                place=f"rule {name}",
                what=f"it is disabled ({does})",
                remedy=f"enable it: aws events enable-rule --name {name}",
            )
        if not client.list_targets_by_rule(Rule=name)["Targets"]:
            yield Finding(place=f"rule {name}", what=f"it has no target ({does})", remedy=_DEPLOY)


def check_functions(context: Context) -> Iterator[Finding]:
    client = context.client("lambda")
    for function in context.inventory.of("AWS::Lambda::Function", Part.FUNCTIONS):
        place = f"function {function.physical_id}"
        try:
            live = client.get_function_configuration(FunctionName=function.physical_id)
        except client.exceptions.ResourceNotFoundException:
            yield Finding(place=place, what="it does not exist", remedy=_DEPLOY)
            continue
        yield from _state(place, live)
    for source in context.inventory.of("AWS::Lambda::EventSourceMapping", Part.FUNCTIONS):
        place = f"event source mapping {source.physical_id}"
        try:
            state = client.get_event_source_mapping(UUID=source.physical_id)["State"]
        except client.exceptions.ResourceNotFoundException:
            yield Finding(
                place=place,
                what="it does not exist: no upload becomes a job",
                remedy=_DEPLOY,
            )
            continue
        if state in ("Disabled", "Disabling"):
            yield Finding(
                place=place,
                what="it is disabled: no upload becomes a job",
                remedy="enable it: aws lambda update-event-source-mapping --enabled --uuid "
                f"{source.physical_id}",
            )


def _state(place: str, live: Any) -> Iterator[Finding]:
    if live.get("State", "Active") not in ("Active", "Inactive"):
        yield Finding(
            place=place,
            what=f"it is {live['State']}: {live.get('StateReason', 'no reason given')}",
            remedy="mend what the reason names, and deploy the functions stack",
        )
    if live.get("LastUpdateStatus") == "Failed":
        yield Finding(
            place=place,
            what=f"its last update failed: {live.get('LastUpdateStatusReason', '')}",
            remedy="mend what the reason names, and deploy the functions stack",
        )


def check_input_bucket(context: Context) -> Iterator[Finding]:
    """Whether the input bucket announces uploads."""
    if not context.inventory.of("AWS::Lambda::EventSourceMapping", Part.FUNCTIONS):
        return
    client = context.client("s3")
    for bucket in context.inventory.of("AWS::S3::Bucket", Part.STORAGE):
        deployed = bucket.properties.get("NotificationConfiguration", {})
        if "EventBridgeConfiguration" not in deployed:
            continue
        live = client.get_bucket_notification_configuration(Bucket=bucket.physical_id)
        if "EventBridgeConfiguration" not in live:
            yield Finding(
                place=f"bucket {bucket.physical_id}",
                what="it does not announce uploads to EventBridge: none becomes a job",
                remedy="turn EventBridge on in the bucket's properties; another program may have "
                "replaced its notification configuration",
            )
