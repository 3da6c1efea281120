"""The transport against a server that answers in every way, right and wrong, beside httpx2's own transport.

What httpx2 reads of a right answer we read alike. Of a wrong one either may be stricter, but we never take half a body
for a whole one, never hang, never raise what is not httpx2's, and never use a connection again that is in doubt:
httpx2's own pool does, after an answer with something behind it, and is therefore asked on a new one each time.
"""

from __future__ import annotations

import gzip
import random
import ssl

import anyio
import attrs
import httpx2
import pytest
from anyio.lowlevel import checkpoint
from tests.support.wire_server import Peer, serving

from manystream.engine.api.http import HttpTransport

pytestmark = pytest.mark.anyio

CASES = 100
POISON = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
NEXT = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext"


@attrs.frozen
class Case:
    """An answer: the bytes, in the pieces in which they are sent, and what is to be said of them."""

    pieces: list[bytes]
    close: bool
    whole: bool
    """Whether none of it was cut off."""
    right: bool
    """Whether it is as HTTP has it."""
    until_close: bool
    """Whether its end is the connection's: then nobody can tell that it was cut."""


def made(seed: int) -> Case:
    """A case, the same for the same seed."""
    chance = random.Random(seed)

    def odds(share: float) -> bool:
        return chance.random() < share

    def case(name: str) -> str:
        return chance.choice([name, name.lower(), name.upper()])

    body = chance.randbytes(chance.choice([0, 1, 17, 300, 70_000])) if odds(0.5) else b"data: {}\n\n" * 20
    status = chance.choice(["200 OK", "200 ", "201 Created", "404 Not Found", "529 Overloaded"])
    headers = [f"{case('X-Some')}: {'v' * chance.randrange(30)}" for _ in range(chance.randrange(4))]
    if odds(0.2):
        headers.append("Content-Encoding: gzip")
        body = gzip.compress(body)
    framing = chance.choice(["length", "chunked", "close"])
    if framing == "length":
        headers.append(f"{case('Content-Length')}:{' ' * chance.randrange(3)}{len(body)}")
        data = body
    elif framing == "chunked":
        headers.append(f"{case('Transfer-Encoding')}: chunked")
        data = b""
        left = body
        while left:
            size = chance.randrange(1, len(left) + 1)
            extension = chance.choice([b"", b"", b";a=b", b';c="d e"'])
            data += b"%x%b\r\n%b\r\n" % (size, extension, left[:size])
            left = left[size:]
        data += b"0\r\n" + (b"x-trailer: 1\r\n" if odds(0.3) else b"") + b"\r\n"
    else:
        data = body
        if odds(0.5):
            headers.append("Connection: close")
    if framing == "length" and odds(0.15):
        headers.append(f"{case('Content-Length')}: {len(body)}, {len(body)}" if odds(0.5) else headers[-1])
    if odds(0.2):
        headers.append(f"X-Folded: a{chance.choice(['', ' '])}\r\n{chance.choice([' ', chr(9)])} b\r\n  c")
    chance.shuffle(headers)
    before = b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n" if odds(0.2) else b""
    sent = before + "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + data
    right = whole = True
    close = framing == "close"
    if odds(0.25):
        sent, close, whole = sent[: chance.randrange(len(sent))], True, False
    elif odds(0.2):
        at = chance.randrange(min(len(sent), 400))
        junk = chance.choice([b"\r", b"\n", b"\x00", b" ", b"\r\n", b"z", b"9", b":", b"\xff"])
        sent, right, close = sent[:at] + junk + sent[at + chance.randrange(2) :], False, True
    elif odds(0.15) and framing != "close":
        sent, right = (
            sent + chance.choice([b"\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison", b"junk"]),
            False,
        )
    cuts = sorted(chance.randrange(len(sent) + 1) for _ in range(chance.choice([0, 0, 1, 3])))
    pieces = [sent[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    return Case([piece for piece in pieces if piece], close, whole, right, framing == "close")


async def answer(peer: Peer) -> None:
    """To `/N` the case of that seed, to all else the same short answer."""
    path = peer.requested.split(b" ", 2)[1]
    if path == b"/next":
        await peer.send(NEXT)
        return
    case = made(int(path[1:]))
    for piece in case.pieces:
        await peer.stream.send(piece)
        for _ in range(5):  # in which the client may read it by itself
            await checkpoint()
    if case.close:
        await peer.close()


async def outcome(client: httpx2.AsyncClient, url: str) -> tuple[int, bytes] | type[Exception]:
    try:
        with anyio.fail_after(10):
            response = await client.get(url)
    except httpx2.HTTPError as exc:
        return type(exc)
    return response.status_code, response.content


async def test_answers_right_and_wrong() -> None:
    context = ssl.create_default_context()
    async with (
        serving(answer) as server,
        httpx2.AsyncClient(transport=HttpTransport(ssl_context=context)) as ours,
        httpx2.AsyncClient(verify=context, limits=httpx2.Limits(max_keepalive_connections=0)) as theirs,
    ):
        url = f"http://127.0.0.1:{server.port}"
        for seed in range(CASES):
            case = made(seed)
            found, expected = await outcome(ours, f"{url}/{seed}"), await outcome(theirs, f"{url}/{seed}")
            if case.right and case.whole:
                assert found == expected, seed
                assert not isinstance(found, type), seed
            elif not isinstance(found, type):
                unread = found[0] >= 300 and found[1] == b""  # an error whose encoding is none that we read
                assert found == expected or isinstance(expected, type) or unread, seed
                assert case.whole or case.until_close, seed
            # Whatever came, the next request gets its own answer.
            assert await outcome(ours, f"{url}/next") == (200, b"next"), seed
