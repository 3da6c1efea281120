"""HTML as a tree. All text is escaped when the tree is written, so nothing in it can become markup."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

__all__ = ["Element", "document", "element"]


def element(tag: str, *children: "Element | str", **attributes: object) -> Element:
    """An element with its children. In attribute names an underscore becomes a dash; one at the end is dropped."""
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
    """The text of a whole page."""
    ElementTree.indent(root, space=" ")
    return f"<!DOCTYPE html>\n{ElementTree.tostring(root, encoding='unicode', method='html')}\n"
