"""An engine's models, each connected once, and given back at the end."""

from typing import TYPE_CHECKING

import anyio

from ..actors.stream import Deadlines
from .admission import Limits, ModelGroups
from .api.ask_limits import ask_limits
from .api.connected_model import ConnectedModel
from .api.http.connection_stats import ConnectionStats
from .api.model import AnthropicModel

if TYPE_CHECKING:
    from .api.send import Send

__all__ = ["Connections"]


class Connections:
    """The connected models, and how requests of each are sent. `deadlines` are those of requests without their own."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._found: dict[AnthropicModel, tuple[ConnectedModel, Send]] = {}

    def of(self, model: AnthropicModel) -> tuple[ConnectedModel, "Send"]:
        """The connection of a model, which is made if there is none. Raises as `AnthropicModel.connect` does."""
        found = self._found.get(model)
        if found is None:
            from .api.send import open_route

            connection = model.connect()
            self._found[model] = found = connection, open_route(connection, self._deadlines)
        return found

    def stats(self) -> tuple[ConnectionStats, ...]:
        """The open connections of the HTTP clients that are ours; models share them, and so do other engines."""
        leases = {model.lease.client: model.lease for model, _ in self._found.values() if model.lease is not None}
        return tuple(connection for lease in leases.values() for connection in lease.connections())

    async def groups_of(self, model: AnthropicModel, admin_key: str) -> ModelGroups:
        """The model groups of the organization and their limits, as the API tells them. Raises `LimitsError`; then, and
        when it is cancelled, nothing stays connected."""
        connection, _ = self.of(model)
        try:
            told = await ask_limits(connection.client, admin_key)
        except BaseException:
            await self.aclose()
            raise
        names = {name: group.name for group in told for name in group.models}
        return ModelGroups(names, {group.name: Limits(**group.limits) for group in told})

    async def aclose(self) -> None:
        """Gives all back, whether it is cancelled or not."""
        with anyio.CancelScope(shield=True):
            for connection, _ in self._found.values():
                await connection.aclose()
