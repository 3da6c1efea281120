"""Messages in Ray Data, with the extra `ray`: `dataset.map_batches(manystream.ray.MessagesUDF, ...)`."""

from .engine.ray import MessagesUDF

__all__ = ["MessagesUDF"]
