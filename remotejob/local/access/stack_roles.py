"""The roles with which CloudFormation makes stacks, in the place of the caller's rights.

Source: AWS CloudFormation User Guide, "AWS CloudFormation service role": whoever may pass a role
has it used; a stack keeps the role that it was last given.

Limits: moto makes stacks with all rights, so a role that may not do everything counts for nothing.
"""

from __future__ import annotations

import re
from typing import Final

from moto.cloudformation.models import cloudformation_backends

from remotejob.local.access import identity
from remotejob.local.access.calls import BadCall, Call
from remotejob.local.access.policies import Access, allowed

ALL: Final = ("*", "iam:PutUserPolicy")
"""The second, because all but IAM is less than all."""
_SERVICE: Final = "cloudformation.amazonaws.com"
_ROLE: Final = re.compile(r"arn:aws:iam::[0-9]{12}:role/[!-~]{1,512}")


def passed(call: Call) -> str | None:
    """The ARN of the role that a call passes, or its stack has; None if there is none.

    Raises: BadCall.
    """
    given = call.parameters.get("RoleARN")
    if given is not None:
        if not isinstance(given, str) or not _ROLE.fullmatch(given):
            raise BadCall(f"RoleARN cannot be {str(given)[:200]!r}")
        return given
    backend = cloudformation_backends[call.account][call.region]
    stack, change_set = call.parameters.get("StackName"), call.parameters.get("ChangeSetName")
    roles = [
        one.role_arn
        for one in backend.change_sets.values()
        if change_set is not None
        and change_set in (one.change_set_id, one.change_set_name)
        and stack in (None, one.stack_name, one.stack_id)
    ]
    roles += [one.role_arn for one in backend.stacks.values() if stack in (one.name, one.stack_id)]
    return next((str(role) for role in roles if role), None)


def may_do_all(account: str, role_arn: str) -> bool:
    """Whether CloudFormation may assume this role, and the role may do everything."""
    documents = identity.policies_of_role(account, role_arn)
    trusted = identity.trusts_service(
        account, role_arn, service=_SERVICE, on_behalf_of=f"arn:aws:cloudformation::{account}:stack"
    )
    return trusted and all(
        allowed(documents, Access(action=action, resource="*")) for action in ALL
    )
