"""The preflight: what would make a deployment fail, or harm somebody, found before it starts.

tools.py     what this machine needs: Docker
account.py   who we are, in which account and region
bootstrap.py the CDK's own stack
roles.py     the roles that AWS makes for its services
quotas.py    what the account may have
stacks.py    stacks and parameters of the same name
"""

from __future__ import annotations

from collections.abc import Mapping

from remotejob.cli.deploy.clients import Clients
from remotejob.cli.deploy.plan import Plan
from remotejob.cli.doctor.before_deploy import account, bootstrap, quotas, roles, stacks, tools
from remotejob.cli.doctor.before_deploy.account import Identity
from remotejob.cli.doctor.findings import Check, Finding, run_checks

__all__ = ["Identity", "preflight"]


def preflight(
    plan: Plan, client: Clients, environment: Mapping[str, str]
) -> tuple[list[Finding], Identity | None]:
    """Run all checks; without credentials or a region, only those of this machine.

    The clients have the plan's region, if the plan names one.
    """
    found = run_checks([Check(subject="Docker", run=lambda: tools.docker(plan, environment))])
    identity = account.identify(plan, client)
    if isinstance(identity, Finding):
        return [*found, identity], None
    found += run_checks(
        [
            Check(subject="the account", run=lambda: account.check(plan, identity)),
            Check(
                subject="the bootstrap stack",
                run=lambda: bootstrap.version(plan, client, identity),
            ),
            Check(
                subject="the policies of the bootstrap stack",
                run=lambda: bootstrap.policies(plan, client, identity),
            ),
            Check(subject="service-linked roles", run=lambda: roles.check(plan, client)),
            Check(subject="the stacks", run=lambda: stacks.check_stacks(plan, client)),
            Check(subject="the parameters", run=lambda: stacks.check_parameters(plan, client)),
            Check(subject="the quota of VPCs", run=lambda: quotas.vpcs(plan, client)),
            Check(subject="the quotas of Fargate", run=lambda: quotas.fargate(plan, client)),
            Check(subject="the quota of Lambda", run=lambda: quotas.functions(plan, client)),
        ]
    )
    return found, identity
