"""The plugin looks at requests however they are sent."""

from __future__ import annotations

import contextlib

import pytest
from botocore.exceptions import ClientError

from remotejob.ports import Area
from remotejob.testing import FakeClock
from tests import aws
from tests.requests.plugin import taken

QUERY = {"TableName": aws.TABLE, "KeyConditionExpression": "pk = :pk AND sk = :pk AND sk > :pk"}
VALUES = {"ExpressionAttributeValues": {":pk": {"S": "a"}}}


@pytest.mark.parametrize("transport", aws.TRANSPORTS)
def test_request_to_a_table_is_looked_at(transport: str, clock: FakeClock) -> None:
    with aws.aws_store(clock, transport=transport):
        dynamodb, _ = aws.services(clock, transport=transport)
        with contextlib.suppress(ClientError):
            dynamodb.call("Query", {**QUERY, **VALUES})

    assert "Query: a key condition asks for each key once, not for ['pk', 'sk', 'sk']" in taken()


@pytest.mark.parametrize("transport", aws.TRANSPORTS)
def test_request_for_a_file_is_looked_at(transport: str, clock: FakeClock) -> None:
    with aws.aws_installation(clock, transport=transport) as installation:
        installation.files.put(Area.OUTPUT, "a", b"", metadata={"name": "a" * 2045})

    assert [*dict.fromkeys(taken())] == ["PutObject has 2,049 bytes of metadata, more than 2,048"]
