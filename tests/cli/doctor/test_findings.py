"""Checks are run one by one, and what they find decides the exit code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from remotejob.cli.common import out
from remotejob.cli.doctor.findings import (
    Check,
    Finding,
    Severity,
    exit_for,
    run_checks,
    show_findings,
)
from remotejob.cli.exit_codes import Exit

BROKEN = Finding(place="Docker", what="no answer", remedy="start it")
DEAR = Finding(place="VPC", what="a NAT", remedy="none", severity=Severity.WARNING)


def failing(error: Exception) -> Check:
    def run() -> Iterator[Finding]:
        yield BROKEN
        raise error

    return Check(subject="the quotas", run=run)


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetServiceQuota")


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"])
def test_a_check_that_is_not_allowed_is_a_warning_that_names_the_call(code: str) -> None:
    found = run_checks([failing(refusal(code)), Check(subject="Docker", run=lambda: [BROKEN])])

    first, warning, last = found
    assert first == BROKEN, "found before the call"
    assert warning.severity is Severity.WARNING
    assert "could not check the quotas" in warning.what
    assert "allow these credentials GetServiceQuota" in warning.remedy
    assert last == BROKEN


def test_a_check_that_aws_cannot_answer_is_a_warning() -> None:
    _, warning = run_checks([failing(EndpointConnectionError(endpoint_url="https://x"))])

    assert warning.severity is Severity.WARNING
    assert "https://x" in warning.what


def test_a_fault_of_the_check_itself_is_no_finding() -> None:
    with pytest.raises(ZeroDivisionError):
        run_checks([failing(ZeroDivisionError())])


def test_errors_are_shown_first_with_their_remedy() -> None:
    with out.capture() as shown:
        show_findings([DEAR, BROKEN], as_json=False)

    assert shown.get().splitlines() == [
        "error: Docker: no answer; start it",
        "warning: VPC: a NAT; none",
    ]


def test_only_errors_change_the_exit_code() -> None:
    assert exit_for([]) is exit_for([DEAR]) is Exit.OK
    assert exit_for([DEAR, BROKEN]) is Exit.TROUBLE
