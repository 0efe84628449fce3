"""What a batch's items say."""

from __future__ import annotations

from remotejob.domain.batches import Follower


def test_a_follower_of_a_later_version_is_read() -> None:
    follower = Follower(task="summary", queue="default", start_in_ms=5_000)
    assert Follower.read(follower.values()) == follower
    assert Follower.read({**follower.values(), "added_later": 1}) == follower
