"""Keys that are not, or no longer, anybody's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from moto.iam.models import iam_backends

from remotejob.local.access import identity
from tests.local.hostile import TRUST

ACCOUNT = "123456789012"
REGION = "eu-west-1"


@pytest.fixture
def iam() -> Iterator[Any]:
    """moto's users and roles, in this process."""
    backend = iam_backends[ACCOUNT]["aws"]
    backend.create_user(REGION, "somebody")
    yield backend
    backend.reset()


def test_key_is_its_users_as_long_as_it_is_active(iam: Any) -> None:
    key = iam.create_access_key("somebody").access_key_id
    principal = identity.principal_of(ACCOUNT, key)
    assert principal is not None
    assert (principal.name, principal.expired) == ("somebody", False)

    iam.update_access_key("somebody", key, "Inactive")

    assert identity.principal_of(ACCOUNT, key) is None


def test_key_of_a_deleted_user_is_nobodys(iam: Any) -> None:
    key = iam.create_access_key("somebody").access_key_id
    del iam.users["somebody"]

    assert identity.principal_of(ACCOUNT, key) is None


def test_deleted_key_is_nobodys(iam: Any) -> None:
    key = iam.create_access_key("somebody").access_key_id
    iam.delete_access_key(key, "somebody")

    assert identity.principal_of(ACCOUNT, key) is None


@pytest.mark.parametrize(("life", "expired"), [(timedelta(hours=1), False), (timedelta(0), True)])
def test_session_ends_with_its_time(iam: Any, life: timedelta, *, expired: bool) -> None:
    role = iam.create_role("role", json.dumps(TRUST), "/", None, "", [], 3600)
    credentials = identity.assume_as_service(
        ACCOUNT,
        REGION,
        role.arn,
        service="lambda.amazonaws.com",
        on_behalf_of="arn:aws:lambda:eu-west-1:123456789012:function:f",
        session="s",
        life=life,
    )
    principal = identity.principal_of(ACCOUNT, credentials.access_key_id)

    assert principal is not None
    assert principal.expired is expired


@pytest.mark.parametrize(
    ("source", "trusted"),
    [(f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/one", True), ("arn:aws:ecs:r:other:task/one", False)],
)
def test_a_service_assumes_a_role_for_what_its_conditions_say(
    iam: Any, source: str, *, trusted: bool
) -> None:
    statement: Any = TRUST["Statement"][0]
    condition = {"ArnLike": {"aws:SourceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:*"}}
    document = {**TRUST, "Statement": {**statement, "Condition": condition}}
    role = iam.create_role("conditional", json.dumps(document), "/", None, "", [], 3600)

    def assume() -> identity.Credentials:
        return identity.assume_as_service(
            ACCOUNT,
            REGION,
            role.arn,
            service="lambda.amazonaws.com",
            on_behalf_of=source,
            session="s",
            life=timedelta(hours=1),
        )

    if trusted:
        assert assume().access_key_id
    else:
        with pytest.raises(identity.NotTrusted, match="conditions"):
            assume()
