"""Previews one stream: finds its format as ingestion does, reads a sample with the real parser, and judges it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nw_platform.ingest.preview.advice import about_text, advise, advise_recognised, fitting_encoding, share_of_rejects
from nw_platform.ingest.preview.evidence import Evidence
from nw_platform.ingest.preview.model import FAIL_ABOVE, WARN_ABOVE, Preview
from nw_platform.ingest.preview.reading_times import describe
from nw_platform.ingest.preview.sample import SAMPLE, parse_sample, read_sample
from nw_platform.ingest.preview.summary import (
    columns_unfilled,
    count_reasons,
    first_rejects,
    frequent_hosts,
    own_times,
    sample_records,
    times,
)
from nw_platform.ingest.preview.time_advice import keys_of
from nw_platform.ingest.resolving import is_open, resolve
from nw_platform.ingest.sampling import first_bytes
from nw_platform.parsing.sniff import recognise
from nw_platform.sources.contract import Source, Survey
from nw_platform.sources.registry import open_source
from nw_platform.streams.declaration import StreamDecl
from nw_platform.streams.secrets import Secret

__all__ = ["begin_preview", "preview_stream"]

_SETTLED_US: Final = 3_600_000_000  # files that were just written count too
_SHOWN_OPTIONS: Final = ("layout", "pattern", "delimiter", "quote", "header", "year", "multiline_start")


def begin_preview(stream: StreamDecl) -> Preview:
    """A preview that says only where the stream is read from."""
    base = stream.source.url or stream.source.bootstrap
    what = stream.path or ", ".join(stream.topics)
    unit = "file" if stream.source.kind == "landing" else "topic"
    return Preview(stream.name, f"{base}/{what}" if base else what, unit, format=stream.format)


def preview_stream(stream: StreamDecl, kept: Mapping[str, Any] | None, now: int) -> Preview:
    """Read and judge a sample. Nothing is written, at the source or in the lake.

    `kept`: what receipts hold of the stream's format, if it is open (see resolving.kept_format).

    Raises:
        NeverwinterError: the source cannot be read, or the declaration cannot be used.
    """
    preview = begin_preview(stream)
    if stream.format != "auto":
        preview.found_by = "declared"
    source = _open(stream)
    try:
        survey = source.survey(now + _SETTLED_US, SAMPLE)
        _take_survey(preview, survey)
        resolved = _resolve(stream, kept, source, preview) if survey.spans else None
        if resolved is None:
            _say_nothing_there(preview, survey)
            return preview
        options = resolved.parse_options()
        sample = read_sample(source, survey.spans, options, now)
        raw = b"" if sample.records else first_bytes(source)
    finally:
        source.close()
    preview.problems += tuple(sample.problems)
    preview.sampled_from = sample.sources
    preview.options = {key: options.options[key] for key in _SHOWN_OPTIONS if key in options.options}
    if not sample.records:
        _say_nothing_there(preview, survey)
        preview.warnings += tuple(about_text(raw, options.encoding))
        return preview
    parsed = parse_sample(options, sample.chunks, now)
    framed = stream.source.kind == "landing"
    reasons = count_reasons(parsed)
    _judge(preview, Evidence(options, sample.chunks, parsed, reasons, now, framed=framed))
    return preview


def _judge(preview: Preview, evidence: Evidence) -> None:
    """Fill the preview with what was found in the sample."""
    parsed, reasons = evidence.parsed, dict(evidence.reasons)
    preview.records, preview.rejected, preview.reasons = evidence.records, sum(reasons.values()), reasons
    preview.rejects = tuple(first_rejects(parsed, reasons))
    has_own = own_times(parsed) is not None
    preview.times = times(parsed, describe(evidence.options, evidence.header(), keys_of(evidence), has_own=has_own))
    preview.hosts, preview.host_count = frequent_hosts(parsed)
    preview.unfilled = columns_unfilled(parsed, evidence.options.columns)
    preview.samples = sample_records(parsed)
    if preview.reject_share > FAIL_ABOVE:
        preview.problems += (share_of_rejects(evidence.records, reasons),)
    elif preview.reject_share > WARN_ABOVE:
        preview.warnings += (share_of_rejects(evidence.records, reasons),)
    preview.warnings += tuple(advise(evidence))
    preview.fitting_encoding = fitting_encoding(evidence)
    if preview.found_by == "recognised" and preview.format == "lines":
        preview.warnings += tuple(advise_recognised(evidence))


def _open(stream: StreamDecl) -> Source:
    """The stream's source, as no lane of it: no hint file, and no offsets of a group."""
    return open_source(
        stream.source.kind,
        url=stream.source.url,
        path=stream.path,
        bootstrap=stream.source.bootstrap,
        topics=stream.topics,
        start=stream.start,
        growing=stream.growing,
        rotated=stream.rotated,
        follow_links=stream.follow_links,
        cache=None,
        options=stream.source.resolved_options(),
    )


def _take_survey(preview: Preview, survey: Survey) -> None:
    preview.found, preview.empty, preview.waiting = survey.found, survey.empty, survey.records
    preview.problems += tuple(f"{problem.kind}: {problem.source}: {problem.reason}" for problem in survey.problems)
    if survey.ignored and not survey.found:
        names = ", ".join(survey.ignored)
        why = "names with `.` or `_` in front or `._COPYING_` behind are not ready"
        preview.warnings += (f"nothing else matches than what is ignored: {names} ({why})",)


def _say_nothing_there(preview: Preview, survey: Survey) -> None:
    if preview.problems:
        return
    if not survey.found:
        beside = ", ".join(survey.beside[:3])
        preview.why = f"no {preview.unit} is there yet" + (f"; beside it are: {beside}" if beside else "")
    elif survey.empty == survey.found:
        preview.why = f"there is nothing in the {preview.unit}s yet"
    else:
        preview.why = "there is no whole record yet"


def _resolve(stream: StreamDecl, kept: Mapping[str, Any] | None, source: Source, preview: Preview) -> StreamDecl | None:
    """The declaration with its format, found as ingestion finds it; None: there is nothing to find it by yet."""
    if not is_open(stream):
        return stream
    if kept is not None:
        resolved = stream.with_changes(**kept)
        preview.found_by = "kept"
    else:
        sample = first_bytes(source)
        if not sample:
            return None
        resolved = resolve(stream, sample)
        preview.found_by = "recognised"
        if resolved.format == "lines":
            preview.why = recognise(sample, stream.parse_options()).reason()
    if stream.format != "auto":
        preview.found_by = "declared"
    preview.format = resolved.format
    return resolved


def without_secrets(stream: StreamDecl, text: str) -> str:
    """A text in which no secret of the stream's source stands."""
    for value in stream.source.options.values():
        secret = value.resolve() if isinstance(value, Secret) else ""
        if secret:
            text = text.replace(secret, "***")
    return text
