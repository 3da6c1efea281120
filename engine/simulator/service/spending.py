"""Money that has run out: of the organisation, by several limits, or of one user profile.

The real service counts dollars; here it is output tokens.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from .conditions import SpendKind, SpendLimit
from .error_codes import ERROR_CODES
from .errors import RefusalError

__all__ = ["Spending"]

_CODES: dict[SpendKind, str] = {
    "tier": "enforced_spend_limit_reached",
    "contract": "contract_spend_limit_reached",
    "user_profile": "linked_organization_spend_limit_reached",
}
_SET_BY_CUSTOMER: dict[SpendKind, str] = {"organization": "API", "workspace": "workspace API"}


class Spending:
    """Keeps what is spent below the limit, give or take what runs when it is reached."""

    def __init__(self, limit: SpendLimit | None) -> None:
        self._limit = limit
        self._spent: Counter[str | None] = Counter()
        self._resumes: datetime | None = None  # when a limit of the customer's own counts anew

    def check(self, user_profile: str | None, now: float) -> None:
        """Raises RefusalError (400, 402 or 429, by the kind of the limit) when the limit has been reached."""
        if self._limit is None or not self._has_limit(self._limit, user_profile):
            return
        kind = self._limit.kind
        if kind in _SET_BY_CUSTOMER:
            today = datetime.fromtimestamp(now, UTC)
            if self._resumes is not None and today >= self._resumes:
                self._spent.clear()
            self._resumes = _next_month(today)
        if self._spent[self._counted(user_profile)] < self._limit.output_tokens:
            return
        if (code := _CODES.get(kind)) is not None:
            usual = ERROR_CODES[code]
            raise RefusalError(usual.status, usual.message, error_code=code, refused_by="spend")
        raise RefusalError(
            400,
            f"You have reached your specified {_SET_BY_CUSTOMER[kind]} usage limits. "
            f"You will regain access on {self._resumes:%Y-%m-%d at %H:%M} UTC.",
            refused_by="spend",
        )

    def produced(self, tokens: int, user_profile: str | None) -> None:
        """Counts tokens that a model has made."""
        self._spent[self._counted(user_profile)] += tokens

    def _has_limit(self, limit: SpendLimit, user_profile: str | None) -> bool:
        return limit.kind != "user_profile" or user_profile is not None

    def _counted(self, user_profile: str | None) -> str | None:
        return user_profile if self._limit is not None and self._limit.kind == "user_profile" else None


def _next_month(day: datetime) -> datetime:
    year, month = divmod(day.year * 12 + day.month, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)
