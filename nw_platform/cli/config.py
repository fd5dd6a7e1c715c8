"""`nw config check|schema`: validates the configuration and tries its sources; prints its JSON Schema."""

from __future__ import annotations

import argparse
import json

from nw_platform.cli.config_schema import config_schema
from nw_platform.cli.output import Output, clock, visible
from nw_platform.record.hours import to_datetime
from nw_platform.settings import check_history, load

HELP = (
    "check: validate the configuration (2 if it is wrong), then read a sample of every source and show what was made\n"
    "of it (1 if one cannot be read, or more than a fifth of its records are rejected).\n"
    "schema: print the JSON Schema of the configuration."
)
EXAMPLE = "nw config check\n  nw config schema > neverwinter.schema.json"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw config`."""
    parser.add_argument("action", choices=("check", "schema"), help="what to do")


def run(args: argparse.Namespace, out: Output) -> int:
    """Check the configuration, or print the schema."""
    if args.action == "schema":
        out.result(json.dumps(config_schema(), indent=2), "table")
        return 0
    settings = load(args.config)
    check_history(settings, clock())
    # A wrong configuration is refused before what reads sources is even imported.
    from nw_platform.cli.config_report import as_row, as_text  # noqa: PLC0415
    from nw_platform.cli.probe import probe_all  # noqa: PLC0415
    from nw_platform.cli.unmet import never_met  # noqa: PLC0415

    with out.progress(None, "reading samples of the sources"):
        previews = probe_all(settings, clock())
    if out.as_json:
        rows = [as_row(preview) for preview in previews]
        out.result({"config": settings.path, "lake": settings.lake, "streams": rows})
    else:
        count = f"{len(previews)} stream{'' if len(previews) == 1 else 's'}"
        out.result("\n\n".join([f"{settings.path}: valid, {count}", *map(as_text, previews)]))
    for preview in previews:
        for problem in preview.problems:
            out.note(visible(f"{preview.stream}: {problem}"))
        for warning in preview.warnings:
            out.note(visible(f"warning: streams.{preview.stream}: {warning}"))
    today = to_datetime(clock()).date()
    for name, stream in settings.streams.items():
        for told in never_met(stream, today):
            out.note(f"warning: streams.{name}.{told}")
    return 1 if any(preview.problems for preview in previews) else 0
