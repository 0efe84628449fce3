"""Example task: makes a page with a chart of the words that a text uses most.

Replace it with your own.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import Any

from remotejob import Fatal, Retry, RunningJob, task

TOP = 12
ROW = 26
"""Height of a bar with its gap, in pixels."""
WIDEST = 420


@task("report", retry=Retry(max_attempts=3), timeout=timedelta(minutes=5))
def report(job: RunningJob) -> dict[str, Any]:
    """Count the words of six letters or more; the chart shows the first `data["top"]`."""
    file = job.download()
    words = Counter(re.findall(r"[^\W\d_]{6,}", text_of(file).lower()))
    if not words:
        raise Fatal(f"{file.name} has no words")
    job.progress(1, 2)
    top = words.most_common((job.data or {}).get("top", TOP))
    job.output(f"{file.stem}.html", page(file.name, top).encode())
    job.log(f"{file.name}: {words.total()} words, {len(words)} different ones")
    job.progress(2, 2)
    return {"words": words.total(), "different": len(words), "first": top[0][0]}


def text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        # Fatal fails the job for good. Any other error would be retried.
        raise Fatal(f"{file.name} is not UTF-8 text: {problem}") from problem


def page(title: str, top: list[tuple[str, int]]) -> str:
    most = top[0][1]
    bars = "\n".join(
        f'<rect x="130" y="{row * ROW}" width="{WIDEST * count / most:.0f}" height="18"/>'
        f'<text x="120" y="{row * ROW + 14}" text-anchor="end">{escape(word)}</text>'
        f'<text x="{WIDEST * count / most + 138:.0f}" y="{row * ROW + 14}">{count}</text>'
        for row, (word, count) in enumerate(top)
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{escape(title)}</title>
<style>
body {{ font: 15px system-ui, sans-serif; margin: 2rem }}
rect {{ fill: #3b6ea5 }}
</style>
<h1>{escape(title)}</h1>
<svg width="620" height="{len(top) * ROW}" role="img" aria-label="The most frequent words">
{bars}
</svg>
</html>
"""
