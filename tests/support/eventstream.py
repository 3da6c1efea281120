"""Amazon's eventstream, written: the frames in which the legacy Bedrock API sends a stream."""

import base64
import binascii
import json
import struct

__all__ = ["event_frame", "exception_frame", "frame"]


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One message of AWS's eventstream: two lengths, a checksum, headers of type string, the payload, a checksum."""
    head = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack("!I", binascii.crc32(prelude)) + head + payload
    return message + struct.pack("!I", binascii.crc32(message))


def event_frame(data: bytes) -> bytes:
    payload = json.dumps({"bytes": base64.b64encode(data).decode(), "p": "abc"}).encode()
    headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, payload)


def exception_frame(kind: str, message: str) -> bytes:
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps({"message": message}).encode())
