"""What in the environment would fail every request is told before anything is sent, and no key is shown."""

from pathlib import Path

import pytest
from tests.support.secret_urls import SECRET, SECRET_URLS

from manystream.engine.cli.environment import check_environment
from manystream.engine.input import InputError


def told(environment: dict[str, str], provider: str = "anthropic", base_url: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        check_environment(provider, base_url=base_url, environment=environment)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "value",
    ["http://", "ftp://host:21", "http://host:99999", "http://ho st:1", "http://[::1", ":3128", "http://1.2.3"],
)
def test_a_proxy_that_is_none(name: str, value: str) -> None:
    assert told({name: value}) == (
        f"{name} {value!r} is not the URL of a proxy: set it to one such as http://host:3128, or unset it"
    )


def test_a_proxy_s_password_is_not_shown() -> None:
    assert told({"HTTPS_PROXY": "http://me:secret@host:0"}).startswith("HTTPS_PROXY '***@host:0' is not")


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ANTHROPIC_BASE_URL"])
@pytest.mark.parametrize("url", SECRET_URLS)
def test_no_secret_of_a_url_is_told(name: str, url: str) -> None:
    said = None
    try:
        check_environment("anthropic", environment={name: url})
    except InputError as exc:
        said = f"{exc} {exc.__context__}"
    if said is None:
        assert name == "HTTPS_PROXY"  # whose scheme may be left out
    else:
        assert SECRET not in said


def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    assert told({"SSL_CERT_FILE": "absent.pem"}) == (
        "SSL_CERT_FILE 'absent.pem' is not a file: set it to a file of certificates, or unset it"
    )
    assert told({"SSL_CERT_DIR": "absent"}) == (
        "SSL_CERT_DIR 'absent' is not a folder: set it to a folder of certificates, or unset it"
    )
    empty = tmp_path / "empty.pem"
    empty.write_text("none\n")
    assert told({"SSL_CERT_FILE": str(empty)}).endswith("can't be used: it holds no certificates in PEM")


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("anthropic", "ANTHROPIC_BASE_URL"),
        ("bedrock", "ANTHROPIC_BEDROCK_BASE_URL"),
        ("vertex", "ANTHROPIC_VERTEX_BASE_URL"),
        ("foundry", "ANTHROPIC_FOUNDRY_BASE_URL"),
    ],
)
def test_a_base_url_that_is_none(provider: str, name: str) -> None:
    assert told({name: ""}, provider) == (
        f"{name} is empty: give a URL such as https://api.anthropic.com, or leave it out"
    )
    assert told({name: "localhost:80"}, provider) == (
        f"{name} 'localhost:80' has no scheme: write https://localhost:80"
    )
    assert told({name: "https://gw.example/v1/messages"}, provider).endswith("leave that out")
    check_environment(provider, base_url="http://127.0.0.1:1", environment={name: "nonsense"})  # it does not count


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("anthropic", "ANTHROPIC_AUTH_TOKEN"),
        ("bedrock", "AWS_BEARER_TOKEN_BEDROCK"),
        ("foundry", "ANTHROPIC_FOUNDRY_API_KEY"),
    ],
)
@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "is empty: set it to a key, or unset it"),
        ("sk-secret\n", "ends with a line end: leave it out, as key.strip() and $(cat FILE) do"),
        ("sk-secret\r\n", "ends with a line end: leave it out, as key.strip() and $(cat FILE) do"),
        ("sk secret", "holds a space or a line end: copy the key again without"),
        (" sk-secret", "holds a space or a line end: copy the key again without"),
        ("sk-secret\u2026", "holds a character that no key has: copy the key again"),
        ("sk-secret\x00", "holds a character that no key has: copy the key again"),
    ],
)
def test_a_key_that_can_be_none(provider: str, name: str, key: str, said: str) -> None:
    message = told({name: key}, provider)
    assert message == f"{name} {said}"
    assert "secret" not in message


def test_headers_of_ones_own() -> None:
    name = "ANTHROPIC_CUSTOM_HEADERS"
    assert told({name: "a: b\nsecret"}) == f"{name}: line 2 is no header; each is NAME: VALUE"
    for value in ("x: secret\x01", "x: s\u00e9cret"):
        assert told({name: value}) == f"{name}: the value of 'x' holds a character that no header may have"
    check_environment("anthropic", environment={name: "a: b\n\nc: d\r\n"})


def test_an_identity_token_that_is_not_there() -> None:
    name = "ANTHROPIC_IDENTITY_TOKEN_FILE"
    assert told({name: "absent"}) == f"{name} 'absent' is not a file: name one, or unset it"


def test_what_is_no_trouble(tmp_path: Path) -> None:
    for environment in (
        {},
        {"HTTP_PROXY": "", "SSL_CERT_FILE": "", "SSL_CERT_DIR": ""},
        {"HTTPS_PROXY": "host:3128", "http_proxy": "http://me:secret@[::1]:8080/"},
        {"SSL_CERT_DIR": str(tmp_path)},
        {"ANTHROPIC_API_KEY": "", "ANTHROPIC_AUTH_TOKEN": "token"},  # as gateways' guides have it
        {"ANTHROPIC_API_KEY": "", "ANTHROPIC_BASE_URL": "http://127.0.0.1:8765"},  # a simulator needs none
        {"ANTHROPIC_BASE_URL": "https://gateway.example/anthropic"},
    ):
        check_environment("anthropic", environment=environment)
    check_environment("vertex", environment={"ANTHROPIC_API_KEY": "\n"})  # it is not read
