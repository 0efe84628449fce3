"""Tasks that run in processes of their own, or on the event loop: children import this module."""

from __future__ import annotations

import ctypes
import decimal
import gc
import gzip
import hashlib
import io
import locale
import logging
import multiprocessing
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import warnings
from contextvars import ContextVar
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from remotejob import (
    AsyncOutput,
    AsyncRunningJob,
    Completion,
    Credentials,
    Fatal,
    InvalidBody,
    InvalidData,
    InvalidName,
    NoInput,
    Process,
    RunInterrupted,
    RunningJob,
    State,
    task,
)
from remotejob.domain.chain import next_depth

VARIABLE: Final[ContextVar[str]] = ContextVar("of_a_task")

SHORT: Final = timedelta(milliseconds=300)
"""A grace that a test can wait for."""

log = logging.getLogger(__name__)


class Unlucky(Exception):
    """What a task raises by itself."""


@task("own-process", runs_in=Process(grace=SHORT))
def own_process(job: RunningJob) -> Any:
    return globals()[f"do_{job.data['do']}"](job)


@task("patient", runs_in=Process(grace=timedelta(minutes=5)))
def patient(job: RunningJob) -> Any:
    return own_process(job)


@task("limited", runs_in=Process(memory_mib=192, grace=SHORT))
def limited(job: RunningJob) -> Any:
    return own_process(job)


@task("worn", runs_in=Process(max_jobs_per_child=2))
def worn(job: RunningJob) -> int:
    return os.getpid()


@task("worn-out", runs_in=Process(max_jobs_per_child=1))
def worn_out(job: RunningJob) -> int:
    """Leave a thread that keeps the process from its end."""
    threading.Thread(target=threading.Event().wait).start()
    return os.getpid()


@task("worn-out-writer", runs_in=Process(max_jobs_per_child=1))
def worn_out_writer(job: RunningJob) -> Any:
    return own_process(job)


@task("stranger", runs_in=Process(credentials=Credentials.NONE))
def stranger(job: RunningJob) -> Any:
    return own_process(job)


@task("timed", timeout=timedelta(minutes=1), runs_in=Process(grace=SHORT))
def timed(job: RunningJob) -> Any:
    return own_process(job)


@task("async-in-process", runs_in=Process())
async def async_in_process(job: AsyncRunningJob) -> Any:
    data = await job.data()
    if data["do"] == "chained":
        return [
            [one.id, await one.data(), await one.result(), await _texts(await one.outputs())]
            for one in await job.antecedents()
        ]
    await job.output("data.txt", str(data).encode())
    return [data, os.getpid()]


async def _texts(outputs: dict[str, AsyncOutput]) -> dict[str, str]:
    found = {}
    for name, output in outputs.items():
        async with await output.open() as stream:
            found[name] = (await stream.read()).decode()
        assert await output.read_text() == found[name]
    return found


@task("patient-timed", timeout=timedelta(minutes=1), runs_in=Process(grace=timedelta(minutes=5)))
def patient_timed(job: RunningJob) -> Any:
    return own_process(job)


@task("silent", work_timeout=timedelta(seconds=30), runs_in=Process(grace=SHORT))
def silent(job: RunningJob) -> Any:
    return own_process(job)


@task("in-thread")
def in_thread(job: RunningJob) -> Any:
    return own_process(job)


def do_chain(job: RunningJob) -> int:
    return next_depth()


def do_pid(job: RunningJob) -> int:
    return os.getpid()


def do_segfault(job: RunningJob) -> None:
    ctypes.string_at(0)


def do_ask_where_it_stands(job: RunningJob) -> int:
    os.kill(os.getpid(), signal.SIGUSR2)
    return os.getpid()


def do_exit(job: RunningJob) -> None:
    assert job.data.get("pid") in (None, os.getpid()), "the same process"
    os._exit(job.data["status"])


def do_die(job: RunningJob) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def do_die_twice(job: RunningJob) -> int:
    if job.attempt < 3:
        os._exit(1)
    return job.attempt


def do_folder(job: RunningJob) -> list[Any]:
    """Where the run's folder is, and what is in it after a file came and one went out."""
    job.download(job.folder() / "input.bin")
    job.output("copy", b"copy")
    return [str(job.folder()), sorted(path.name for path in job.folder().iterdir())]


def do_place(job: RunningJob) -> list[str]:
    """Where the input goes, and the run's folder."""
    return [str(job.download()), str(job.folder())]


def do_raise(job: RunningJob) -> None:
    raise {"unlucky": Unlucky, "fatal": Fatal, "name": InvalidName}[job.data["what"]]("no luck")


