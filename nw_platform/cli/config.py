"""`nw config check|schema`: validates the configuration and tries its sources; prints its JSON Schema."""

from __future__ import annotations

import argparse
import json

from nw_platform.cli.config_schema import config_schema
from nw_platform.cli.output import Output, clock
from nw_platform.record.hours import to_datetime
from nw_platform.settings import check_history, load

HELP = (
    "check: validate the configuration (2 if it is wrong), then try every source (1 if one cannot be read).\n"
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
    from nw_platform.cli.probe import Probe, probe_all  # noqa: PLC0415
    from nw_platform.cli.unmet import never_met  # noqa: PLC0415

    def line(probe: Probe) -> str:
        named = f"{probe.format} (sniffed)" if probe.sniffed else probe.format
        files = f"{probe.files:,} {probe.unit}{'' if probe.files == 1 else 's'}"
        if probe.records is not None:
            files += f" with {probe.records:,} offsets"
        nothing = "could not be read" if probe.problems else "nothing there yet"
        found = f"{files}, format {named}" if probe.files else nothing
        return f"{probe.stream}: {found}: {probe.where}"

    with out.progress(None, "trying the sources"):
        probes = probe_all(list(settings.streams.values()), clock())
    if out.as_json:
        rows = [
            {
                "stream": p.stream,
                "where": p.where,
                f"{p.unit}s": p.files,
                "format": p.format,
                "problems": list(p.problems),
            }
            for p in probes
        ]
        out.result({"config": settings.path, "lake": settings.lake, "streams": rows})
    else:
        out.result("\n".join([f"{settings.path}: valid, {len(probes)} streams", *map(line, probes)]))
    for probe in probes:
        for problem in probe.problems:
            out.note(f"{probe.stream}: {problem}")
    today = to_datetime(clock()).date()
    for name, stream in settings.streams.items():
        for told in never_met(stream, today):
            out.note(f"warning: streams.{name}.{told}")
    return 1 if any(probe.problems for probe in probes) else 0
