"""docs/heritage.md says of everything the ancestors had what became of it, and what shows that."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PAGE = Path("docs/heritage.md")

# Homes of names that a program seldom writes out: `Worker.stop` is found in the second.
HOMES = (
    "remotejob",
    "remotejob.worker.worker",
    "remotejob.worker.lifecycle.supervisor",
    "remotejob.settings",
    "remotejob.domain.record",
    "remotejob.manual.options",
)

# What each README calls its own, as it stood when this project began. A name stands in the first
# column of its section in code quotes, perhaps followed by its arguments.
NAMED = {
    "remotejob 1": """
        next remove retrieve store submit trigger _removeJob
    """,
    "remotejob 2": """
        remotejob region queues download next remove retrieve store storeRaw submit trigger
        _removeJob _storeAsset Job#acknowledge Job#createReadStream Job#complete key secret
    """,
    "meteor-job": """
        Job.setDDP Job.processJobs Job.getWork Job.makeJob Job.getJob Job.startJobs Job.stopJobs
        Job.getJobs Job.pauseJobs Job.resumeJobs Job.cancelJobs Job.restartJobs Job.removeJobs
        Job.forever Job.jobPriorities Job.jobStatuses Job.jobLogLevels Job.jobStatusCancellable
        Job.jobStatusPausable Job.jobStatusRemovable Job.jobStatusRestartable j.depends j.priority
        j.retry j.repeat j.delay j.after j.log j.progress j.save j.refresh j.done j.fail j.pause
        j.resume j.cancel j.restart j.rerun j.remove j.type j.data q.resume q.pause q.shutdown
        q.length q.full q.running q.idle
        Job.readyJobs Job.startJobServer Job.shutdownJobServer Job.foreverDate
        Job.jobRetryBackoffMethods Job.ddpMethods Job.ddpPermissionLevels Job.ddpMethodPermissions
        j.ready j.doc q.trigger
    """,
    "job-collection": """
        jc.setLogStream jc.logConsole jc.promote jc.allow jc.deny jc.find jc.findOne jc.events
        jc.jobDocPattern jc.later noCollectionSuffix admin manager creator worker startJobServer
        shutdownJobServer jobRemove jobPause jobResume jobReady jobCancel jobRestart jobSave
        jobRerun getWork getJob jobLog jobProgress jobDone jobFail timeout getLog maxJobs
        workTimeout concurrency payload pollInterval prefetch callbackStrict errorCallback depends
        priority retry retries until wait backoff repeat repeats schedule delay after level data
        echo progress cancelRepeats getFailures repeatId delayDeps fatal time force antecedents
        dependents quiet soft hard call error method params returnVal connection userId
        _id runId type status result failures resolved updated expiresAfter log completed total
        percent retried retryUntil retryWait retryBackoff repeated repeatUntil repeatWait
        repeatRetries created _private message pause ready cancel restart rerun remove shutdown
        save refresh done fail
    """,
    "redis-dist-job-queue": """
        JobQueue namespace queueId redisConfig host port db childProcessCount workerCount
        flushStaleTimeout start registerTask id perform params callback timeout submitJob
        resourceId retries shutdown retryFailedJobs deleteFailedJobs forceFlushStaleJobs error
        jobFail jobSuccess childRestart
    """,
    "forerunner": """
        forerunner.start port queue store flushCount flushInterval maxFailCount logger
        loadFromStore proxyLocation socketioLogLevel socketioHeartbeatTimeout verbose assignJob
        onCreated onStaged onProgress onComplete onCountFailed onFailed registerPlugin status
        getStore getQueue worker.start worker.registerJobHandler worker.runHandler worker.compose
        create progress countFailed forceFail failed complete getJobs push each requeue empty
        builtin.tasks.ping builtin.tasks.fetch builtin.tasks.targz builtin.tasks.get_hrefs
        builtin.tasks.key_map builtin.tasks.pluck_data builtin.tasks.word_count
        builtin.store.memory builtin.queue.memory proxy.start FR_PROXY_PORT FR_PROXY_VOLITILE
        origin destination url selectors location encoding token created staged completed
    """,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    section: str
    theirs: str
    here: str
    differs: str
    shown_by: str

    def __str__(self) -> str:
        return f"{self.section}: {self.theirs}"


def rows() -> list[Row]:
    found: list[Row] = []
    section = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        if not line.startswith("| ") or line.startswith("| theirs "):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == 4, line
        theirs, here, differs, shown_by = cells
        row = Row(section=section, theirs=theirs, here=here, differs=differs, shown_by=shown_by)
        found.append(row)
    return found


ROWS = rows()


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_row_has_its_cells(row: Row) -> None:
    assert row.theirs
    assert quoted(row.here), "names nothing of ours"
    assert row.differs
    assert quoted(row.shown_by), "no test shows it"


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_is_named_here_is_there(row: Row) -> None:
    for name in quoted(row.here):
        whole, _, arguments = name.partition("(")
        thing = find(whole)
        for argument in re.findall(r"(\w+)=", arguments):
            assert argument in inspect.signature(thing).parameters, name


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_shows_it_is_a_test(row: Row) -> None:
    for name in quoted(row.shown_by):
        path, _, test = name.partition("::")
        assert test in _tests(path), name


@pytest.mark.parametrize("section", NAMED)
def test_nothing_the_ancestors_named_is_left_out(section: str) -> None:
    told: set[str] = set()
    for row in ROWS:
        if row.section == section:
            for code in quoted(row.theirs):
                told |= {code, code.partition("(")[0], *re.findall(r"[\w#.]+", code)}

    assert set(NAMED[section].split()) - told == set()


def test_no_section_is_unknown_and_none_says_a_thing_twice() -> None:
    assert list(dict.fromkeys(row.section for row in ROWS)) == list(NAMED)
    said = [(row.section, row.theirs) for row in ROWS]
    assert len(set(said)) == len(said)


def find(name: str) -> Any:
    """The thing of that dotted name, as the page writes it."""
    parts = name.split(".")
    home = next((home for home in HOMES if _has(importlib.import_module(home), parts[0])), None)
    if home is None:
        raise AssertionError(f"{name}: there is no such thing")
    return _within(importlib.import_module(home), parts, name)


def _within(thing: Any, parts: list[str], name: str) -> Any:
    for part in parts:
        if not _has(thing, part):
            raise AssertionError(f"{name}: there is no such thing")
        thing = getattr(thing, part)
    return thing


def _has(thing: Any, part: str) -> bool:
    """Whether that is an attribute, or a module within; which makes it an attribute."""
    if hasattr(thing, part):
        return True
    if not isinstance(thing, ModuleType) or not hasattr(thing, "__path__"):
        return False
    within = f"{thing.__name__}.{part}"
    return importlib.util.find_spec(within) is not None and bool(importlib.import_module(within))


@cache
def _tests(path: str) -> frozenset[str]:
    """Names of the tests in a file, and in its classes."""
    body = ast.parse(Path(path).read_text()).body
    classes = [node.body for node in body if isinstance(node, ast.ClassDef)]
    return frozenset(
        node.name
        for nodes in (body, *classes)
        for node in nodes
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_the_finder_finds_what_is_there_and_nothing_else() -> None:
    assert find("Job.pause").__name__ == "pause"
    assert find("hooks.on").__name__ == "on"
    for wrong in ("paws", "Job.paws", "hooks.paws", "cdk.paws"):
        with pytest.raises(AssertionError, match="no such thing"):
            find(wrong)
