"""Computes when a PingSource ticks: cron with five fields, six (seconds first) or a name like @daily, by time zone."""

import re
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_NAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ALSO_KNATIVES = re.compile(r"[0-9*,/?\- ]|MON|TUE|WED|THU|FRI|SAT|SUN|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC")


class BadSchedule(ValueError):
    """The schedule cannot be read; the message lists the allowed syntax."""


class Schedule:
    """
    A parsed cron schedule.

    Args:
        expression: the syntax that cronsim and Knative's parser share; extensions (L, W, #, @every) are rejected.
        timezone: an IANA name.

    Raises:
        BadSchedule: the expression or the time zone cannot be read.
    """

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        self.expression = expression
        cron = _NAMES.get(expression.strip().lower(), expression).upper()
        if _ALSO_KNATIVES.sub("", cron):
            raise BadSchedule(
                f"{expression!r} is not cron. Allowed: five or six fields of numbers, names, * , - /; @daily."
            )
        self._cron = cron.replace("?", "*")
        try:
            self._zone: tzinfo = UTC if timezone == "UTC" else ZoneInfo(timezone)
        except (KeyError, ValueError, OSError):
            raise BadSchedule(f"timezone {timezone!r} is not known. Allowed: names like Europe/Berlin.") from None
        try:
            CronSim(self._cron, datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise BadSchedule(f"{expression!r} is not cron: {error}.") from None

    def after(self, moment: datetime) -> datetime:
        """Return the first tick after ``moment`` in UTC; both are aware."""
        return next(CronSim(self._cron, moment.astimezone(self._zone))).astimezone(UTC)
