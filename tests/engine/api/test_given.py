"""What is wrong with a URL is told without the password or the token in it."""

import traceback

import httpx2
import pytest
from tests.support.secret_urls import SECRET, SECRET_URLS

from manystream import AnthropicModel
from manystream.engine.api.given import check_base_url
from manystream.engine.api.shown_url import shown_url


def everything_said(exc: BaseException | None) -> str:
    """Of an error and of all that led to it, also where a traceback would not show it."""
    said = ""
    while exc is not None:
        said += f"{exc!r} {exc} {''.join(traceback.format_exception_only(exc))}"
        exc = exc.__cause__ or exc.__context__
    return said


@pytest.mark.parametrize("url", SECRET_URLS)
def test_no_secret_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        AnthropicModel("claude-opus-5-5", api_key="k", base_url=url)
    assert SECRET not in everything_said(caught.value)
    assert SECRET not in shown_url(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gw.example/v1", "X 'gw.example/v1' has no scheme: write https://gw.example/v1"),
        (
            "http://exa..mple",
            "X 'http://exa..mple' names a host that can't be: its name has letters, digits, hyphens and dots",
        ),
        ("http://1.2.3", "X 'http://1.2.3' names a host that looks like an IP address, but is none"),
        ("http://[::g]", "X 'http://***' can't be read as a URL"),
        ("http://gw:99999", "X 'http://gw:99999' has a port that is no number from 1 to 65535"),
        ("http://gw:x", "X 'http://gw:***' has a port that is no number from 1 to 65535"),
        ("http://me:you@gw:0/a", "X '***@gw:0/a' has a port that is no number from 1 to 65535"),
        ("http://gw/#x", "X 'http://gw/' has a fragment, which no server sees: leave it out"),
        (
            "https://gw/v1/messages?a=b",
            "X 'https://gw/v1/messages' holds /v1/messages, which is added to it: leave that out",
        ),
    ],
)
def test_what_is_wrong_with_a_url(url: str, said: str) -> None:
    with pytest.raises(ValueError, match="X") as caught:
        check_base_url("X", url)
    assert str(caught.value) == said


def test_a_url_that_a_client_used_is_shown_with_its_path() -> None:
    url = "https://user:hunter2@gw.example:8/v1/models/claude-opus-5-5@20990101:rawPredict?token=hunter2#hunter2"
    assert shown_url(httpx2.URL(url)) == "https://gw.example:8/v1/models/claude-opus-5-5@20990101:rawPredict"