def do_unprintable(job: RunningJob) -> Any:
    return object()


def do_completion(job: RunningJob) -> Completion:
    return Completion(result={"well": True}, delay_dependents=timedelta(minutes=5))


def do_fill_memory(job: RunningJob) -> int:
    return len(bytearray(256 * 1024 * 1024))


def do_ignore(job: RunningJob) -> None:
    """Ignore every signal, next to a process that ignores them too."""
    background = subprocess.Popen(
        [sys.executable, "-c", "import threading; threading.Event().wait()"]
    )
    _tell(job, f"{os.getpid()} {background.pid}")
    while True:
        threading.Event().wait(1)


def do_notice(job: RunningJob) -> str:
    """Go on until told to stop, and say what was done then."""
    _tell(job, str(os.getpid()))
    try:
        while True:
            job.check()
            threading.Event().wait(0.01)
    except RunInterrupted as reason:
        Path(job.data["noticed"]).write_text(type(reason).__name__)
        raise


def do_wait(job: RunningJob) -> int:
    """Go on until a file is there."""
    _tell(job, str(os.getpid()))
    while not Path(job.data["go"]).exists():
        threading.Event().wait(0.01)
    return os.getpid()


def do_progress_until(job: RunningJob) -> None:
    """Say how far it is, until a file is there."""
    _tell(job, str(os.getpid()))
    while not Path(job.data["go"]).exists():
        job.progress(1, 2)
        threading.Event().wait(0.01)


def do_words(job: RunningJob) -> None:
    job.progress(0.25, message="a quarter")


def do_report(job: RunningJob) -> list[Any]:
    job.progress(1, 4)
    job.log("under way", level="success", data={"step": 1})
    seen = [job.id, job.run_id, job.attempt, job.task, job.queue, job.filename, job.cancelled]
    return [*seen, job.time_left() is None, job.lease_until > job.created_at, job.data["text"][:2]]


def do_library_errors(job: RunningJob) -> list[str]:
    """What the library raises in the worker is raised here as what it is."""
    seen = []
    for call in (
        job.open,
        job.download,
        lambda: job.output("../escape", b""),
        lambda: job.log("x", level="loud"),  # type: ignore[arg-type]
        lambda: job.progress("3", 2),  # type: ignore[arg-type]
        lambda: job.progress(1, total=True),
    ):
        try:
            call()
        except (NoInput, InvalidName, InvalidData) as error:
            seen.append(type(error).__name__)
    return seen


def do_copy(job: RunningJob) -> dict[str, Any]:
    """The input, by each way in; out again by each way out."""
    with job.open() as stream:
        head, rest = stream.read(10), stream.read()
    path = job.download()
    content = path.read_bytes()
    assert content == head + rest
    named = job.download(job.folder() / "named.bin")
    job.output("bytes", content)
    job.output("path", named)
    job.output("buffer", BytesIO(content))
    with path.open("rb") as file:
        assert file.read(3) == content[:3]
        job.output("from-the-middle", file)
    with gzip.open(job.folder() / "packed.gz", "wb") as packed:
        packed.write(content)
    with gzip.open(job.folder() / "packed.gz", "rb") as unpacked:
        job.output("unpacked", unpacked)  # type: ignore[arg-type]
    with job.open() as stream:
        job.output("straight", stream)
    job.output("empty.txt", b"", content_type="text/plain")
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def do_resume(job: RunningJob) -> Any:
    before = job.resumed_from
    job.checkpoint({"done": (before or {"done": 0})["done"] + 1, "ballast": "x" * 2000})
    if before is None:
        os._exit(1)
    return before["done"]


def do_look_around(job: RunningJob) -> dict[str, Any]:
    """What a process without credentials finds where they might be."""
    import boto3

    try:
        Path(f"/proc/{os.getppid()}/environ").read_bytes()
        parent = "read"
    except PermissionError:
        parent = "refused"
    found = boto3.Session().get_credentials()
    return {
        "credentials": None if found is None else found.access_key,
        "environment": sorted(os.environ),
        "parent": parent,
    }


def do_reach(job: RunningJob) -> list[str]:
    """Ask the worker for more than a task may have."""
    seen = []
    files = job._installation.files
    for call in (
        lambda: files.open(job.data["bucket"], job.data["key"]),
        lambda: files.download(job.data["bucket"], job.data["key"], Path("there")),
        lambda: job._run._asking.ask("output", name="../x", content_type=None),  # type: ignore[attr-defined]
        lambda: job._installation.store.get(job.id),
    ):
        try:
            call()
        except (PermissionError, InvalidBody) as error:
            seen.append(type(error).__name__)
    return seen


