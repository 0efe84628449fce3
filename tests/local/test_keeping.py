"""What the embedded AWS keeps from one start to the next, however it ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from remotejob.local import clients
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.errors import DeploymentFailed, StateUnusable
from remotejob.local.keeping.folder import Begin
from tests.end_to_end.waiting import until
from tests.local.assemblies import assembly, bucket, queue, table
from tests.local.helpers import physical

ROOT = Path(__file__).parents[2]
VERSIONED = {"VersioningConfiguration": {"Status": "Enabled"}}
COMMON = {"Table": table(), "Plain": bucket(), "Versioned": bucket(**VERSIONED), "Work": queue()}
BEFORE = {**COMMON, "Dead": queue(), "Old": queue()}
AFTER = {**COMMON, "Dead": queue(), "New": queue()}
ODD_KEYS = ("plain.txt", "a b/ü+%.txt", "line\nbreak", "../up", "x" * 1000)
LAST = "put last"
ITEM = {
    "pk": {"S": "job"},
    "sk": {"S": "ü\x00"},
    "ak": {"S": "due"},
    "number": {"N": "1.50"},
    "bytes": {"B": b"\x00\xff"},
    "list": {"L": [{"M": {"base64": {"B": b"deep"}}}, {"NULL": True}, {"BOOL": False}]},
    "texts": {"SS": ["a", "b"]},
}

#: Deploys an assembly, tells how to reach it, and waits.
PROGRAM = """
import json, sys
from pathlib import Path
from remotejob.local.embedded import EmbeddedAws
folder, keep, state = (Path(a) for a in sys.argv[1:])
with EmbeddedAws.for_assembly(folder, state=state, keep=keep) as aws:
    aws.deploy(folder)
    told = {"pids": [aws._process.pid], "environment": aws.environment()}
    print(json.dumps(told), flush=True)
    sys.stdin.read()
