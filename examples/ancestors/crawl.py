"""A crawler, forerunner's example: when a page's job completes, submit a job for each link.

    python examples/ancestors/crawl.py https://example.com/

runs it here, in memory, for at most 20 pages of that site. Each page is crawled once, however many
pages link to it, because its URL is the job's idempotency key.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from urllib.parse import urldefrag, urlsplit

from remotejob import Job, Queue, RemoteJob, builtin
from remotejob.hooks import JobEvent, off, on
from remotejob.tasks import Registry, registry
from remotejob.tasks.compose import compose
from remotejob.testing import Simulation, memory_installation

TASK = "link_scrape"
MOST_PAGES = 20


def register(tasks: Registry = registry, *, fetch: builtin.Fetch | None = None) -> None:
    """The worker: fetch a page and find its links."""
    builtin.register(tasks, fetch or builtin.Fetch(), names=("fetch", "get_hrefs"))
    tasks.task(TASK)(compose(["fetch", "get_hrefs"], registry=tasks))


def crawl(queue: Queue, url: str) -> Callable[[JobEvent], None]:
    """The manager: submit the first page, then every page it leads to."""
    site, seen = urlsplit(url).netloc, set[str]()

    def scraped(event: JobEvent) -> None:
        for link in event.job.result["links"]:
            assign(link)

    def assign(link: str) -> None:
        page = urldefrag(link).url
        if urlsplit(page).netloc != site or page in seen or len(seen) == MOST_PAGES:
            return
        seen.add(page)
        # the key prevents a second job when another manager runs, or this one restarts
        queue.submit(TASK, data={"origin": page}, idempotency_key=page)

    on("completed", scraped, task=TASK)
    assign(url)
    return scraped


def run_here(url: str, *, fetch: builtin.Fetch | None = None) -> list[Job]:
    """Crawl with one worker; return the jobs, newest first."""
    tasks = Registry()
    register(tasks, fetch=fetch)
    installation = memory_installation(queues={"default": (TASK,)})
    queue = RemoteJob(installation).queue()
    worker = Simulation(installation=installation, tasks=tasks)
    scraped = crawl(queue, url)
    try:
        while worker.step():
            pass
    finally:
        off("completed", scraped)
    return queue.jobs()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: crawl.py URL")
    for job in reversed(run_here(sys.argv[1])):
        print(job.state, job.data["origin"])
