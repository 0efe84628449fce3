"""Which system a command means."""

from __future__ import annotations

from pathlib import Path

import pytest

from remotejob.cli.choosing import On, choose, unwanted, use
from remotejob.cli.project import project_folder
from remotejob.domain.errors import SettingsError, SystemNotFound
from remotejob.local.announcement import LocalSystem

ENDPOINT = "http://127.0.0.1:4566"
EXPORTED = {
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_ACCESS_KEY_ID": "LOCAL",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "REMOTEJOB_NAME": "scans",
}
LOCAL = LocalSystem(
    pid=7, system="scans", environment=EXPORTED, input_bucket="in", output_bucket="out"
)
PLAIN = {"HOME": "/home/somebody", "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "x"}


@pytest.mark.parametrize("environ", [PLAIN, EXPORTED, {**PLAIN, "AWS_PROFILE": ""}])
@pytest.mark.parametrize("on", [None, On.LOCAL])
@pytest.mark.parametrize("name", [None, "scans"])
def test_the_local_system_is_meant_where_it_runs(
    on: On | None, name: str | None, environ: dict[str, str]
) -> None:
    assert choose(on, name, environ, LOCAL) is LOCAL


@pytest.mark.parametrize("on", [None, On.AWS])
def test_without_a_local_system_one_in_aws_is_meant(on: On | None) -> None:
    assert choose(on, "scans", {"AWS_PROFILE": "work"}, None) is None


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"AWS_PROFILE": "work"}, "AWS_PROFILE='work'"),
        ({"AWS_DEFAULT_PROFILE": "work"}, "AWS_DEFAULT_PROFILE='work'"),
        ({"AWS_ACCESS_KEY_ID": "AKIA"}, "AWS_ACCESS_KEY_ID asks"),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}, "AWS_WEB_IDENTITY_TOKEN_FILE='/t'"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "u"}, "AWS_CONTAINER_CREDENTIALS_FULL_URI='u'"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "AWS_ENDPOINT_URL='http://127.0.0.1:1'"),
        ({"AWS_ENDPOINT_URL_S3": "http://s3"}, "AWS_ENDPOINT_URL_S3 asks"),
    ],
)
def test_an_environment_that_asks_for_another_is_not_overruled(
    asked: dict[str, str], named: str
) -> None:
    environ = {**PLAIN, **asked}

    with pytest.raises(SettingsError) as refused:
        choose(None, None, environ, LOCAL)

    line = str(refused.value)
    assert "two systems could be meant: 'scans', which runs on this machine (process 7)" in line
    assert named in line
    assert "--on local" in line
    assert "--on aws" in line
    assert "\n" not in line
    assert choose(On.LOCAL, None, environ, LOCAL) is LOCAL
    assert choose(On.AWS, None, environ, LOCAL) is None


def test_another_name_asks_for_another_system() -> None:
    with pytest.raises(SettingsError, match="and system 'letters' in AWS"):
        choose(None, "letters", PLAIN, LOCAL)
    assert choose(On.AWS, "letters", PLAIN, LOCAL) is None
    with pytest.raises(SystemNotFound, match="no system 'letters' runs on this machine: the local"):
        choose(On.LOCAL, "letters", PLAIN, LOCAL)


def test_on_local_needs_a_local_system() -> None:
    with pytest.raises(SystemNotFound, match="no local system runs here; start it") as refused:
        choose(On.LOCAL, None, PLAIN, None)
    assert "local`" in str(refused.value)


def test_on_aws_is_refused_with_the_local_systems_own_variables() -> None:
    with pytest.raises(SettingsError, match="unset AWS_ENDPOINT_URL and the keys"):
        choose(On.AWS, None, EXPORTED, LOCAL)


def test_the_environment_is_made_the_local_systems() -> None:
    environ = {
        **PLAIN,
        "AWS_PROFILE": "work",
        "AWS_SESSION_TOKEN": "t",
        "AWS_ENDPOINT_URL_S3": "http://s3",
        "REMOTEJOB_SYSTEM": "{}",
        "no_proxy": "",
    }
    use(LOCAL, environ)

    assert environ == {"HOME": "/home/somebody", **EXPORTED}


def test_an_environment_that_leads_there_keeps_its_keys() -> None:
    role = {**EXPORTED, "AWS_ACCESS_KEY_ID": "ROLE", "AWS_SESSION_TOKEN": "t"}
    environ = dict(role)
    use(LOCAL, environ)
    assert environ == role

    only_endpoint = {"AWS_ENDPOINT_URL": ENDPOINT, "AWS_PROFILE": "work"}
    assert choose(None, None, only_endpoint, LOCAL) is LOCAL
    use(LOCAL, only_endpoint)
    assert only_endpoint == EXPORTED
    assert unwanted(LOCAL, environ) == ["AWS_SESSION_TOKEN"]


def test_the_project_is_the_nearest_folder_with_settings(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    (tmp_path / "remotejob.toml").touch()
    (tmp_path / "a" / "b" / "remotejob.toml").touch()
    (inner / "remotejob.toml").mkdir()

    assert project_folder(inner) == tmp_path / "a" / "b"
    assert project_folder(tmp_path / "a") == tmp_path
