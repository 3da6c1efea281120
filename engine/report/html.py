"""HTML as a tree: what is put in as text comes out escaped, and nothing else can be put in."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

__all__ = ["Element", "document", "element"]


def element(tag: str, *children: "Element | str", **attributes: object) -> Element:
    """An element with these children. In an attribute's name an underscore stands for a dash, and at its end for
    nothing."""
    made = Element(tag, {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items()})
    last: Element | None = None
    for child in children:
        if isinstance(child, str):
            if last is None:
                made.text = (made.text or "") + child
            else:
                last.tail = (last.tail or "") + child
        else:
            made.append(child)
            last = child
    return made


def document(root: Element) -> str:
    """The whole page."""
    ElementTree.indent(root, space=" ")
    return f"<!DOCTYPE html>\n{ElementTree.tostring(root, encoding='unicode', method='html')}\n"
