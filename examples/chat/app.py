"""A chat that survives reloads, second tabs, lost networks and restarts: FastAPI, one page, SQLite.

    pip install manystream fastapi uvicorn
    python examples/chat/app.py

Then open http://127.0.0.1:8000. Ask something long, reload in the middle of the answer, open the same address in a
second tab, press Stop. Without an ANTHROPIC_API_KEY in the environment a simulator answers.
"""

import os
import secrets
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from starlette.requests import HTTPConnection

from manystream import AnthropicModel, Asked, Engine, Simulator, StreamHub, StreamRequest, StreamResult

PAGE = Path(__file__).with_name("page.html")
SYSTEM = "You are a friendly assistant. Answer in plain text."
USER = "chat_user"  # the cookie that says who somebody is; a real app has a login


class History:
    """Who a chat belongs to, and what was said in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._open()) as database, database:
            database.execute("create table if not exists chats(id text primary key, owner text not null)")
            database.execute(
                "create table if not exists messages(number integer primary key, chat text not null,"
                " role text not null, text text not null, message_id text, state text)"
            )

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path)

    def belongs(self, chat: str, user: str, *, claim: bool) -> bool:
        """Whether the chat is the user's. With `claim`, one that is nobody's becomes theirs."""
        with closing(self._open()) as database, database:
            if claim:
                database.execute("insert or ignore into chats values(?, ?)", (chat, user))
            found = database.execute("select owner from chats where id = ?", (chat,)).fetchone()
            return found is not None and secrets.compare_digest(found[0], user)

    def ask(self, chat: str, text: str) -> None:
        """Adds a question, unless it stands at the end and waits for its answer: it is asked again then."""
        last = [(one["role"], one["text"]) for one in self.of(chat)[-1:]]
        if last != [("user", text)]:
            self.add(chat, "user", text)

    def add(self, chat: str, role: str, text: str, message_id: str | None = None, state: str = "complete") -> None:
        with closing(self._open()) as database, database:
            database.execute(
                "insert into messages(chat, role, text, message_id, state) values(?, ?, ?, ?, ?)",
                (chat, role, text, message_id, state),
            )

    def of(self, chat: str) -> list[dict[str, Any]]:
        with closing(self._open()) as database:
            rows = database.execute(
                "select role, text, message_id, state from messages where chat = ? order by number", (chat,)
            )
            return [dict(zip(("role", "text", "message_id", "state"), row, strict=True)) for row in rows]


def make_app(model: AnthropicModel, folder: Path) -> FastAPI:
    history = History(folder / "history.db")

    async def authorize(scope: Any, chat: str, action: str) -> bool:
        user = HTTPConnection(scope).cookies.get(USER)
        return bool(user) and history.belongs(chat, str(user), claim=action == "start")

    async def build(scope: Any, asked: Asked) -> StreamRequest:
        assert asked.key is not None
        text = "\n".join(block["text"] for block in asked.content if block["type"] == "text")
        history.ask(asked.key, text)
        messages = [{"role": one["role"], "content": one["text"]} for one in history.of(asked.key)]
        return StreamRequest({"messages": messages, "system": SYSTEM})

    async def on_end(chat: str, result: StreamResult) -> None:
        if result.text.strip():
            history.add(chat, "assistant", result.text, result.message_id, result.state)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with (
            Engine(model, max_concurrency=50, grace=5) as engine,
            StreamHub(engine, store=f"sqlite:{folder}/streams.db", linger=30, on_end=on_end) as hub,
        ):
            app.mount("/chat", hub.app("native", authorize=authorize, build=build))
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def page(request: Request) -> HTMLResponse:
        response = HTMLResponse(PAGE.read_text(encoding="utf-8"))
        if USER not in request.cookies:
            response.set_cookie(USER, secrets.token_urlsafe(16), httponly=True, samesite="lax", max_age=31_536_000)
        return response

    @app.get("/history/{chat}")
    async def messages(request: Request, chat: str) -> list[dict[str, Any]]:
        if not history.belongs(chat, request.cookies.get(USER, ""), claim=False):
            raise HTTPException(404)  # a chat that is somebody else's, or nobody's
        return history.of(chat)

    return app


def main() -> None:
    folder = Path(os.environ.get("CHAT_FOLDER", "."))
    if "ANTHROPIC_API_KEY" in os.environ:
        model = AnthropicModel("claude-opus-5-5", defaults={"max_tokens": 2000})
        uvicorn.run(make_app(model, folder), port=8000)
        return
    print("There is no ANTHROPIC_API_KEY: a simulator answers.")
    with Simulator(time_to_first_token=0.5, tokens_per_second=15).in_thread() as simulator:
        model = AnthropicModel("claude-opus-5-5", api_key="-", base_url=simulator.url, defaults={"max_tokens": 600})
        uvicorn.run(make_app(model, folder), port=8000)


if __name__ == "__main__":
    main()
