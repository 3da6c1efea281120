"""The way to the Messages API: models, their clients, and a request's way out and its response's way back."""

from .ask_limits import LimitsError
from .model import AnthropicModel, MissingCredentialsError

__all__ = ["AnthropicModel", "LimitsError", "MissingCredentialsError"]
