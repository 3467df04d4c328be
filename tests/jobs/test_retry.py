"""When a job is tried again: a pure function of attempts, age, policy and a draw."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from vna.config import Jobs
from vna.jobs.retry import delay_s

POLICY = Jobs(first_retry_s=10, last_retry_s=3600, give_up_s=259200)
attempts = st.integers(1, 10_000)
draws = st.floats(0, 1)


def test_the_wait_doubles_up_to_the_longest() -> None:
    waits = [delay_s(attempt, 0, POLICY, 1.0) for attempt in range(1, 12)]
    assert waits == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]


@given(attempts, draws)
def test_half_of_the_wait_is_left_to_chance(attempt: int, draw: float) -> None:
    longest = delay_s(attempt, 0, POLICY, 1.0)
    wait = delay_s(attempt, 0, POLICY, draw)
    assert longest is not None
    assert wait is not None
    assert longest / 2 <= wait <= longest


@given(attempts, draws, st.floats(0, 600_000))
def test_what_would_begin_too_late_is_given_up(attempt: int, draw: float, age_s: float) -> None:
    wait = delay_s(attempt, age_s, POLICY, draw)
    usual = delay_s(attempt, 0, POLICY, draw)
    assert usual is not None
    assert (wait is None) == (age_s + usual > POLICY.give_up_s)


def test_nothing_is_tried_again_when_that_is_the_policy() -> None:
    assert delay_s(1, 0, dataclasses.replace(POLICY, give_up_s=0), 0.0) is None
