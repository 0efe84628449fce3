"""What is authorised is what is done: requests that two readers would understand differently."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import quote

import pytest
from moto.backends import list_of_moto_modules

from remotejob.local.access import operations
from tests.local.hostile import FORM, JSON, SECRET, House, Sent

ROLE: Final = quote("arn:aws:iam::123456789012:role/secret", safe="")
ASSUME: Final = f"Action=AssumeRole&Version=2011-06-15&RoleSessionName=x&RoleArn={ROLE}"
KEY: Final = "Action=CreateAccessKey&UserName=administrator&Version=2010-05-08"
WHO: Final = "Action=GetCallerIdentity&Version=2011-06-15"
GET_SECRET: Final = {"TableName": "secret", "Key": {"pk": {"S": "a"}}}
GET_ALLOWED: Final = {"TableName": "allowed", "Key": {"pk": {"S": "a"}}}
TABLE_ARN: Final = "arn:aws:dynamodb:eu-west-1:123456789012:table"
FUNCTIONS: Final = "/2015-03-31/functions"
Trick = Callable[[House], Sent]


def scope(house: House, service: str, *, region: str = "eu-west-1") -> str:
    key = house.nobody.access_key
    return (
        f"AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/{service}/aws4_request, "
        f"SignedHeaders=host, Signature={'0' * 64}"
    )


def plus(sent: Sent, *headers: tuple[str, str], body: bytes | None = None) -> Sent:
    sent.headers += headers
    sent.body = sent.body if body is None else body
    return sent


def minus(sent: Sent, *names: str) -> Sent:
    sent.headers = [pair for pair in sent.headers if pair[0].lower() not in names]
    return sent


FORMS: Final[dict[str, Trick]] = {
    "an action twice": lambda h: h.form(h.nobody, "sts", f"{ASSUME}&Action=GetCallerIdentity"),
    "an action twice, the other way": lambda h: h.form(h.nobody, "sts", f"{WHO}&{ASSUME}"),
    "an action in the query and in the form": lambda h: h.form(
        h.nobody, "sts", ASSUME, "/?Action=GetCallerIdentity"
    ),
    "another role twice": lambda h: h.form(h.nobody, "sts", f"{ASSUME}&RoleArn={ROLE}"),
    "an action of another case": lambda h: h.form(h.nobody, "sts", ASSUME.replace("=A", "=a")),
    "a parameter of another case": lambda h: h.form(
        h.nobody, "sts", f"{WHO}&action=AssumeRole&RoleArn={ROLE}&RoleSessionName=x&Action=x"
    ),
    "an action and a target": lambda h: h.signed(
        h.nobody, "sts", headers={"Content-Type": FORM, "X-Amz-Target": "x.GetCallerIdentity"},
        body=ASSUME.encode(),
    ),
    "no action but in a header": lambda h: h.signed(
        h.nobody, "sts", headers={"Content-Type": FORM, "Action": "AssumeRole"},
    ),
    "a form that is no form": lambda h: h.signed(
        h.nobody, "sts", headers={"Content-Type": "text/plain"}, body=ASSUME.encode()
    ),
    "a form in parts": lambda h: h.signed(
        h.nobody, "sts", headers={"Content-Type": "multipart/form-data; boundary=b"},
        body=b'--b\r\nContent-Disposition: form-data; name="Action"\r\n\r\nAssumeRole\r\n--b--\r\n',
    ),
    "a form that is encoded": lambda h: h.signed(
        h.nobody, "sts", headers={"Content-Type": FORM, "Content-Encoding": "gzip"},
        body=ASSUME.encode(),
    ),
    "an action of another service": lambda h: h.form(h.nobody, "sts", KEY),
    "a web identity that nobody verifies": lambda h: h.form(
        h.nobody, "sts",
        ASSUME.replace("AssumeRole", "AssumeRoleWithWebIdentity", 1) + "&WebIdentityToken=x",
    ),
    "another path": lambda h: h.form(h.nobody, "sts", ASSUME, "/cloudformation_x/cfnresponse"),
    "another service by region": lambda h: h.signed(
        h.nobody, "sts", headers={"Content-Type": FORM}, body=KEY.encode(), region="iam.eu-west-1"
    ),
    "a second Authorization": lambda h: plus(
        h.form(h.nobody, "sts", KEY), ("Authorization", scope(h, "iam"))
    ),
    "two signatures": lambda h: plus(
        h.presigned(h.nobody, "sts", "POST"), ("Authorization", scope(h, "iam")),
        ("Content-Type", FORM), body=f"{KEY}&Action=GetCallerIdentity".encode(),
    ),
    "another Authorization than a signature": lambda h: plus(
        h.presigned(h.nobody, "sts", "POST"),
        ("Authorization", f"X Credential=x/20260101/{h.aws.region}/iam/aws4_request, y"),
        ("Content-Type", FORM), body=KEY.encode(),
    ),
    "a body that a presigned URL did not sign": lambda h: plus(
        h.presigned(h.administrator, "sts", "POST"), ("Content-Type", FORM), body=ASSUME.encode()
    ),
    "a presigned URL without a hash of the body": lambda h: plus(
        h.presigned(h.administrator, "sts", "POST", payload="UNSIGNED-PAYLOAD"),
        ("Content-Type", FORM), body=ASSUME.encode(),
    ),
    "a signature without a hash of the body": lambda h: h.signed(
        h.administrator, "sts", body=ASSUME.encode(),
        headers={"Content-Type": FORM, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
    ),
    "another method by a header": lambda h: plus(
        h.signed(h.nobody, "sts", "GET", "/?" + WHO), ("X-HTTP-Method-Override", "POST"),
        ("Content-Type", FORM), body=ASSUME.encode(),
    ),
    "a session policy, which moto ignores": lambda h: h.form(
        h.administrator, "sts", f"{ASSUME}&Policy=%7B%7D"
    ),
    "session policies": lambda h: h.form(
        h.administrator, "sts", f"{ASSUME}&PolicyArns.member.1.arn=arn:aws:iam::1:policy/x"
    ),
    "another account": lambda h: plus(h.form(h.nobody, "sts", ASSUME), ("x-moto-account-id", "1")),
}  # fmt: skip

DOCUMENTS: Final[dict[str, Trick]] = {
    "a form in the body": lambda h: h.json(
        h.limited, "ssm", "AmazonSSM.GetParameter", '{"Name": "/allowed", "x": "&Name=/secret&"}'
    ),
    "a form in a value": lambda h: h.json(
        h.limited, "ssm", "AmazonSSM.GetParameter", '{"Name": "/allowed&Name=/secret&Action=x"}'
    ),
    "a secret as a parameter": lambda h: h.json(
        h.reader, "ssm", "AmazonSSM.GetParameter",
        {"Name": "/aws/reference/secretsmanager/secret", "WithDecryption": True},
    ),
    "an action in the query": lambda h: h.json(
        h.limited, "ssm", "AmazonSSM.GetParameter", {"Name": "/allowed"},
        path="/?Action=DeleteParameter&Name=/secret",
    ),
    "a parameter of another operation": lambda h: h.json(
        h.limited, "ssm", "AmazonSSM.GetParameter", {"Name": "/secret", "Names": ["/allowed"]}
    ),
    "a parameter twice": lambda h: h.json(
        h.limited, "ssm", "AmazonSSM.GetParameter", '{"Name": "/secret", "Name": "/allowed"}'
    ),
    "a nested parameter twice": lambda h: h.json(
        h.limited, "dynamodb", "DynamoDB_20120810.GetItem",
        '{"TableName": "allowed", "Key": {"pk": {"S": "a"}, "pk": {"S": "a"}}}',
    ),
    "a list for a name": lambda h: h.json(
        h.limited, "dynamodb", "DynamoDB_20120810.GetItem", {**GET_SECRET, "TableName": ["allowed"]}
    ),
    "another type for a part": lambda h: h.json(
        h.limited, "dynamodb", "DynamoDB_20120810.TransactGetItems", {"TransactItems": ["x"]}
    ),
    "a document that is a list": lambda h: h.json(
        h.limited, "dynamodb", "DynamoDB_20120810.GetItem", [GET_SECRET]
    ),
    "a table within an index": lambda h: h.json(
        h.limited, "dynamodb", "DynamoDB_20120810.GetItem",
        {**GET_SECRET, "TableName": f"{TABLE_ARN}/allowed/index/secret"},
    ),
    "a table behind a slash": lambda h: h.json(
        h.limited, "dynamodb", "DynamoDB_20120810.GetItem",
        {**GET_SECRET, "TableName": "allowed/secret"},
    ),
    "an index with a slash": lambda h: h.json(
        h.limited, "dynamodb", "DynamoDB_20120810.Query",
        {"TableName": "allowed", "IndexName": "a/b"},
    ),
    "a table of another region": lambda h: h.json(
        h.limited, "dynamodb", "DynamoDB_20120810.GetItem",
        {**GET_ALLOWED, "TableName": f"{TABLE_ARN.replace('eu-west-1', 'us-east-1')}/allowed"},
    ),
    "a query beside the body": lambda h: h.json(
        h.limited, "dynamodb", "DynamoDB_20120810.GetItem", GET_ALLOWED, path="/?TableName=secret"
    ),
    "a region by the user agent": lambda h: plus(
        h.json(h.nobody, "ssm", "AmazonSSM.GetParameter", {"Name": "/secret"}),
        ("User-Agent", "x region/eu-west-1"),
    ),
    "a target of another service": lambda h: h.json(
        h.limited, "ssm", "DynamoDB_20120810.GetItem", GET_ALLOWED
    ),
    "a target of streams": lambda h: h.json(
        h.limited, "dynamodb", "DynamoDBStreams_20120810.ListStreams", {}
    ),
    "an old target": lambda h: h.json(
        h.limited, "dynamodb", "DynamoDB_20111205.GetItem", GET_ALLOWED
    ),
    "a statement that nobody reads": lambda h: h.json(
        h.poweruser, "dynamodb", "DynamoDB_20120810.ExecuteStatement",
        {"Statement": "SELECT * FROM secret"},
    ),
    "a method of moto's": lambda h: h.json(h.administrator, "ssm", "AmazonSSM._dispatch", {}),
    "a target that is not signed": lambda h: plus(
        h.signed(h.administrator, "dynamodb", headers={"Content-Type": JSON},
                 body=json.dumps(GET_SECRET).encode()),
        ("X-Amz-Target", "DynamoDB_20120810.GetItem"),
    ),
    "a document that is a form": lambda h: h.signed(
        h.limited, "dynamodb", body=json.dumps(GET_SECRET).encode(),
        headers={"Content-Type": FORM, "X-Amz-Target": "DynamoDB_20120810.GetItem"},
    ),
    "a document of an unknown type": lambda h: h.signed(
        h.limited, "dynamodb", body=json.dumps(GET_ALLOWED).encode(),
        headers={"Content-Type": "application/cbor", "X-Amz-Target": "DynamoDB_20120810.GetItem"},
    ),
    "another method": lambda h: h.signed(
        h.limited, "dynamodb", "PUT", body=json.dumps(GET_ALLOWED).encode(),
        headers={"Content-Type": JSON, "X-Amz-Target": "DynamoDB_20120810.GetItem"},
    ),
    "another path": lambda h: h.json(
        h.limited, "dynamodb", "DynamoDB_20120810.GetItem", GET_ALLOWED,
        path="/moto-api/data.json",
    ),
    "a queue by another parameter": lambda h: h.json(
        h.limited, "sqs", "AmazonSQS.SendMessage",
        {"QueueName": "allowed", "QueueUrl": h.aws.endpoint_url + "/123456789012/secret",
         "MessageBody": "x"},
    ),
    "a queue by a form's other parameter": lambda h: h.form(
        h.limited, "sqs", "Action=SendMessage&QueueName=allowed&MessageBody=x&QueueUrl="
        + quote(h.aws.endpoint_url + "/123456789012/secret", safe=""),
    ),
    "a queue behind a fragment": lambda h: h.json(
        h.limited, "sqs", "AmazonSQS.GetQueueAttributes",
        {"QueueUrl": h.aws.endpoint_url + "/123456789012/secret?/allowed"},
    ),
    "a move from another queue": lambda h: h.json(
        h.limited, "sqs", "AmazonSQS.StartMessageMoveTask",
        {"SourceArn": "arn:aws:sqs:eu-west-1:123456789012:secret"},
    ),
}  # fmt: skip

DELETE: Final = "<Delete><Object><Key>{}</Key>{}</Object></Delete>"
MULTIPART: Final = (
    b"--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nsecret/new\r\n"
    b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nx\r\n--b--\r\n"
)  # fmt: skip


def s3(
    who: str, method: str, target: str, body: str | bytes = b"", payload: str | None = None,
    **headers: str,
) -> Trick:  # fmt: skip
    content = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda h: h.signed(
        getattr(h, who), "s3", method, target, named, content, payload=payload
    )


OBJECTS: Final[dict[str, Trick]] = {
    "a bucket that is a path": s3("limited", "GET", "/house%2Fsecret%2Ffile"),
    "a bucket with a path": s3("limited", "GET", "/house%2Fallowed/../secret/file"),
    "no bucket": s3("limited", "GET", "//house/secret/file"),
    "dots": s3("limited", "GET", "/house/allowed/../secret/file"),
    "encoded dots": s3("limited", "GET", "/house/allowed/%2e%2e/secret/file"),
    "an encoded question mark": s3("limited", "GET", "/house%3Facl"),
    "a fragment": s3("limited", "GET", "/house/secret/file#/allowed"),
    "another case": s3("limited", "GET", "/house/allowed/file?ACL"),
    "a part that moto has not": s3("limited", "GET", "/house/allowed/file?retention"),
    "another part that moto has not": s3("limited", "GET", "/house/allowed/file?torrent"),
    "an unknown part": s3("administrator", "DELETE", "/house?analytics&id=x"),
    "two parts": s3("administrator", "GET", "/house?policy&acl"),
    "a part twice": s3("administrator", "GET", "/house?list-type=2&prefix=a&prefix=b"),
    "a listing's version": s3("administrator", "GET", "/house?list-type=3"),
    "an upload without its part": s3("administrator", "PUT", "/house/allowed/new?uploadId=x"),
    "an action": s3("administrator", "GET", "/house/allowed/file?Action=x"),
    "another method": s3("administrator", "PATCH", "/house/allowed/file"),
    "a form that is posted": s3(
        "limited", "POST", "/house", MULTIPART, Content_Type="multipart/form-data; boundary=b"
    ),
    "a form in place of the query": s3(
        "limited", "POST", "/house", "key=allowed/new&acl=public-read", Content_Type=FORM
    ),
    "a target": s3("limited", "GET", "/house/allowed/file", X_Amz_Target="x.GetObject"),
    "a copy of a secret": s3(
        "limited", "PUT", "/house/allowed/new", x_amz_copy_source="/house/secret/file"
    ),
    "a copy with a fragment": s3(
        "limited", "PUT", "/house/allowed/new", x_amz_copy_source="/house/secret/file#/allowed"
    ),
    "a copy with parameters of its path": s3(
        "limited", "PUT", "/house/allowed/new", x_amz_copy_source="/house/secret/file;allowed"
    ),
    "a copy from a host": s3(
        "limited", "PUT", "/house/allowed/new", x_amz_copy_source="//allowed/house/secret/file"
    ),
    "a copy of a scheme": s3(
        "limited", "PUT", "/house/allowed/new", x_amz_copy_source="http:house/secret/file"
    ),
    "a copy of a version and more": s3(
        "limited", "PUT", "/house/allowed/new",
        x_amz_copy_source="/house/allowed/file?versionId=a&versionId=b",
    ),
    "a copy that is not signed": lambda h: plus(
        h.signed(h.administrator, "s3", "PUT", "/house/allowed/new"),
        ("x-amz-copy-source", "/house/secret/file"),
    ),
    "a token that is not signed": lambda h: plus(
        h.signed(h.administrator, "s3", "GET", "/house/secret/file"), ("x-amz-security-token", "x")
    ),
    "an ACL": s3("limited", "PUT", "/house/allowed/new", x_amz_acl="public-read"),
    "a grant": s3("limited", "PUT", "/house/allowed/new", x_amz_grant_read="id=x"),
    "tags": s3("limited", "PUT", "/house/allowed/new", x_amz_tagging="a=b"),
    "a lock": s3("limited", "PUT", "/house/allowed/new", x_amz_object_lock_legal_hold="ON"),
    "a retention": s3("limited", "PUT", "/house/allowed/new", x_amz_object_lock_mode="GOVERNANCE"),
    "attributes": s3(
        "limited", "GET", "/house/allowed/file?attributes", x_amz_object_attributes="ETag"
    ),
    "a version": s3("limited", "GET", "/house/allowed/file?versionId=null"),
    "a list of secrets to delete": s3(
        "limited", "POST", "/house?delete", DELETE.format("secret/file", "")
    ),
    "a key to delete twice": s3(
        "limited", "POST", "/house?delete", DELETE.format("secret/file", "<Key>allowed/x</Key>")
    ),
    "another element to delete": s3(
        "limited", "POST", "/house?delete", "<Delete><x:Object xmlns:x='y'><Key>secret/file</Key>"
        "</x:Object><Other/></Delete>",
    ),
    "entities": s3(
        "limited", "POST", "/house?delete",
        "<!DOCTYPE d [<!ENTITY e 'allowed/x'>]>" + DELETE.format("&e;", ""),
    ),
    "a version to delete": s3(
        "limited", "POST", "/house?delete",
        DELETE.format("allowed/file", "<VersionId>null</VersionId>"),
    ),
    "another body than its hash": s3("limited", "PUT", "/house/allowed/new", "x", "0" * 64),
    "no hash": lambda h: minus(
        h.signed(h.limited, "s3", "GET", "/house/allowed/file"), "x-amz-content-sha256"
    ),
    "an odd hash": s3("limited", "PUT", "/house/allowed/new", "x", "SIGNED-PAYLOAD"),
    "a replication, which moto makes with all rights": s3("limited", "PUT", "/house?replication"),
    "a log, which moto writes with all rights": s3("limited", "PUT", "/house?logging"),
    "moto's own interface": s3("administrator", "GET", "/moto-api/data.json"),
    "moto's own interface, to reset all": s3("administrator", "POST", "/moto-api/reset?uploads"),
    "metadata of an instance": s3("administrator", "GET", "/latest/meta-data/iam/"),
    "access points": s3("administrator", "GET", "/v20180820/accesspoint/x"),
}  # fmt: skip

STACK: Final = quote(json.dumps({"Resources": {}}))
CODE: Final = {"FunctionName": "new", "Runtime": "python3.13", "Handler": "a.b"}


def rest(who: str, method: str, target: str, body: object = None, **headers: str) -> Trick:
    content = b"" if body is None else json.dumps(body).encode()
    return lambda h: h.signed(getattr(h, who), "lambda", method, target, headers, content)


OTHERS: Final[dict[str, Trick]] = {
    "a function behind a slash": rest(
        "limited", "POST", f"{FUNCTIONS}/allowed%2F..%2Fsecret/invocations"
    ),
    "a function behind dots": rest("limited", "POST", f"{FUNCTIONS}/allowed/../secret/invocations"),
    "a function encoded twice": rest(
        "limited", "POST", f"{FUNCTIONS}/allowed%252Fsecret/invocations"
    ),
    "another function": rest("limited", "POST", f"{FUNCTIONS}/secret/invocations"),
    "another function by its ARN": rest(
        "limited", "POST",
        f"{FUNCTIONS}/{quote('arn:aws:lambda:eu-west-1:123456789012:function:secret', safe='')}"
        "/invocations",
    ),
    "another function by its account": rest(
        "limited", "POST", f"{FUNCTIONS}/123456789012%3Afunction%3Asecret/invocations"
    ),
    "a function in the query": rest(
        "limited", "POST", f"{FUNCTIONS}/allowed/invocations?FunctionName=secret"
    ),
    "an action for a function": rest("limited", "POST", f"{FUNCTIONS}?Action=DeleteFunction"),
    "a function with another's role": rest(
        "limited", "POST", FUNCTIONS,
        {**CODE, "Role": "arn:aws:iam::123456789012:role/secret", "Code": {"ZipFile": ""}},
    ),
    "a function of somebody's code": rest(
        "limited", "POST", FUNCTIONS,
        {**CODE, "Code": {"S3Bucket": "house", "S3Key": "secret/file"}},
    ),
    "a stack, which moto makes with all rights": lambda h: h.form(
        h.limited, "cloudformation",
        f"Action=CreateStack&StackName=x&Version=2010-05-15&TemplateBody={STACK}",
    ),
    "a stack of a power user": lambda h: h.form(
        h.poweruser, "cloudformation",
        f"Action=CreateStack&StackName=x&Version=2010-05-15&TemplateBody={STACK}",
    ),
    "a stack's answer": lambda h: h.form(
        h.administrator, "cloudformation", "Action=ProcessCfnResponse&Status=SUCCESS"
    ),
    "a service of another case": lambda h: h.signed(h.administrator, "IAM", body=KEY.encode()),
    "moto's own": lambda h: h.signed(h.administrator, "moto_api", "GET", "/moto-api/data.json"),
}  # fmt: skip


TRICKS: Final = {
    f"{kind}: {name}": trick
    for kind, tricks in (
        ("form", FORMS), ("document", DOCUMENTS), ("object", OBJECTS), ("other", OTHERS)
    )
    for name, trick in tricks.items()
}  # fmt: skip

HONEST: Final[dict[str, Trick]] = {
    "a form": lambda h: h.form(h.nobody, "sts", WHO),
    "a query": lambda h: h.signed(h.nobody, "sts", "GET", f"/?{WHO}"),
    "a presigned query": lambda h: h.presigned(h.nobody, "sts", "GET", f"/?{WHO}"),
    "a document": lambda h: h.json(h.limited, "dynamodb", "DynamoDB_20120810.GetItem", GET_ALLOWED),
    "a table by its ARN": lambda h: h.json(
        h.limited, "dynamodb", "DynamoDB_20120810.GetItem",
        {**GET_ALLOWED, "TableName": f"{TABLE_ARN}/allowed"},
    ),
    "a parameter": lambda h: h.json(
        h.limited, "ssm", "AmazonSSM.GetParameter", {"Name": "/allowed"}
    ),
    "a parameter's version": lambda h: h.json(
        h.limited, "ssm", "AmazonSSM.GetParameter", {"Name": "/allowed:1"}
    ),
    "a queue": lambda h: h.json(
        h.limited, "sqs", "AmazonSQS.SendMessage",
        {"QueueUrl": h.aws.endpoint_url + "/123456789012/allowed", "MessageBody": "x"},
    ),
    "a queue by a form": lambda h: h.form(
        h.limited, "sqs", "Action=SendMessage&MessageBody=x&QueueUrl="
        + quote(h.aws.endpoint_url + "/123456789012/allowed", safe=""),
    ),
    "a function": rest("limited", "POST", f"{FUNCTIONS}/allowed/invocations", {}),
    "an object": s3("limited", "GET", "/house/allowed/file"),
    "a presigned object": lambda h: h.presigned(h.limited, "s3", "GET", "/house/allowed/file"),
    "an object that is said to be a form": s3(
        "limited", "PUT", "/house/allowed/form", "key=secret/new&acl=x", Content_Type=FORM
    ),
    "an object that is said to have parts": s3(
        "limited", "PUT", "/house/allowed/form", MULTIPART,
        Content_Type="multipart/form-data; boundary=b",
    ),
    "a copy": s3("limited", "PUT", "/house/allowed/copy", x_amz_copy_source="/house/allowed/file"),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def untouched(house: House) -> Iterator[None]:
    """None of the tricks has changed anything."""
    before = house.guarded()
    yield
    assert house.guarded() == before


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
def test_request_that_could_be_another_is_refused(house: House, trick: Trick) -> None:
    answer = house.send(trick(house))

    assert 400 <= answer.status < 500 or answer.status == 501, answer.body
    assert SECRET not in answer.body
    assert b"SecretAccessKey" not in answer.body


@pytest.mark.parametrize("request_of", HONEST.values(), ids=HONEST)
def test_same_request_without_a_trick_is_answered(house: House, request_of: Trick) -> None:
    answer = house.send(request_of(house))

    assert answer.status == 200, answer.body


@pytest.mark.parametrize(
    "odd",
    [
        "&Action=DeleteParameter&Name=/secret&",
        "&Action=GetParameters&Names.1=/secret&",
        "&Name=/secret&",
    ],
)
def test_form_within_a_document_is_not_obeyed(house: House, odd: str) -> None:
    document = {"Name": "/allowed", "WithDecryption": odd}
    answer = house.send(house.json(house.limited, "ssm", "AmazonSSM.GetParameter", document))

    assert json.loads(answer.body)["Parameter"]["Name"] == "/allowed"


def test_form_stored_as_an_object_is_stored_as_it_is(house: House) -> None:
    s3_client = house.aws.client("s3")
    for kind in (FORM, "multipart/form-data; boundary=b"):
        s3_client.put_object(Bucket="house", Key="allowed/form", Body=MULTIPART, ContentType=kind)
        stored = s3_client.get_object(Bucket="house", Key="allowed/form")

        assert (stored["Body"].read(), stored["ContentType"]) == (MULTIPART, kind)


def test_services_that_are_not_served_are_refused_even_to_the_administrator(house: House) -> None:
    served = set(operations.SERVED) | {"awslambda", "cloudwatch"}
    others = [*sorted(set(list_of_moto_modules()) - served), "execute-api", "s3control", "email"]
    answers = {
        service: house.send(house.signed(house.administrator, service, "GET", "/")).status
        for service in others
    }

    assert len(answers) > 100
    # those with an underscore are no names of services at all
    assert set(answers.values()) <= {403, 404}


def test_upload_cannot_be_written_to_by_another_key(house: House) -> None:
    s3_client = house.aws.client("s3")
    upload = s3_client.create_multipart_upload(Bucket="house", Key="secret/upload")["UploadId"]
    target = f"/house/allowed/new?uploadId={upload}"
    done = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>"
        "</CompleteMultipartUpload>"
    )
    tricks = [
        s3("limited", "PUT", f"{target}&partNumber=1", "evil"),
        s3("limited", "POST", target, done),
        s3("administrator", "GET", target),
        s3("administrator", "DELETE", target),
    ]

    assert [house.send(trick(house)).status for trick in tricks] == [404] * 4
    parts = s3_client.list_parts(Bucket="house", Key="secret/upload", UploadId=upload)
    assert "Parts" not in parts
    s3_client.abort_multipart_upload(Bucket="house", Key="secret/upload", UploadId=upload)


def test_metadata_with_an_underscore_is_signed_and_kept(house: House) -> None:
    s3_client = house.aws.client("s3")
    s3_client.put_object(Bucket="house", Key="allowed/meta", Metadata={"a_b": "1"})

    assert s3_client.head_object(Bucket="house", Key="allowed/meta")["Metadata"] == {"a_b": "1"}


def test_deletion_of_many_deletes_the_judged_keys(house: House) -> None:
    s3_client = house.aws.client("s3")
    keys = [f"many/{odd}" for odd in (" ", "a ", "&lt;", "]]>", "\n", "é", "a\tb")]
    for key in keys:
        s3_client.put_object(Bucket="house", Key=key)
    deleted = s3_client.delete_objects(
        Bucket="house", Delete={"Objects": [{"Key": key} for key in keys]}
    )

    assert sorted(one["Key"] for one in deleted["Deleted"]) == sorted(keys)
    assert s3_client.list_objects_v2(Bucket="house", Prefix="many/")["KeyCount"] == 0
