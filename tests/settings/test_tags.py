"""[system]: tags, retention of outputs, warm throughput and the key, refused before a deploy."""

from __future__ import annotations

import tomllib

import pytest

from remotejob import SettingsError
from remotejob.settings import Settings, parse
from remotejob.settings.document import as_toml

QUEUE = '\n[queues.default]\ntasks = ["work"]\n'
KEY = "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"


def parsed(system: str) -> Settings:
    return parse(tomllib.loads(f"[system]\n{system}{QUEUE}"))


def test_tags_are_read_and_written() -> None:
    settings = parsed('tags = { cost-centre = "4711", "Owner: team" = "scans @ example.com" }')

    assert dict(settings.system.tags) == {
        "cost-centre": "4711",
        "Owner: team": "scans @ example.com",
    }
    assert parse(tomllib.loads(as_toml(settings))) == settings


def test_what_a_queue_or_system_says_nothing_of_is_as_it_was() -> None:
    system = parsed("").system

    assert (dict(system.tags), system.output_retention_days, system.encryption_key) == (
        {},
        None,
        None,
    )


MANY = ", ".join(f't{n} = "x"' for n in range(41))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('tags = { "aws:team" = "x" }', "tag 'aws:team': names that begin with aws: are AWS's"),
        ('tags = { "AWS:team" = "x" }', "names that begin with aws: are AWS's"),
        ('tags = { "" = "x" }', "tag '': use 1 to 128 letters"),
        ('tags = { "a&b" = "x" }', "tag 'a&b': use 1 to 128 letters"),
        ('tags = { team = "R&D" }', "team = 'R&D': use at most 256 letters"),
        (f'tags = {{ team = "{"x" * 257}" }}', "use at most 256 letters"),
        (f'tags = {{ {"x" * 129} = "x" }}', "use 1 to 128 letters"),
        ("tags = { team = 4711 }", "it must be a string; put it in quotes"),
        ('tags = { team = "x", Team = "y" }', "it is the same as 'team'"),
        ('tags = { Name = "x" }', "it is the library's own"),
        ('tags = { remotejob = "x" }', "it is the library's own"),
        (f"tags = {{ {MANY} }}", "has 41 tags: give at most 40"),
        ('tags = "x"', "it must be a table"),
        ("output_retention_days = 14", "it must be between 15 and 3650"),
        ("warm_write_units = 3999", "it must be between 4000 and 1000000"),
        ("warm_read_units = 11999", "it must be between 12000 and 1000000"),
        ("warm_write_units = 5000\nmax_write_units = 4000", "at most max_write_units, 4000"),
        ('encryption_key = "alias/ours"', "give the ARN of the KMS key"),
        ('encryption_key = ""', "give the ARN of the KMS key"),
        ('base_registry = "https://mirror.example"', "without https://"),
        ('base_registry = "mirror.example/"', "without a slash at the end"),
        ('base_registry = ""', "give its host and the path"),
        ('base_registry = "Mirror/python:3"', "such as 'public.ecr.aws/docker/library'"),
    ],
)
def test_what_aws_would_refuse_is_refused_with_place_value_and_remedy(line: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parsed(line)

    message = str(refused.value)
    assert message.startswith("[system")
    assert "\n" not in message
    assert said in message
