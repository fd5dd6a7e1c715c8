"""What comes from data, as text that Dagster's UI shows as it is. Its descriptions are Markdown (CommonMark and GFM).

A host name or a file name may hold an image, which every browser that looks would fetch, or a link under another name.
"""

from __future__ import annotations

import re
from typing import Final

from nw_platform.alerts.text import one_line

# GFM makes links of addresses, and the UI looks for them once more after escapes are resolved: only code is left alone.
# The other characters mean something anywhere; `!` only before a bracket, `&` only where it begins a name or a number,
# `_` not inside a word, as most file names have it.
_MARKS: Final = re.compile(
    r"(?P<address>(?:https?://|www\.)[^\s`]+)|(?P<line>_+)|[\\`*\[\]<>~|]|!(?=\[)|&(?=[#A-Za-z])", re.IGNORECASE
)
# What begins a heading, a list or a rule, at the start of a line only.
_FIRST: Final = re.compile(r"(?P<number>\d{1,9})?(?:(?(number)[.)]|(?:#{1,6}|[-+=]))(?= |$)|-[- ]*$)")


def plain(text: str) -> str:
    """Markdown that reads as the text does, in one line of visible characters. An address becomes code, not a link."""
    marked = _MARKS.sub(_escaped, one_line(text))
    first = _FIRST.match(marked)
    if first is None:
        return marked
    at = len(first["number"] or "")
    return f"{marked[:at]}\\{marked[at:]}"


def _escaped(found: re.Match[str]) -> str:
    if found["address"]:
        return f"`{found[0]}`"
    if found["line"]:
        before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
        return found[0] if before.isalnum() and after.isalnum() else "\\_" * len(found[0])
    return f"\\{found[0]}"
