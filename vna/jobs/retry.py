"""When a job that could not be done is tried again, and when it is given up: a pure function."""

from __future__ import annotations

from vna.config import Jobs


def delay_s(attempt: int, age_s: float, policy: Jobs, draw: float) -> float | None:
    """Say how long to wait after the attempt of this number (1 is the first); None to give up.

    The wait doubles from attempt to attempt up to `last_retry_s`. `draw` is a random number from 0
    to 1: a half of the wait is left to it, so that jobs that failed together do not come back
    together. What would begin after `give_up_s` is not begun.
    """
    longest = min(policy.first_retry_s * 2 ** min(attempt - 1, 64), policy.last_retry_s)
    wait_s = longest * (0.5 + draw / 2)
    return wait_s if age_s + wait_s <= policy.give_up_s else None
