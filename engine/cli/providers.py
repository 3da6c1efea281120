"""Who serves the model: Anthropic itself, or a cloud, by the SDK's own client class and variables.

The client is made here so that what it lacks (a package, a region, a project, a key) is told before anything is sent.
"""

import os
from importlib import import_module
from typing import Any

from ..api.model import AnthropicModel
from ..input import InputError
from .environment import installed, is_local

__all__ = ["model_by"]

_CLIENTS = {
    "bedrock": "AsyncAnthropicBedrock",
    "vertex": "AsyncAnthropicVertex",
    "foundry": "AsyncAnthropicFoundry",
}
_LACKING = {
    "bedrock": [("region", "no region: set AWS_REGION")],
    "vertex": [("region", "no region: set CLOUD_ML_REGION")],
    "foundry": [
        ("credentials", "no key: set ANTHROPIC_FOUNDRY_API_KEY"),
        ("resource", "no resource: set ANTHROPIC_FOUNDRY_RESOURCE, or give --base-url"),
    ],
}
_PACKAGES = {"bedrock": ("boto3", "botocore"), "vertex": ("google.auth",)}


def model_by(provider: str, name: str, *, base_url: str | None) -> AnthropicModel:
    """The model `name` as `provider` serves it. Raises `InputError` when something is missing that it needs."""
    if provider == "anthropic":
        return AnthropicModel(name, api_key=_local_key(base_url), base_url=base_url)
    for package in _PACKAGES.get(provider, ()):
        if not installed(package):
            raise InputError(f"--provider {provider} needs {package}: pip install 'anthropic[{provider}]'")
    import anthropic

    try:
        client = getattr(anthropic, _CLIENTS[provider])(base_url=base_url)
        if provider == "bedrock":
            _check_bedrock(client)
        elif provider == "vertex":
            _check_vertex(client)
    except (anthropic.AnthropicError, ValueError) as exc:
        # The SDK speaks of arguments, which a command doesn't have.
        said = next((ours for word, ours in _LACKING[provider] if word in str(exc)), str(exc))
        raise InputError(f"--provider {provider}: {said}") from None
    return AnthropicModel(name, anthropic_client=client)


# The SDK looks for these credentials when it sends the first request. Their packages are optional.


def _check_bedrock(client: Any) -> None:
    """Raises `ValueError` without AWS credentials."""
    if client.api_key is not None:
        return
    boto3, errors = import_module("boto3"), import_module("botocore.exceptions")
    try:
        found: object = boto3.Session(profile_name=client.aws_profile).get_credentials()
    except errors.BotoCoreError as exc:
        raise ValueError(str(exc)) from None
    if found is None:
        raise ValueError(
            "no AWS credentials: set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log"
            " in with the AWS command line"
        )


def _check_vertex(client: Any) -> None:
    """Raises `ValueError` without Google's credentials, or a project."""
    if client.access_token is not None:
        return
    google, errors = import_module("google.auth"), import_module("google.auth.exceptions")
    try:
        _, project = google.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    except errors.GoogleAuthError as exc:
        raise ValueError(str(exc)) from None
    if client.project_id is None and project is None:
        raise ValueError("no project: set ANTHROPIC_VERTEX_PROJECT_ID")


def _local_key(base_url: str | None) -> str | None:
    """A key for a server on this machine if the environment has none, since a simulator accepts any key.

    None for other servers: they get the environment's credentials, without which nothing is sent.
    """
    if os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        return None
    return "local" if is_local(base_url or os.environ.get("ANTHROPIC_BASE_URL")) else None
