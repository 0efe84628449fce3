"""Find the user or role an access key belongs to, and its policies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from moto.core.utils import utcnow
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from remotejob.local.access.policies import Access, allowed

PARTITION = "aws"


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """The signer of a request: a user, or a session of a role."""

    arn: str
    #: Name of the role or user; requests are counted by it.
    name: str
    #: The role's own ARN; None for a user.
    role_arn: str | None
    secret: str
    token: str | None
    #: Whether the session is past its time.
    expired: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """What a process needs to sign as a principal."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def environment(self) -> dict[str, str]:
        """The credentials as the environment variables every SDK reads."""
        values = {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
        }
        if self.session_token:
            values["AWS_SESSION_TOKEN"] = self.session_token
        return values


class NotTrusted(Exception):
    """The role does not let this service assume it: its trust policy names another principal."""


def principal_of(account: str, access_key_id: str) -> Principal | None:
    """The principal that owns this access key; None if the key is unknown or inactive."""
    backend = iam_backends[account][PARTITION]
    key = backend.access_keys.get(access_key_id)
    if key is not None and key.user_name is not None:
        # moto keeps the keys of users that were deleted
        if key.status != "Active" or key.user_name not in backend.users:
            return None
        return Principal(
            arn=f"arn:{PARTITION}:iam::{account}:user/{key.user_name}",
            name=str(key.user_name),
            role_arn=None,
            secret=key.secret_access_key,
            token=None,
        )
    session = sts_backends[account][PARTITION].get_assumed_role_from_access_key(access_key_id)
    if session is None:
        return None
    return Principal(
        arn=session.arn,
        name=session.role_arn.rpartition("/")[2],
        role_arn=session.role_arn,
        secret=session.secret_access_key,
        token=session.session_token,
        expired=session.expiration <= utcnow(),
    )


def policies_of(account: str, principal: Principal) -> list[Mapping[str, Any]]:
    """The policy documents of the principal; none if its role was deleted."""
    backend = iam_backends[account][PARTITION]
    if principal.role_arn is None:
        holder: Any = backend.users.get(principal.name)
    else:
        holder = next((r for r in backend.roles.values() if r.arn == principal.role_arn), None)
    return policies_of_holder(holder) if holder is not None else []


def policies_of_role(account: str, role_arn: str) -> list[Mapping[str, Any]]:
    """The policy documents of a role; none if there is no such role."""
    roles = iam_backends[account][PARTITION].roles.values()
    role = next((r for r in roles if r.arn == role_arn), None)
    return policies_of_holder(role) if role is not None else []


def policies_of_holder(holder: Any) -> list[Mapping[str, Any]]:
    """The inline and attached policy documents of moto's user or role."""
    inline = holder.policies
    documents = list(inline.values() if isinstance(inline, dict) else inline)
    documents += [
        next(v.document for v in policy.versions if v.is_default)
        for policy in holder.managed_policies.values()
    ]
    return [_parsed(d) if isinstance(d, str) else d for d in documents]


@lru_cache(maxsize=1024)
def _parsed(document: str) -> Mapping[str, Any]:
    parsed: Mapping[str, Any] = json.loads(document)
    return parsed


def trusts(account: str, role_arn: str, access: Access) -> bool:
    """Whether the role's trust policy lets the caller assume it."""
    roles = iam_backends[account][PARTITION].roles.values()
    role = next((r for r in roles if r.arn == role_arn), None)
    if role is None:
        return False
    document = role.assume_role_policy_document
    return allowed([_parsed(document) if isinstance(document, str) else document], access)


def trusts_service(account: str, role_arn: str, *, service: str, on_behalf_of: str) -> bool:
    """Whether the role's trust policy lets an AWS service assume it for a resource of ours."""
    access = Access(
        action="sts:AssumeRole",
        resource=role_arn,
        context={"aws:SourceArn": on_behalf_of, "aws:SourceAccount": account},
        service=service,
    )
    return trusts(account, role_arn, access)


def assume_as_service(
    account: str,
    region: str,
    role_arn: str,
    *,
    service: str,
    on_behalf_of: str,
    session: str,
    life: timedelta,
) -> Credentials:
    """Credentials of a role, assumed by an AWS service; they expire after `life`.

    on_behalf_of: ARN of the resource that the service assumes it for, such as an ECS task.

    Raises: NotTrusted, when the role's trust policy does not let the service.
    """
    if not trusts_service(account, role_arn, service=service, on_behalf_of=on_behalf_of):
        raise NotTrusted(
            f"{service} may not assume {role_arn} for {on_behalf_of}; name it as a Service"
            " principal in the role's AssumeRolePolicyDocument, and look at its conditions"
        )
    role = sts_backends[account][PARTITION].assume_role(
        region_name=region,
        role_session_name=session[:64],
        role_arn=role_arn,
        policy="",
        duration=int(life.total_seconds()),
        external_id="",
    )
    return Credentials(
        access_key_id=role.access_key_id,
        secret_access_key=role.secret_access_key,
        session_token=role.session_token,
    )
