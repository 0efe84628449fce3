"""IAM: the simulation of a role's policies.

What moto does: nothing.
What AWS does: SimulatePrincipalPolicy says of each action and resource whether the policies of a
role or user allow it. Here they are evaluated as for a request with the given context.
Source: IAM API Reference, SimulatePrincipalPolicy.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.iam.responses import IamResponse

from remotejob.local.access.identity import policies_of_role
from remotejob.local.access.policies import Access, allowed


def close_gap() -> None:
    IamResponse.simulate_principal_policy = simulate_principal_policy  # type: ignore[attr-defined]


def simulate_principal_policy(self: Any) -> ActionResult:
    documents = policies_of_role(self.current_account, self._get_param("PolicySourceArn"))
    resources = self._get_param("ResourceArns") or ["*"]
    context = {
        entry["ContextKeyName"]: entry["ContextKeyValues"]
        for entry in self._get_param("ContextEntries") or ()
    }
    return ActionResult(
        {
            "IsTruncated": False,
            "EvaluationResults": [
                {
                    "EvalActionName": action,
                    "EvalResourceName": resource,
                    "EvalDecision": (
                        "allowed"
                        if allowed(
                            documents, Access(action=action, resource=resource, context=context)
                        )
                        else "implicitDeny"
                    ),
                }
                for action in self._get_param("ActionNames")
                for resource in resources
            ],
        }
    )
