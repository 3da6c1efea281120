"""Ids of relayed streams: nobody can guess one, and each says which process issued it."""

import re
import secrets

__all__ = ["issued_by", "new_id", "new_instance", "new_owner"]

_ID = re.compile(r"ms-([0-9a-f]{8})-[A-Za-z0-9_-]{22}")


def new_instance() -> str:
    """A tag for a process, for the ids that it issues."""
    return secrets.token_hex(4)


def new_id(instance: str) -> str:
    """An id for a stream: 128 random bits, so whoever has it was given it."""
    return f"ms-{instance}-{secrets.token_urlsafe(16)}"


def new_owner(instance: str) -> str:
    """A name for a process among those that share a store."""
    return f"{instance}-{secrets.token_hex(8)}"


def issued_by(name: str) -> str | None:
    """The tag of the process that issued an id; None for what is no such id."""
    found = _ID.fullmatch(name)
    return found[1] if found else None
