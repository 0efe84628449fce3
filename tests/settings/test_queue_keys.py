"""Keys for what a task needs: variables, secrets, permissions, and the machine it runs on."""

from __future__ import annotations

import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remotejob import SettingsError
from remotejob.settings import Architecture, QueueSettings, Secret, parse
from remotejob.settings.machines import EcrRepository, ecr_repository

QUEUE = '[system]\nstage = "development"\n[queues.default]\ntasks = ["work"]\n'
DIGEST = "sha256:" + "a" * 64


def queue(text: str) -> QueueSettings:
    return parse(tomllib.loads(QUEUE + text)).queues["default"]


def refusal(text: str) -> str:
    with pytest.raises(SettingsError) as refused:
        queue(text)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_a_queue_that_says_nothing_has_nothing_of_it() -> None:
    plain = queue("")

    assert (dict(plain.environment), dict(plain.secrets), plain.permissions) == ({}, {}, ())
    assert (plain.ephemeral_storage_gib, plain.dockerfile, plain.image) == (None, None, None)
    assert plain.architecture is Architecture.X86_64


def test_what_a_real_task_needs_is_read() -> None:
    found = queue(
        """
        ephemeral_storage_gib = 100
        architecture = "arm64"
        dockerfile = "images/ocr.Dockerfile"
        environment = { OCR_LANGUAGE = "deu+eng", TZ = "Europe/Berlin", MAX_TOKENS = "100" }
        [[queues.default.permissions]]
        actions = ["s3:GetObject"]
        resources = ["arn:aws:s3:::models/ocr.bin"]
        [[queues.default.permissions]]
        actions = ["sqs:SendMessage"]
        resources = ["arn:aws:sqs:${AWS::Region}:${AWS::AccountId}:orders"]
        conditions.StringEquals."aws:SourceVpc" = ["vpc-1", "vpc-2"]
        [queues.default.secrets]
        OCR_KEY = { parameter = "/scans/ocr-key" }
        DB_PASSWORD = { secret = "scans/db", key = "password" }
        """
    )

    assert found.environment["OCR_LANGUAGE"] == "deu+eng"
    assert dict(found.secrets) == {
        "OCR_KEY": Secret(parameter="/scans/ocr-key"),
        "DB_PASSWORD": Secret(secret="scans/db", key="password"),
    }
    assert found.permissions[0].resources == ("arn:aws:s3:::models/ocr.bin",)
    assert found.permissions[1].conditions == {
        "StringEquals": {"aws:SourceVpc": ("vpc-1", "vpc-2")}
    }
    assert (found.ephemeral_storage_gib, found.dockerfile) == (100, "images/ocr.Dockerfile")
    assert found.architecture is Architecture.ARM64


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('environment = "a"', "environment = 'a': it must be a table"),
        ("environment = { SIZE = 4 }", "[queues.default.environment]: SIZE = 4: it must be a str"),
        ('environment = { "a b" = "1" }', "variable 'a b': use letters, digits and underscores"),
        ('environment = { "1A" = "1" }', "variable '1A': use letters"),
        ('environment = { REMOTEJOB_QUEUE = "x" }', "'REMOTEJOB_QUEUE': the library sets such"),
        ('environment = { AWS_REGION = "x" }', "'AWS_REGION': ECS and the library set such"),
        ('environment = { ECS_AGENT_URI = "x" }', "'ECS_AGENT_URI': ECS sets such"),
        ('environment = { PATH = "x" }', "'PATH': the image sets it: use ENV in the Dockerfile"),
        ('environment = { TMPDIR = "x" }', "'TMPDIR': the image sets it"),
        ('environment = { PYTHONPATH = "x" }', "'PYTHONPATH': the image sets it"),
        ('environment = { LD_PRELOAD = "x" }', "'LD_PRELOAD': the image sets it"),
        ('environment = { A = "a\\u0000b" }', "A has a control character; write it as text"),
        ('environment = { A = "{{resolve:ssm:/a}}" }', "A has a reference that the deployment"),
        pytest.param(
            f'environment = {{ A = "{"x" * 40_000}" }}',
            "has 40,001 bytes, and a task definition",
            id="a long value",
        ),
        ('secrets = { A = { parameter = "/a" } }\nenvironment = { A = "1" }', "A is in `envir"),
        ('secrets = { AWS_KEY = { parameter = "/a" } }', "'AWS_KEY': ECS and the library"),
        ("secrets = { A = {} }", "[queues.default.secrets] A: name one parameter or one secret"),
        ('secrets = { A = { parameter = "/a", secret = "b" } }', "A: name one parameter or one"),
        ('secrets = { A = { paramter = "/a" } }', "unknown key 'paramter'; did you mean param"),
        ("secrets = { A = { parameter = 1 } }", "A: parameter = 1: it must be a string"),
        ('secrets = { A = { parameter = "a/b" } }', "parameter = 'a/b': give the parameter's name"),
        ('secrets = { A = { parameter = "/aws/x" } }', "no parameter of yours can begin so"),
        ('secrets = { A = { parameter = "/a", key = "b" } }', "key = 'b': only a secret has keys"),
        ('secrets = { A = { secret = "a b" } }', "A: secret: give its name: letters"),
        ('secrets = { A = { secret = "prod-secret" } }', "give the secret's whole ARN"),
        ('secrets = { A = { secret = "arn:aws:x" } }', "give its name, or its whole ARN"),
        ('secrets = { A = { secret = "a", key = "b:c" } }', "key = 'b:c': name a key of the JSON"),
        (
            'secrets = { A = { parameter = "/a", encryption_key = "alias/mine" } }',
            "encryption_key = 'alias/mine': give the ARN of the KMS key",
        ),
        (
            f"secrets = {{ {', '.join(f'A{n} = {{}}' for n in range(41))} }}",
            "[queues.default.secrets] names 41: at most 40",
        ),
        ("ephemeral_storage_gib = 20", "ephemeral_storage_gib = 20: it must be between 21 and 200"),
        ("ephemeral_storage_gib = 201", "it must be between 21 and 200"),
        ('architecture = "arm"', "architecture = 'arm': use one of x86_64, arm64"),
        ('dockerfile = "/etc/x"', "dockerfile = '/etc/x': give its path from the project's folder"),
        ('dockerfile = "../x"', "dockerfile = '../x': give its path"),
        ('image = "a:1"\ndockerfile = "b"', "image = 'a:1': leave it out, or leave out dockerfile"),
        ('image = "Us er/x"', "image = 'Us er/x': give it as REGISTRY/NAME:TAG"),
        (
            'image = "ghcr.io/me/ocr"',
            "image = 'ghcr.io/me/ocr': add its tag or, better, its digest",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place_and_a_remedy(line: str, told: str) -> None:
    message = refusal(line)
    assert told in message
    assert message.startswith("[queues.default")


@pytest.mark.parametrize(
    "value",
    [
        "postgres://me:hunter2@db.example.com/scans",
        "AKIAABCDEFGHIJKLMNOP",
        "-----BEGIN RSA PRIVATE KEY-----\\nhunter2",
        "ghp_abcdefghijabcdefghijabcdefghijhunter2",
    ],
)
def test_a_value_that_looks_like_a_secret_is_refused_and_not_shown(value: str) -> None:
    message = refusal(f'environment = {{ A = "{value}" }}')

    assert "A holds a" in message
    assert "`secrets`" in message
    assert value not in message
    assert "hunter2" not in message


@pytest.mark.parametrize("name", ["DB_PASSWORD", "OcrApiKey_TOKEN", "SECRET", "OPENAI_API_KEY"])
def test_a_name_that_sounds_like_a_secret_is_sent_to_secrets(name: str) -> None:
    message = refusal(f'environment = {{ {name} = "hunter2" }}')

    assert f"{name} holds a secret, by its name" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("name", ["MAX_TOKENS", "TOKENIZERS_PARALLELISM", "SECRET_NAME", "KEY"])
def test_a_name_that_only_contains_such_a_word_is_free(name: str) -> None:
    assert queue(f'environment = {{ {name} = "1" }}').environment == {name: "1"}


@pytest.mark.parametrize("value", ["4711", '["hunter2"]', '{ b = "hunter2" }'])
@pytest.mark.parametrize("name", ["DB_PASSWORD", "A"])
def test_a_value_of_another_type_that_may_be_a_secret_is_not_shown(name: str, value: str) -> None:
    message = refusal(f"environment = {{ {name} = {value} }}")

    assert name in message
    assert "hunter2" not in message
    assert ("4711" in message) == ((name, value) == ("A", "4711"))


@pytest.mark.parametrize(
    "where",
    [
        '{ secret = "hunter2 and more" }',
        '{ parameter = "hunter2!" }',
        '{ secret = "ghp_abcdefghijabcdefghijabcdefghijhunter2" }',
        '{ parameter = "ghp_abcdefghijabcdefghijabcdefghijhunter2" }',
        '{ secret = "postgres://me:hunter2@db.example.com/scans" }',
        '{ secret = "scans/db", key = "sk-hunter2hunter2hunter2hunter2" }',
    ],
)
def test_a_secret_in_place_of_its_name_is_refused_and_not_shown(where: str) -> None:
    message = refusal(f"secrets = {{ A = {where} }}")

    assert message.startswith("[queues.default.secrets] A: ")
    assert "hunter2" not in message


@pytest.mark.parametrize("key", ["tasks_module", "hooks_module"])
@pytest.mark.parametrize("value", ["my tasks", "tasks/ocr", "tasks.py", ".tasks", "tasks.", "a..b"])
def test_a_module_is_named_as_import_does(key: str, value: str) -> None:
    assert f"{key} = {value!r}: name a module as `import` does" in refusal(f'{key} = "{value}"')


def test_an_empty_tasks_module_is_refused() -> None:
    assert "tasks_module = '': name a module" in refusal('tasks_module = ""')


def test_one_dockerfile_has_one_path() -> None:
    message = refusal('dockerfile = "./worker_container/Dockerfile"')
    assert "dockerfile = './worker_container/Dockerfile': give its path" in message


def test_a_secret_whose_value_stands_in_the_file_is_refused_and_not_shown() -> None:
    message = refusal('secrets = { DB_PASSWORD = "hunter2" }')

    assert "DB_PASSWORD: say where the value is" in message
    assert "hunter2" not in message


def test_a_secret_may_be_named_by_its_whole_arn() -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod-secret-AbCdEf"
    found = queue(f'secrets = {{ A = {{ secret = "{arn}" }} }}').secrets["A"]

    assert found.secret_is_arn
    assert found.secret == arn


ALLOWED = 'actions = ["s3:GetObject"], resources = ["arn:aws:s3:::models/a"]'
BECAUSE = 'because = "the models have versions"'


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("", "actions is missing; add it"),
        (f'{ALLOWED}, effect = "Deny"', "unknown key 'effect' (known: actions, because, cond"),
        ('actions = [], resources = ["*"]', "actions = []: name at least one, and each once"),
        ('actions = ["*"], resources = ["*"]', "actions = '*': name actions of one service"),
        ('actions = ["s3"], resources = ["arn:aws:s3:::a"]', "'s3': name actions of one service"),
        ('actions = ["s3:GetObject"], resources = ["models"]', "resources = 'models': give an ARN"),
        (
            'actions = ["sqs:SendMessage"], resources = ["arn:aws:sqs:${AWS::Rgn}:123456789012:a"]',
            "resources = 'arn:aws:sqs:${AWS::Rgn}",
        ),
        (
            'actions = ["s3:GetObject"], resources = ["arn:aws:s3:::${AWS::StackName}/a"]',
            "the references are ${AWS::AccountId}, ${AWS::Partition}, ${AWS::Region}",
        ),
        (
            'actions = ["s3:GetObject"], resources = ["arn:aws:s3:::models/*"]',
            "resources = 'arn:aws:s3:::models/*': it has a wildcard: name what the task needs, or",
        ),
        (
            'actions = ["textract:Detect*"], resources = ["*"]',
            "actions = 'textract:Detect*': it has a wildcard",
        ),
        (
            f'actions = ["s3:GetObject"], resources = ["*"], {BECAUSE}',
            "with s3:GetObject it matches the system's own",
        ),
        (
            f'actions = ["sqs:*"], resources = ["arn:aws:sqs:*:*:*-default"], {BECAUSE}',
            "resources = 'arn:aws:sqs:*:*:*-default': with sqs:* it matches the system's own",
        ),
        (
            f'actions = ["dynamodb:Scan"], resources = ["arn:aws:dynamodb:::table/?"], {BECAUSE}',
            "it matches the system's own",
        ),
        (
            'actions = ["iam:CreateRole"], resources = ["arn:aws:iam::123456789012:role/a"]',
            "actions = 'iam:CreateRole': tasks give no rights",
        ),
        (
            f'actions = ["sts:AssumeRole"], resources = ["arn:aws:iam::*:role/a"], {BECAUSE}',
            "with sts:AssumeRole, name each role in full",
        ),
        (f'actions = ["sts:AssumeRole"], resources = ["*"], {BECAUSE}', "name each role in full"),
        (f"{ALLOWED}, conditions = {{ Equals = {{}} }}", "conditions: Equals = {}: write an oper"),
        (f"{ALLOWED}, conditions = {{ Bool = 1 }}", "conditions: Bool = 1: write an operator"),
        (
            f'{ALLOWED}, conditions = {{ Bool = {{ "aws:SecureTransport" = true }} }}',
            "aws:SecureTransport = True: it must be a string",
        ),
        (f'{ALLOWED}, conditions = {{ Bool = {{ a = "1" }} }}', "a = '1': name a condition key"),
        (f'{ALLOWED}, because = "so"', "because = 'so': say it on one line, in 10 to 300"),
    ],
)
def test_a_permission_that_nobody_should_have_is_refused(statement: str, told: str) -> None:
    message = refusal(f"permissions = [ {{ {ALLOWED} }}, {{ {statement} }} ]")

    assert message.startswith("[[queues.default.permissions]] number 2")
    assert told in message


