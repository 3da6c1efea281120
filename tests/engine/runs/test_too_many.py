"""How many failures are too many."""

from __future__ import annotations

import pytest

from manystream.engine.runs.too_many import MaxFailures


def test_a_number() -> None:
    limit = MaxFailures.of("20")
    assert MaxFailures.of(20) == limit
    assert str(limit) == "20"
    assert [limit.reached(failed, failed) for failed in (1, 19, 20, 21)] == [False, False, True, True]


def test_a_share_counts_once_fifty_have_ended() -> None:
    limit = MaxFailures.of("10%")
    assert str(limit) == "10%"
    assert not limit.reached(49, 49)
    assert [limit.reached(failed, 50) for failed in (4, 5, 50)] == [False, True, True]
    assert MaxFailures.of("0.5 %").reached(1, 200)
    assert not MaxFailures.of("100%").reached(99, 100)


@pytest.mark.parametrize("said", ["", "0", "0%", "-1", "five", "5%%", "101%", "1.5", "٣%%"])
def test_what_is_neither(said: str) -> None:
    with pytest.raises(ValueError, match="a number of failures such as 20, or a share of the answers such as 5%, not "):
        MaxFailures.of(said)
