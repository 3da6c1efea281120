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
from typing import Any, Self

__all__ = ["TEXT", "Answer", "FullPort", "Peer", "begun", "cut", "refuse", "silent", "slow", "unread", "whole"]

TEXT = "one two three"
"""The text of a whole answer."""

_PACE = 0.0004  # seconds between two pieces: enough for the client to read them one by one, mostly
_SLOW = 0.012  # seconds
_RECEIVE_BUFFER = 65_536


def _event(kind: str, **fields: Any) -> bytes:
    data = f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def _delta(text: str) -> bytes:
    return _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_1\r\ntransfer-encoding: chunked\r\n\r\n"
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
    _HEAD,
    _START,
    _BLOCK + _delta("one "),
    _delta("two "),
    _delta("three"),
    _event("content_block_stop", index=0)
    + _event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 3}),
    _event("message_stop"),
    b"0\r\n\r\n",
]


class _OverError(Exception):
    """The connection is to be closed, or was by the client."""


class Conversation:
    """One connection, as the answers have it."""

    def __init__(self, sock: socket.socket, peer: "Peer") -> None:
        self.sock = sock
        self.peer = peer
        self._received = b""

    def send(self, *pieces: bytes) -> None:
        """Sends each piece by itself."""
        for piece in pieces:
            self.sock.sendall(piece)
            time.sleep(_PACE)

    def receive(self) -> bytes:
        """What comes next."""
        data = self.sock.recv(65536)
        if not data:
            raise _OverError
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

    def wait_for_the_end(self) -> None:
        """Reads until the client has gone."""
        while True:
            self.receive()


Answer = Callable[[Conversation], None]


def whole(conversation: Conversation) -> None:
    """All of an answer, piece by piece."""
    conversation.send(*_PIECES)


def refuse(status: int, kind: str = "overloaded_error") -> Answer:
    """An error with this status."""
    body = json.dumps({"type": "error", "error": {"type": kind, "message": "not now"}}).encode()
    head = f"HTTP/1.1 {status} No\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    return lambda conversation: conversation.send(head + body)


def cut(conversation: Conversation) -> None:
    """The connection ends in the middle of the answer."""
    conversation.send(*_PIECES[:4])
    raise _OverError


def begun(conversation: Conversation) -> None:
    """An answer that falls silent after its first words."""
    conversation.send(*_PIECES[:3])
    conversation.wait_for_the_end()


def silent(conversation: Conversation) -> None:
    """No answer."""
    conversation.wait_for_the_end()


def slow(conversation: Conversation) -> None:
    """An answer that takes its time to begin."""
    readable, _, _ = select.select([conversation.sock], [], [], _SLOW)
    if readable:
        conversation.wait_for_the_end()
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
            self._converse(Conversation(sock, self))
        except (_OverError, OSError):
            pass
        finally:
            sock.close()
            with self._changed:
                self._open -= 1
                self._changed.notify_all()

    def _converse(self, conversation: Conversation) -> None:
        while not self._mute:
            select.select([conversation.sock], [], [])
            if not (self._answers and self._answers[0] is unread):
                conversation.receive_request()
            with self._changed:
                answer = self._answers.popleft() if self._answers else whole
            answer(conversation)
        conversation.wait_for_the_end()


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
