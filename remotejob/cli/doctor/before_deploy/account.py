"""Who deploys, and where to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from remotejob.cli.deploy.clients import Clients
from remotejob.cli.deploy.plan import Plan
from remotejob.cli.doctor.findings import Finding


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Whose credentials these are, and the region that they are used in."""

    account: str
    region: str
    arn: str
    partition: str


def identify(plan: Plan, client: Clients) -> Identity | Finding:
    """Ask AWS. Source: AWS STS API Reference, GetCallerIdentity, which needs no permission."""
    region: str | None = plan.region or client.session.region_name
    if region is None:
        return _finding("region", "no region is set", "set AWS_REGION, or a profile with a region")
    try:
        caller = client("sts").get_caller_identity()
    except (NoCredentialsError, PartialCredentialsError) as problem:
        return _finding(
            "credentials", f"there are none ({problem})", "log in, or set AWS_PROFILE or the keys"
        )
    except ClientError as error:
        refusal = error.response["Error"]
        return _finding(
            "credentials",
            f"AWS does not take them ({refusal['Code']}: {refusal['Message']})",
            "log in again, for these may have expired; see that this machine's clock is right",
        )
    except BotoCoreError as problem:
        return _finding("network", f"AWS cannot be reached ({problem})", "check the network")
    arn = caller["Arn"]
    return Identity(account=caller["Account"], region=region, arn=arn, partition=arn.split(":")[1])


def check(plan: Plan, identity: Identity) -> Iterator[Finding]:
    """Whether the credentials are those of the account that the app names."""
    if plan.account not in (None, identity.account):
        yield _finding(
            "account",
            f"the app names account {plan.account}, and the credentials are those of"
            f" {identity.account} ({identity.arn})",
            "use the other account's credentials, such as AWS_PROFILE, or another `env` in the app",
        )


def _finding(place: str, what: str, remedy: str) -> Finding:
    return Finding(place=place, what=what, remedy=remedy)
