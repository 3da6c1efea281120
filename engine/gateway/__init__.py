"""The engine under other people's code: their requests to the Messages API run in it, and get the API's own answers."""

from .answers import Answer, error_answer, error_event, last_answer
from .foreign import Foreign, is_messages
from .gateway import Gateway
from .transit import Transit

__all__ = ["Answer", "Foreign", "Gateway", "Transit", "error_answer", "error_event", "is_messages", "last_answer"]
