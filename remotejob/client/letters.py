"""The methods of `RemoteJob` for dead letters: list them, send them again, discard them."""

from __future__ import annotations

from collections.abc import Iterable

from remotejob.client.job import Job
from remotejob.domain.argument_checks import check_choice, check_items, check_text
from remotejob.domain.name_rules import check_job_id
from remotejob.jobs.commands.redrive import Chosen, Redriven, discard, redrive
from remotejob.jobs.messaging.command_events import command
from remotejob.jobs.messaging.letters import LetterKind
from remotejob.jobs.queries.dead_letters import DeadLetters, list_letters
from remotejob.jobs.submission.submission import queue_named
from remotejob.ports import Installation


class LetterCommands:
    """The messages that nobody could handle, and what to do with them."""

    _installation: Installation

    def dead_letters(
        self, *, queue: str | None = None, kind: LetterKind | str | None = None
    ) -> DeadLetters:
        """The messages in the dead-letter queues of one queue or all, of one kind or any.

        They stay where they are. One that was moved less than a minute ago may be missing, because
        SQS counts with a delay.

        Raises: UnknownQueue; InvalidName, when there is no such kind.
        """
        return list_letters(self._installation, queue=self._named(queue), kind=_kind(kind))

    @command
    def redrive(
        self,
        *,
        queue: str | None = None,
        kind: LetterKind | str | None = None,
        jobs: Iterable[str | Job] = (),
        messages: Iterable[str] = (),
    ) -> list[Redriven]:
        """Send dead letters again: those that all the given values name, by default all.

        A pending message is sent again if its job can run; if the job has ended, its consequences
        are carried out. Status messages and events of uploads go back to their queues. A letter
        that nobody could handle stays, and its `Redriven` says why.

        Raises: UnknownQueue; InvalidName, when there is no such kind, or no job can have such an
        id; boto3's errors, when AWS cannot be reached.
        """
        return list(redrive(self._chosen(queue, kind, jobs, messages), self._installation))

    @command
    def discard_dead_letters(
        self,
        *,
        queue: str | None = None,
        kind: LetterKind | str | None = None,
        jobs: Iterable[str | Job] = (),
        messages: Iterable[str] = (),
    ) -> list[Redriven]:
        """Delete dead letters: those that all the given values name, by default all.

        The job of a pending message gets what `redrive` would give it first, and the letter of a
        job that runs stays. Of a status message that is discarded nobody learns, and of an upload
        no job is made.

        Raises: as `redrive`.
        """
        return list(discard(self._chosen(queue, kind, jobs, messages), self._installation))

    def _chosen(
        self,
        queue: str | None,
        kind: LetterKind | str | None,
        jobs: Iterable[str | Job],
        messages: Iterable[str],
    ) -> Chosen:
        listed = check_items("jobs", jobs, remedy="give jobs or their ids")
        named = check_items("messages", messages, remedy="give ids, as `dead_letters` lists them")
        remedy = "give its id, as `dead_letters` lists it"
        return Chosen(
            queue=self._named(queue),
            kind=_kind(kind),
            jobs=frozenset(one.id if isinstance(one, Job) else check_job_id(one) for one in listed),
            messages=frozenset(check_text("message", one, remedy=remedy) for one in named),
        )

    def _named(self, queue: str | None) -> str | None:
        return None if queue is None else queue_named(queue, self._installation).name


def _kind(kind: LetterKind | str | None) -> LetterKind | None:
    return None if kind is None else check_choice("kind ", kind, LetterKind)
