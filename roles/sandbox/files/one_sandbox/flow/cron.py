# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recurrences of scheduled policies: cron lines of five fields, and the `@daily` kind."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_PART = re.compile(r"^(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?$")
_HORIZON_DAYS = 366 * 8


class CronError(ValueError):
    """Not a cron line, or one that never comes."""


class Cron:
    """One recurrence, in local time."""

    def __init__(self, line: str) -> None:
        fields = _NICKNAMES.get(line.strip(), line).lower().split()
        if len(fields) != 5:
            raise CronError(f"not a cron line: {line}")
        for number, name in enumerate(_MONTHS, 1):
            fields[3] = fields[3].replace(name, str(number))
        for number, name in enumerate(_DAYS):
            fields[4] = fields[4].replace(name, str(number))
        sets = [_values(field, *limits) for field, limits in zip(fields, _LIMITS, strict=True)]
        self._minutes, self._hours, self._days, self._months, weekdays = sets
        self._weekdays = {day % 7 for day in weekdays}
        # Both restricted means either: the rule of cron.
        self._any_day, self._any_weekday = fields[2] == "*", fields[4] == "*"

    def next_after(self, moment: float) -> int:
        """The first time after `moment` (both Unix seconds). Raises CronError when there is none for years."""
        when = datetime.fromtimestamp(moment).replace(second=0, microsecond=0) + timedelta(minutes=1)
        day = when.replace(hour=0, minute=0)
        for _turn in range(_HORIZON_DAYS):
            if self._matches_day(day):
                for hour in sorted(self._hours):
                    for minute in sorted(self._minutes):
                        candidate = day.replace(hour=hour, minute=minute)
                        if candidate >= when:
                            return int(candidate.timestamp())
            day += timedelta(days=1)
        raise CronError("this recurrence never comes")

    def _matches_day(self, day: datetime) -> bool:
        if day.month not in self._months:
            return False
        by_day, by_weekday = day.day in self._days, (day.weekday() + 1) % 7 in self._weekdays
        if self._any_day or self._any_weekday:
            return by_day and by_weekday
        return by_day or by_weekday


def _values(field: str, low: int, high: int) -> set[int]:
    result: set[int] = set()
    for part in field.split(","):
        match = _PART.match(part)
        if match is None:
            raise CronError(f"not a cron field: {field}")
        first, last, step = match.groups()
        start = low if first is None else int(first)
        end = int(last) if last else (start if first is not None and step is None else high)
        if not low <= start <= end <= high or step == "0":
            raise CronError(f"outside {low}-{high}: {field}")
        result.update(range(start, end + 1, int(step or 1)))
    return result
