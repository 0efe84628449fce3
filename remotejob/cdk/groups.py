"""The permission groups: a managed policy for each, to attach to people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_ssm as ssm
from constructs import Construct, IConstruct

from remotejob.cdk.checks import acknowledge_objects
from remotejob.cdk.commands import Group, grants_of
from remotejob.cdk.grants import Grant, Thing, merged
from remotejob.cdk.permissions import attention_arn, key_calls
from remotejob.cdk.queues import LANES, STATUS, JobQueue
from remotejob.names import INPUT_PREFIX_SUBMITTED, QueueKey

_FOR: Final = {
    Group.ADMIN: "may do everything",
    Group.MANAGER: "pauses, cancels, restarts and removes jobs",
    Group.CREATOR: "submits jobs, keeps files, hears of ends",
    Group.WORKER: "takes jobs by hand and ends them",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupsProps:
    """Options of `Groups`."""

    system: str
    table: dynamodb.ITable
    input: s3.IBucket
    output: s3.IBucket
    queues: Mapping[str, JobQueue]
    parameter: ssm.IStringParameter
    encryption_key: kms.IKey | None = None


class Groups(Construct):
    """The policies of the groups, and an output of the stack for each."""

    def __init__(self, scope: Construct, id: str, props: GroupsProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        self._scope, self._props = scope, props
        self._where: Mapping[Thing, list[str]] = {
            Thing.PARAMETER: [props.parameter.parameter_arn],
            Thing.TABLE: [props.table.table_arn],
            Thing.ATTENTION: [attention_arn(props.table)],
            Thing.LANES: self._queues(*LANES),
            Thing.STATUS: self._queues(*STATUS),
            Thing.DEAD_LETTER: self._queues(QueueKey.DEAD_LETTER),
            Thing.INPUT: [props.input.bucket_arn],
            Thing.OUTPUT: [props.output.bucket_arn],
            Thing.INPUT_FILES: [props.input.arn_for_objects(_FILES[Thing.INPUT_FILES])],
            Thing.SUBMITTED_FILES: [props.input.arn_for_objects(_FILES[Thing.SUBMITTED_FILES])],
            Thing.OUTPUT_FILES: [props.output.arn_for_objects(_FILES[Thing.OUTPUT_FILES])],
        }
        self.policies = {group: self._policy(group) for group in Group}

    def _policy(self, group: Group) -> iam.ManagedPolicy:
        grants = grants_of(group)
        if group is Group.ADMIN:
            # conditions limit the other groups; admins may do everything
            grants = tuple(Grant(calls=grant.calls, on=grant.on) for grant in grants)
        policy = iam.ManagedPolicy(
            self,
            group.value.title(),
            description=f"{group.value} of remotejob system {self._props.system}: {_FOR[group]}",
            statements=self.statements(grants),
        )
        self.acknowledge(policy, grants)
        cdk.CfnOutput(
            self._scope,
            f"{group.value.title()}Policy",
            value=policy.managed_policy_arn,
            description=f"Attach it to whoever {_FOR[group]}",
        )
        return policy

    def statements(self, grants: Iterable[Grant]) -> list[iam.PolicyStatement]:
        """The statements of a policy that makes these grants."""
        grants = tuple(grants)
        return [
            *self._plain(grants),
            *self._conditional(grants),
            *key_calls(self._props.encryption_key),
        ]

    def _plain(self, grants: Iterable[Grant]) -> list[iam.PolicyStatement]:
        """Statements without conditions; few, as a managed policy may have 6,144 characters."""
        things: dict[tuple[str, ...], list[Thing]] = {}
        for thing in Thing:
            on_thing = [grant for grant in grants if thing in grant.on and not grant.condition]
            calls = sorted({call for grant in on_thing for call in grant.calls})
            if calls:
                things.setdefault(tuple(calls), []).append(thing)
        return [
            iam.PolicyStatement(actions=list(calls), resources=self._arns(on))
            for calls, on in things.items()
        ]

    def _conditional(self, grants: Iterable[Grant]) -> list[iam.PolicyStatement]:
        return [
            iam.PolicyStatement(
                actions=list(grant.calls), resources=self._arns(grant.on), conditions=condition
            )
            for grant in merged(grants)
            if (condition := grant.condition)
        ]

    def _arns(self, things: Iterable[Thing]) -> list[str]:
        return [arn for thing in things for arn in self._where[thing]]

    def _queues(self, *keys: QueueKey) -> list[str]:
        return [arn for queue in self._props.queues.values() for arn in queue.arns(keys)]

    def acknowledge(self, policy: IConstruct, grants: Iterable[Grant]) -> None:
        """Acknowledge wildcards, because the keys of files are not known beforehand."""
        things = {thing for grant in grants for thing in grant.on}
        for thing in sorted(things & _FILES.keys()):
            bucket = self._props.output if thing is Thing.OUTPUT_FILES else self._props.input
            acknowledge_objects(
                policy,
                bucket,
                _FILES[thing],
                because=f"A command of the group is for any of the {thing}",
            )


_FILES: Final = {
    Thing.INPUT_FILES: "*",
    Thing.SUBMITTED_FILES: f"{INPUT_PREFIX_SUBMITTED}*",
    Thing.OUTPUT_FILES: "*",
}
