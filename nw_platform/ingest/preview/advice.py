"""Says what cannot work as a stream is declared, by a sample of it. Every proposal was tried on the sample."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import NeverwinterError
from nw_platform.ingest.preview.evidence import Evidence
from nw_platform.ingest.preview.model import FAIL_ABOVE, WARN_ABOVE
from nw_platform.ingest.preview.summary import count_reasons, shortened
from nw_platform.ingest.preview.time_advice import time_advice
from nw_platform.parsing.csv import header_names
from nw_platform.parsing.framing import MATCHED_BYTES
from nw_platform.parsing.sniff import recognise

__all__ = ["about_text", "advise", "advise_recognised", "fitting_encoding", "share_of_rejects"]

_DELIMITERS: Final = (",", ";", "\t", "|")
_MOST_COLUMNS: Final = 60
_BINARY: Final = 0.02  # share of NUL bytes, in what is no UTF-16
_ENCODINGS: Final = ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp1252")
_MOJIBAKE: Final = re.compile("[\u00c2\u00c3\u00e2][\u0080-\u00bf\u2018-\u203a\u0152\u0160\u0178\u017d\u20ac\u2122]")


def share_of_rejects(records: int, reasons: dict[str, int]) -> str:
    """`12 of 500 sampled records are rejected (2.4 %): 10 bad_time, 2 bad_format`."""
    rejected = sum(reasons.values())
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    return f"{rejected} of {records} sampled records are rejected ({100 * rejected / records:.1f} %): {listed}"


def advise(evidence: Evidence) -> Iterator[str]:
    """Yield what is likely wrong with the declaration, one line each."""
    yield from _about_encoding(evidence)
    yield from time_advice(evidence)
    yield from _about_columns(evidence)
    yield from _about_lines(evidence)
    yield from _about_format(evidence)


def advise_recognised(evidence: Evidence) -> Iterator[str]:
    """Yield why lines that are JSON objects are taken as `lines`, and what would read them."""
    objects = sum(value.lstrip().startswith(b"{") for value in evidence.values())
    if objects < (1 - FAIL_ABOVE) * len(evidence.values()):
        return
    parsed = evidence.with_rules(format="json", options={})
    reasons = count_reasons(parsed) if parsed is not None else {}
    if parsed is None or reasons.get("bad_format", 0) > FAIL_ABOVE * evidence.records:
        return
    as_json = replace(
        evidence, options=replace(evidence.options, format="json", options={}), parsed=parsed, reasons=reasons
    )
    for advice in (*time_advice(as_json), *_about_columns(as_json)):
        yield f"its lines are JSON objects, but with `format: json`: {advice}"


def about_text(data: bytes, encoding: str) -> Iterator[str]:
    """Yield that bytes are UTF-16 or no text at all, where the encoding expects other text."""
    nuls = data.count(0) / max(1, len(data))
    if encoding in ("utf-8", "ascii") and nuls > _BINARY:
        other = _guess_utf16(data)
        what = f"it looks like {other}: declare `encoding: {other}`" if other else "it looks like no text file at all"
        yield f"{100 * nuls:.0f} % of the sampled bytes are NUL; {what}"


def _about_encoding(evidence: Evidence) -> Iterator[str]:
    """Yield what is wrong with the encoding."""
    data = b"\n".join(evidence.values())
    encoding = evidence.options.encoding
    binary = list(about_text(data, encoding)) if _shows_nuls(evidence) else []
    if binary:
        yield from binary
    elif evidence.reasons.get("bad_encoding", 0) > WARN_ABOVE * evidence.records:
        fits = fitting_encoding(evidence)
        proposal = f"; `encoding: {fits}` would read them" if fits else "; nor in another usual encoding: is it text?"
        yield f"{evidence.reasons['bad_encoding']} sampled records are no {encoding}{proposal}"
    elif encoding not in ("utf-8", "ascii") and _is_mojibake(data, encoding):
        yield f"the sampled bytes are UTF-8, which {encoding} reads as other letters; declare `encoding: utf-8`"


def _shows_nuls(evidence: Evidence) -> bool:
    """Return True if records are rejected, or NUL is in their messages: UTF-16 that is read as such shows none."""
    if evidence.rejected(evidence.parsed) > WARN_ABOVE * evidence.records:
        return True
    return bool(pc.any(pc.match_substring(evidence.parsed["message"], "\x00")).as_py())


def fitting_encoding(evidence: Evidence) -> str | None:
    """The encoding that would read records which the declared one does not read; None: it reads them, or none fits."""
    if evidence.reasons.get("bad_encoding", 0) <= WARN_ABOVE * evidence.records:
        return None
    data = b"\n".join(evidence.values())
    fitting = (name for name in _ENCODINGS if name != evidence.options.encoding and _decodes(data, name))
    return _guess_utf16(data) or next(fitting, None)


def _guess_utf16(data: bytes) -> str | None:
    """The kind of UTF-16 or UTF-32 that bytes are likely to be."""
    if data[:4] in (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff"):
        return "utf-32"
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    even, odd = data[0::2].count(0), data[1::2].count(0)
    length = max(1, len(data) // 2)
    if max(even, odd) / length < 0.5 or min(even, odd) / length > 0.2:  # noqa: PLR2004  (mostly in one half only)
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return not encoding.startswith("utf-16") or _guess_utf16(data) is not None


def _is_mojibake(data: bytes, encoding: str) -> bool:
    """Return True if bytes beyond ASCII are valid UTF-8, and the declared encoding makes odd letters of them."""
    if data.isascii() or not _decodes(data, "utf-8"):
        return False
    return bool(_MOJIBAKE.search(data.decode(encoding, "replace")))


def _about_columns(evidence: Evidence) -> Iterator[str]:
    """Yield declared columns whose type does not fit the sampled values."""
    if evidence.reasons.get("bad_type", 0) <= WARN_ABOVE * evidence.records:
        return
    columns = evidence.options.columns
    before = evidence.rejected(evidence.parsed)
    for name, kind in list(columns.items())[:_MOST_COLUMNS]:
        if kind == "string":
            continue
        as_text = evidence.with_rules(columns={**columns, name: "string"})
        saved = 0 if as_text is None else before - evidence.rejected(as_text)
        if as_text is None or saved <= 0:
            continue
        newly_good = pc.and_(pc.is_null(as_text["reject_reason"]), pc.is_valid(evidence.parsed["reject_reason"]))
        place = {column.lower(): column for column in as_text.column_names}[name.lower()]
        example = as_text[place].filter(newly_good)[0].as_py()
        yield (
            f"columns.{name}: {saved} of {evidence.records} sampled records do not hold {kind}, "
            f"but values like {shortened(str(example), 40)!r}"
        )


def _about_lines(evidence: Evidence) -> Iterator[str]:
    """Yield what is wrong with how lines become records and fields."""
    start = evidence.options.options.get("multiline_start")
    if start is not None and evidence.framed:
        values = pa.array([value[:MATCHED_BYTES] for value in evidence.values()], pa.binary())
        if not pc.any(pc.match_substring_regex(values, start)).as_py():
            lines = sum(value.count(b"\n") + 1 for value in evidence.values())
            yield f"multiline.start matches none of {lines} sampled lines, which became {evidence.records} records"
    if evidence.options.format == "csv":
        yield from _about_delimiter(evidence)


def _about_delimiter(evidence: Evidence) -> Iterator[str]:
    """Yield another delimiter, if the header is one field as it is and that one cuts it and the records alike."""
    header = evidence.header()
    if header is None or len(header_names(header, evidence.options)) > 1:
        return
    for delimiter in _DELIMITERS:
        own = {**evidence.options.options, "delimiter": delimiter}
        try:
            names = header_names(header, replace(evidence.options, options=own))
        except NeverwinterError:
            continue
        parsed = evidence.with_rules(options={**own, "names": names})
        if len(names) > 1 and parsed is not None and evidence.rejected(parsed) <= FAIL_ABOVE * evidence.records:
            yield f'the header is one column; with `delimiter: "{_escaped(delimiter)}"` it has {len(names)}'
            return


def _about_format(evidence: Evidence) -> Iterator[str]:
    """Yield the format that would read the sample, where the declared one rejects much of it as another."""
    if evidence.reasons.get("bad_format", 0) <= FAIL_ABOVE * evidence.records:
        return
    header = evidence.header()
    first = [header.encode()] if header is not None else []
    sample = b"".join(value + b"\n" for value in [*first, *evidence.values()])
    bare = replace(evidence.options, format="auto", columns={}, options={}, message_format=None)
    found = recognise(sample, bare)
    if found.format not in ("lines", evidence.options.format) or found.options.get("layout"):
        own = {key: value for key, value in found.options.items() if key != "names"}
        written = "".join(f', {key}: "{_escaped(str(value))}"' for key, value in own.items())
        yield f"the sampled lines look like another format; this would fit: format: {found.format}{written}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
