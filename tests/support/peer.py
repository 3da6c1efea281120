"""A Messages server in a thread, without an event loop: it answers as it is told to, and knows who is connected.

It takes no part in the loop that is tested, it is quick (an answer takes three milliseconds), and it can do what keeps
a client waiting at each stage: an accept queue that is full, no handshake, a request that is not read, no answer.
"""

import json
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn, Protocol, Self

__all__ = [
    "PACE",
    "TEXT",
    "Answer",
    "Conversation",
    "FullPort",
    "OverError",
    "Peer",
    "begun",
    "cut",
    "refuse",
    "silent",
    "slow",
    "unread",
    "whole",
]

TEXT = "one two three"
"""The text of a whole answer."""

PACE = 0.0004
"""Seconds between two pieces: enough for the client to read them one by one, mostly."""
_SLOW = 0.012  # seconds
_RECEIVE_BUFFER = 65_536


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def _delta(text: str) -> bytes:
    return _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


_EVENTS = (("content-type", "text/event-stream"), ("request-id", "req_1"))
_START = _event(
    "message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    },
)
_BLOCK = _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
_PIECES = [
    _START,
    _BLOCK + _delta("one "),
    _delta("two "),
    _delta("three"),
    _event("content_block_stop", index=0)
    + _event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 3}),
    _event("message_stop"),
]


class OverError(Exception):
    """The connection is to be closed, or was by the client."""


class Conversation(Protocol):
    """A request that is to be answered, as the answers have it."""

    peer: "Peer"

    def begin(self, status: int, *headers: tuple[str, str]) -> None:
        """Sends the head of the answer."""
        ...

    def send(self, *pieces: bytes) -> None:
        """Sends each piece of the body by itself."""
        ...

    def finish(self) -> None:
        """Ends the body."""
        ...

    def pause(self, seconds: float) -> None:
        """Waits. Raises `OverError` when the client leaves meanwhile."""
        ...

    def wait_for_the_end(self) -> NoReturn:
        """Waits until the client has gone, and raises `OverError`."""
        ...


