"""How an answer may be asked to look: `output_config`, its older name `output_format`, and which schemas are taken.

Source: the platform's page on structured outputs, and what version 2.14 of the official Python SDK takes out of
schemas before it sends them, read on 2026-11-28.
"""

from __future__ import annotations

from typing import Any

from ..answers import is_array, is_object, resolve
from .dialect import Dialect
from .shape import invalid, one_of, required

__all__ = ["check_output", "check_schema"]

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_KNOWN = ("effort", "format", "task_budget")
_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_NUMERIC = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_UNSUPPORTED = {
    "integer": _NUMERIC,
    "number": _NUMERIC,
    "string": ("minLength", "maxLength"),
    "array": ("maxItems", "uniqueItems"),
}


def check_output(body: dict[str, Any], dialect: Dialect) -> None:
    """Raises RefusalError for a configuration of the output that isn't one."""
    config: object = body.get("output_config")
    if config is not None:
        if not is_object(config):
            raise invalid("output_config: Input should be a valid dictionary or object to extract fields from")
        for name in config:
            if name not in _KNOWN and not dialect.beta:
                raise invalid(f"output_config.{name}: Extra inputs are not permitted")
        if config.get("effort") not in (None, *_EFFORTS):
            raise invalid(f"output_config.effort: Input should be {one_of(_EFFORTS)}")
        _check_disabled_thinking(body, config.get("effort"))
        _check_format(config.get("format"), "output_config.format")
    old: object = body.get("output_format")
    _check_format(old, "output_format")
    if old is not None and is_object(config) and config.get("format") is not None:
        raise invalid("output_format: may not be given together with `output_config.format`")


def _check_disabled_thinking(body: dict[str, Any], effort: object) -> None:
    thinking: object = body.get("thinking")
    if body["model"] == "claude-opus-5" and effort in ("xhigh", "max") and thinking == {"type": "disabled"}:
        raise invalid(f"thinking: may not be disabled on this model when `output_config.effort` is '{effort}'")


def _check_format(format: object, where: str) -> None:
    if format is None:
        return
    if not is_object(format):
        raise invalid(f"{where}: Input should be a valid dictionary or object to extract fields from")
    if required(format, "type", f"{where}.") != "json_schema":
        raise invalid(f"{where}.type: Input should be 'json_schema'")
    schema = required(format, "schema", f"{where}.")
    if not is_object(schema):
        raise invalid(f"{where}.schema: Input should be a valid dictionary")
    check_schema(schema, f"{where}.schema")


def check_schema(schema: dict[str, Any], where: str) -> None:
    """Raises RefusalError for a schema that answers can't be held to."""
    _check(schema, schema, where)
    for definitions in ("$defs", "definitions"):
        for part in _parts(schema.get(definitions)):
            _check(part, schema, where)


def _check(schema: object, root: dict[str, Any], where: str) -> None:
    if schema is True:
        return
    if not is_object(schema):
        raise invalid(f"{where}: a schema should be a valid dictionary")
    if isinstance(reference := schema.get("$ref"), str):
        if not reference.startswith("#"):
            raise invalid(f"{where}: '$ref' to '{reference}': only references within the schema are supported")
        if resolve(root, reference) is None:
            raise invalid(f"{where}: '$ref' to '{reference}' leads nowhere")
        return
    kinds: list[object] = schema["type"] if is_array(schema.get("type")) else [schema.get("type")]
    for kind in kinds:
        if kind is not None and kind not in _TYPES:
            raise invalid(f"{where}: type: Input should be {one_of(_TYPES)}")
        if isinstance(kind, str):
            _check_keywords(schema, kind, where)
    if "enum" in schema and not (is_array(schema["enum"]) and schema["enum"]):
        raise invalid(f"{where}: enum: Input should be a non-empty list")
    if any(is_object(value) or is_array(value) for value in schema.get("enum", ())):
        raise invalid(f"{where}: enum: only strings, numbers, booleans and null are supported")
    for part in [*_parts(schema.get("properties")), *_items(schema)]:
        _check(part, root, where)


def _check_keywords(schema: dict[str, Any], kind: str, where: str) -> None:
    if kind == "object" and schema.get("additionalProperties") is not False:
        raise invalid(f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    if unsupported := [name for name in _UNSUPPORTED.get(kind, ()) if name in schema]:
        raise invalid(f"{where}: For '{kind}' type, properties {', '.join(unsupported)} are not supported")
    if kind == "array" and schema.get("minItems") not in (None, 0, 1):
        raise invalid(f"{where}: For 'array' type, 'minItems' values other than 0 or 1 are not supported")


def _parts(parts: object) -> list[object]:
    return list(parts.values()) if is_object(parts) else []


def _items(schema: dict[str, Any]) -> list[object]:
    found: list[object] = [schema["items"]] if "items" in schema else []
    for name in ("anyOf", "oneOf", "allOf"):
        if is_array(listed := schema.get(name)):
            found += listed
    return found
