"""The SDK's asynchronous clients, as a type."""

from anthropic import AsyncAnthropic
from anthropic.lib.bedrock import AsyncAnthropicBedrock, AsyncAnthropicBedrockMantle
from anthropic.lib.vertex import AsyncAnthropicVertex

__all__ = ["AnthropicClient"]

# The clients for AWS, Foundry and Google Cloud are kinds of AsyncAnthropic.
AnthropicClient = AsyncAnthropic | AsyncAnthropicBedrock | AsyncAnthropicBedrockMantle | AsyncAnthropicVertex
"""What `AnthropicModel` takes as its `anthropic_client`."""
