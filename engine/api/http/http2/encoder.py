"""How the heads of requests are written: as HPACK's encoder does it, which is quicker for what it wrote before.

Requests to a server differ in a header or two. To look each field up in the compression's table, and to write it, is
most of the work of opening a stream. But while the table stays as it is, the same field is the same bytes.
"""

from hpack import Encoder

__all__ = ["RememberingEncoder"]

_MOST = 100  # fields: those with a value of their own each time, such as a body's length, would pile up
_INDEXED = 0x80  # in the first byte: the field stands in the table, which stays as it is (RFC 7541, 6.1)


class RememberingEncoder(Encoder):
    """An encoder that remembers what it wrote, until the table changes."""

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[tuple[tuple[bytes, bytes], bool, bool], bytes] = {}

    @property
    def header_table_size(self) -> int:
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        self._written.clear()
        Encoder.header_table_size.__set__(self, value)

    def add(self, to_add: tuple[bytes, bytes], sensitive: bool, huffman: bool = False) -> bytes:
        key = (to_add, sensitive, huffman)
        written = self._written.get(key)
        if written is None:
            written = super().add(to_add, sensitive, huffman)
            if not (sensitive or written[0] & _INDEXED) or len(self._written) >= _MOST:
                self._written.clear()  # the field was put into the table, and moved the others in it
            else:
                self._written[key] = written
        return written
