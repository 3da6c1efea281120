"""Who may ask a gateway for what: decided from heads alone."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from manystream.engine.gateway.foreign import key_in
from manystream.engine.serve import Rules, is_loopback
from manystream.engine.serve.asked import Asked

TOKEN = "a-token-of-24-letters-ok"
OPEN = Rules()
GUARDED = Rules(token=TOKEN)
HOLDING = Rules(token=TOKEN, holds_key=True, allowed=("/v1/files",))
CAPPED = Rules(capped=True)


def status_of(rules: Rules, target: str = "/v1/messages", method: str = "POST", **headers: str) -> int | None:
    pairs = {"host": "localhost:8787", **{name.replace("_", "-"): value for name, value in headers.items()}}
    asked = Asked(
        method=method,
        target=target,
        headers=[(name.encode(), value.encode("latin-1")) for name, value in pairs.items() if value != "none"],
    )
    answer = rules.refusal(asked)
    return None if answer is None else answer.status


@pytest.mark.parametrize("host", ["localhost", "LocalHost:8787", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8787"])
def test_names_of_this_machine(host: str) -> None:
    assert status_of(OPEN, host=host) is None


@pytest.mark.parametrize(
    "host", ["evil.com", "evil.com:8787", "localhost.evil.com", "127.0.0.1.evil.com", "0.0.0.0", "", "[::2]:1", "a:b:c"]
)
def test_a_page_that_has_bound_its_name_to_this_machine(host: str) -> None:
    assert status_of(OPEN, host=host) == 403
    assert status_of(OPEN, "/stats", "GET", host=host) == 403
    assert status_of(OPEN, "/", "GET", host=host) == 403


def test_names_that_are_allowed() -> None:
    rules = Rules(hosts=frozenset(["box.lan"]), token=TOKEN)
    assert status_of(rules, host="Box.lan:80", manystream_token=TOKEN) is None
    assert status_of(rules, host="box.lan.evil", manystream_token=TOKEN) == 403


def test_one_host() -> None:
    twice = Asked(method="GET", target="/stats", headers=[(b"host", b"localhost"), (b"Host", b"localhost")])
    answer = OPEN.refusal(twice)
    assert answer is not None
    assert answer.status == 400
    assert status_of(OPEN, host="none") == 400
    assert OPEN.refusal(Asked(method="GET", target="/stats", headers=[], version="1.0")) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.com"},
        {"origin": "null"},
        {"origin": "http://localhost:8787"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"},
    ],
)
def test_web_pages(headers: dict[str, str]) -> None:
    for target, method in (("/v1/messages", "POST"), ("/stats", "GET"), ("/v1/models", "GET"), ("/", "GET")):
        assert status_of(OPEN, target, method, **headers) == 403


def test_its_own_page() -> None:
    assert status_of(OPEN, "/stats", "GET", sec_fetch_site="same-origin") is None
    assert status_of(OPEN, "/", "GET", sec_fetch_site="none") is None
    assert status_of(OPEN, "/", "GET", sec_fetch_site="cross-site", sec_fetch_mode="navigate") is None
    assert status_of(OPEN, "/stats", "GET", sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 403
    assert status_of(OPEN, "/", "POST", sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 403


def test_health_is_for_everybody() -> None:
    for rules in (OPEN, GUARDED, HOLDING, CAPPED):
        assert status_of(rules, "/health", "GET", host="10.0.0.7:8787", origin="http://evil.com") is None


@pytest.mark.parametrize("target", ["http://evil.com/v1/messages", "*", "evil.com:443", "//", ""])
def test_it_is_no_proxy(target: str) -> None:
    expected = None if target == "//" else 400
    assert status_of(OPEN, target) == expected
    assert status_of(OPEN, "localhost:443", "CONNECT") == 400


def basic(password: str) -> str:
    return "Basic " + b64encode(f"me:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("rules", "headers", "status"),
    [
        (GUARDED, {}, 401),
        (GUARDED, {"manystream_token": TOKEN}, None),
        (GUARDED, {"manystream_token": TOKEN[:-1]}, 401),
        (GUARDED, {"manystream_token": TOKEN + "x"}, 401),
        (GUARDED, {"manystream_token": ""}, 401),
        (GUARDED, {"manystream_token": "ü"}, 401),
        (GUARDED, {"x_api_key": TOKEN}, 401),  # there the caller's own key is
        (GUARDED, {"authorization": f"Bearer {TOKEN}"}, 401),
        (GUARDED, {"authorization": basic(TOKEN)}, 401),
        (HOLDING, {"x_api_key": TOKEN}, None),
        (HOLDING, {"authorization": f"Bearer {TOKEN}"}, None),
        (HOLDING, {"authorization": f"bearer  {TOKEN} "}, None),
        (HOLDING, {"manystream_token": TOKEN}, None),
        (HOLDING, {"x_api_key": "sk-ant-other"}, 401),
        (HOLDING, {"authorization": TOKEN}, 401),
        (HOLDING, {"authorization": basic(TOKEN)}, 401),
    ],
)
def test_the_token(rules: Rules, headers: dict[str, Any], status: int | None) -> None:
    assert status_of(rules, **headers) == status
    assert TOKEN not in repr(rules)


@pytest.mark.parametrize("path", ["/", "/stats"])
def test_a_browser_gives_the_token_as_a_password(path: str) -> None:
    for rules in (GUARDED, HOLDING):
        assert status_of(rules, path, "GET") == 401
        assert status_of(rules, path, "GET", authorization=basic(TOKEN)) is None
        for wrong in (basic("other"), "Basic !", "Basic " + b64encode(TOKEN.encode()).decode()):
            assert status_of(rules, path, "GET", authorization=wrong) == 401
        refused = rules.refusal(Asked(method="GET", target=path, headers=[(b"host", b"localhost")]))
        assert refused is not None
        assert (b"www-authenticate", b'Basic realm="manystream"') in refused.headers


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", "/v1/messages", None),
        ("POST", "/v1/messages?beta=true", None),
        ("POST", "/v1/messages/count_tokens", None),
        ("GET", "/v1/models", None),
        ("HEAD", "/v1/models", None),
        ("GET", "/v1/models?limit=5", None),
        ("GET", "/v1/models/claude-opus-5-5", None),
        ("GET", "/v1/files", None),
        ("DELETE", "/v1/files/file_1", None),
        ("GET", "/v1/files/file_1/content", None),
        ("GET", "/v1/filesystem", 403),
        ("GET", "/v1/messages", 403),
        ("POST", "/v1/models", 403),
        ("POST", "/v1/messages/batches", 403),
        ("GET", "/v1/organizations/users", 403),
        ("POST", "/x/v1/messages", 403),
        ("POST", "/v1/messages/", 400),
        ("GET", "/v1/files/../organizations", 400),
        ("GET", "/v1/files/./x", 400),
        ("GET", "/v1/files/%2e%2e/organizations", 400),
        ("GET", "/v1/files/..%2forganizations", 400),
        ("GET", "/v1/files\\..\\organizations", 400),
        ("GET", "/v1//models", 400),
    ],
)
def test_what_is_done_with_a_key_that_is_held(method: str, target: str, status: int | None) -> None:
    assert status_of(HOLDING, target, method, x_api_key=TOKEN) == status
    assert status_of(OPEN, target, method) is None, "with their own keys callers ask what they like"


def test_what_passes_by_a_cap() -> None:
    for target in ("/v1/messages/batches", "/v1/messages/batches?beta=true", "/v1/complete"):
        assert status_of(CAPPED, target) == 400
    for target in ("/v1/messages/batches/", "/v1//messages/batches", "/v1/./messages/batches"):
        assert status_of(CAPPED, target) == 400
    assert status_of(CAPPED, "/v1/messages/batches", "GET") is None
    assert status_of(CAPPED, "/v1/messages/count_tokens") is None
    assert status_of(OPEN, "/v1/messages/batches") is None


def test_a_loop() -> None:
    rules = Rules(via=b"manystream-1")
    assert status_of(rules, via="1.1 manystream-2") is None
    assert status_of(rules, via="1.1 manystream-11") is None
    assert status_of(rules, via="1.1 proxy, 1.1 manystream-1") == 508


def test_addresses_of_this_machine() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.0.0.2", "::1", "localhost", "LOCALHOST"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "box.lan", ""]))


def test_one_key_under_a_cap() -> None:
    assert status_of(CAPPED, x_api_key="a") is None
    assert status_of(CAPPED, x_api_key="a", authorization="Bearer b") == 400
    assert status_of(OPEN, x_api_key="a", authorization="Bearer b") is None


def test_a_key_is_the_same_however_its_scheme_is_spelled() -> None:
    spelled = ["Bearer k", "bearer k", "BEARER  k ", " Bearer k"]
    assert {key_in([(b"Authorization", value.encode())]) for value in spelled} == {"k"}
    assert key_in([(b"X-Api-Key", b" k ")]) == "k"
    assert key_in([]) is None