def do_make(job: RunningJob) -> Any:
    """Something that a later job works on: its result is as long as the data say."""
    job.output("page.txt", f"page {job.data['n']}".encode())
    return "r" * job.data["n"]


def do_chained(job: RunningJob) -> list[Any]:
    """What its antecedents made."""
    assert [one.state for one in job.antecedents()] == [State.COMPLETED] * len(job.depends)
    found = []
    for one in job.antecedents():
        path = one.outputs["page.txt"].download(job.folder() / one.id)
        texts = {name: output.read_text() for name, output in one.outputs.items()}
        assert path.read_text() == texts["page.txt"]
        found.append([one.id, one.data, one.result, texts])
    return found


def do_reach_for_antecedents(job: RunningJob) -> list[str]:
    """Files of a job that it depends on, before and after it asked for it, and of another job."""
    files, seen = job._installation.files, []
    for key in (job.data["theirs"], None, job.data["theirs"], job.data["others"]):
        if key is None:
            job.antecedents()
            continue
        try:
            seen.append(files.open(job.data["bucket"], key).read().decode())
        except PermissionError:
            seen.append("refused")
    return seen


def do_babble(job: RunningJob) -> None:
    """Say what is no frame."""
    job._run._asking._channel._socket.sendall(b"\xff" * 100)  # type: ignore[attr-defined]
    threading.Event().wait()


