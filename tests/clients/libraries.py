"""The client libraries whose programs are run, and which failures have been explained."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

__all__ = ["EXPLAINED", "LIBRARIES", "Library"]


@attrs.frozen
class Library:
    """A library: the program that uses it, and what to install for it.

    `packages` are requirements, and the program is one of Python; without any it is one for Node, of which
    `package.json` has the requirements. `shown` are those whose versions are told. `over_engine` says that its client
    has an engine below, in its process or by `manystream serve`: manystream is installed beside it, and the `example`
    among the project's is run, too.
    """

    name: str
    program: str
    shown: tuple[str, ...]
    packages: tuple[str, ...] = ()
    over_engine: bool = False
    example: str | None = None


LIBRARIES = (
    Library("python-sdk", "python_sdk.py", ("anthropic",), ("anthropic>=2.12", "trio", "pydantic>=2")),
    Library("typescript-sdk", "typescript_sdk.mjs", ("@anthropic-ai/sdk",)),
    Library("vercel-ai", "vercel_ai.mjs", ("ai", "@ai-sdk/anthropic")),
    Library("pydantic-ai", "pydantic_ai_cases.py", ("pydantic-ai-slim",), ("pydantic-ai-slim[anthropic]>=2",)),
    Library("langchain", "langchain_cases.py", ("langchain-anthropic",), ("langchain-anthropic>=1", "langchain>=1")),
    Library("instructor", "instructor_cases.py", ("instructor",), ("instructor[anthropic]>=1.15",)),
    Library("litellm", "litellm_cases.py", ("litellm",), ("litellm>=1.100", "tenacity")),
    Library("inspect", "inspect_cases.py", ("inspect-ai",), ("inspect-ai>=0.3.200", "anthropic>=2.12")),
    Library("haystack", "haystack_cases.py", ("anthropic-haystack",), ("anthropic-haystack>=8",)),
    Library("python-sdk-over-engine", "sdk_over_engine.py", ("anthropic",), ("trio",), over_engine=True),
    Library(
        "pydantic-ai-over-engine",
        "pydantic_ai_over_engine.py",
        ("pydantic-ai-slim", "anthropic"),
        ("pydantic-ai-slim[anthropic]>=2",),
        over_engine=True,
        example="pydantic_ai_agents.py",
    ),
    Library(
        "langchain-over-engine",
        "langchain_over_engine.py",
        ("langchain-anthropic", "anthropic"),
        ("langchain-anthropic>=1", "langchain>=1"),
        over_engine=True,
        example="langchain_chain.py",
    ),
    Library(  # without its extra "anthropic", which wants an SDK that is older than the engine's
        "instructor-over-engine",
        "instructor_over_engine.py",
        ("instructor", "anthropic"),
        ("instructor>=1.15",),
        over_engine=True,
        example="instructor_objects.py",
    ),
    Library("typescript-sdk-over-serve", "typescript_over_serve.mjs", ("@anthropic-ai/sdk",), over_engine=True),
)

# (library, case) -> why it fails, and why nothing is to be done about it here.
EXPLAINED: Mapping[tuple[str, str], str] = {}
