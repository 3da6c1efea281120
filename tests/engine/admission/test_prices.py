"""Prices are the provider's, or the caller's own; and a spend cap counts exactly."""

import socket
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manystream.actors.message.usage import Usage, usage_from_json
from manystream.engine.admission.spend_cap import SpendCap
from manystream.engine.prices import Price, Prices

MILLION = 1_000_000
EACH = Usage(
    input_tokens=MILLION,
    output_tokens=MILLION,
    cache_creation_input_tokens=MILLION,
    cache_read_input_tokens=MILLION,
)


def usage(**figures: Any) -> Usage:
    return usage_from_json(figures)


@pytest.mark.parametrize("name", ["claude-opus-5-5", "claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5"])
def test_current_models_have_a_price_without_the_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a price needs no network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    price = Prices().price(name)
    assert price is not None
    assert 0 < price.cache_read < price.input < price.cache_write < price.output
    small = Usage(input_tokens=1000, output_tokens=100, cache_creation_input_tokens=50, cache_read_input_tokens=70)
    assert Prices().cost(name, small) == pytest.approx(price.cost(small))


def test_a_known_price() -> None:
    prices = Prices()
    assert prices.price("claude-haiku-4-5") == Price(1, 5, 1.25, 0.1)
    assert prices.cost("claude-haiku-4-5", EACH) == pytest.approx(1 + 5 + 1.25 + 0.1)
    assert prices.cost("claude-haiku-4-5", Usage()) == 0


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
    ],
)
def test_the_names_of_other_platforms(name: str, plain: str) -> None:
    price = Prices().price(name)
    assert price is not None
    assert price == Prices().price(plain)


def test_a_region_of_bedrock_has_its_own_price() -> None:
    regional = Prices().price("us.anthropic.claude-sonnet-4-5-20250929-v1:0")
    usual = Prices().price("claude-sonnet-4-5")
    assert regional is not None
    assert usual is not None
    assert regional.input == pytest.approx(1.1 * usual.input)


def test_what_makes_a_request_dearer() -> None:
    prices = Prices()

    def cost(name: str, **figures: Any) -> float:
        dollars = prices.cost(name, usage(**figures))
        assert dollars is not None
        return dollars

    written = {"input_tokens": 0, "cache_creation_input_tokens": 1000}
    hour = {"cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600}}
    assert cost("claude-haiku-4-5", **written, **hour) == pytest.approx((400 * 1.25 + 600 * 2) / MILLION)
    assert cost("claude-haiku-4-5", server_tool_use={"web_search_requests": 3}) == pytest.approx(0.03)
    assert cost("claude-opus-5-5", output_tokens=100, speed="fast") > cost("claude-opus-5-5", output_tokens=100)
    assert cost("claude-opus-5-5", output_tokens=100, speed="standard") == cost("claude-opus-5-5", output_tokens=100)
    assert cost("claude-haiku-5-5", input_tokens=200_000) > 2 * cost("claude-haiku-5-5", input_tokens=100_000)


@pytest.mark.parametrize("name", ["claude-of-tomorrow", "gpt-5", "anthropic.claude-of-tomorrow-v1:0", ""])
def test_nobody_knows_the_price(name: str) -> None:
    prices = Prices()
    for _ in range(2):
        assert prices.price(name) is None
        assert prices.cost(name, EACH) is None


def test_own_prices_go_first() -> None:
    prices = Prices({"claude-haiku-4-5": Price(10, 20), "mine": Price(1, 2, cache_write=3, cache_read=4)})
    assert prices.price("claude-haiku-4-5") == Price(10, 20, 12.5, 1)
    assert prices.cost("claude-haiku-4-5", EACH) == pytest.approx(10 + 20 + 12.5 + 1)
    assert prices.cost("mine", EACH) == pytest.approx(1 + 2 + 3 + 4)
    hour = usage(cache_creation_input_tokens=MILLION, cache_creation={"ephemeral_1h_input_tokens": MILLION})
    assert prices.cost("claude-haiku-4-5", hour) == pytest.approx(2 * 10)
    assert prices.price("claude-sonnet-4-5") == Prices().price("claude-sonnet-4-5")
    assert Price(0, 0).cost(EACH) == 0


def test_a_price_is_not_below_zero() -> None:
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="output is dollars per million tokens"):
            Price(1, wrong)
        with pytest.raises(ValueError, match="cache_read is dollars per million tokens"):
            Price(1, 1, cache_read=wrong)


