"""The client libraries whose programs are run, and which failures have been explained."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

__all__ = ["EXPLAINED", "LIBRARIES", "Library"]


@attrs.frozen
class Library:
    """A library: the program that uses it, and what to install for it.

    `packages` are requirements, and the program is one of Python; without any it is one for Node, of which
    `package.json` has the requirements. `shown` are those whose versions are told.
    """

    name: str
    program: str
    shown: tuple[str, ...]
    packages: tuple[str, ...] = ()


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
)

# (library, case) -> why it fails, and why nothing is to be done about it here.
EXPLAINED: Mapping[tuple[str, str], str] = {}