class _Http1Conversation:
    """A connection, and the requests on it one after the other."""

    def __init__(self, sock: socket.socket, peer: "Peer") -> None:
        self.sock = sock
        self.peer = peer
        self._received = b""

    def begin(self, status: int, *headers: tuple[str, str]) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in (*headers, ("transfer-encoding", "chunked")))
        self._send(f"HTTP/1.1 {status} OK\r\n{lines}\r\n".encode())

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._send(b"%x\r\n%b\r\n" % (len(piece), piece))

    def finish(self) -> None:
        self._send(b"0\r\n\r\n")

    def pause(self, seconds: float) -> None:
        readable, _, _ = select.select([self.sock], [], [], seconds)
        if readable:
            self.wait_for_the_end()

    def wait_for_the_end(self) -> NoReturn:
        while True:
            self.receive()

    def _send(self, data: bytes) -> None:
        self.sock.sendall(data)
        time.sleep(PACE)

    def receive(self) -> bytes:
        """What comes next."""
        data = self.sock.recv(65536)
        if not data:
            raise OverError
        return data

    def receive_request(self) -> None:
        """Head and body of the next request."""
        while b"\r\n\r\n" not in self._received:
            self._received += self.receive()
        head, _, body = self._received.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = sum(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        left = length - len(body)
        while left > 0:
            left -= len(self.receive())
        self._received = b""


Answer = Callable[[Conversation], None]


def whole(conversation: Conversation) -> None:
    """All of an answer, piece by piece."""
    conversation.begin(200, *_EVENTS)
    conversation.send(*_PIECES)
    conversation.finish()


def refuse(status: int, kind: str = "overloaded_error") -> Answer:
    """An error with this status."""

    def answer(conversation: Conversation) -> None:
        conversation.begin(status, ("content-type", "application/json"))
        conversation.send(json.dumps({"type": "error", "error": {"type": kind, "message": "not now"}}).encode())
        conversation.finish()

    return answer


def cut(conversation: Conversation) -> None:
    """The connection ends in the middle of the answer."""
    conversation.begin(200, *_EVENTS)
    conversation.send(*_PIECES[:3])
    raise OverError


def begun(conversation: Conversation) -> None:
    """An answer that falls silent after its first words."""
    conversation.begin(200, *_EVENTS)
    conversation.send(*_PIECES[:2])
    conversation.wait_for_the_end()


def silent(conversation: Conversation) -> None:
    """No answer."""
    conversation.wait_for_the_end()


def slow(conversation: Conversation) -> None:
    """An answer that takes its time to begin."""
    conversation.pause(_SLOW)
    whole(conversation)


def unread(conversation: Conversation) -> None:
    """The request is not even read, until the peer is told to `let_go`."""
    conversation.peer.over.wait(20)
    conversation.wait_for_the_end()


class Peer:
    """The server; `with Peer() as peer`. Each request takes the next of the answers it was told, then there are whole
    ones. `tls` is what to encrypt with; `mute` takes connections and says nothing on them, no handshake either."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, mute: bool = False) -> None:
        self.over = threading.Event()
        self._tls = tls
        self._mute = mute
        self._answers: deque[Answer] = deque()
        self._open = 0
        self._accepted = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        port = self._listener.getsockname()[1]
        self.url = f"{'https' if self._tls or self._mute else 'http'}://127.0.0.1:{port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()

    def tell(self, *answers: Answer) -> None:
        """What the next requests get."""
        with self._changed:
            self._answers = deque(answers)
            self.over.clear()

    def let_go(self) -> None:
        """Requests that were not read are read now, to see the client's end."""
        self.over.set()

    def wait_until_idle(self, seconds: float) -> int:
        """Waits until nobody is connected, those included whose connections wait to be accepted. Returns how many still
        are after `seconds`."""
        with socket.create_connection(self._listener.getsockname()) as last:
            port = last.getsockname()[1]  # they are accepted in their order
            with self._changed:
                self._changed.wait_for(lambda: self._accepted == port, seconds)
        with self._changed:
            self._changed.wait_for(lambda: not self._open, seconds)
            return self._open

    @property
    def open(self) -> int:
        """How many are connected."""
        return self._open

    def _accept(self) -> None:
        while True:
            try:
                sock, address = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self._open += 1
                self._accepted = address[1]
                self._changed.notify_all()
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            self.converse(sock)
        except (OverError, OSError):
            pass
        finally:
            sock.close()
            with self._changed:
                self._open -= 1
                self._changed.notify_all()

    def converse(self, sock: socket.socket) -> None:
        """Answers what is asked on a connection, until its end. Raises `OverError` or `OSError`."""
        conversation = _Http1Conversation(sock, self)
        while not self._mute:
            select.select([conversation.sock], [], [])
            if not self.next_is(unread):
                conversation.receive_request()
            self.next_answer()(conversation)
        conversation.wait_for_the_end()

    def next_is(self, answer: Answer) -> bool:
        """Whether the next request gets this answer."""
        with self._changed:
            return bool(self._answers) and self._answers[0] is answer

    def next_answer(self) -> Answer:
        """What the next request gets."""
        with self._changed:
            return self._answers.popleft() if self._answers else whole


class FullPort:
    """A port whose accept queue is full: who connects waits, as nobody answers."""

    def __enter__(self) -> Self:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        address = self._listener.getsockname()
        self.url = f"http://127.0.0.1:{address[1]}"
        self._waiting: list[socket.socket] = []
        while True:
            sock = socket.socket()
            self._waiting.append(sock)
            sock.setblocking(False)
            if sock.connect_ex(address):
                _, connected, _ = select.select([], [sock], [], 0.1)
                if not connected:
                    return self

    def __exit__(self, *_: object) -> None:
        for sock in (*self._waiting, self._listener):
            sock.close()
