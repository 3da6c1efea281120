"""The names private to the anthropic package are where we use them. A release without one of them fails here first."""

from importlib.util import find_spec

import anthropic
import httpx2
import pytest

from manystream.engine.api import sdk_internals
from manystream.engine.api.untouched import Untouched

RELEASE = f"anthropic {anthropic.__version__}"


@pytest.fixture
def client() -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key="k", http_client=httpx2.AsyncClient(verify=False))


@pytest.mark.parametrize("name", sdk_internals.REQUEST_METHODS)
def test_a_client_has_the_methods_that_requests_go_through(name: str) -> None:
    assert hasattr(anthropic.AsyncAnthropic, name), f"{RELEASE} has no AsyncAnthropic.{name}"


def test_all_asynchronous_clients_are_of_one_class(client: anthropic.AsyncAnthropic) -> None:
    assert find_spec("anthropic._base_client"), f"{RELEASE} has no module anthropic._base_client"
    assert sdk_internals.is_async_client(client), f"{RELEASE}: AsyncAnthropic is no AsyncAPIClient"
    assert not sdk_internals.is_async_client(anthropic.Anthropic(api_key="k"))


def test_a_client_holds_its_http_client(client: anthropic.AsyncAnthropic) -> None:
    assert hasattr(client, "_client"), f"{RELEASE} has no AsyncAnthropic._client"
    assert isinstance(sdk_internals.http_client_of(client), httpx2.AsyncClient), f"{RELEASE}: another HTTP client"


def test_a_client_makes_the_error_of_a_status(client: anthropic.AsyncAnthropic) -> None:
    name = "_make_status_error_from_response"
    assert hasattr(client, name), f"{RELEASE} has no AsyncAnthropic.{name}"
    response = httpx2.Response(429, json={"error": {}}, request=httpx2.Request("POST", "http://x"))
    assert isinstance(sdk_internals.status_error(client, response), anthropic.RateLimitError), RELEASE


def test_the_streaming_route_knows_what_create_is_now(client: anthropic.AsyncAnthropic) -> None:
    async def create() -> None: ...

    before = sdk_internals.streaming_route(client.messages)
    assert before.create.__wrapped__ == client.messages.create, f"{RELEASE}: with_streaming_response is another thing"
    vars(client.messages)["create"] = create
    assert sdk_internals.streaming_route(client.messages).create.__wrapped__ is create, f"{RELEASE} keeps it elsewhere"


def test_there_is_a_decoder_of_event_streams() -> None:
    pytest.importorskip("botocore")
    name = "anthropic.lib.bedrock._stream_decoder"
    assert find_spec(name), f"{RELEASE} has no module {name}"
    assert hasattr(sdk_internals.eventstream_decoder(), "aiter_bytes"), f"{RELEASE}: its decoder is another thing"


@pytest.mark.parametrize("beta", [False, True])
def test_a_client_is_known_as_it_was_published(client: anthropic.AsyncAnthropic, beta: bool) -> None:
    release = f"{RELEASE}, httpx2 {httpx2.__version__}"
    assert Untouched(client)(beta=beta), f"the methods of {release} do not lie in their packages"
