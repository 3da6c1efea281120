"""How a request speaks: by which version of the API, and with which betas."""

from __future__ import annotations

import attrs

from .steps import Request

__all__ = ["ANY", "Dialect", "dialect_of"]


@attrs.frozen
class Dialect:
    """What a request says of itself outside its body.

    `beta` is whether it asks for betas at all, by name or not, `long` whether it asks for the one of long answers.
    """

    version: str
    beta: bool
    long: bool

    @property
    def samples(self) -> bool:
        """Whether this version of the API has sampling parameters."""
        return self.version < "2026-10-21"


ANY = Dialect("", beta=True, long=True)  # of what came without a request of its own: whatever any of them takes


def dialect_of(request: Request) -> Dialect:
    """Returns the dialect of a request that names its version."""
    betas = request.headers.get("anthropic-beta", "")
    asked = bool(betas) or request.query.get("beta") == ["true"]
    return Dialect(request.headers.get("anthropic-version", ""), asked, "output-300k" in betas)
