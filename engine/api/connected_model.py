"""A model's SDK client in one event loop."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from .shared_client import ClientLease

if TYPE_CHECKING:
    from .clients import AnthropicClient

__all__ = ["ConnectedModel", "credentials_of"]


class ConnectedModel:
    """A model's SDK client in one event loop, and its share in the HTTP client below."""

    def __init__(
        self,
        client: "AnthropicClient",
        lease: ClientLease | None,
        credentials: Hashable,
        *,
        repeatable: bool = False,
        bills_dropped: bool = False,
    ) -> None:
        self.client = client
        self.repeatable = repeatable
        """Whether two requests of a kind differ in their bodies alone: we made the client, and its key stays."""
        self.bills_dropped = bills_dropped
        """Whether a stream that is dropped is billed as if it had been read to its end: Amazon Bedrock does that."""
        self.credentials = credentials
        """Equal for models whose requests the API counts as the same customer's. It is secret."""
        self.lease = lease
        """Its share in the HTTP client below, if that is ours."""

    async def aclose(self) -> None:
        """Gives the share back. The SDK client is not closed: it would close the HTTP client it was lent."""
        if self.lease is not None:
            await self.lease.aclose()


def credentials_of(client: Any) -> Hashable:
    """What tells an SDK client's customer from others: its base URL and its key; None for a client without a key."""
    key = getattr(client, "api_key", None) or getattr(client, "auth_token", None)
    return (str(client.base_url).rstrip("/"), key) if isinstance(key, str) else None
