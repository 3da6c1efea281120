"""Models: what an `AnthropicModel` is made of, what it refuses, and what it sends."""

import copy
import inspect
import pickle
import subprocess
import sys
from typing import Any, cast

import anthropic
import httpx
import httpx2
import pytest
from anthropic.lib.bedrock import AsyncAnthropicBedrock, AsyncAnthropicBedrockMantle
from anthropic.lib.vertex import AsyncAnthropicVertex
from anthropic.resources.beta.messages import AsyncMessages as BetaMessages
from anthropic.resources.messages import AsyncMessages

from manystream import AnthropicModel, Engine, MissingCredentialsError, StreamRequest
from manystream.engine.api.parameters import sdk_parameters
from manystream.engine.api.shared_client import acquire_shared_client

pytestmark = pytest.mark.anyio

CREDENTIALS = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_PROFILE",
    "ANTHROPIC_IDENTITY_TOKEN",
    "ANTHROPIC_IDENTITY_TOKEN_FILE",
    "ANTHROPIC_FEDERATION_RULE_ID",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_BASE_URL",
]


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("ANTHROPIC_CONFIG_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # where the SDK looks for profiles
    monkeypatch.setenv("APPDATA", str(tmp_path))


def sdk_client(**arguments: Any) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key="key", http_client=httpx2.AsyncClient(verify=False), **arguments)


