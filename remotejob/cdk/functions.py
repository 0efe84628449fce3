"""The base of all our Lambda functions: a log group, and a minimal role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from remotejob.cdk.permissions import log_calls
from remotejob.names import Env, installed_version

RUNTIME: Final = lambda_.Runtime.PYTHON_3_14
LOG_RETENTION: Final = logs.RetentionDays.ONE_MONTH


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonFunctionProps:
    """Options of `PythonFunction`."""

    code: lambda_.Code
    environment: Mapping[str, str]
    removal_policy: RemovalPolicy = RemovalPolicy.RETAIN
    """What happens to the log when the stack is destroyed."""


class PythonFunction(Construct):
    """A function with a log group and a role that may write to that log group only."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        props: PythonFunctionProps,
        *,
        handler: str,
        description: str,
        timeout: Duration,
        memory_mib: int,
    ) -> None:
        super().__init__(scope, id)
        log_group = logs.LogGroup(
            self, "Log", retention=LOG_RETENTION, removal_policy=props.removal_policy
        )
        # Our own role: the CDK's default role may write to every log of the account.
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.role.add_to_policy(log_calls(log_group.log_group_arn))
        self.function = lambda_.Function(
            self,
            "Function",
            runtime=RUNTIME,
            # The bundle has no compiled code, so it runs on the cheaper architecture, too.
            architecture=lambda_.Architecture.ARM_64,
            code=props.code,
            handler=handler,
            description=description,
            environment={**props.environment, Env.VERSION.value: installed_version()},
            timeout=timeout,
            memory_size=memory_mib,
            log_group=log_group,
            role=self.role,
        )
