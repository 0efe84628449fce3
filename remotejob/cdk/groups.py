"""The permission groups: a managed policy for each, to attach to people and programs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct, IConstruct

from remotejob.cdk.checks import acknowledge_arn, acknowledge_objects
from remotejob.cdk.commands import Group, grants_of
from remotejob.cdk.grants import Grant, Thing, merged
from remotejob.cdk.permissions import (
    ANY_QUEUE,
    acknowledge_queues,
    attention_arn,
    in_queues,
    key_calls,
    parameter_arn,
    queue_parameters,
)
from remotejob.names import INPUT_PREFIX_SUBMITTED, Use, system_parameter, uploads_parameter

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
    encryption_key: kms.IKey | None = None


class Groups(Construct):
    """The policies of the groups, and an output of the stack for each."""

    def __init__(self, scope: Construct, id: str, props: GroupsProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        self._scope, self._props = scope, props
        self._where: Mapping[Thing, list[str]] = {
            Thing.PARAMETER: [parameter_arn(system_parameter(props.system))],
            Thing.UPLOADS_PARAMETER: [parameter_arn(uploads_parameter(props.system))],
            Thing.QUEUE_PARAMETERS: queue_parameters(props.system),
            Thing.TABLE: [props.table.table_arn],
            Thing.ATTENTION: [attention_arn(props.table)],
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
            *self._on_queues(grants),
            *self._conditional(grants),
            *key_calls(self._props.encryption_key),
        ]

    def _plain(self, grants: Iterable[Grant]) -> list[iam.PolicyStatement]:
        """Statements without conditions; few, as a managed policy may have 6,144 characters."""
        return [
            iam.PolicyStatement(actions=list(calls), resources=self._arns(on))
            for calls, on in _things_by_calls(grants, set(Thing) - _USES.keys()).items()
        ]

    def _on_queues(self, grants: Iterable[Grant]) -> list[iam.PolicyStatement]:
        return [
            iam.PolicyStatement(
                actions=list(calls),
                resources=[ANY_QUEUE],
                conditions=in_queues(self._props.system, [_USES[thing] for thing in on]),
            )
            for calls, on in _things_by_calls(grants, _USES.keys()).items()
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

    def acknowledge(self, policy: IConstruct, grants: Iterable[Grant]) -> None:
        """Acknowledge wildcards, because names of queues and keys of files are not known
        beforehand."""
        things = {thing for grant in grants for thing in grant.on}
        if things & _USES.keys():
            acknowledge_queues(policy)
        if Thing.QUEUE_PARAMETERS in things:
            acknowledge_arn(
                policy,
                self._where[Thing.QUEUE_PARAMETERS][-1],
                because="The queues' descriptions, and nothing else",
            )
        for thing in sorted(things & _FILES.keys()):
            bucket = self._props.output if thing is Thing.OUTPUT_FILES else self._props.input
            acknowledge_objects(
                policy,
                bucket,
                _FILES[thing],
                because=f"A command of the group is for any of the {thing}",
            )


def _things_by_calls(
    grants: Iterable[Grant], among: Collection[Thing]
) -> dict[tuple[str, ...], list[Thing]]:
    """Things by all the calls that are granted on them without a condition."""
    found: dict[tuple[str, ...], list[Thing]] = {}
    for thing in Thing:
        on_thing = [grant for grant in grants if thing in grant.on and not grant.condition]
        calls = sorted({call for grant in on_thing for call in grant.calls})
        if calls and thing in among:
            found.setdefault(tuple(calls), []).append(thing)
    return found


_USES: Final = {
    Thing.LANES: Use.LANE,
    Thing.STATUS: Use.STATUS,
    Thing.DEAD_LETTER: Use.DEAD_LETTER,
    Thing.UNREAD_STATUS: Use.UNREAD_STATUS,
    Thing.UPLOADS: Use.UPLOADS,
    Thing.UNREAD_UPLOADS: Use.UNREAD_UPLOADS,
}
"""Things that are SQS queues: their tags tell them apart."""

_FILES: Final = {
    Thing.INPUT_FILES: "*",
    Thing.SUBMITTED_FILES: f"{INPUT_PREFIX_SUBMITTED}*",
    Thing.OUTPUT_FILES: "*",
}