def test_permissions_must_fit_the_role() -> None:
    many = ", ".join(
        f'{{ actions = ["s3:GetObject"], resources = ["arn:aws:s3:::{"b" * 60}{n}"] }}'
        for n in range(50)
    )
    assert "the role has room for 4,096" in refusal(f"permissions = [ {many} ]")


@pytest.mark.parametrize(
    "statement",
    [
        f'actions = ["s3:Get*"], resources = ["arn:aws:s3:::models/*"], {BECAUSE}',
        f'actions = ["textract:DetectDocumentText"], resources = ["*"], {BECAUSE}',
        'actions = ["sts:AssumeRole"], resources = ["arn:aws:iam::123456789012:role/reader"]',
        'actions = ["iam:PassRole"], resources = ["arn:${AWS::Partition}:iam::111122223333:a"]',
        f'{ALLOWED}, conditions = {{ "ForAllValues:StringLike" = {{ "s3:prefix" = "a" }} }}',
        f"{ALLOWED}, conditions = {{ Null = {{ 's3:prefix' = 'true' }} }}",
    ],
)
def test_what_a_task_may_need_is_allowed(statement: str) -> None:
    (found,) = queue(f"permissions = [ {{ {statement} }} ]").permissions
    assert found.actions


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("python:3.13", None),
        (f"public.ecr.aws/team/ocr@{DIGEST}", None),
        (f"localhost:5000/ocr:1@{DIGEST}", None),
        (
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/ocr:1.2",
            EcrRepository(account="123456789012", region="eu-west-1", name="team/ocr"),
        ),
        (
            f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/ocr@{DIGEST}",
            EcrRepository(account="123456789012", region="eu-west-1", name="ocr"),
        ),
    ],
)
def test_an_image_is_named_by_tag_or_digest(image: str, repository: EcrRepository | None) -> None:
    # in private subnets, only what is in ECR can be pulled
    text = f"{QUEUE}image = '{image}'\n[network]\nsubnets = 'public'"
    assert parse(tomllib.loads(text)).queues["default"].image == image
    assert ecr_repository(image) == repository


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_variable_is_kept_as_it_is_or_refused_on_one_line(name: str, value: str) -> None:
    document = {"queues": {"default": {"tasks": ["work"], "environment": {name: value}}}}
    try:
        kept = parse(document).queues["default"].environment
    except SettingsError as problem:
        refused = str(problem)
    else:
        refused = ""
        assert kept == {name: value}
        assert re.fullmatch(r"(?!REMOTEJOB_|AWS_|ECS_|PYTHON|LD_)[A-Za-z_][A-Za-z0-9_]*", name)
        assert "\0" not in value
    assert "\n" not in refused
