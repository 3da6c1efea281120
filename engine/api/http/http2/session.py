"""One HTTP/2 connection as plain bytes: frames in, frames out. No I/O, and time is an argument.

The `h2` library keeps the rules: settings, heads, and what each stream may do next. But it costs eight times what a
frame of DATA needs, closes all streams when the server goes away in peace, and answers each late frame of a stream that
was cancelled. So the frame loop is ours, and with it DATA, GOAWAY and the limits; the windows of what is received are
in `windows`. Frames of any other kind go to `h2`, one by one.

What a server may cost is bounded: 65,535 bytes wait for a stream that nobody reads, heads have 64 KiB at most, and
`MOST_BARE` frames may come that bring nothing.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from .encoder import RememberingEncoder
from .frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    LARGEST_FRAME,
    PADDED,
    PUSH_PROMISE,
    RST_STREAM,
    frame,
    frame_head,
    name_of,
)
from .frames import number as number_of
from .heads import BadHead, read_head
from .incoming import WINDOW, Failure, Incoming
from .pulse import DEAD_SECONDS, PING_SECONDS, Pulse
from .windows import SHARED_WINDOW, Windows

__all__ = ["MOST_BARE", "MOST_STREAMS", "Session"]

MOST_STREAMS = 100
"""How many streams share a connection, at most: so many are lost with it."""

MOST_BARE = 1000
"""How many frames may come one after the other, of which none brings part of a response."""

_BURST, _RESETS_PER_SECOND = 100.0, 20.0
# Servers take many cancelled streams for an attack ("rapid reset", CVE-2023-44487) and drop the connection with all
# that runs on it. A connection on which more were cancelled gets no new streams.

_HEAD = 65536
_LAST_STREAM = (1 << 31) - 3
_PING = b"manystre"


class _Broken(Exception):
    """The server broke HTTP/2, in a way that we found ourselves."""

    def __init__(self, words: str, code: ErrorCodes = ErrorCodes.PROTOCOL_ERROR) -> None:
        super().__init__(words)
        self.code = code


def _overrun() -> _Broken:
    return _Broken("it sent more than was allowed", ErrorCodes.FLOW_CONTROL_ERROR)


class Session:
    """The client's side of a connection, over which nothing was sent yet. `now` is in seconds."""

    def __init__(self, now: float) -> None:
        self.streams: dict[int, Incoming] = {}
        """The streams that are open."""
        self.ready = False
        """Whether the server's settings have come."""
        self.going_away = False
        """Whether no new stream may be opened: the server goes away, too many were reset, or no number is left."""
        self.failure: Failure | None = None
        """Why the connection is over."""
        self.protocol_broken = False
        """Whether it is over because the server broke the protocol."""
        self.wants_http1 = False
        """Whether the server said that it wants HTTP/1.1."""
        self.answered = False
        """Whether any response has come."""
        self.unblocked = False
        """Whether there may be more room to send than before; for the caller to clear."""
        self._h2 = h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,  # ours end the stream that has a bad head, and not its neighbours
            )
        )
        h2.local_settings = Settings(
            client=True,
            initial_values={SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_HEADER_LIST_SIZE: _HEAD},
        )
        h2.encoder = RememberingEncoder()
        h2.initiate_connection()
        h2.increment_flow_control_window(SHARED_WINDOW - WINDOW)
        self._rest = b""
        self._within_head = False
        self._windows = Windows()
        self._out = self._windows.updates  # what is sent and does not come from h2
        self._bare = 0
        self._goaway = ""
        self._refusals_cap = MOST_STREAMS
        self._refused_at = now
        self._resets_left, self._reset_at = _BURST, now
        self._pulse = Pulse(now)

    # -- what may be opened

    @property
    def limit(self) -> int:
        """How many streams may be open at once."""
        if not self.ready:
            return 0
        return min(MOST_STREAMS, self._refusals_cap, self._h2.remote_settings.max_concurrent_streams)

    @property
    def has_room(self) -> bool:
        """Whether a stream may be opened now."""
        return self.failure is None and not self.going_away and len(self.streams) < self.limit

    # -- sending

    def data_to_send(self) -> bytes:
        """The bytes to send now."""
        data = self._h2.data_to_send()
        if self._out:
            data = b"".join((*self._out, data))
            self._out.clear()
        return data

    def open(self, stream: Incoming, fields: Sequence[tuple[bytes, bytes]], *, end: bool) -> None:
        """Opens a stream with the head of a request; `end` says that there is no body. There must be room."""
        number = self._h2.get_next_available_stream_id()
        self._h2.send_headers(number, fields, end_stream=end)
        stream.id, stream.sent_all = number, end
        self.streams[number] = stream
        if number >= _LAST_STREAM:
            self.going_away = True

    def room(self, stream: Incoming) -> int:
        """How many bytes of its body an open stream may send now: a frame's worth, at most 16 KiB though the server may
        take longer ones, so that other streams get their turn."""
        return min(LARGEST_FRAME, self._h2.local_flow_control_window(stream.id))

    def send(self, stream: Incoming, data: bytes, *, end: bool) -> None:
        """Sends a piece of an open stream's body, for which there is room; `end` says that it is the last."""
        self._h2.send_data(stream.id, data, end_stream=end)
        self._bare = 0  # the server answers a long body with many frames
        if end:
            stream.sent_all = True

    def credit(self, stream: Incoming) -> bool:
        """Is told that what came of the stream's body was taken: the server may send as much again. Returns whether
        there is something to send for it."""
        self._windows.credit(stream, goes_on=not stream.complete and stream.id in self.streams)
        return bool(self._out)

    def leave(self, stream: Incoming, now: float) -> None:
        """Ends a stream from our side. Unless it was complete in both directions, the server is told."""
        self._windows.credit(stream, goes_on=False)
        if self.streams.pop(stream.id, None) is None:
            return
        if not (stream.complete and stream.sent_all):
            self._reset(stream.id, ErrorCodes.CANCEL)
            self._windows.reset(stream)
            self._resets_left = min(_BURST, self._resets_left + (now - self._reset_at) * _RESETS_PER_SECOND) - 1
            self._reset_at = now
            if self._resets_left < 0:
                self.going_away = True
        self._left(now)

    def _left(self, now: float) -> None:
        if not self.streams:
            self._pulse.idle_since = now

    def _reset(self, number: int, code: ErrorCodes) -> None:
        try:
            self._h2.reset_stream(number, code)
        except H2Error:
            self._out.append(frame(RST_STREAM, 0, number, number_of.pack(code)))  # for h2 it was over

    # -- receiving

    def receive(self, data: bytes, now: float) -> list[Incoming]:
        """Takes in what was received; returns the streams to which something happened.

        When the server breaks HTTP/2, the session is over: its streams are among those, with their `failure`.
        """
        if self.failure is not None:
            return []
        self._pulse.heard = now
        touched: dict[int, Incoming] = {}
        try:
            self._read(data, touched, now)
        except Exception as exc:  # h2's exceptions, hpack's and ours; and what else a server may find in them
            if isinstance(exc, _Broken):
                self._say_goodbye(exc.code)
            self.protocol_broken = True
            words = str(exc) or type(exc).__name__
            touched.update((stream.id, stream) for stream in self.streams.values())
            self.end(Failure("protocol", f"the server broke HTTP/2: {words}"), now)
        return list(touched.values())

    def receive_eof(self, now: float) -> list[Incoming]:
        """Takes in that the server closed the connection; returns the streams that this ended."""
        words = "the server closed the connection"
        return self.end(Failure("broken", f"{words} ({self._goaway})" if self._goaway else words), now)

    def end(self, failure: Failure, now: float) -> list[Incoming]:
        """Ends the session; returns the streams that this ended. A second call does nothing."""
        if self.failure is not None:
            return []
        self.failure = failure
        ended = list(self.streams.values())
        self.streams.clear()
        for stream in ended:
            stream.failure = failure
        self._left(now)
        return ended

    def _read(self, data: bytes, touched: dict[int, Incoming], now: float) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at, size, streams, taken = 0, len(data), self.streams, 0
        while size - at >= 9:
            high, low, kind, flags, number = frame_head(data, at)
            length = high << 8 | low
            if length > LARGEST_FRAME:
                raise _Broken(f"a frame of {length} bytes", ErrorCodes.FRAME_SIZE_ERROR)
            number &= 0x7FFFFFFF
            begin, end = at + 9, at + 9 + length
            if end > size:
                break
            if kind == DATA and not self._within_head:
                taken += length
                stream = streams.get(number)
                if stream is None:
                    self._late_data(number, length, flags)
                else:
                    # The hot path: a frame of a body that is awaited.
                    stream.window -= length
                    if stream.window < 0:
                        raise _overrun()
                    if flags & PADDED:
                        begin, end_of_body = self._unpad(stream, data, begin, end)
                    else:
                        end_of_body = end
                    if stream.complete:
                        raise _Broken("the body goes on after its end", ErrorCodes.STREAM_CLOSED)
                    if not stream.has_head:
                        self._fail(stream, "the body came before the head", touched, now)
                    else:
                        if end_of_body > begin:
                            stream.pieces.append(data[begin:end_of_body])
                            stream.uncredited += end_of_body - begin
                            self._bare = 0
                            if stream.expected is not None:
                                stream.expected -= end_of_body - begin
                            touched[number] = stream
                        else:
                            self._count_bare()
                        if flags & END_STREAM:
                            self._end_of_data(stream, touched, now)
            elif kind == GOAWAY and not self._within_head:
                self._count_bare()
                self._receive_goaway(data[begin:end], number, touched, now)
            else:
                if kind in (HEADERS, PUSH_PROMISE, CONTINUATION):
                    self._within_head = not flags & END_HEADERS
                if kind in (HEADERS, RST_STREAM) and self._is_not_ours(number):
                    raise _Broken(f"a frame on the stream {number}, which was never opened")
                self._count_bare()
                piece = data[at:end]
                if kind in (HEADERS, CONTINUATION) and number not in streams:
                    # Its stream was reset. The compression needs it; h2 would reset the stream once more.
                    self._keep_from_server(partial(self._h2.receive_data, piece))
                else:
                    for event in self._h2.receive_data(piece):
                        self._take(event, touched, now)
            at = end
        if at < size:
            self._rest = data[at:]
        if not self._windows.receive(taken):
            raise _overrun()

    def _unpad(self, stream: Incoming, data: bytes, begin: int, end: int) -> tuple[int, int]:
        """Where the body in a padded frame begins and ends. Padding counts, and is given back at once."""
        padding = data[begin] + 1 if end > begin else 0
        if not 0 < padding <= end - begin:
            raise _Broken("a frame has more padding than it is long")
        self._windows.give_back(stream, padding)
        return begin + 1, end - padding + 1

    def _late_data(self, number: int, length: int, flags: int) -> None:
        """Takes in DATA of a stream that isn't open: one that has ended."""
        if self._is_not_ours(number):
            raise _Broken(f"a frame on the stream {number}, which was never opened")
        if not self._windows.receive_late(number, length, end=bool(flags & END_STREAM)):
            raise _overrun()
        self._count_bare()

    def _keep_from_server(self, tell: Callable[[], object]) -> None:
        """Tells h2 something; what it would send for it is not sent."""
        self._out.append(self._h2.data_to_send())
        tell()
        self._h2.data_to_send()

    def _is_not_ours(self, number: int) -> bool:
        """Whether we never opened the stream. A server opens none: we allow no push."""
        return not number & 1 or number > self._h2.highest_outbound_stream_id

    def _end_of_data(self, stream: Incoming, touched: dict[int, Incoming], now: float) -> None:
        if stream.expected is None:
            self._h2.receive_data(frame(DATA, END_STREAM, stream.id, b""))
        elif stream.expected:
            self._fail(stream, "the body is not as long as its Content-Length", touched, now)
            return
        else:
            # h2 has not seen the body and would miss it. It is told that the stream is over, and the server is not.
            self._keep_from_server(partial(self._h2.reset_stream, stream.id))
        self._complete(stream, touched, now)

    def _complete(self, stream: Incoming, touched: dict[int, Incoming], now: float) -> None:
        stream.complete = stream.reusable = True
        touched[stream.id] = stream
        self.answered = True
        if stream.sent_all:
            del self.streams[stream.id]
            self._left(now)

    def _fail(self, stream: Incoming, words: str, touched: dict[int, Incoming], now: float) -> None:
        """Ends a stream whose response can't be read."""
        self._reset(stream.id, ErrorCodes.PROTOCOL_ERROR)
        self._windows.reset(stream)
        self._end(stream, Failure("protocol", f"the server's response can't be read: {words}"), touched, now)

    def _end(self, stream: Incoming, failure: Failure, touched: dict[int, Incoming], now: float) -> None:
        if self.streams.pop(stream.id, None) is not None:
            self._windows.credit(stream, goes_on=False)
            stream.failure = failure
            touched[stream.id] = stream
            self._left(now)

    def _count_bare(self) -> None:
        self._bare += 1
        if self._bare > MOST_BARE:
            raise _Broken("a flood of frames that bring nothing", ErrorCodes.ENHANCE_YOUR_CALM)

    def _say_goodbye(self, code: ErrorCodes) -> None:
        with suppress(H2Error):
            self._h2.close_connection(code)

    def _receive_goaway(self, payload: bytes, number: int, touched: dict[int, Incoming], now: float) -> None:
        """The server takes no more streams: those above the last one that it names have not been looked at."""
        if number or len(payload) < 8:
            raise _Broken("a GOAWAY that can't be read")
        last, code = (number_of.unpack_from(payload, at)[0] for at in (0, 4))
        said = payload[8:108].decode("ascii", "backslashreplace")
        self._goaway = f"it went away with {name_of(code)}" + (f": {said!r}" if said else "")
        self.going_away = self.ready = True
        self.wants_http1 = self.wants_http1 or code == ErrorCodes.HTTP_1_1_REQUIRED
        reason = "http1" if self.wants_http1 else "unprocessed"
        failure = Failure(reason, f"the server took no more requests: {self._goaway}")
        for stream in [stream for stream in self.streams.values() if stream.id > last & 0x7FFFFFFF]:
            self._end(stream, failure, touched, now)

    # -- what h2 tells

    def _take(self, event: Event, touched: dict[int, Incoming], now: float) -> None:
        match event:
            case ResponseReceived() | InformationalResponseReceived():
                self._take_head(event, touched, now)
            case StreamEnded():  # by a head, or by trailers
                if (stream := self.streams.get(event.stream_id)) is not None:
                    if stream.expected and not stream.bodiless and stream.status != 304:
                        self._fail(stream, "the body is not as long as its Content-Length", touched, now)
                    else:
                        self._complete(stream, touched, now)
            case StreamReset():
                if (stream := self.streams.get(event.stream_id)) is not None:
                    self._take_reset(stream, event.error_code, touched, now)
            case RemoteSettingsChanged():
                self.ready = self.unblocked = True
            case WindowUpdated():
                self.unblocked = True
            case _:
                pass

    def _take_head(
        self, event: ResponseReceived | InformationalResponseReceived, touched: dict[int, Incoming], now: float
    ) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is None:
            return
        stream.started = True
        touched[stream.id] = stream
        if isinstance(event, InformationalResponseReceived):
            return
        self._bare = 0
        try:
            stream.status, stream.headers = read_head(event.headers)
        except BadHead as exc:
            self._fail(stream, str(exc), touched, now)
            return
        stream.has_head = True
        if not stream.bodiless and (lengths := stream.header(b"content-length")):
            stream.expected = int(lengths[0])  # h2 has found that it is one number

    def _take_reset(self, stream: Incoming, code: int, touched: dict[int, Incoming], now: float) -> None:
        if stream.complete:  # the answer came early, and the rest of the request is not wanted: no error
            stream.sent_all = True
            del self.streams[stream.id]
            touched[stream.id] = stream
            self._left(now)
            return
        if code == ErrorCodes.REFUSED_STREAM:
            self._end(stream, Failure("refused", "the server refused the stream"), touched, now)
            self._refusals_cap, self._refused_at = max(1, min(self.limit, len(self.streams))), now
        elif code == ErrorCodes.HTTP_1_1_REQUIRED:
            self.wants_http1 = self.going_away = True
            self._end(stream, Failure("http1", "the server wants HTTP/1.1"), touched, now)
        else:
            self._end(stream, Failure("protocol", f"the server reset the stream with {name_of(code)}"), touched, now)

    # -- time

    def tick(self, now: float, expiry: float) -> float | None:
        """Looks at the clock: sends a ping after a silence, and ends the session when the server is dead, or when no
        stream was open for `expiry` seconds. Returns in how many seconds it has to be called again; None when the
        session is over, and then the caller lets its streams know."""
        if self.failure is not None:
            return None
        if now - self._refused_at >= PING_SECONDS:
            self._refusals_cap = MOST_STREAMS
        found = self._pulse.look(now, busy=bool(self.streams), expiry=expiry)
        if found == "over":
            return None
        if found == "ping":
            self._h2.ping(_PING)
            return DEAD_SECONDS
        return found
