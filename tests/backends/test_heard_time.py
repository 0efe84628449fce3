"""AWS's time, as its answers say it."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from remotejob.backends.aws.account import DEFAULT_POLICY, Account
from remotejob.domain.times import from_ms
from remotejob.testing import FakeClock


class Answer:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> list[bytes]:
        return [self._body]


@pytest.fixture
def session() -> boto3.Session:
    return boto3.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="eu-west-1"
    )


def heard(session: boto3.Session, date: str | None) -> Account:
    """An account that has had one answer, with this date."""
    headers = {"content-type": "application/x-amz-json-1.1"}
    if date is not None:
        headers["date"] = date
    account = Account(session)
    client = account.client("ssm", DEFAULT_POLICY)

    def answer(**_: object) -> AWSResponse:
        return AWSResponse("https://aws", 200, headers, Answer(b"{}"))  # type: ignore[arg-type]

    client.meta.events.register("before-send", answer)
    client.get_parameters(Names=["x"])
    return account


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(minutes=7), timedelta(minutes=-7)])
def test_clock_is_compared_with_the_last_answer(session: boto3.Session, ahead: timedelta) -> None:
    clock = FakeClock()
    aws = from_ms(clock.now_ms()) - ahead

    found = heard(session, format_datetime(aws, usegmt=True)).heard_time.clock_ahead(clock)

    assert found is not None
    # the answer has whole seconds, and this test takes some
    assert abs(found - ahead) < timedelta(minutes=1)


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_answer_without_a_time_says_nothing(session: boto3.Session, date: str | None) -> None:
    assert heard(session, date).heard_time.clock_ahead(FakeClock()) is None


def test_before_any_answer_nothing_is_known(session: boto3.Session) -> None:
    assert Account(session).heard_time.clock_ahead(FakeClock()) is None
