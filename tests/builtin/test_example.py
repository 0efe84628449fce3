"""The example of a composition works, and so do others of built-in tasks."""

from __future__ import annotations

import runpy
import tarfile
from pathlib import Path

import pytest

from remotejob import Job, JobFailed, RemoteJob, builtin
from remotejob.builtin import Fetch
from remotejob.tasks import Registry
from remotejob.tasks.compose import compose
from remotejob.testing import Simulation, memory_installation
from tests.builtin.conftest import Page, Run, Site

EXAMPLE = runpy.run_path("examples/compose/download_and_archive.py")


def test_example_downloads_and_archives(site: Site, tmp_path: Path) -> None:
    site.pages = {"/a.txt": Page(body=b"a"), "/b.txt": Page(body=b"bb")}
    to = tmp_path / "made.tar.gz"
    options = Fetch(allow=("127.0.0.1",), ports=(site.port,))

    result = EXAMPLE["run_here"]([site.url("/a.txt"), site.url("/b.txt")], to, fetch=options)

    with tarfile.open(to) as archive:
        assert archive.getnames() == ["pages/a.txt", "pages/b.txt"]
    assert result["files"] == 2
    assert result["bytes"] == to.stat().st_size
    assert result["location"] == "pages.tar.gz"


def test_example_refuses_this_machine_unless_it_is_allowed(site: Site, tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match=r"step 1 of 4, 'fetch': FetchRefused: .*allow"):
        EXAMPLE["run_here"]([site.url("/").replace(f":{site.port}", "")], tmp_path / "made.tar.gz")

    assert not list(tmp_path.iterdir())


def test_page_is_fetched_and_its_links_found(run: Run, site: Site, tasks: Registry) -> None:
    site.pages = {
        "/old": Page(status=301, headers={"Location": "/dir/page.html"}),
        "/dir/page.html": Page(body=b"<title>Home</title><a href=next.html>next</a>"),
    }
    builtin.register(tasks, Fetch(allow=("127.0.0.1",), ports=(site.port,)))
    crawl = compose(["fetch", "get_hrefs", "pluck_data", "word_count"], registry=tasks)

    data = {"origin": site.url("/old"), "selectors": {"title": "title"}, "token": ">"}
    result = run(crawl, data=data).result

    assert result["links"] == [site.url("/dir/next.html")]
    assert result["title"] == ["Home"]
    assert result["count"]["next</a"] == 1


def test_archive_that_is_fetched_is_unpacked(run: Run, site: Site, tasks: Registry) -> None:
    builtin.register(tasks, Fetch(allow=("127.0.0.1",), ports=(site.port,)))
    site.pages["/a.txt"] = Page(body=b"a")
    job = run(compose(["fetch", "targz"], registry=tasks), data={"origin": site.url("/a.txt")})
    assert list(job.outputs) == ["archive.tar.gz"]
    site.pages["/made.tar.gz"] = Page(body=job.outputs["archive.tar.gz"].open().read())

    tasks.task("unpack")(compose(["fetch", "untar"], registry=tasks))
    unpacked = run_as("unpack", tasks, data={"origin": site.url("/made.tar.gz")})

    assert {name: output.open().read() for name, output in unpacked.outputs.items()} == {
        "unpacked/a.txt": b"a"
    }


def run_as(name: str, tasks: Registry, *, data: object) -> Job:
    installation = memory_installation(queues={"default": (name,)})
    job = RemoteJob(installation).queue().submit(name, data=data)
    Simulation(installation=installation, tasks=tasks).step()
    return job.refresh()
