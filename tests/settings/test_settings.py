"""remotejob.toml: what is accepted, and that the rest is refused with its place and a remedy."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from remotejob import SettingsError
from remotejob.domain.priority import Order
from remotejob.settings import QueueSettings, Settings, Stage, load, parse

QUEUE = '[queues.default]\ntasks = ["work"]\n'


def parsed(text: str) -> Settings:
    return parse(tomllib.loads(text))


def test_the_projects_own_file_is_valid() -> None:
    settings = load("remotejob.toml")

    assert settings.system.name == "default"
    assert settings.queues["default"].tasks == ("thumbnail",)
    route = settings.route_for("photos/2026/cat.JPG")
    assert route is not None
    assert (route.task, dict(route.data)) == ("thumbnail", {"size": 400})


def test_what_is_left_out_has_its_default() -> None:
    settings = parsed(QUEUE)

    assert settings.queues["default"] == QueueSettings(tasks=("work",))
    assert settings.system.stage is Stage.PRODUCTION
    assert settings.routes == ()


@pytest.mark.parametrize("order", Order)
def test_a_queue_says_its_order(order: Order) -> None:
    assert parsed(QUEUE + f'order = "{order}"\n').queues["default"].order is order


def test_by_default_a_queue_goes_by_weight_and_limits_no_tenant() -> None:
    queue = parsed(QUEUE).queues["default"]
    assert (queue.order, queue.tenant_limit) == (Order.WEIGHTED, None)
    for limit in (1, 50):
        assert parsed(QUEUE + f"tenant_limit = {limit}\n").queues["default"].tenant_limit == limit


def test_memory_left_out_is_the_least_that_goes_with_the_cpu() -> None:
    settings = parsed(QUEUE + "cpu = 4096\n")

    assert settings.queues["default"].memory_mib == 8192


@pytest.mark.parametrize(
    ("key", "matches"),
    [
        ("scans/a.pdf", True),
        ("scans/deep/er/a.PDF", True),
        ("scans/a.txt", False),
        ("a.pdf", False),
        ("scans/", False),
        ("jobs/scans/a.pdf", False),
    ],
)
def test_a_route_takes_what_begins_and_ends_as_it_says(key: str, *, matches: bool) -> None:
    route = '[[routes]]\nprefix = "scans/"\nsuffixes = [".pdf"]\ntask = "work"\n'

    assert (parsed(QUEUE + route).route_for(key) is not None) is matches


def test_the_first_route_that_matches_counts() -> None:
    routes = "".join(
        f'[[routes]]\nprefix = "{prefix}"\ntask = "work"\npriority = "{priority}"\n'
        for prefix, priority in (("a/b/", "high"), ("a/", "low"), ("", "medium"))
    )
    settings = parsed(QUEUE + routes)

    def priority(key: str) -> int | None:
        route = settings.route_for(key)
        return None if route is None else route.priority

    assert [priority(key) for key in ("a/b/c", "a/c", "c")] == [-10, 10, -5]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there is no queue; add a table"),
        ("[queues.default]\n", "[queues.default]: tasks is missing; add it"),
        ("[queues.default]\ntasks = []\n", "name each task the queue's workers run, once"),
        ('[queues.default]\ntasks = ["a", "a"]\n', "name each task"),
        ('[queues.default]\ntasks = ["a b"]\n', "tasks = 'a b': use letters"),
        ('[queues.default]\ntasks = "a"\n', "tasks = 'a': it must be a list"),
        ("[queues.default]\ntasks = [1]\n", "it must be a list of strings"),
        ('[queues.Default]\ntasks = ["a"]\n', "queue name 'Default': use lower-case"),
        (QUEUE + "concurency = 2\n", "unknown key 'concurency'; did you mean concurrency?"),
        ('[queues.default]\ntask = ["a"]\n', "unknown key 'task'; did you mean tasks?"),
        ('[queue.default]\ntasks = ["a"]\n', "unknown key 'queue'; did you mean queues?"),
        (QUEUE + '[[routes]]\ntasks = "work"\n', "unknown key 'tasks'; did you mean task?"),
        (
            QUEUE + "max_workers = 3\nmin_workers = 4\n",
            "min_workers = 4: it must not be more than max_workers, 3",
        ),
        (QUEUE + "min_workers = -1\n", "min_workers = -1: it must be between 0 and 1000"),
        (QUEUE + "idle_minutes = 0\n", "idle_minutes = 0: it must be between 1 and 1440"),
        (QUEUE + "concurrency = 0\n", "concurrency = 0: it must be between 1 and 1000"),
        (QUEUE + "processes = -1\n", "processes = -1: it must be between 0 and 100"),
        (QUEUE + "concurrency = true\n", "concurrency = True: it must be a whole number"),
        (QUEUE + 'concurrency = "4"\n', "concurrency = '4': it must be a whole number"),
        (QUEUE + "cpu = 1000\n", "cpu = 1000: Fargate offers 256, 512, 1024"),
        (QUEUE + "cpu = 256\nmemory_mib = 4096\n", "with cpu = 256 Fargate offers 512, 1024, 2048"),
        (QUEUE + 'order = "lifo"\n', "order = 'lifo': use one of weighted, fifo, random"),
        (QUEUE + "order = 1\n", "order = 1: it must be a string"),
        (QUEUE + "tenant_limit = 0\n", "tenant_limit = 0: it must be between 1 and 50"),
        (QUEUE + "tenant_limit = 51\n", "tenant_limit = 51: it must be between 1 and 50"),
        (QUEUE + 'tenant_limit = "4"\n', "tenant_limit = '4': it must be a whole number"),
        (QUEUE + "[system]\nlease_seconds = 1\n", "lease_seconds = 1: it must be between 3"),
        (QUEUE + "[system]\nclock_skew_seconds = -1\n", "clock_skew_seconds = -1: it must be betw"),
        (
            QUEUE + "[system]\nlease_seconds = 10\nclock_skew_seconds = 10\n",
            "clock_skew_seconds = 10: it must be less than lease_seconds, 10",
        ),
        (
            QUEUE + "[system]\nclock_skew_seconds = 1.5\n",
            "clock_skew_seconds = 1.5: it must be a whole number",
        ),
        (QUEUE + "[system]\nclock_skew_seconds = 60\n", "less than lease_seconds, 60"),
        (QUEUE + "[system]\nretention_days = 7\n", "retention_days = 7: it must be between 15"),
        (
            QUEUE + '[system]\nstage = "live"\n',
            "stage = 'live': use one of development, production",
        ),
        (QUEUE + '[system]\nname = "A_B"\n', "name = 'A_B': use lower-case letters"),
        (QUEUE + "[system]\nnmae = 1\n", "did you mean name?"),
        ("routes = 1\n" + QUEUE, "routes = 1: it must be a list"),
        (QUEUE + '[[routes]]\ntask = "x"\n', "task = 'x': queue 'default' runs work"),
        (QUEUE + '[[routes]]\ntask = "work"\nqueue = "q"\n', "queue = 'q': the queues are default"),
        (QUEUE + '[[routes]]\ntask = "work"\nprefix = "/a"\n', "do not begin with a slash"),
        (QUEUE + 'inputs = ["/a"]\n', "do not begin with a slash"),
        (QUEUE + 'inputs = "a"\n', "it must be a list"),
        (QUEUE + 'inputs = ["jobs/other/"]\n', "read what was submitted to it alone"),
        (QUEUE + '[[routes]]\ntask = "work"\nprefix = "jobs/"\n', "submitted inputs live there"),
        (QUEUE + '[[routes]]\ntask = "work"\nsuffixes = [""]\n', "leave the key out"),
        (QUEUE + '[[routes]]\ntask = "work"\npriority = "urgent"\n', "one of low, normal, medium"),
        (QUEUE + '[[routes]]\ntask = "work"\ndata = {day = 2026-01-01}\n', "no dates or times"),
        (QUEUE + f'[[routes]]\ntask = "work"\ndata = {{a = "{"x" * 5000}"}}\n', "4096 at most"),
        (QUEUE + '[[routes]]\ntask = "work"\nkey = 1\n', "[[routes]] number 1: unknown key 'key'"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, told: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        parsed(text)

    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"

    with pytest.raises(SettingsError, match=r"mine\.toml: no such file"):
        load(file)
    file.write_text("a = ")
    with pytest.raises(SettingsError, match=r"mine\.toml: not TOML"):
        load(file)
    for content, place in (
        (b"a = 1\nb = = 2\n", "at line 2, column 5"),
        (b"a = 1\nb = [1,", r"at line 2, column 8, where it ends"),
        (b"a = 1\n# \xff", "at line 2, column 3"),
    ):
        file.write_bytes(content)
        with pytest.raises(SettingsError, match=rf"mine\.toml: not (TOML|UTF-8).*{place}"):
            load(file)
    file.write_text("")
    with pytest.raises(SettingsError, match=r"mine\.toml: there is no queue"):
        load(file)


def test_a_queue_says_how_its_workers_log_and_whether_they_write_metrics() -> None:
    left_out = parsed(QUEUE).queues["default"]
    said = parsed(QUEUE + 'log_level = "debug"\nmetrics = false\n').queues["default"]

    assert (left_out.log_level, left_out.metrics) == ("info", True)
    assert (said.log_level, said.metrics) == ("debug", False)


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ('log_level = "loud"', "log_level = 'loud': use one of debug, info"),
        ('metrics = "no"', "metrics = 'no': it must be true or false"),
        ("metrics = 1", "metrics = 1: it must be true or false"),
    ],
)
def test_nonsense_about_logs_and_metrics_is_refused(line: str, remedy: str) -> None:
    with pytest.raises(SettingsError, match=remedy):
        parsed(QUEUE + line + "\n")


def test_a_queue_says_how_much_of_their_disk_its_workers_keep_free() -> None:
    assert parsed(QUEUE).queues["default"].min_free_disk_percent == 10
    said = parsed(QUEUE + "min_free_disk_percent = 25\n").queues["default"]
    assert said.min_free_disk_percent == 25
    with pytest.raises(SettingsError, match="min_free_disk_percent = 91: it must be between 0 and"):
        parsed(QUEUE + "min_free_disk_percent = 91\n")


def test_clock_skew_is_two_seconds_unless_set() -> None:
    assert parsed(QUEUE).system.clock_skew_seconds == 2
    text = QUEUE + "[system]\nclock_skew_seconds = 0\n"
    assert parsed(text).system.clock_skew_seconds == 0
    text = QUEUE + "[system]\nlease_seconds = 31\nclock_skew_seconds = 30\n"
    assert parsed(text).system.clock_skew_seconds == 30


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_settings_saved_on_any_system_are_read(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "remotejob.toml"
    path.write_bytes(f'[queues.default]{end}tasks = ["work"]{end}'.encode(encoding))
    assert load(path).queues["default"].tasks == ("work",)


@pytest.mark.parametrize(
    ("routes", "shadowed"),
    [
        ([{}, {"prefix": "a/"}], True),
        ([{"prefix": "a/"}, {"prefix": "a/b/"}], True),
        ([{"suffixes": [".GZ"]}, {"suffixes": [".tar.gz"]}], True),
        ([{"suffixes": [".a"]}, {"suffixes": [".b"]}, {"suffixes": [".a", ".b"]}], True),
        ([{"prefix": "a/"}, {"prefix": "b/"}, {}], False),
        ([{"suffixes": [".a"]}, {"suffixes": [".a", ".b"]}], False),
        ([{"suffixes": [".a"]}, {}], False),
        ([{"prefix": "a/b/"}, {"prefix": "a/"}], False),
    ],
)
def test_a_route_that_an_earlier_one_shadows_is_refused(
    routes: list[dict[str, object]], *, shadowed: bool
) -> None:
    document = {
        "queues": {"default": {"tasks": ["work"]}},
        "routes": [{"task": "work", **route} for route in routes],
    }
    if not shadowed:
        assert len(parse(document).routes) == len(routes)
        return
    with pytest.raises(SettingsError, match=f"number {len(routes)} .* gets no uploads: number 1"):
        parse(document)
