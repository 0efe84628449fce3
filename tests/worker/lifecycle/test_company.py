"""Threads side by side, or one of them alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

from remotejob.worker.lifecycle.company import Company

PATIENCE = 30.0
A_MOMENT = 0.2
"""Seconds in which nothing is to happen. Where it does, it takes microseconds."""


def begun(function: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def test_nobody_joins_one_that_is_alone_or_wants_to_be() -> None:
    company, inside = Company(), threading.Event()

    def join() -> None:
        with company.together():
            inside.set()

    with company.together():
        with company.wanting_to_be_alone():
            late = begun(join)
            assert not inside.wait(A_MOMENT), "one wants to be alone"
            assert company.wait(PATIENCE)
            assert company.is_alone()
            assert not inside.is_set()
        assert not company.is_alone()
        late.join(PATIENCE)
        assert inside.is_set()


def test_one_is_alone_only_once_the_others_have_left() -> None:
    company, inside, leave = Company(), threading.Event(), threading.Event()

    def stay() -> None:
        with company.together():
            inside.set()
            leave.wait(PATIENCE)

    other = begun(stay)
    assert inside.wait(PATIENCE)
    with company.together(), company.wanting_to_be_alone():
        assert not company.wait(0)
        leave.set()
        assert company.wait(PATIENCE)
    other.join(PATIENCE)


def test_of_two_that_want_to_be_alone_one_waits_for_the_other() -> None:
    company, first = Company(), threading.Event()
    together: list[int] = []
    alone = 0

    def be_alone() -> None:
        nonlocal alone
        with company.together(), company.wanting_to_be_alone():
            first.wait(PATIENCE)
            assert company.wait(PATIENCE)
            alone += 1
            together.append(alone)
            alone -= 1

    threads = [begun(be_alone) for _ in range(4)]
    first.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert together == [1] * 4


def test_a_worker_that_stops_ends_all_waiting() -> None:
    company, inside, leave = Company(), threading.Event(), threading.Event()
    waited: list[bool] = []

    def stay() -> None:
        with company.together():
            inside.set()
            leave.wait(PATIENCE)

    def want() -> None:
        with company.together(), company.wanting_to_be_alone():
            waited.append(company.wait(PATIENCE))

    staying = begun(stay)
    assert inside.wait(PATIENCE)
    wanting = begun(want)
    joining = begun(stay)
    company.close()
    wanting.join(PATIENCE)
    assert waited == [False]
    leave.set()
    for thread in (staying, joining):
        thread.join(PATIENCE)
        assert not thread.is_alive()
