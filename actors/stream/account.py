"""Which refusals concern the account behind a request, and not the request: its spend limits, and its standing.

The API names most of them by a code in the error's `details`. It has none for the limit that a customer sets for an
organization or a workspace: that one is a 400 `invalid_request_error`, known by how its message begins (API reference,
"Errors" and "Rate limits"). What concerns only the user profile that a request bills is listed apart: other profiles
go on.
"""

import re

__all__ = ["refuses_account", "refuses_profile"]

_ACCOUNT = frozenset({"contract_spend_limit_reached", "enforced_spend_limit_reached", "organization_on_hold"})
_PROFILE = frozenset(
    {
        "linked_organization_billing_unavailable",
        "linked_organization_spend_limit_reached",
        "user_profile_billing_not_authorized",
        "user_profile_not_billable",
        "user_profile_not_found",
    }
)
_OWN_LIMIT = re.compile(r"\s*you have reached your specified (?:\w+ )?api usage limits", re.IGNORECASE)


def refuses_account(code: str | None, message: str) -> bool:
    """Whether an error refuses every request of the account, and goes on doing so until people change something or a
    month ends. `code` is the error's own code, if it has one."""
    return code in _ACCOUNT or _OWN_LIMIT.match(message) is not None


def refuses_profile(code: str | None) -> bool:
    """Whether an error refuses every request that is billed to one user profile (`user_profile_id`, or the header
    `anthropic-user-profile-id`)."""
    return code in _PROFILE
