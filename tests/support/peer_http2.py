"""The Messages server in threads, over HTTP/2: many requests at once on a connection, each answered by a thread of its
own. What was not answered to its end, and is over, was reset by the client."""

import select
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import NoReturn

import h2.config
import h2.connection
import h2.events
from tests.support.peer import PACE, Answer, OverError, Peer, unread

__all__ = ["Http2Peer"]


class Http2Peer(Peer):
    """The server; `tls` is for connections that choose HTTP/2."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(tls)
        self.connections = 0
        """How many were made, up to now."""
        self.streams = 0
        """How many requests are open: neither answered whole nor reset."""

    def converse(self, sock: socket.socket) -> None:
        _Connection(sock, self).serve()


class _Stream:
    """A request that is answered."""

    def __init__(self, connection: "_Connection", number: int) -> None:
        self.peer: Peer = connection.peer
        self.over = threading.Event()
        self._connection = connection
        self._number = number

    def begin(self, status: int, *headers: tuple[str, str]) -> None:
        with self._connection.sending(self) as h2:
            h2.send_headers(self._number, [(":status", str(status)), *headers])
        time.sleep(PACE)

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            with self._connection.sending(self) as h2:
                h2.send_data(self._number, piece)
            time.sleep(PACE)

    def finish(self) -> None:
        with self._connection.sending(self) as h2:
            h2.end_stream(self._number)
            self._connection.forget(self._number)

    def pause(self, seconds: float) -> None:
        if self.over.wait(seconds):
            raise OverError

    def wait_for_the_end(self) -> NoReturn:
        self.over.wait()
        raise OverError

    def answer(self, answer: Answer) -> None:
        """Answers; what ends the answer in its middle ends the connection, unless the client did it."""
        try:
            answer(self)
        except (OverError, OSError):
            if not self.over.is_set():
                self._connection.drop()


class _Sending:
    """The connection is the stream's alone within this block, and what it added is sent at its end."""

    def __init__(self, connection: "_Connection", stream: _Stream) -> None:
        self._connection = connection
        self._stream = stream

    def __enter__(self) -> h2.connection.H2Connection:
        self._connection.lock.acquire()
        if self._stream.over.is_set():
            self._connection.lock.release()
            raise OverError
        return self._connection.h2

    def __exit__(self, *_: object) -> None:
        try:
            self._connection.flush()
        finally:
            self._connection.lock.release()


class _Connection:
    def __init__(self, sock: socket.socket, peer: Http2Peer) -> None:
        self.peer = peer
        self.lock = threading.RLock()  # what TLS and h2 know is not for two threads at once
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._sock = sock
        self._streams: dict[int, _Stream] = {}
        self._unread: dict[int, int] = {}
        """How many bytes of which streams were not read, and take up the connection's window."""

    def serve(self) -> None:
        """Reads until the end."""
        self._sock.setblocking(False)
        with self.lock:
            self.peer.connections += 1
            self.h2.initiate_connection()
            self.flush()
        try:
            while True:
                select.select([self._sock], [], [])
                with self.lock:
                    self._read()
        finally:
            with self.lock:
                for number in list(self._streams):
                    self.forget(number)

    def _read(self) -> None:
        with suppress(ssl.SSLWantReadError):
            while data := self._sock.recv(65536):
                for event in self.h2.receive_data(data):
                    self._take(event)
                self.flush()
            raise OverError

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=number):
                self._streams[number] = _Stream(self, number)
                self.peer.streams += 1
                if self.peer.next_is(unread):
                    self._unread[number] = 0
                    self._answer(number)
            case h2.events.DataReceived(stream_id=number, flow_controlled_length=length):
                if number in self._unread:
                    self._unread[number] += length
                elif length:
                    self.h2.acknowledge_received_data(length, number)
            case h2.events.StreamEnded(stream_id=number):
                if number not in self._unread:
                    self._answer(number)
            case h2.events.StreamReset(stream_id=number):
                self.forget(number)
            case _:
                pass

    def _answer(self, number: int) -> None:
        threading.Thread(target=self._streams[number].answer, args=(self.peer.next_answer(),), daemon=True).start()

    def sending(self, stream: _Stream) -> _Sending:
        """To send frames of a stream. Raises `OverError` when it is over."""
        return _Sending(self, stream)

    def forget(self, number: int) -> None:
        """A stream is over."""
        if (stream := self._streams.pop(number, None)) is not None:
            self.peer.streams -= 1
            stream.over.set()
        if unread := self._unread.pop(number, 0):
            self.h2.increment_flow_control_window(unread)

    def flush(self) -> None:
        """Sends what there is to send: it is little, and there is always room."""
        self._sock.sendall(self.h2.data_to_send())

    def drop(self) -> None:
        """Ends the connection."""
        with self.lock, suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
