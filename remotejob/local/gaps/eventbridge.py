"""EventBridge: deliver to queues and functions, and fire schedules.

What moto does: every S3 event has the same `id`; functions are never called; schedules never fire;
`anything-but` supports only one prefix; the target's resource policy is not checked.

What AWS does: EventBridge User Guide, "Amazon EventBridge event patterns" and "Using resource-based
policies": a queue's policy or a function's permission must name events.amazonaws.com.

Limits: input transformers are moto's; a failed delivery is logged, goes to the target's
dead-letter queue if it has one, and is not retried.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from moto.awslambda.models import lambda_backends
from moto.events.models import EventPattern, Rule, events_backends
from moto.events.utils import EventTemplateParser
from moto.sqs.models import sqs_backends

from remotejob.local import functions
from remotejob.local.access.policies import Access, allowed

_LOG = logging.getLogger(__name__)
Event = dict[str, Any]


def close_gap() -> None:
    """Deliver to queues and functions ourselves, and let moto deliver to other targets."""
    stock_send = Rule.send_to_targets
    stock_filter = EventPattern._does_item_match_named_filter

    def send_to_targets(self: Rule, original_event: Any, **moto: Any) -> None:
        if self.state != "ENABLED" or (
            self.scheduled_expression and not self.event_pattern._pattern
        ):
            return
        if not self.event_pattern.matches_event(original_event):
            return
        event = {k: v for k, v in original_event.items() if k != "ingestion-time"}
        if not isinstance(event["time"], str):
            event["time"] = _timestamp(float(event["time"]))
        ours = deliver(self, event)
        rest = [t for t in self.targets if t not in ours]
        if rest:
            everything, self.targets = self.targets, rest
            try:
                stock_send(self, original_event, **moto)
            finally:
                self.targets = everything

    def named_filter(item: Any, pattern: dict[str, Any]) -> bool:
        name, value = next(iter(pattern.items()))
        if name == "anything-but" and isinstance(value, dict) and isinstance(item, str):
            inner, operands = next(iter(value.items()))
            listed = operands if isinstance(operands, list) else [operands]
            return not any(stock_filter(item, {inner: operand}) for operand in listed)
        return stock_filter(item, pattern)

    Rule.send_to_targets = send_to_targets  # type: ignore[method-assign,assignment]
    EventPattern._does_item_match_named_filter = staticmethod(named_filter)  # type: ignore[method-assign]


def event(
    *,
    source: str,
    detail_type: str,
    resources: list[str],
    detail: Mapping[str, Any],
    account: str,
    region: str,
) -> Event:
    """A new event with a unique id and the current time."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": _timestamp(time.time()),
        "region": region,
        "resources": resources,
        "detail": dict(detail),
    }


def put(event: Event) -> None:
    """Send an event of an AWS service to the rules of the default bus."""
    bus = events_backends[event["account"]][event["region"]].event_buses["default"]
    for rule in list(bus.rules.values()):
        try:
            rule.send_to_targets(event, transform_input=False)  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001
            _LOG.exception("EventBridge could not carry out rule %s", rule.name)


def fire(rule: Rule) -> None:
    """Fire a scheduled rule now."""
    scheduled = event(
        source="aws.events",
        detail_type="Scheduled Event",
        resources=[rule.arn],
        detail={},
        account=rule.account_id,
        region=rule.region_name,
    )
    deliver(rule, scheduled)


def deliver(rule: Rule, event: Event) -> list[dict[str, Any]]:
    """Send to the targets that are queues or functions; return those targets."""
    ours = [t for t in rule.targets if t["Arn"].split(":")[2] in ("sqs", "lambda")]
    for target in ours:
        body = _input(target, event)
        dead_letters = target.get("DeadLetterConfig", {}).get("Arn")
        try:
            if not _deliver(rule, target, body) and dead_letters:
                _deliver(rule, {"Arn": dead_letters}, body)
        except Exception:  # noqa: BLE001
            _LOG.exception("rule %s could not reach %s", rule.name, target["Arn"])
    return ours


def _deliver(rule: Rule, target: Mapping[str, Any], body: Any) -> bool:
    """Deliver to one target; return whether its policy allows EventBridge to."""
    arn = str(target["Arn"])
    service, region, name = arn.split(":")[2], arn.split(":")[3], arn.rpartition(":")[2]
    action = "sqs:SendMessage" if service == "sqs" else "lambda:InvokeFunction"
    access = Access(
        action=action,
        resource=arn,
        service="events.amazonaws.com",
        context={"aws:SourceArn": rule.arn, "aws:SourceAccount": rule.account_id},
    )
    if service == "sqs":
        queue = sqs_backends[rule.account_id][region].get_queue(name)
        policy = queue._policy_json
    else:
        function = lambda_backends[rule.account_id][region].get_function(arn)
        policy = {"Statement": function.policy.statements}
    if not allowed([policy], access):
        _LOG.error(
            "rule %s may not %s: the policy of %s does not allow events.amazonaws.com",
            rule.name,
            action,
            arn,
        )
        return False
    if service == "lambda":
        functions.invoke_later(arn, body)
        return True
    group = target.get("SqsParameters", {}).get("MessageGroupId")
    sqs_backends[rule.account_id][region].send_message(
        queue_name=name, message_body=json.dumps(body), group_id=group
    )
    return True


def _input(target: Mapping[str, Any], event: Event) -> Any:
    if "Input" in target:
        return json.loads(target["Input"])
    if "InputPath" in target:
        found: Any = event
        for name in target["InputPath"].removeprefix("$").strip(".").split("."):
            found = found[name] if name else found
        return found
    if "InputTransformer" in target:
        transformer = target["InputTransformer"]
        return EventTemplateParser.parse(
            transformer.get("InputTemplate"),
            transformer.get("InputPathsMap", {}),
            {**event, "ingestion-time": time.time()},  # type: ignore[typeddict-item]
        )
    return event


def _timestamp(unix_time: float) -> str:
    return datetime.fromtimestamp(unix_time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
