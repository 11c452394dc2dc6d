"""Tells a template, which its own tool renders into YAML, from YAML that is broken."""

from __future__ import annotations

import re

_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_OPENING = re.compile(r"\{[{%#]")
_YIELDS_NOTHING = re.compile(
    r"\{[%#]|\{\{-?\s*(?:/\*|(?:if|else|end|range|with|define|block|break|continue)\b|\$\w+\s*:?=)"
)
_TEXT = "\ue000"
_ALONE = re.compile(rf"(?m)^[ \t]*{_TEXT}[ \t{_TEXT}]*$")
# A quote that is not closed hides the rest of its line, and each is looked at once.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.?)*(?:"|$)|\'[^\']*(?:\'|$)')


def has_action(line: str) -> bool:
    """Return whether an action opens in a line outside quotes, where YAML cannot take it for text."""
    return bool(_OPENING.search(_QUOTED.sub("", line)))


def without_actions(text: str) -> str:
    """Return text as it might be rendered, with the same lines.

    Actions that yield text become a word, those that steer (`if`, `range`, `{% … %}`) and those
    alone on their line become nothing. What is broken YAML without its actions is simply broken.

    >>> without_actions("{{ if .a }}b: {{ .c }}{{ end }}")
    'b: x'
    """
    pieces: list[str] = []
    closings = dict(_CLOSING)
    end = 0
    while match := _OPENING.search(text, end):
        opening, start = match[0], match.start()
        stop = text.find(closings[opening], match.end()) if opening in closings else -1
        if stop < 0:
            closings.pop(opening, None)  # so that a million openings without a closing cost one search, not a million
            pieces.append(text[end : match.end()])
            end = match.end()
            continue
        stop += 2
        yields = "" if _YIELDS_NOTHING.match(text, start) else _TEXT
        pieces += text[end:start], yields, "\n" * text.count("\n", start, stop)
        end = stop
    rest = "".join(pieces) + text[end:]
    return text if rest == text else _ALONE.sub("", rest).replace(_TEXT, "x")
