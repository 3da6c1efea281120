"""How a request speaks: by which version of the API, and with which betas."""

from __future__ import annotations

import attrs

from .steps import Request

__all__ = ["NEWEST", "Dialect", "dialect_of"]


@attrs.frozen
class Dialect:
    """What a request says of itself outside its body. `beta` is whether it asks for betas at all, by name or not."""

    version: str = "2026-10-21"
    beta: bool = False

    @property
    def samples(self) -> bool:
        """Whether this version of the API has sampling parameters."""
        return self.version < "2026-10-21"


NEWEST = Dialect()


def dialect_of(request: Request) -> Dialect:
    """Returns the dialect of a request that names its version."""
    beta = "anthropic-beta" in request.headers or request.query.get("beta") == ["true"]
    return Dialect(request.headers.get("anthropic-version", ""), beta)