def do_leave_a_thread(job: RunningJob) -> int:
    """Leave something behind that uses the job after its end."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.001):
            try:
                job.check()
            except RunInterrupted:
                return

    threading.Thread(target=ask, daemon=True).start()
    job.open().read(1)
    return os.getpid()


def do_echo(job: RunningJob) -> Any:
    return job.data["n"]


def do_interrupted(job: RunningJob) -> str:
    """Have a handler of signals raise in the midst of a call: the worker sends the signal."""
    kind = {"unlucky": Unlucky, "timeout": TimeoutError}[job.data["raises"]]

    def handle(*_: object) -> None:
        raise kind("too slow")

    signal.signal(signal.SIGUSR1, handle)
    _tell(job, str(os.getpid()))
    try:
        job.download()
    except kind:
        if job.data["then"] == "raise":
            raise
    if job.data["then"] == "ask":
        job.output("more", b"")
    return "went on"


def do_read_without_memory(job: RunningJob) -> int:
    """Read something the question has room for, and the answer does not."""
    with job.open() as stream:
        stream.read(1)
        filled = []
        try:
            while True:
                filled.append(bytearray(256 * 1024))
        except MemoryError:
            del filled[len(filled) - job.data["free"] :]
        kept = []
        while chunk := stream.raw.read(1024 * 1024):  # type: ignore[attr-defined]
            kept.append(chunk)
        return len(kept)


def do_ask_for_another(job: RunningJob) -> str:
    """Ask as another run would."""
    job._run._asking._run_id = "another"  # type: ignore[attr-defined]
    job.check()
    return "answered"


def do_announce(job: RunningJob) -> None:
    """Announce more than may be said, and say nothing."""
    socket = job._run._asking._channel._socket  # type: ignore[attr-defined]
    socket.sendall(struct.pack("!II", *job.data["lengths"]))
    threading.Event().wait()


def do_say_much(job: RunningJob) -> str:
    """Say more than the worker takes, by each way there is."""
    job.log("x" * 1_000_000, data="y" * 4000)
    job.checkpoint("z" * (9 * 1024 * 1024))
    try:
        job.output("a", b"", content_type="t" * 1_000_000)
    except InvalidData:
        return "went on"
    return "taken"


def do_long_result(job: RunningJob) -> str:
    return "x" * (64 * 1024 * 1024)


def do_print(job: RunningJob) -> None:
    print(job.data["text"], end=job.data.get("end", "\n"))


def do_write(job: RunningJob) -> None:
    """Write text to an open file of the process, so many times."""
    for _ in range(job.data.get("times", 1)):
        os.write(job.data["file"], job.data["text"].encode())


def do_write_bytes(job: RunningJob) -> None:
    os.write(job.data["file"], bytes(job.data["bytes"]))


def do_write_by_a_program(job: RunningJob) -> None:
    subprocess.run(["cat"], input=job.data["text"].encode(), check=True)


def do_write_and_crash(job: RunningJob) -> None:
    print("the last words")
    os.kill(os.getpid(), signal.SIGSEGV)


def do_run_out_of_memory(job: RunningJob) -> None:
    """Die as the kernel lets a process die when memory runs out, and count that as it does."""
    file = Path(job.data["file"])
    count = int(file.read_text().split()[-1])
    file.write_text(f"oom 9\noom_kill {count + 1}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def do_log(job: RunningJob) -> None:
    logging.getLogger(job.data["logger"]).warning(job.data["text"])


def do_leave_a_writer(job: RunningJob) -> list[int]:
    """Leave a program that writes for ever, in a session of its own."""
    left = subprocess.Popen(["yes", "from the program"], start_new_session=True)
    return [os.getpid(), left.pid]


def do_change(job: RunningJob) -> Any:
    """Change something of the process, and leave it so; or say how it is."""
    if job.data["leave"]:
        CHANGES[job.data["what"]][0](job)
        return None
    return repr(CHANGES[job.data["what"]][1]())


def _to_the_runs_folder(job: RunningJob) -> None:
    os.chdir(job.folder())


def _cwd() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return "gone"


def _umask() -> int:
    value = os.umask(0o22)
    os.umask(value)
    return value


def _limit_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))


CHANGES: Final[dict[str, tuple[Any, Any]]] = {
    "environment": (lambda _: os.environ.update(LEFT="1"), lambda: os.environ.get("LEFT")),
    "folder": (_to_the_runs_folder, _cwd),
    "umask": (lambda _: os.umask(0o077), _umask),
    "alarm": (lambda _: signal.alarm(1000), lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0),
    "timer": (
        lambda _: signal.setitimer(signal.ITIMER_PROF, 1000),
        lambda: signal.getitimer(signal.ITIMER_PROF)[0] > 0,
    ),
    "locale": (
        lambda _: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
        lambda: locale.setlocale(locale.LC_NUMERIC),
    ),
    "socket": (lambda _: socket.setdefaulttimeout(0.01), socket.getdefaulttimeout),
    "limit": (lambda _: _limit_files(), lambda: resource.getrlimit(resource.RLIMIT_NOFILE)),
    "path": (lambda _: sys.path.insert(0, "/left"), lambda: sys.path[0]),
    "argv": (lambda _: sys.argv.append("left"), lambda: sys.argv[-1]),
    "stdout": (lambda _: setattr(sys, "stdout", io.StringIO()), lambda: type(sys.stdout).__name__),
    "logging": (lambda _: logging.disable(), lambda: logging.root.manager.disable),
    "level": (lambda _: logging.root.setLevel(1), lambda: logging.root.level),
    "log": (
        lambda _: setattr(log, "disabled", True),
        lambda: log.disabled,
    ),
    "warnings": (
        lambda _: warnings.simplefilter("always", BytesWarning),
        lambda: warnings.filters[0],
    ),
    "decimal": (lambda _: setattr(decimal.getcontext(), "prec", 3), lambda: decimal.getcontext()),
    "recursion": (lambda _: sys.setrecursionlimit(400), sys.getrecursionlimit),
    "switch": (lambda _: sys.setswitchinterval(1), sys.getswitchinterval),
    "garbage": (lambda _: gc.disable(), gc.isenabled),
    "hook": (lambda _: setattr(sys, "excepthook", print), lambda: sys.excepthook is print),
    "tempdir": (lambda _: setattr(tempfile, "tempdir", "/left"), tempfile.gettempdir),
    "start method": (
        lambda _: multiprocessing.set_start_method("spawn"),
        lambda: multiprocessing.get_start_method(allow_none=True),
    ),
    "profile": (lambda _: sys.setprofile(lambda *_: None), sys.getprofile),
    "new threads": (lambda _: threading.setprofile(lambda *_: None), threading.getprofile),
    "variable": (lambda _: VARIABLE.set("left"), lambda: VARIABLE.get("as it was")),
    # of a process alone
    "handler": (
        lambda _: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        lambda: signal.getsignal(signal.SIGTERM),
    ),
    "mask": (
        lambda _: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]),
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    ),
    # the process is replaced
    "thread": (
        lambda _: threading.Thread(target=threading.Event().wait, name="left", daemon=True).start(),
        lambda: "left" in {thread.name for thread in threading.enumerate()},
    ),
    "program": (
        lambda _: globals().update(left=subprocess.Popen(["sleep", "60"])),
        lambda: "left" in globals() and globals()["left"].poll() is None,
    ),
}


def _tell(job: RunningJob, text: str) -> None:
    """Say that the task has begun, in a file that is there whole or not at all."""
    file = Path(job.data["told"])
    part = file.with_suffix(".part")
    part.write_text(text)
    part.rename(file)
