"""What a check finds: what is wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from remotejob.cli import formats
from remotejob.cli.common import out, say
from remotejob.cli.exit_codes import Exit
from remotejob.domain.errors import AccessProblem, RemoteJobError
from remotejob.domain.text import cut


class Severity(StrEnum):
    """Whether a finding stops anything."""

    ERROR = "error"
    """Something does not work, or will not. The command exits with 6."""
    WARNING = "warning"
    """It works; but it will cost, break later, or could not be checked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    place: str
    """Where: a resource, a quota, a setting, a program."""
    what: str
    """What is wrong, in one sentence without a full stop."""
    remedy: str
    """What to do about it; a command where there is one."""
    severity: Severity = Severity.ERROR


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A check, and what it looks at, in words that follow `checked` and `could not check`."""

    subject: str
    run: Callable[[], Iterable[Finding]]


_REFUSALS: Final = frozenset(
    ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError")
)
"""How AWS says that a policy does not allow a call; services differ."""


def run_checks(checks: Sequence[Check]) -> list[Finding]:
    """Run each check, in order.

    A check that AWS does not answer is a warning: the others still run, and someone may deploy who
    may not read quotas.
    """
    found: list[Finding] = []
    for check in checks:
        try:
            found += check.run()
        except AccessProblem as error:
            found.append(_not_checked(check, str(error), "allow these credentials what it names"))
        except RemoteJobError as error:
            found.append(Finding(place=check.subject, what=str(error), remedy="see there"))
        except ClientError as error:
            found.append(_unanswered(check, error))
        except BotoCoreError as error:
            found.append(_not_checked(check, str(error), "check the network and the region"))
    return found


def _unanswered(check: Check, error: ClientError) -> Finding:
    refusal = error.response["Error"]
    if refusal["Code"] in _REFUSALS:
        remedy = f"allow these credentials {error.operation_name}, or check it by hand"
    else:
        remedy = "run the command again; if it stays, check it by hand"
    message = cut(" ".join(refusal["Message"].split()), 200)
    said = f"AWS answered {error.operation_name} with {refusal['Code']} ({message})"
    return _not_checked(check, said, remedy)


def _not_checked(check: Check, why: str, remedy: str) -> Finding:
    return Finding(
        place=check.subject,
        what=f"could not check {check.subject}: {why}",
        remedy=remedy,
        severity=Severity.WARNING,
    )


def show_findings(findings: Sequence[Finding], *, as_json: bool, **more: Any) -> None:
    """Print findings, errors first; as JSON, together with more keys."""
    ordered = sorted(findings, key=lambda one: one.severity is not Severity.ERROR)
    if as_json:
        formats.to_json(out, {"findings": [asdict(one) for one in ordered], **more})
        return
    for one in ordered:
        say(f"{one.severity}: {one.place}: {one.what}; {one.remedy}")


def exit_for(findings: Iterable[Finding]) -> Exit:
    """TROUBLE if one is an error; OK for none, and for warnings."""
    errors = any(one.severity is Severity.ERROR for one in findings)
    return Exit.TROUBLE if errors else Exit.OK
