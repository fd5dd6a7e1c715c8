r"""Lines of access logs that do not split at their quotes and blanks, matched by regular expressions.

They have a name or a list of addresses in front, a user with blanks, escaped or bare quotes in a field, or fields
behind the usual ones:

    shop.example:443 192.0.2.7 - - [time] "request" 200 738 "-" "agent"          the site in front
    192.0.2.7, 10.0.0.1 - - [time] ...                                           the client and its proxies
    "203.0.113.9" 192.0.2.7 - - [time] ...                                       X-Forwarded-For in front
    192.0.2.7 - - [time] "request" 200 738 "-" "agent" 0.005 [upstream] rt=0.1   fields behind
    192.0.2.7 - - [time] "GET /?q="a" HTTP/1.1" 200 738 "-" "say "hi""           bare quotes

A line is read only where there is one way to read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.groups import Mask, blank_to_null, match_groups, scatter

__all__ = ["PARTS", "OddLines", "match_odd"]

# What a line consists of. The last four are no columns and go to `extra`.
PARTS: Final = (
    *("remote_host", "ident", "remote_user", "time", "request", "status", "bytes_sent", "referrer", "user_agent"),
    *("forwarded_for", "via", "vhost", "further"),
)

_HEAD: Final = r'(?s)^(?:(?P<front>"[^"]*") )?(?P<who>\S.*?) \[(?P<time>[^\[\]]*)\] '
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
# A field behind the usual ones: a number, an address, a pair, a dash, a state like HIT; or in brackets.
_WORD: Final = r'(?:[^\s"]*[0-9][^\s"]*|[a-z_]+=[^\s"]*|-|[.p]|[A-Z]{2,12}|\[[^\[\]"]*\])'
_FURTHER: Final = rf"(?: (?:{_WORD}|(?:[a-z_]+=)?{_QUOTED}))*"
_STRICT: Final = (
    rf"{_HEAD}(?P<request>{_QUOTED}) (?P<status>\S+) (?P<bytes_sent>\S+)"
    rf"(?: (?P<referrer>{_QUOTED}) (?P<user_agent>{_QUOTED})(?: (?P<forwarded_for>{_QUOTED}))?(?P<further>{_FURTHER})"
    rf"|(?P<behind>(?: {_WORD})*)) *$"
)
# With bare quotes: a field ends at a quote that lets the rest of the line fit. An escaped quote ends nothing.
_BARE: Final = r'"(?:[^\\]|\\.)*?"'
_LOOSE: Final = (
    rf"{_HEAD}(?P<request>{_BARE}) (?P<status>\d{{3}}|-) (?P<bytes_sent>\d+|-)"
    rf"(?: (?P<referrer>{_BARE}) (?P<user_agent>{_BARE})(?P<forwarded_for>FORWARDED)(?P<further>(?: {_WORD})*)"
    rf"|(?P<behind>(?: {_WORD})*)) *$"
)
_LOOSE_KINDS: Final = tuple(
    _LOOSE.replace("FORWARDED", last) for last in (r' "(?:-|[0-9A-Fa-f]*[.:][0-9A-Fa-f.:, ]*|unknown)"', "")
)
# Signs of two records in one line, and of a quoted field before the request: that is no longer one way to read it.
_NEXT_RECORD: Final = r" \[(?:\d{1,2}/[A-Za-z]{3}/\d{4}|\d{4}-\d{2}-\d{2}T)[^\[\]]*\]"
_FIELD_IN_FRONT: Final = r'^[^ "]*" "'
_WITH_QUOTES: Final = ("request", "referrer", "user_agent", "forwarded_for", "front")

_STAMP: Final = r"\[(?P<time>[0-9]+[/-][^\[\]]*)\]"

_WORDS: Final = r'[^\s,"]+'
_IPV4: Final = r"\d{1,3}(?:\.\d{1,3}){3}"
_IPV6: Final = r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*(?:%\w+)?"
_ADDRESS: Final = rf"(?:{_IPV4}(?::\d+)?|{_IPV6}|\[{_IPV6}\](?::\d+)?)"
_NAME: Final = r"[\w.*-]*[A-Za-z][\w.*-]*"
_SITE: Final = rf"(?:{_NAME}(?::\d+)?|{_IPV4}:\d+|\[{_IPV6}\]:\d+|[-_])"
_NO_ADDRESS: Final = r'[^\s,".:]+'  # of ident: a user's name, not another host
# One word, or words of which none could be another field.
_USER: Final = r'(?:[^\s"]+|""|[^\s\d"-][^\s"]*(?: +[^\s\d"-][^\s"]*)+)'
# What may stand before the time, the particular first. What matches none of these cannot be read for sure.
_WHO: Final = (
    rf"^-, ?(?P<remote_host>{_WORDS})(?P<via>(?:, ?{_WORDS})*) (?P<ident>{_NO_ADDRESS}) (?P<remote_user>{_USER})$",
    rf"^(?P<remote_host>{_WORDS})(?P<via>(?:, ?{_WORDS})+) (?P<ident>{_NO_ADDRESS}) (?P<remote_user>{_USER})$",
    rf"^(?P<vhost>{_SITE}) (?P<remote_host>{_ADDRESS}) (?P<ident>{_NO_ADDRESS}) (?P<remote_user>{_USER})$",
    rf"^(?P<vhost>{_WORDS}:\d+) (?P<remote_host>{_NAME}\.{_NAME}) (?P<ident>-) (?P<remote_user>{_USER})$",
    rf"^(?P<remote_host>{_ADDRESS}) (?P<vhost>{_NAME}\.{_NAME}(?::\d+)?) (?P<ident>-) (?P<remote_user>{_USER})$",
    rf'^(?P<remote_host>{_WORDS}) (?P<ident>{_NO_ADDRESS}) (?P<remote_user>[^\s"]+|"")$',
    rf"^(?P<remote_host>{_WORDS}) (?P<ident>-) (?P<remote_user>{_USER})$",
)

_NULL: Final = pa.scalar(None, pa.string())


@dataclass(frozen=True, slots=True)
class OddLines:
    """The PARTS of lines: strings, null where missing or `-`; of the lines that are not `found` at most the time."""

    parts: dict[str, pa.Array]
    found: Mask


def match_odd(text: pa.Array) -> OddLines:
    """Take lines apart that may be anything."""
    groups, found = match_groups(text, _STRICT)
    if not found.all():
        rest = text.filter(pa.array(~found))
        loose, fits = _match_bare_quotes(rest)
        groups = {name: scatter(loose[name], ~found, values) for name, values in groups.items()}
        found[~found] = fits
    parts = {name: blank_to_null(groups[name]) for name in groups}
    parts["forwarded_for"] = pc.utf8_ltrim(parts["forwarded_for"], " ")
    parts |= {name: _unquoted(parts[name]) for name in _WITH_QUOTES}
    who, known = _match_who(parts.pop("who"))
    found &= known
    for name, sign in (("further", _NEXT_RECORD), ("behind", _NEXT_RECORD), ("request", _FIELD_IN_FRONT)):
        doubtful = pc.fill_null(pc.match_substring_regex(parts[name], sign), fill_value=False)
        found &= ~doubtful.to_numpy(zero_copy_only=False)
    parts |= who
    parts["forwarded_for"] = pc.coalesce(parts.pop("front"), parts["forwarded_for"])
    parts["further"] = pc.utf8_ltrim(pc.coalesce(parts["further"], parts.pop("behind")), " ")
    if not found.all():
        stamps, _ = match_groups(text, _STAMP)
        time = pc.if_else(pa.array(found), parts["time"], stamps["time"])
        parts["time"] = time
    kept = pa.array(found)
    parts |= {
        name: pc.if_else(kept, _dash_to_null(parts[name]), _NULL) for name in PARTS if name not in ("time", "request")
    }
    return OddLines({name: parts[name] for name in PARTS}, found)


def _match_bare_quotes(text: pa.Array) -> tuple[dict[str, pa.Array], Mask]:
    """Match lines with quotes inside their fields. Only the rows fit for which the shortest fields are the longest."""
    groups, found = _match_only_way(text, _LOOSE_KINDS[0])
    others, fits = _match_only_way(text, _LOOSE_KINDS[1])
    fits &= ~found
    rows = pa.array(fits)
    groups = {name: scatter(others[name].filter(rows), fits, values) for name, values in groups.items()}
    return groups, found | fits


def _match_only_way(text: pa.Array, pattern: str) -> tuple[dict[str, pa.Array], Mask]:
    """Match the rows for which the pattern has one way to match: fields are the same taken short or taken long."""
    shortest, fits = match_groups(text, pattern)
    longest, _ = match_groups(text, pattern.replace(_BARE, _BARE.replace("*?", "*")))
    for name, values in shortest.items():
        fits &= pc.fill_null(pc.equal(values, longest[name]), fill_value=False).to_numpy(zero_copy_only=False)
    return shortest, fits


def _match_who(who: pa.Array) -> tuple[dict[str, pa.Array], Mask]:
    """Tell the client, what is in front of it, ident and user, from what stands before the time (null: nothing)."""
    names = ("remote_host", "ident", "remote_user", "via", "vhost")
    parts = {name: pa.nulls(len(who), pa.string()) for name in names}
    open_rows = who.is_valid().to_numpy(zero_copy_only=False)
    found = np.zeros(len(who), dtype=np.bool_)
    for pattern in _WHO:
        if not open_rows.any():
            break
        groups, fits = match_groups(who.filter(pa.array(open_rows)), pattern)
        rows = open_rows.copy()
        rows[open_rows] = fits
        for name, values in groups.items():
            parts[name] = scatter(values.filter(pa.array(fits)), rows, parts[name])
        found |= rows
        open_rows &= ~rows
    parts = {name: blank_to_null(values) for name, values in parts.items()}
    parts["via"] = pc.utf8_ltrim(parts["via"], ", ")
    parts["remote_user"] = pc.if_else(pc.equal(parts["remote_user"], '""'), "", parts["remote_user"])
    return parts, found


def _unquoted(values: pa.Array) -> pa.Array:
    return pc.utf8_slice_codeunits(values, 1, -1)


def _dash_to_null(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(values, "-"), _NULL, values)
