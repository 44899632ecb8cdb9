"""Every so many minutes, as a CronJob can say it: steps that go into an hour, and hours that go into a day.

Any other step would leave a shorter one at the end of each hour or day.
"""

from __future__ import annotations

STEPS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, *(60 * hours for hours in (1, 2, 3, 4, 6, 8, 12, 24)))
"""Minutes."""


def whole_minutes(seconds: float) -> int:
    """The shortest step that is not shorter than `seconds`, which are a day at most."""
    return next((step for step in STEPS if step * 60 >= seconds), STEPS[-1])


def expression(minutes: int) -> str:
    """One of `STEPS` as a cron expression, for a zone that has no summer time."""
    if minutes < 60:
        return f"*/{minutes} * * * *"
    hours = minutes // 60
    return f"0 */{hours} * * *" if hours < 24 else "0 0 * * *"