def test_its_name_and_its_maker() -> None:
    model = AnthropicModel("claude-opus-5-5", api_key="secret")
    assert (model.model_name, model.system, model.limits_pool) == ("claude-opus-5-5", "anthropic", None)
    assert AnthropicModel("claude-opus-5-5", limits_pool="shared").limits_pool == "shared"
    assert "secret" not in repr(model)
    assert "claude-opus-5-5" in repr(model)
    assert "secret" not in repr(Engine(model))
    assert "secret" not in repr(StreamRequest("Hi", model=model))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"api_key": "key"}, "anthropic_client excludes api_key"),
        ({"base_url": "http://127.0.0.1"}, "anthropic_client excludes base_url"),
        ({"http_client": httpx2.AsyncClient(verify=False)}, "anthropic_client excludes http_client"),
        ({"api_key": "key", "base_url": "http://127.0.0.1"}, "excludes api_key and base_url"),
    ],
    ids=["api_key", "base_url", "http_client", "two"],
)
def test_an_sdk_client_excludes_the_rest(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        AnthropicModel("claude-opus-5-5", anthropic_client=sdk_client(), **arguments)


def test_a_key_and_an_http_client_go_together() -> None:
    AnthropicModel("claude-opus-5-5", api_key="k", http_client=httpx2.AsyncClient(verify=False), base_url="http://x")
    AnthropicModel("claude-opus-5-5", http_client=httpx.AsyncClient(verify=False))


@pytest.mark.parametrize("client", [object(), anthropic.Anthropic(api_key="k"), httpx2.AsyncClient(verify=False)])
def test_what_is_no_sdk_client(client: Any) -> None:
    with pytest.raises(TypeError, match="asynchronous client of the anthropic package"):
        AnthropicModel("claude-opus-5-5", anthropic_client=client)


@pytest.mark.parametrize("client", [object(), httpx2.Client(verify=False), httpx.Client(verify=False), "http://x"])
def test_what_is_no_http_client(client: Any) -> None:
    with pytest.raises(TypeError, match=r"an httpx2\.AsyncClient.*manystream\[httpx\]"):
        AnthropicModel("claude-opus-5-5", http_client=client)


# -- parameters


def sent(model: AnthropicModel, params: Any, **options: Any) -> dict[str, Any]:
    return model.params_for(StreamRequest(params, **options))


def test_defaults_lie_under_each_request() -> None:
    model = AnthropicModel("claude-opus-5-5", defaults={"max_tokens": 10, "system": "Be brief"})
    messages = [{"role": "user", "content": "Hi"}]
    assert sent(model, "Hi") == {
        "model": "claude-opus-5-5",
        "max_tokens": 10,
        "system": "Be brief",
        "messages": messages,
    }
    assert sent(model, {"messages": messages, "max_tokens": 3, "model": "other"}) == {
        "model": "other",
        "max_tokens": 3,
        "system": "Be brief",
        "messages": messages,
    }
    assert sent(AnthropicModel("m"), {"messages": [], "stream": True}) == {
        "model": "m",
        "max_tokens": 4096,
        "messages": [],
    }


def test_the_defaults_are_what_they_were_when_the_model_was_made() -> None:
    tools = [{"name": "a", "input_schema": {"type": "object"}}]
    model = AnthropicModel("m", defaults={"tools": tools})
    tools[0]["input_schema"] = {}
    tools.append({"name": "b"})
    assert sent(model, {"messages": []})["tools"] == [{"name": "a", "input_schema": {"type": "object"}}]


def test_what_can_be_read_only_once_can_be_sent_twice() -> None:
    request = StreamRequest({"messages": (), "tools": iter([{"name": "a"}])})
    for _ in range(2):
        assert list(AnthropicModel("m").params_for(request)["tools"]) == [{"name": "a"}]


@pytest.mark.parametrize("name", ["stream", "timeout", "model"])
def test_what_defaults_cannot_hold(name: str) -> None:
    with pytest.raises(TypeError, match=f"can't hold '{name}'"):
        AnthropicModel("m", defaults={name: 1})


def test_unknown_parameters() -> None:
    model = AnthropicModel("m")
    with pytest.raises(TypeError, match="no parameter 'temprature'; did you mean 'temperature'"):
        sent(model, {"messages": [], "temprature": 1})
    with pytest.raises(TypeError, match="no parameter 'xyzzy'; newer ones go into extra_body"):
        sent(model, {"messages": [], "xyzzy": 1})
    with pytest.raises(TypeError, match="'mcp_servers' is in beta"):
        sent(model, {"messages": [], "mcp_servers": []})
    assert "mcp_servers" in sent(model, {"messages": [], "mcp_servers": []}, betas=["mcp-client-2025-11-20"])
    with pytest.raises(TypeError, match="did you mean 'system'"):
        sent(AnthropicModel("m", defaults={"sytem": "x"}), "Hi")


# -- clients


def every_client() -> dict[str, Any]:
    http_client = httpx2.AsyncClient(verify=False)
    usual: dict[str, Any] = {"http_client": http_client}
    return {
        "first-party": anthropic.AsyncAnthropic(api_key="k", **usual),
        "Bedrock": AsyncAnthropicBedrock(aws_access_key="a", aws_secret_key="s", aws_region="us-east-1", **usual),
        "Mantle": AsyncAnthropicBedrockMantle(api_key="k", aws_region="us-east-1", **usual),
        "Vertex": AsyncAnthropicVertex(region="us-east5", project_id="p", access_token="t", **usual),
        "Foundry": anthropic.AsyncAnthropicFoundry(api_key="k", resource="r", **usual),
        "AWS": anthropic.AsyncAnthropicAWS(api_key="k", aws_region="us-east-1", workspace_id="w", **usual),
        "Google Cloud": anthropic.AsyncAnthropicGoogleCloud(
            project="p", location="global", workspace_id="w", token_provider=cast("Any", lambda: "t"), **usual
        ),
    }


@pytest.mark.parametrize("name", ["first-party", "Bedrock", "Mantle", "Vertex", "Foundry", "AWS", "Google Cloud"])
async def test_every_client_of_the_sdk_is_accepted(name: str, anyio_backend: str) -> None:
    client = every_client()[name]
    model = AnthropicModel("claude-opus-5-5", anthropic_client=client)
    connection = model.connect()
    copy: Any = connection.client
    assert type(copy) is type(client)
    assert copy is not client
    assert copy.max_retries == 0
    assert copy.timeout.read is None
    assert copy.timeout.connect == 10
    assert copy._client is client._client
    assert copy.messages.with_streaming_response.create is not None
    assert copy.beta.messages.with_streaming_response.create is not None
    await connection.aclose()
    assert not client.is_closed()


@pytest.mark.usefixtures("no_credentials")
async def test_without_credentials(monkeypatch: pytest.MonkeyPatch, anyio_backend: str) -> None:
    model = AnthropicModel("claude-opus-5-5")  # a description: nothing is asked for yet
    with pytest.raises(MissingCredentialsError, match=r"set the environment variable ANTHROPIC_API_KEY.*api_key="):
        async with Engine(model):
            pass
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from-the-environment")
    async with Engine(model):
        pass


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
async def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch, name: str, anyio_backend: str) -> None:
    monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    connection = AnthropicModel("claude-opus-5-5").connect()
    client: Any = connection.client
    assert str(client.base_url) == "http://127.0.0.1:9"
    assert "secret" in str(client.auth_headers)
    await connection.aclose()


# -- imports


@pytest.mark.parametrize("module", ["manystream", "manystream.actors", "manystream.engine"])
def test_what_an_import_costs(module: str) -> None:
    program = (
        f"import sys; import {module};"
        "print([name for name in ('anthropic', 'httpx2', 'httpx', 'aiohttp', 'trio') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("http2", [True, False])
def test_http2_is_a_matter_of_our_own_client(http2: bool) -> None:
    with pytest.raises(TypeError, match="http_client excludes http2"):
        AnthropicModel("m", http_client=httpx2.AsyncClient(verify=False), http2=http2)
    with pytest.raises(TypeError, match="anthropic_client excludes http2"):
        AnthropicModel("m", anthropic_client=anthropic.AsyncAnthropic(api_key="k"), http2=http2)
    model = AnthropicModel("m", api_key="k", http2=http2)
    assert pickle.loads(pickle.dumps(model)).__getstate__()["http2"] is http2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("given", "said", "shares"),
    [
        (None, None, False),
        (None, "1", True),
        (None, " True ", True),
        (None, "off", False),
        (None, "", False),
        (False, "1", False),
        (True, "0", True),
    ],
)
async def test_the_environment_decides_on_http2_unless_it_is_given(
    monkeypatch: pytest.MonkeyPatch, given: bool | None, said: str | None, shares: bool
) -> None:
    monkeypatch.delenv("MANYSTREAM_HTTP2", raising=False)
    if said is not None:
        monkeypatch.setenv("MANYSTREAM_HTTP2", said)
    lease = acquire_shared_client(http2=shares)
    connected = AnthropicModel("m", api_key="k", http2=given).connect()
    assert connected.lease is not None
    assert connected.lease.client is lease.client
    await connected.aclose()
    await lease.aclose()


