"""The endpoints of Message Batches: what a request asks of the service that processes them, and the response."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import msgspec

from ..answers import identifier
from ..batches import PATH, Batch, BatchOperation, BatchService, send_results
from ..faults import Cut, Fail, Fault, Tempo, announced_length, perform_body
from ..service import Reply, Step, dialect_of, page_of
from .call import Call
from .replies import Replies
from .routing import Route

__all__ = ["MessageBatches"]

_AT_ONCE = Tempo()


class MessageBatches:
    """The endpoints of one organisation.

    A step of the script is taken by a request that would be answered otherwise: an error comes before anything has
    been done, what else befalls a response after it.
    """

    def __init__(self, service: BatchService, replies: Replies, seed: int) -> None:
        self._service = service
        self._replies = replies
        self._seed = seed

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("POST", PATH, self._create),
            Route("GET", PATH, self._list),
            Route("GET", f"{PATH}/{{batch_id}}", self._retrieve),
            Route("DELETE", f"{PATH}/{{batch_id}}", self._delete),
            Route("POST", f"{PATH}/{{batch_id}}/cancel", self._cancel),
            Route("GET", f"{PATH}/{{batch_id}}/results", self._results),
        ]

    def _create(self, call: Call) -> Reply:
        self._service.let_in(call.now)
        entries = self._service.check(call.request.body)
        profile = call.request.headers.get("anthropic-user-profile-id")

        def create() -> dict[str, Any]:
            dialect = dialect_of(call.request)
            batch = self._service.create(entries, self._workspace(call), profile, dialect, call.random)
            return self._shown(call, batch)

        return self._performed(call, "create", create)

    def _retrieve(self, call: Call, batch_id: str) -> Reply:
        batch = self._found(call, batch_id)
        return self._performed(call, "retrieve", lambda: self._shown(call, batch))

    def _list(self, call: Call) -> Reply:
        self._service.let_in(call.now)
        batches = {batch.id: batch for batch in self._service.listed(self._workspace(call))}
        page = page_of([{"id": batch_id} for batch_id in batches], call.request.query)

        def show() -> dict[str, Any]:
            return {**page, "data": [self._shown(call, batches[item["id"]]) for item in page["data"]]}

        return self._performed(call, "list", show)

    def _cancel(self, call: Call, batch_id: str) -> Reply:
        batch = self._found(call, batch_id)
        self._service.check_cancel(batch)

        def cancel() -> dict[str, Any]:
            self._service.cancel(batch)
            return self._shown(call, batch)

        return self._performed(call, "cancel", cancel)

    def _delete(self, call: Call, batch_id: str) -> Reply:
        batch = self._found(call, batch_id)
        self._service.check_delete(batch)

        def delete() -> dict[str, Any]:
            self._service.delete(batch)
            return {"id": batch.id, "type": "message_batch_deleted"}

        return self._performed(call, "delete", delete)

    def _results(self, call: Call, batch_id: str) -> Reply:
        batch = self._found(call, batch_id)
        lines = self._service.results(batch)
        fault = self._service.script.take("results")
        if isinstance(fault, Fail):
            return self._replies.failure(call, fault)
        if (reply := self._replaced(call, fault)) is not None:
            return reply
        headers = {"content-type": "application/x-jsonl"}
        return self._reply(call, headers, send_results(lines, len(batch.entries), fault))

    def _performed(self, call: Call, operation: BatchOperation, act: Callable[[], dict[str, Any]]) -> Reply:
        """Does what is asked, unless the script refuses it, and answers with what comes of it."""
        fault = self._service.script.take(operation)
        if isinstance(fault, Fail):
            return self._replies.failure(call, fault)
        data = msgspec.json.encode(act())
        if (reply := self._replaced(call, fault)) is not None:
            return reply
        headers = {"content-type": "application/json"}
        if (length := announced_length(data, fault)) is not None:
            headers["content-length"] = str(length)
        return self._reply(call, headers, perform_body(data, 0, _AT_ONCE, call.random, fault))

    def _replaced(self, call: Call, fault: Fault | None) -> Reply | None:
        """Returns the response that the script has in place of the real one; None when it has none."""
        match fault:
            case Cut(how=Fail() as failure):
                return self._replies.failure(call, failure)
            case Cut(after="nothing", how="html"):
                return self._replies.page(call)
            case _:
                return None

    def _reply(self, call: Call, headers: dict[str, str], steps: Iterator[Step]) -> Reply:
        own = {**headers, **self._service.headers(call.now), "anthropic-workspace-id": self._workspace(call)}
        return Reply(200, self._replies.headers(call, own), steps)

    def _found(self, call: Call, batch_id: str) -> Batch:
        self._service.let_in(call.now)
        return self._service.get(batch_id, self._workspace(call))

    def _shown(self, call: Call, batch: Batch) -> dict[str, Any]:
        return self._service.shown(batch, f"{call.request.scheme}://{call.request.headers.get('host', 'localhost')}")

    def _workspace(self, call: Call) -> str:
        """Returns the workspace that is named, or else the one that the key belongs to."""
        headers = call.request.headers
        key = headers.get("x-api-key") or headers.get("authorization")
        named = headers.get("anthropic-workspace-id")
        return named or identifier("wrkspc", Random(f"{self._seed} workspace {key}"))
