"""The encoder of heads: what it remembers is what HPACK's own would write, whatever came between."""

import random

from hpack import Encoder, HeaderTuple, NeverIndexedHeaderTuple

from manystream.engine.api.http.http2.encoder import RememberingEncoder

NAMES = [b":method", b":path", b"accept", b"x-api-key", b"x-one", b"x-two", b"content-length"]
VALUES = [b"POST", b"/", b"a", b"b" * 30, b"c" * 200, b"d" * 900]
SIZES = [4096, 512, 64, 0, 4096]


def test_it_writes_what_hpack_writes() -> None:
    for seed in range(8):
        chance = random.Random(seed)
        ours, theirs = RememberingEncoder(), Encoder()
        repeated: list[list[HeaderTuple]] = []
        for _ in range(60):
            if chance.random() < 0.05:
                for size in chance.choices(SIZES, k=2):
                    ours.header_table_size = theirs.header_table_size = size
                    assert ours.header_table_size == size
            if not repeated or chance.random() < 0.3:
                kinds = [chance.choice([HeaderTuple, NeverIndexedHeaderTuple]) for _ in range(8)]
                repeated.append([kind(chance.choice(NAMES), chance.choice(VALUES)) for kind in kinds])
            length = NeverIndexedHeaderTuple(b"content-length", b"%d" % chance.randrange(300))
            fields = [*chance.choice(repeated), length]
            assert ours.encode(fields) == theirs.encode(fields)


def test_what_it_remembers_is_bounded() -> None:
    encoder = RememberingEncoder()
    for number in range(1000):
        encoder.encode([NeverIndexedHeaderTuple(b"content-length", b"%d" % number)])
    assert len(encoder._written) <= 100  # pyright: ignore[reportPrivateUsage]