@pytest.mark.parametrize("prices", [Prices(), Prices({"claude-haiku-4-5": Price(1, 5)})])
@pytest.mark.parametrize(
    "figures",
    [
        {"input_tokens": -5, "cache_read_input_tokens": -7},
        {"cache_creation": {"ephemeral_1h_input_tokens": 9}},
        {"cache_creation": [], "server_tool_use": {"web_search_requests": "many"}, "speed": {}},
        {"cache_creation": {"ephemeral_1h_input_tokens": -9}, "server_tool_use": None, "speed": "unheard-of"},
    ],
)
def test_odd_figures_cost_nothing(prices: Prices, figures: dict[str, Any]) -> None:
    assert prices.cost("claude-haiku-4-5", usage(**figures)) == 0


def test_the_price_list_is_read_when_a_price_is_asked_for() -> None:
    code = (
        "import sys; from manystream.engine.prices import Price, Prices;"
        "from manystream.actors.message.usage import Usage;"
        "prices = Prices({'mine': Price(1, 1)}); assert prices.cost('mine', Usage()) == 0;"
        "assert 'genai_prices' not in sys.modules;"
        "assert prices.price('claude-haiku-4-5'); assert 'genai_prices' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_cap_is_used_up() -> None:
    cap = SpendCap(1)
    assert (cap.dollars, cap.spent, cap.reserved) == (1, 0, 0)
    assert cap.room_for(1)
    assert not cap.room_for(1.01)
    cap.reserve(0.6)
    assert cap.room_for(0.4)
    assert not cap.room_for(0.41)
    assert not cap.reached_by(0.41)  # what is reserved may come back
    cap.settle(0.6, 0.3)
    assert (cap.spent, cap.reserved) == (0.3, 0)
    assert cap.room_for(0.7)
    assert not cap.reached_by(0.7)
    assert cap.reached_by(0.71)
    cap.reserve(0.7)
    cap.settle(0.7, 0.9)  # the estimate was too low
    assert cap.spent == 1.2
    assert cap.reached_by(0)


def test_what_was_spent_elsewhere_counts() -> None:
    cap = SpendCap(1)
    cap.count(0.7)
    assert (cap.spent, cap.reserved) == (0.7, 0)
    assert cap.room_for(0.3)
    assert cap.reached_by(0.31)
    with pytest.raises(ValueError, match="an amount is a number of dollars"):
        cap.count(-1)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf")])
def test_a_cap_is_above_zero(wrong: float) -> None:
    with pytest.raises(ValueError, match="a number of dollars above 0"):
        SpendCap(wrong)


def test_amounts_that_make_no_sense() -> None:
    cap = SpendCap(1)
    cap.reserve(0.5)
    for wrong in (-0.1, float("nan"), float("inf")):
        for act in (cap.reserve, cap.room_for, partial(cap.settle, 0.5)):
            with pytest.raises(ValueError, match="an amount is a number of dollars"):
                act(wrong)
    with pytest.raises(ValueError, match=r"only 0\.5 are reserved"):
        cap.settle(0.6, 0.1)
    assert (cap.spent, cap.reserved) == (0, 0.5)


dollars = st.floats(0, 0.3)


@given(st.lists(st.tuples(dollars, st.floats(0, 1), st.booleans())))
def test_estimates_that_hold_keep_the_cap(requests: list[tuple[float, float, bool]]) -> None:
    cap = SpendCap(1)
    running: list[tuple[float, float]] = []
    for estimate, share, ends in requests:
        if cap.room_for(estimate):
            cap.reserve(estimate)
            running.append((estimate, estimate * share))
        if ends and running:
            cap.settle(*running.pop(0))
        assert cap.spent + cap.reserved <= 1 + 1e-9
    for one in running:
        cap.settle(*one)
    assert cap.reserved == 0  # exactly, or the end of the run would never be seen
    assert cap.spent <= 1


def test_ten_times_ten_cents_are_a_dollar() -> None:
    cap = SpendCap(1)
    for _ in range(10):
        assert cap.room_for(0.1)
        cap.reserve(0.1)
    assert not cap.room_for(1e-9)
