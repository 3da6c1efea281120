"""The answer that is read: an invoice of some size, in pieces as a model streams it."""

import json
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

__all__ = ["Invoice", "Line", "ModelInvoice", "ModelLine", "pieces_of", "text_of"]


@dataclass
class Line:
    sku: str
    description: str
    qty: int
    price: float
    kind: Literal["goods", "service"]
    note: str | None = None


@dataclass
class Invoice:
    number: str
    customer: str
    lines: list[Line]
    total: float


class ModelLine(BaseModel):
    sku: str
    description: str
    qty: int
    price: float
    kind: Literal["goods", "service"]
    note: str | None = None


class ModelInvoice(BaseModel):
    number: str
    customer: str
    lines: list[ModelLine]
    total: float


def text_of(size: int) -> str:
    """The JSON of an invoice of about so many characters."""
    lines: list[dict[str, object]] = []
    so_far = 0
    while so_far < size:
        n = len(lines)
        line: dict[str, object] = {
            "sku": f"SKU-{n:05}",
            "description": f'A line of an invoice, which "has" some words in it, number {n}',
            "qty": n % 7 + 1,
            "price": n * 1.25,
            "kind": ("goods", "service")[n % 2],
            "note": "déjà vu" if n % 3 else None,
        }
        lines.append(line)
        so_far += len(json.dumps(line)) + 2
    return json.dumps({"number": "2026-1", "customer": "ACME", "lines": lines, "total": 12.5})


def pieces_of(text: str, length: int) -> list[str]:
    """The text in pieces of so many characters."""
    return [text[place : place + length] for place in range(0, len(text), length)]
