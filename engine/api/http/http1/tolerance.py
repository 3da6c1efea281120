"""Mends what RFC 9112 allows in a response's head and llhttp refuses: folded headers, and a length that is given twice.

A head that was refused for either is rewritten without it, and goes through the strict parser again. Other heads never
come here.
"""

import re

__all__ = ["is_mendable", "mend"]

_MENDABLE = re.compile(
    rb"\r\n[ \t]|\r\ncontent-length[^\r\n]*(?:,|\r\n(?:.*\r\n)?content-length)", re.IGNORECASE | re.DOTALL
)
_INFORMATIONAL = re.compile(rb"HTTP/1\.[01] 1[0-9]{2}\b")
_DIGITS = re.compile(rb"[0-9]+")
_SPACE = b" \t"


def is_mendable(received: bytes | bytearray) -> bool:
    """Whether the part of a head that was received holds something to mend."""
    return _MENDABLE.search(received) is not None


def mend(received: bytes) -> bytes:
    """What was received of a response, with its head mended, and those of the informational responses before it.
    Returns nothing as long as the head is incomplete."""
    heads: list[bytes] = []
    begin = 0
    while True:
        end = received.find(b"\r\n\r\n", begin)
        if end < 0:
            return b""
        head = received[begin:end]
        heads.append(b"\r\n".join(_mended(head.split(b"\r\n"))))
        begin = end + 4
        if not _INFORMATIONAL.match(head):
            return b"\r\n\r\n".join([*heads, received[begin:]])


def _mended(lines: list[bytes]) -> list[bytes]:
    return [lines[0], *_with_one_length(_unfolded(lines[1:]))]


def _unfolded(lines: list[bytes]) -> list[bytes]:
    """Puts each header into one line: a fold becomes a space (RFC 9112, 5.2)."""
    fields: list[list[bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] = fields[-1] if len(fields[-1]) > 1 else [fields[-1][0].rstrip(_SPACE)]
            if more := line.strip(_SPACE):
                fields[-1].append(more)
        else:
            fields.append([line])
    return [b" ".join(parts) for parts in fields]


def _with_one_length(fields: list[bytes]) -> list[bytes]:
    """The headers with one Content-Length, if all that they give are equal (RFC 9112, 6.3)."""
    said = [field for field in fields if field[:15].lower() == b"content-length:"]
    lengths = {length.strip(_SPACE) for field in said for length in field[15:].split(b",")}
    if len(lengths) != 1:
        return fields
    (length,) = lengths
    if not _DIGITS.fullmatch(length):
        return fields
    rest = [field for field in fields if field not in said]
    return [*rest, b"%b %b" % (said[0][:15], length)]