@pytest.mark.anyio
async def test_an_environment_that_says_nothing_clear_of_http2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYSTREAM_HTTP2", "maybe")
    with pytest.raises(ValueError, match=r"MANYSTREAM_HTTP2 is 1 or 0 .* not 'maybe'"):
        AnthropicModel("m", api_key="k").connect()


def test_actors_know_nothing_of_the_engine() -> None:
    program = (
        "import sys; import manystream.actors; print([n for n in sys.modules if n.startswith('manystream.engine')])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# -- copies


@pytest.mark.usefixtures("no_credentials")
def test_a_pickled_model_is_its_description_without_any_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults: dict[str, Any] = {"system": [{"type": "text", "text": "s"}], "stop_sequences": ("x",)}
    rest: dict[str, Any] = {"defaults": defaults, "limits_pool": "pool", "reuse_heads": False, "http2": None}
    http_client = httpx2.AsyncClient(verify=False)
    for model, left_out in (
        (AnthropicModel("m", base_url="http://gw:8/x", **rest), ()),
        (
            AnthropicModel("m", api_key="SECRET", base_url="http://user:SECRET@gw:8/x", **rest),
            ("api_key", "base_url"),
        ),
        (
            AnthropicModel("m", api_key="SECRET", base_url="http://gw:8/x", http_client=http_client, **rest),
            ("api_key", "http_client"),
        ),
        (
            AnthropicModel("m", anthropic_client=anthropic.AsyncAnthropic(api_key="SECRET"), **rest),
            ("anthropic_client",),
        ),
    ):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            data = pickle.dumps(model, protocol)
            assert b"SECRET" not in data
            again = pickle.loads(data)
            assert (again.model_name, again.limits_pool) == ("m", "pool")
            assert again.params_for(StreamRequest("hi")) == model.params_for(StreamRequest("hi"))
            state = again.__getstate__()
            assert state == {**rest, "model_name": "m", "base_url": state["base_url"], "left_out": left_out}
            assert again.left_out == model.left_out == left_out
            assert state["base_url"] in ("http://gw:8/x", None)
            assert copy.copy(model) is copy.deepcopy(model) is model
    with pytest.raises(TypeError):
        AnthropicModel("m", reuse_head=True)  # pyright: ignore[reportCallIssue]


@pytest.mark.usefixtures("no_credentials")
async def test_an_unpickled_model_takes_the_key_of_its_environment(
    monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> None:
    model = pickle.loads(pickle.dumps(AnthropicModel("m", api_key="there", base_url="http://gw")))
    with pytest.raises(MissingCredentialsError):
        model.connect()
    monkeypatch.setenv("ANTHROPIC_API_KEY", "here")
    connection = model.connect()
    assert connection.client.api_key == "here"
    assert str(connection.client.base_url) == "http://gw"
    await connection.aclose()


def test_defaults_are_what_they_were() -> None:
    schema: dict[str, Any] = {"type": "object", "required": ["a"]}
    defaults: dict[str, Any] = {"tools": [{"name": "t", "input_schema": schema}], "metadata": ({"a": [1]},)}
    model = AnthropicModel("m", defaults=defaults)
    before = copy.deepcopy(model.params_for(StreamRequest("hi")))
    schema["required"].append("b")
    defaults["tools"].append(None)
    defaults["metadata"][0]["a"].append(2)
    defaults["system"] = "new"
    assert model.params_for(StreamRequest("hi")) == before


# -- what was put around the SDK


def test_the_parameters_are_those_that_the_sdks_methods_name() -> None:
    own = {"self", "stream", "timeout", "betas", "extra_headers", "extra_query", "extra_body"}
    for beta, create in ((False, AsyncMessages.create), (True, BetaMessages.create)):
        assert sdk_parameters(beta=beta) == set(inspect.signature(create).parameters) - own, anthropic.__version__


def test_a_wrapper_need_not_say_what_it_takes() -> None:
    program = """
from anthropic.resources.messages import AsyncMessages
from anthropic.resources.beta.messages import AsyncMessages as Beta
class Callable:
    def __call__(self, *args, **kwargs): ...
AsyncMessages.create = lambda *args, **kwargs: None
Beta.create = Callable()
from manystream import AnthropicModel, StreamRequest
AnthropicModel("m").params_for(StreamRequest({"messages": [], "system": "s", "temperature": 1}))
AnthropicModel("m").params_for(StreamRequest({"messages": [], "mcp_servers": []}, betas=["b"]))
try:
    AnthropicModel("m").params_for(StreamRequest({"messages": [], "temprature": 1}))
except TypeError as exc:
    print(exc)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "did you mean 'temperature'" in run.stdout
