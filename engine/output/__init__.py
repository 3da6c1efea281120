"""Outputs with types: from a type to the schema that is sent, and from an answer to a value of the type."""

from .subset import SchemaRefused
from .typed import TypedOutput, typed_output

__all__ = ["SchemaRefused", "TypedOutput", "typed_output"]
