"""Failed jobs that are retried or deleted, all of them, while others change them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from remotejob import Queue, RemoteJob, State
from remotejob.client.many import Commanded
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.crashes import STALLS, Fault, Faults

COMMANDS: dict[str, Callable[[Queue], Commanded]] = {
    "retry": Queue.retry_failed,
    "delete": Queue.delete_failed,
}


class System:
    def __init__(self, faults: Faults) -> None:
        self.installation = memory_installation(FakeClock())
        self.queue = RemoteJob(self.installation).queue()
        self.faulty = RemoteJob(faults.process(self.installation, "manager")).queue()
        self.jobs = [self.queue.submit("work", data=number) for number in range(3)]
        self.work("fails")

    def work(self, how: str = "") -> None:
        worker = Simulation(installation=self.installation)

        @worker.tasks.task("work")
        def work(_: object) -> None:
            if how:
                raise ValueError(how)

        while worker.step():
            pass

    def states(self) -> list[State]:
        return [job.state for job in self.queue.jobs()]


@pytest.mark.parametrize("fault", STALLS)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("meanwhile", ["restarted", "removed", "restarted and run"])
def test_what_others_change_meanwhile_is_left_out(
    meanwhile: str, command: str, fault: Fault
) -> None:
    for number in range(1, 10_000, 3):
        systems: list[System] = []

        def others_act(systems: list[System] = systems) -> None:
            (system,) = systems
            for job in system.queue.failed()[:1]:
                if meanwhile == "removed":
                    job.remove()
                else:
                    job.restart()
            if meanwhile == "restarted and run":
                system.work()

        faults = Faults(fault, at=0, meanwhile=others_act)
        system = System(faults)
        systems.append(system)
        faults.strike_in(number)

        commanded = COMMANDS[command](system.faulty)

        assert commanded.refused == {}, faults.report()
        assert {job.id for job in commanded.done} <= {job.id for job in system.jobs}
        assert State.FAILED not in system.states(), faults.report()
        if command == "retry":
            system.work()
            assert set(system.states()) <= {State.COMPLETED}
        if faults.struck is None:
            assert len(commanded.done) == 3
            break
    assert number > 3


def test_given_jobs_that_cannot_be_retried_are_refused() -> None:
    system = System(Faults())
    system.jobs[0].restart()
    commanded = system.queue.delete_failed(system.jobs)
    assert list(commanded.refused) == [system.jobs[0].id]
    assert len(commanded.done) == 2
