"""A stack of a system of its own, and what becomes of data when a stack is destroyed."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from remotejob.names import Part, stack_name
from remotejob.settings import Settings, Stage


class SystemStack(cdk.Stack):
    """A stack of one system; by default without account or region: the templates are the same for
    all, and the synth looks up nothing."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        part: Part,
        *,
        description: str,
        env: cdk.Environment | None = None,
        termination_protection: bool = False,
    ) -> None:
        system = settings.system.name
        super().__init__(
            scope,
            stack_name(system, part),
            description=f"remotejob system {system!r}: {description}",
            env=env,
            tags={"remotejob": system},
            termination_protection=termination_protection,
            # CloudFormation takes a megabyte, which the workers of fifty queues fill
            suppress_template_indentation=True,
        )


def removal_policy(settings: Settings) -> cdk.RemovalPolicy:
    """Production data outlives its stacks, and a queue's messages outlive the queue's settings;
    development data is deleted with them, once its buckets are empty."""
    if settings.system.stage is Stage.PRODUCTION:
        return cdk.RemovalPolicy.RETAIN
    return cdk.RemovalPolicy.DESTROY
