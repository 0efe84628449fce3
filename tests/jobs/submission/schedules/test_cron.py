"""When a job that repeats is due again: by a wait, and by the clock where clocks are changed."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remotejob.domain.errors import InvalidData
from remotejob.domain.repeat import Repeat
from remotejob.jobs.coordination.cron import after_run, check, next_due

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)


def berlin(text: str) -> datetime:
    """A local time; the second of two by a star after it."""
    local = datetime.fromisoformat(text.rstrip("*")).replace(tzinfo=BERLIN)
    return local.replace(fold=int(text.endswith("*")))


def dues(repeat: Repeat, start: datetime) -> Iterator[datetime]:
    due = next_due(repeat, after=start)
    while due:
        yield due
        due = next_due(repeat, after=due)


def in_berlin(schedule: str, start: str, *, count: int) -> list[str]:
    """The first times of a schedule after a local time, in UTC."""
    repeat = Repeat(schedule=schedule, time_zone="Europe/Berlin")
    found = itertools.islice(dues(repeat, berlin(start)), count)
    return [due.astimezone(UTC).strftime("%m-%d %H:%M") for due in found]


class TestWait:
    def test_the_next_run_is_due_a_wait_after_the_last(self) -> None:
        assert next_due(Repeat(wait=MINUTE), after=NOW) == NOW + MINUTE

    def test_a_run_is_due_at_until_and_none_after_it(self) -> None:
        repeat = Repeat(wait=MINUTE, until=NOW + MINUTE)
        assert next_due(repeat, after=NOW) == NOW + MINUTE
        assert next_due(repeat, after=NOW + MICROSECOND) is None

    def test_a_time_without_a_zone_is_refused(self) -> None:
        with pytest.raises(InvalidData, match="after="):
            next_due(Repeat(), after=NOW.replace(tzinfo=None))


class TestTimes:
    def test_so_many_runs_follow_the_first(self) -> None:
        repeat, runs = Repeat(times=3), 0
        while next_due(repeat, after=NOW):
            repeat, runs = after_run(repeat), runs + 1
        assert runs == 3

    def test_for_ever_is_never_less(self) -> None:
        assert after_run(Repeat()) == Repeat()

    def test_nothing_else_changes_from_run_to_run(self) -> None:
        repeat = Repeat(times=2, until=NOW, schedule="* * * * *", time_zone="Europe/Berlin")
        left = Repeat(times=1, until=NOW, schedule="* * * * *", time_zone="Europe/Berlin")
        assert after_run(repeat) == left

    def test_a_run_that_is_not_left_cannot_be_begun(self) -> None:
        with pytest.raises(InvalidData, match="times=-1"):
            after_run(Repeat(times=0))

    def test_a_schedule_that_is_spent_is_over(self) -> None:
        assert next_due(Repeat(times=0, schedule="* * * * *"), after=NOW) is None


class TestSchedule:
    @pytest.mark.parametrize(
        ("schedule", "first", "second"),
        [
            ("*/20 * * * *", "2026-01-15 12:20", "2026-01-15 12:40"),
            ("30 9 * * 1-5", "2026-01-16 09:30", "2026-01-19 09:30"),
            ("0 0 1 * *", "2026-02-01 00:00", "2026-03-01 00:00"),
            ("0 0 L * *", "2026-01-31 00:00", "2026-02-28 00:00"),
            ("0 0 * * sun#2", "2026-02-08 00:00", "2026-03-08 00:00"),
            ("0 0 29 2 *", "2028-02-29 00:00", "2032-02-29 00:00"),
            ("0 0 * 2 MON#5", "2044-02-29 00:00", "2072-02-29 00:00"),
            ("every minute", "2026-01-15 12:01", "2026-01-15 12:02"),
            ("every 15 minutes", "2026-01-15 12:15", "2026-01-15 12:30"),
            ("every hour", "2026-01-15 13:00", "2026-01-15 14:00"),
            ("every 8 hours", "2026-01-15 16:00", "2026-01-16 00:00"),
            ("every day", "2026-01-16 00:00", "2026-01-17 00:00"),
            ("every day at 09:30", "2026-01-16 09:30", "2026-01-17 09:30"),
            ("every day at 12:00", "2026-01-16 12:00", "2026-01-17 12:00"),
            (" Every  Monday at 9:05 ", "2026-01-19 09:05", "2026-01-26 09:05"),
            ("every sunday at 23:59", "2026-01-18 23:59", "2026-01-25 23:59"),
            ("every weekday at 18:00", "2026-01-15 18:00", "2026-01-16 18:00"),
        ],
    )
    def test_a_schedule_is_read(self, schedule: str, first: str, second: str) -> None:
        repeat = Repeat(schedule=schedule)
        check(repeat)
        found = itertools.islice(dues(repeat, NOW), 2)
        assert [due.strftime("%Y-%m-%d %H:%M") for due in found] == [first, second]

    def test_a_time_that_is_met_exactly_is_past(self) -> None:
        repeat = Repeat(schedule="0 12 * * *")
        assert next_due(repeat, after=NOW - MICROSECOND) == NOW
        assert next_due(repeat, after=NOW) == NOW + timedelta(days=1)

    def test_a_leap_day_is_missing_in_2100(self) -> None:
        repeat = Repeat(schedule="0 0 29 2 *")
        leap = datetime(2096, 2, 29, tzinfo=UTC)
        assert next_due(repeat, after=leap) == datetime(2104, 2, 29, tzinfo=UTC)

    def test_a_run_is_due_at_until_and_none_after_it(self) -> None:
        at = NOW + timedelta(hours=1)
        for until, due in ((at, at), (at - MICROSECOND, None)):
            assert next_due(Repeat(schedule="0 13 * * *", until=until), after=NOW) == due

    def test_the_day_begins_where_the_time_zone_says(self) -> None:
        repeat = Repeat(schedule="0 0 * * *", time_zone="Asia/Kathmandu")
        assert next_due(repeat, after=NOW) == datetime(2026, 1, 15, 18, 15, tzinfo=UTC)


class TestClockChanges:
    """Berlin skips 2:00 to 3:00 on 2026-03-29, and has it twice on 2026-10-25."""

    def test_an_hour_of_the_day_stays_the_same_by_the_clock(self) -> None:
        found = in_berlin("every day at 09:30", "2026-03-28 00:00", count=2)
        assert found == ["03-28 08:30", "03-29 07:30"]
        found = in_berlin("every day at 09:30", "2026-10-24 00:00", count=2)
        assert found == ["10-24 07:30", "10-25 08:30"]

    def test_what_was_due_in_the_skipped_hour_is_due_once_right_after_it(self) -> None:
        found = in_berlin("30 2 * * *", "2026-03-28 12:00", count=2)
        assert found == ["03-29 01:00", "03-30 00:30"]
        found = in_berlin("0,20,40 2 * * *", "2026-03-28 12:00", count=2)
        assert found == ["03-29 01:00", "03-30 00:00"]

    def test_what_is_due_in_the_doubled_hour_is_due_once(self) -> None:
        found = in_berlin("30 2 * * *", "2026-10-24 12:00", count=2)
        assert found == ["10-25 00:30", "10-26 01:30"]

    def test_in_the_second_of_the_doubled_hours_it_is_due_the_next_day(self) -> None:
        # at 2:15 for the second time, 2:30 has been
        assert in_berlin("30 2 * * *", "2026-10-25 02:15*", count=1) == ["10-26 01:30"]

    def test_every_so_many_minutes_goes_on_in_real_time(self) -> None:
        found = in_berlin("every 30 minutes", "2026-03-29 01:00", count=3)
        assert found == ["03-29 00:30", "03-29 01:00", "03-29 01:30"]
        found = in_berlin("every 30 minutes", "2026-10-25 02:00", count=4)
        assert found == ["10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 02:00"]

    def test_every_hour_goes_on_in_real_time(self) -> None:
        found = in_berlin("every hour", "2026-10-25 01:30", count=3)
        assert found == ["10-25 00:00", "10-25 01:00", "10-25 02:00"]

    def test_a_day_that_begins_at_one_o_clock_has_no_midnight(self) -> None:
        # Cairo's 2026-04-24, a Friday
        repeat = Repeat(schedule="*/30 */2 * * 5", time_zone="Africa/Cairo")
        first = next_due(repeat, after=datetime(2026, 4, 23, 12, tzinfo=UTC))
        assert first == datetime(2026, 4, 23, 23, tzinfo=UTC)  # two o'clock


class TestRefused:
    @pytest.mark.parametrize(
        ("schedule", "reason"),
        [
            ("", "five fields"),
            ("* * * *", "five fields"),
            ("* * * * * * *", "five fields"),
            ("@daily", "five fields"),
            ("60 * * * *", "bad minute"),
            ("* * * * MO", "bad day-of-week"),
            ("0 0 30 2 *", "bad day-of-month"),
            ("0 0 */30 2 TUE#3", "no such date"),
            ("every blue moon", "after 'every' are not understood"),
            ("every day at 24:00", "24:00 is not a time of day: hours go from 0 to 23"),
            ("every monday at 9:60", "9:60 is not a time of day: .* minutes from 00 to 59"),
            ("every cat at 9:30", "after 'every' are not understood"),
            ("every minutely", "after 'every' are not understood"),
            ("every 7 minutes", "7 minutes do not divide an hour; use `wait`"),
            ("every 5 hours", "5 hours do not divide a day; use `wait`"),
            ("every 0 minutes", "do not divide"),
        ],
    )
    def test_a_schedule_that_cannot_be_read_is_refused(self, schedule: str, reason: str) -> None:
        repeat = Repeat(schedule=schedule)
        with pytest.raises(InvalidData, match=reason) as raised:
            check(repeat)
        assert repr(schedule) in str(raised.value)
        assert "every 15 minutes" in str(raised.value)
        with pytest.raises(InvalidData, match=reason):
            next_due(repeat, after=NOW)

    @pytest.mark.parametrize(
        ("schedule", "reason"),
        [
            ("*/10 * * * * *", "six fields, and schedules have no seconds; use `wait`"),
            ("every 10 seconds", "schedules have no seconds; use `wait`"),
            ("every second", "schedules have no seconds; use `wait`"),
            ("every 2.5 seconds", "schedules have no seconds; use `wait`"),
            ("every day at 09:30 except on sunday", "schedules have no exceptions"),
            ("every weekday but not friday", "schedules have no exceptions"),
        ],
    )
    def test_seconds_and_exceptions_are_refused_by_name(self, schedule: str, reason: str) -> None:
        with pytest.raises(InvalidData, match=reason):
            check(Repeat(schedule=schedule))

    @pytest.mark.parametrize(
        "name", ["Europe/Bonn", "Europe", "", "CEST", "../passwd", "/etc/passwd", "\0", "zone.tab"]
    )
    def test_a_time_zone_nobody_knows_is_refused(self, name: str) -> None:
        with pytest.raises(InvalidData, match="IANA") as raised:
            check(Repeat(schedule="* * * * *", time_zone=name))
        assert repr(name) in str(raised.value)

    @given(st.text("*/,-#LW0159 every minutsdayhour:@²", max_size=24))
    def test_any_text_is_read_or_refused(self, schedule: str) -> None:
        outcome: AbstractContextManager[object] = nullcontext()
        try:
            check(Repeat(schedule=schedule))
        except InvalidData:
            outcome = pytest.raises(InvalidData)
        with outcome:
            assert next_due(Repeat(schedule=schedule), after=NOW)


ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Africa/Cairo",  # changes at midnight
    "America/Havana",
    "Pacific/Apia",  # left out a day in 2011
    "Asia/Kathmandu",
)
BY_HALF_AN_HOUR = "Australia/Lord_Howe"
"""Changes its clocks so, alone in the world; cronsim may then leave half an hour out."""
MINUTES = st.sampled_from(["*", "*/7", "0", "30", "5,35", "10-20"])
HOURS = st.sampled_from(["*", "*/2", "0", "1", "2", "2,3", "0-3", "23"])
DAYS = st.sampled_from(["*", "1", "29", "L", "*/10"])
WEEKDAYS = st.sampled_from(["*", "0", "1-5", "SUN#2", "5L"])
SCHEDULES = st.builds("{} {} {} * {}".format, MINUTES, HOURS, DAYS, WEEKDAYS)
REPEATS = st.builds(Repeat, schedule=SCHEDULES, time_zone=st.sampled_from(ZONES)) | st.builds(
    Repeat, wait=st.integers(1, 10**6).map(lambda seconds: seconds * timedelta(seconds=1))
)


@st.composite
def moments(draw: st.DrawFn) -> datetime:
    """Any time, and often one about when clocks change."""
    change = st.sampled_from(
        [
            datetime(2026, 3, 29, 1, tzinfo=UTC),
            datetime(2026, 10, 25, 1, tzinfo=UTC),
            datetime(2026, 3, 8, 6, tzinfo=UTC),
            datetime(2026, 11, 1, 5, tzinfo=UTC),
            datetime(2026, 4, 23, 22, tzinfo=UTC),
            datetime(2026, 10, 29, 21, tzinfo=UTC),
            datetime(2026, 4, 4, 15, tzinfo=UTC),
            datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
            datetime(2011, 12, 30, 10, tzinfo=UTC),
        ]
    )
    about = st.integers(-5 * 3600, 5 * 3600)
    anywhere = st.integers(0, 10**9).map(
        lambda s: datetime(2010, 1, 1, tzinfo=UTC) + s * timedelta(seconds=1)
    )
    return draw(anywhere | st.builds(lambda at, s: at + timedelta(seconds=s), change, about))


@given(
    REPEATS | st.builds(Repeat, schedule=SCHEDULES, time_zone=st.just(BY_HALF_AN_HOUR)), moments()
)
def test_the_next_time_is_always_after_the_last(repeat: Repeat, after: datetime) -> None:
    due = next_due(repeat, after=after)
    assert due is not None
    assert due > after


@given(REPEATS, moments(), st.integers(0, 4 * 3600))
def test_a_later_question_never_gets_an_earlier_time(
    repeat: Repeat, after: datetime, seconds: int
) -> None:
    first = next_due(repeat, after=after)
    second = next_due(repeat, after=after + timedelta(seconds=seconds))
    assert first is not None
    assert second is not None
    assert first <= second


@given(st.builds(Repeat, schedule=SCHEDULES, time_zone=st.sampled_from(ZONES)), moments())
def test_no_time_is_left_out_for_who_asks_right_before_it(repeat: Repeat, after: datetime) -> None:
    due = next_due(repeat, after=after)
    assert due is not None
    assert next_due(repeat, after=max(after, due - timedelta(seconds=1))) == due


def test_waits_are_reckoned_without_the_schedules_library() -> None:
    program = (
        "import sys\nfrom datetime import datetime, UTC\n"
        "from remotejob.domain.repeat import Repeat\n"
        "from remotejob.jobs.coordination.cron import next_due\n"
        "next_due(Repeat(), after=datetime.now(UTC))\nprint('cronsim' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