"""


@dataclass
class Place:
    """A folder with two assemblies, and the kept data."""

    folder: Path
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def keep(self) -> Path:
        return self.folder / "keep"

    @contextlib.contextmanager
    def start(self, assembly: str, **options: Any) -> Iterator[EmbeddedAws]:
        where = self.folder / assembly
        with EmbeddedAws.for_assembly(where, keep=self.keep, **options) as aws:
            aws.deploy(where)
            yield aws


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("kept data")
    assembly(folder / "before", stack="Sample", resources=BEFORE)
    assembly(folder / "after", stack="Sample", resources=AFTER)
    return Place(folder)


@pytest.fixture(scope="module")
def killed(place: Place) -> Place:
    """Filled, and then killed with everything it started, after its last save."""
    state = place.folder / "state"
    arguments = [str(place.folder / "before"), str(place.keep), str(state)]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as caller:
        assert caller.stdout is not None
        place.told = json.loads(caller.stdout.readline())
        fill(place)
        wait_for_save(place.keep)
        caller.kill()
        os.kill(place.told["pids"][0], signal.SIGKILL)
    return place


@pytest.fixture(scope="module")
def again(killed: Place) -> Iterator[EmbeddedAws]:
    """Started again, with one queue more and one less."""
    with killed.start("after") as aws:
        yield aws


def test_objects_are_kept_with_their_metadata_tags_and_odd_keys(again: EmbeddedAws) -> None:
    s3, name = again.client("s3"), physical(again, "S3::Bucket", "Plain")

    listed = {one["Key"]: one["Size"] for one in s3.list_objects_v2(Bucket=name)["Contents"]}
    read = s3.get_object(Bucket=name, Key="a b/ü+%.txt")
    tags = s3.get_object_tagging(Bucket=name, Key="a b/ü+%.txt")["TagSet"]

    assert listed == {key: len(key.encode()) for key in (*ODD_KEYS, LAST)}
    assert read["Body"].read() == "a b/ü+%.txt".encode()
    assert (read["ContentType"], read["Metadata"]) == ("text/odd", {"who": "me"})
    assert tags == [{"Key": "kind", "Value": "scan"}]
    assert read["ETag"] == s3.head_object(Bucket=name, Key="a b/ü+%.txt")["ETag"]


def test_versions_and_delete_markers_are_kept(again: EmbeddedAws, killed: Place) -> None:
    s3, name = again.client("s3"), physical(again, "S3::Bucket", "Versioned")

    listed = s3.list_object_versions(Bucket=name)
    first = s3.get_object(Bucket=name, Key="twice", VersionId=killed.told["first version"])

    assert first["Body"].read() == b"first"
    assert s3.get_object(Bucket=name, Key="twice")["Body"].read() == b"second"
    assert [(m["Key"], m["IsLatest"]) for m in listed["DeleteMarkers"]] == [("gone", True)]
    assert len([v for v in listed["Versions"] if v["Key"] == "twice"]) == 2
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=name, Key="gone")


def test_items_are_kept_with_every_type_and_found_by_their_index(again: EmbeddedAws) -> None:
    dynamodb, name = again.client("dynamodb"), physical(again, "DynamoDB::Table", "Table")

    items = dynamodb.scan(TableName=name)["Items"]
    found = dynamodb.query(
        TableName=name,
        IndexName="attention",
        KeyConditionExpression="ak = :due",
        ExpressionAttributeValues={":due": {"S": "due"}},
    )["Items"]

    assert items == [{**ITEM, "changed": {"N": "2"}}]
    assert [item["sk"] for item in found] == [ITEM["sk"]]


def test_messages_are_kept_and_those_in_flight_come_back_at_once(
    again: EmbeddedAws, killed: Place
) -> None:
    sqs, url = again.client("sqs"), physical(again, "SQS::Queue", "Work")
    # by the handle of before: whoever received it may have outlived the embedded AWS
    sqs.delete_message(QueueUrl=url, ReceiptHandle=killed.told["done meanwhile"])

    received = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["ApproximateReceiveCount"],
    )["Messages"]
    counted = sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesDelayed"]
    )["Attributes"]

    by_body = {message["Body"]: message for message in received}
    assert by_body.keys() == {"ready", "in flight"}
    assert by_body["in flight"]["Attributes"]["ApproximateReceiveCount"] == "2"
    attributes = by_body["ready"]["MessageAttributes"]
    assert attributes["raw"] == {"BinaryValue": b"\x00\xff", "DataType": "Binary"}
    assert counted["ApproximateNumberOfMessagesDelayed"] == "1"


def test_port_keys_and_names_stay_the_same(again: EmbeddedAws, killed: Place) -> None:
    access = killed.keep / "access.json"

    assert again.environment() == killed.told["environment"]
    assert stat.S_IMODE(access.stat().st_mode) == 0o600
    assert stat.S_IMODE(killed.keep.stat().st_mode) == 0o700
    assert stat.S_IMODE((killed.keep / "data" / "data.sqlite3").stat().st_mode) == 0o600


def test_data_of_a_queue_that_is_gone_are_kept_aside_and_named(again: EmbeddedAws) -> None:
    assert again.kept is not None
    (aside,) = again.kept.aside

    assert (aside.kind, aside.count) == ("messages", 1)
    assert "-Old-" in aside.holder
    assert any(f"1 message of queue {aside.holder}" in note for note in again.notes)


@pytest.mark.exhaustive
def test_a_clean_stop_saves_at_once_and_what_was_kept_aside_returns(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assembly(tmp_path / "with", stack="Sample", resources={"A": queue(), "B": queue()})
    assembly(tmp_path / "without", stack="Sample", resources={"A": queue()})
    with place.start("with") as aws:
        for name in ("A", "B"):
            url = physical(aws, "SQS::Queue", name)
            aws.client("sqs").send_message(QueueUrl=url, MessageBody=f"for {name}")

    with place.start("without") as aws:
        a = physical(aws, "SQS::Queue", "A")
        aws.client("sqs").purge_queue(QueueUrl=a)
    with place.start("with") as aws:
        b = aws.client("sqs").receive_message(QueueUrl=physical(aws, "SQS::Queue", "B"))
        kept = aws.kept

    assert [message["Body"] for message in b["Messages"]] == ["for B"]
    assert kept is not None
    assert (kept.messages, kept.complete) == (1, True)
    with place.start("with", begin=Begin.EMPTY) as aws:
        assert aws.notes == []
    assert (place.keep / "data.old" / "data.sqlite3").exists()


@pytest.mark.exhaustive
def test_update_keeps_the_data_and_a_refused_one_changes_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    wrong = {"Type": "AWS::SQS::QueuePolicy", "Properties": {"Queues": ["https://x/nowhere"]}}
    assembly(tmp_path / "first", stack="Sample", resources={"A": queue(), "B": queue()})
    assembly(tmp_path / "second", stack="Sample", resources={"A": queue(), "C": queue()})
    assembly(tmp_path / "wrong", stack="Sample", resources={"A": queue(), "Policy": wrong})

    def received(aws: EmbeddedAws) -> list[str]:
        url = physical(aws, "SQS::Queue", "A")
        received = aws.client("sqs").receive_message(QueueUrl=url, VisibilityTimeout=0)
        return [message["Body"] for message in received["Messages"]]

    with place.start("first") as aws:
        environment = aws.environment()
        for name in ("A", "B"):
            url = physical(aws, "SQS::Queue", name)
            aws.client("sqs").send_message(QueueUrl=url, MessageBody=f"for {name}")
        with pytest.raises(DeploymentFailed):
            aws.update(tmp_path / "wrong")
        assert received(aws) == ["for A"]
        physical(aws, "SQS::Queue", "B")

        aws.update(tmp_path / "second")

        assert received(aws) == ["for A"]
        physical(aws, "SQS::Queue", "C")
        assert aws.environment() == environment
        (note,) = aws.notes
        assert note.startswith("kept aside, because the stacks no longer have a place for them: 1 ")


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda file: file.write_bytes(b"not a database" * 100), "are damaged (file is not a"),
        (lambda file: of_format(file, 99), "have format 99, and this version of remotejob"),
    ],
    ids=["damaged", "unknown format"],
)
def test_unusable_data_are_refused_in_one_line_with_the_remedy(
    tmp_path: Path, damage: Any, told: str
) -> None:
    file = tmp_path / "data" / "data.sqlite3"
    file.parent.mkdir()
    damage(file)
    before = file.read_bytes()

    with pytest.raises(StateUnusable) as refused, EmbeddedAws(keep=tmp_path):
        pass

    assert told in str(refused.value)
    assert "--fresh" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert file.read_bytes() == before


@pytest.mark.exhaustive
def test_a_folder_in_use_is_refused_and_a_port_in_use_is_replaced(tmp_path: Path) -> None:
    with EmbeddedAws(keep=tmp_path) as first:
        port = int(first.endpoint_url.rpartition(":")[2])
        with pytest.raises(StateUnusable, match="is in use by process"), EmbeddedAws(keep=tmp_path):
            pass
    with socket.create_server(("127.0.0.1", port)), EmbeddedAws(keep=tmp_path) as second:
        (note,) = second.notes
    with EmbeddedAws(keep=tmp_path) as third:
        assert third.endpoint_url == second.endpoint_url

    assert note.startswith(f"port {port} of the last start is in use by another program")
    assert first.environment()["AWS_ACCESS_KEY_ID"] == second.environment()["AWS_ACCESS_KEY_ID"]


@pytest.mark.exhaustive
def test_what_cannot_be_saved_is_told_and_saved_later(tmp_path: Path) -> None:
    contents = tmp_path / "keep/data/contents"
    folder = assembly(tmp_path / "a", stack="Sample", resources={"Plain": bucket()})
    with EmbeddedAws(keep=tmp_path / "keep") as aws:
        name = aws.deploy(folder).one("AWS::S3::Bucket").physical_id
        assert aws.save_trouble() is None
        contents.rename(tmp_path / "away")
        aws.client("s3").put_object(Bucket=name, Key="late.txt", Body=b"late")
        until(lambda: aws.save_trouble() is not None, what="the trouble")
        (tmp_path / "away").rename(contents)
        until(lambda: aws.save_trouble() is None, what="its end")
    with EmbeddedAws(keep=tmp_path / "keep") as aws:
        aws.deploy(folder)
        found = aws.client("s3").get_object(Bucket=name, Key="late.txt")["Body"].read()

    assert found == b"late"


@pytest.mark.exhaustive
def test_nothing_is_kept_without_the_option(tmp_path: Path) -> None:
    folder = assembly(tmp_path / "a", stack="Sample", resources={"Plain": bucket()})
    state = tmp_path / "state"

    with EmbeddedAws.for_assembly(folder, state=state) as aws:
        aws.deploy(folder)
        put(aws.client("s3"), physical(aws, "S3::Bucket", "Plain"), "file")

    assert {path.name for path in state.iterdir()} == {"assets", "functions", "logs"}
    assert aws.notes == []


def fill(place: Place) -> None:
    """Put some of everything, in the ways in which requests change them."""
    environment = place.told["environment"]
    session = clients.make_session(environment)

    def client(service: str) -> Any:
        endpoint_url = environment["AWS_ENDPOINT_URL"]
        return clients.make_client(session, service, endpoint_url=endpoint_url)

    fill_table(client("dynamodb"))
    fill_queues(client("sqs"), place)
    fill_buckets(client("s3"), place)


def fill_buckets(s3: Any, place: Place) -> None:
    names = [one["Name"] for one in s3.list_buckets()["Buckets"]]
    plain = next(name for name in names if "plain" in name)
    versioned = next(name for name in names if "versioned" in name)
    for key in ODD_KEYS:
        put(s3, plain, key, ContentType="text/odd", Metadata={"who": "me"}, Tagging="kind=scan")
    put(s3, plain, "deleted")
    s3.delete_objects(Bucket=plain, Delete={"Objects": [{"Key": "deleted"}]})
    first = s3.put_object(Bucket=versioned, Key="twice", Body=b"first")
    s3.put_object(Bucket=versioned, Key="twice", Body=b"second")
    put(s3, versioned, "gone")
    s3.delete_object(Bucket=versioned, Key="gone")
    put(s3, plain, LAST)
    place.told["first version"] = first["VersionId"]


def fill_table(dynamodb: Any) -> None:
    (name,) = dynamodb.list_tables()["TableNames"]
    key = {"pk": ITEM["pk"], "sk": ITEM["sk"]}
    other = {"pk": {"S": "other"}, "sk": {"S": "x"}}
    dynamodb.put_item(TableName=name, Item=other)
    dynamodb.put_item(TableName=name, Item=ITEM)
    update = {
        "TableName": name,
        "Key": key,
        "UpdateExpression": "ADD changed :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    dynamodb.update_item(**update)
    dynamodb.transact_write_items(
        TransactItems=[{"Update": update}, {"Delete": {"TableName": name, "Key": other}}]
    )
    refused = {**update, "ConditionExpression": "attribute_exists(nothing)"}
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException):
        dynamodb.transact_write_items(
            TransactItems=[{"Put": {"TableName": name, "Item": other}}, {"Update": refused}]
        )


def fill_queues(sqs: Any, place: Place) -> None:
    urls = sqs.list_queues()["QueueUrls"]
    work = next(url for url in urls if "-Work-" in url)
    old = next(url for url in urls if "-Old-" in url)
    sqs.send_message(QueueUrl=old, MessageBody="of a queue that goes away")
    for body in ("in flight", "done meanwhile", "done"):
        sqs.send_message(QueueUrl=work, MessageBody=body)
        (message,) = sqs.receive_message(QueueUrl=work)["Messages"]
        place.told[body] = message["ReceiptHandle"]
    sqs.delete_message(QueueUrl=work, ReceiptHandle=place.told["done"])
    raw = {"raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    sqs.send_message(QueueUrl=work, MessageBody="ready", MessageAttributes=raw)
    sqs.send_message(QueueUrl=work, MessageBody="delayed", DelaySeconds=900)


def put(s3: Any, bucket: str, key: str, **more: Any) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode(), **more)


def wait_for_save(keep: Path) -> None:
    """Until the last thing that was put is saved, and so everything before it."""
    with contextlib.closing(sqlite3.connect(keep / "data" / "data.sqlite3")) as file:
        query = "SELECT 1 FROM objects WHERE key = ?"
        until(
            lambda: file.execute(query, (LAST.encode(),)).fetchone(),
            what="the last object among those that are saved",
        )


def of_format(file: Path, number: int) -> None:
    with sqlite3.connect(file) as made:
        made.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value)")
        made.execute("INSERT INTO meta VALUES ('format', ?)", (number,))
    made.close()
