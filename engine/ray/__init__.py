"""Messages in Ray Data: each worker's engine answers batches of rows."""

from .messages import MessagesUDF

__all__ = ["MessagesUDF"]
