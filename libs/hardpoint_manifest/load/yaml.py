"""YAML, read as events: JSON's types with YAML's notation.

Anchors, aliases, tags and several documents are refused as they come by, so nothing grows before it is seen. Plain
words follow YAML 1.2 (`no` is a text, `1:30` is a text); PyYAML only finds the events.
"""

import math
import re
from typing import Any, Final

import yaml

from hardpoint_manifest.document import Place
from hardpoint_manifest.finding import Path
from hardpoint_manifest.load.tree import QUOTE, Tree, refuse, whole_number

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WHOLE: Final = re.compile(r"[-+]?[0-9]+")
_FRACTION: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def scan(text: str) -> Tree:
    """Read a YAML text; raises ManifestError."""
    tree = Tree()
    keys: list[bool | None] = []  # for each open container: None in a list, else whether a key comes next
    documents = 0
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            mark = event.start_mark
            place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    refuse("several-documents", "the file holds more than one document", place, "remove the line `---`")
            elif isinstance(event, yaml.CollectionEndEvent):
                keys.pop()
                tree.close()
            elif isinstance(event, yaml.NodeEvent):
                _refuse_extras(event, place, tree.path)
                _node(tree, keys, event, place)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        message = " ".join(filter(None, (error.context, error.problem)))
        place = Place(at.line + 1, at.column + 1) if at else Place(1, 1)
        refuse("not-yaml", message, place, "look at the indentation, the colons and the quotes there")
    except yaml.reader.ReaderError as error:
        refuse("not-yaml", f"{error.reason} at character {error.position + 1}", Place(1, 1), "remove it")
    return tree


def _node(tree: Tree, keys: list[bool | None], event: yaml.NodeEvent, place: Place) -> None:
    is_key = bool(keys) and keys[-1] is True
    if keys and keys[-1] is not None:
        keys[-1] = not is_key
    if isinstance(event, yaml.ScalarEvent):
        value = _scalar(event, place, tree.path)
        if is_key:
            tree.key(value, place)
        else:
            tree.value(value, place)
    elif is_key:
        message = "a list or mapping is used as a key; keys are texts"
        refuse("key-not-text", message, place, 'put a template in quotes: "{{channel}}"', tree.path)
    else:
        mapping = isinstance(event, yaml.MappingStartEvent)
        tree.open({} if mapping else [], place)
        keys.append(True if mapping else None)


def _refuse_extras(event: yaml.NodeEvent, place: Place, path: Path) -> None:
    if event.anchor is not None:
        refuse("anchor", "anchors and aliases are not accepted", place, "write the value out where it is needed", path)
    tag = getattr(event, "tag", None)
    if tag is not None:
        refuse("tag", f"the tag {tag[:64]!r} is not accepted", place, "write the value without a tag", path)


def _scalar(event: yaml.ScalarEvent, place: Place, path: Path) -> Any:
    text: str = event.value
    if event.style:  # quoted or a block
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return whole_number(text, place, path)
    if _NOT_FINITE.fullmatch(text):
        refuse("not-finite", f"{text} is no number in JSON", place, "write a finite number or a text in quotes", path)
    if _FRACTION.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            refuse("number-too-large", "the number does not fit 64 bits", place, QUOTE, path)
        return number
    return text
