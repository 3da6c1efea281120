"""Ids of relayed streams: nobody can guess one, and each says which process issued it."""

import re
import secrets
from hashlib import blake2b

__all__ = ["issued_by", "new_id", "new_instance", "new_owner", "tag_of"]

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


def tag_of(stream_id: str) -> str:
    """A short tag of a stream, for the ids of its events: it tells streams apart, and opens none."""
    return blake2b(stream_id.encode(), digest_size=3).hexdigest()


def issued_by(name: str) -> str | None:
    """The tag of the process that issued an id; None for what is no such id."""
    found = _ID.fullmatch(name)
    return found[1] if found else None
