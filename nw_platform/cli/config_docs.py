"""Writes docs/configuration.md from the schema: `python -m nw_platform.cli.config_docs > docs/configuration.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

from nw_platform.cli.config_schema import config_schema

EXAMPLE: Final = """\
lake: ./lake                                  # a path, hdfs://namenode:port/path, s3://bucket/path
sources:
  landing: {kind: landing, url: "webhdfs://namenode:9870/landing", datacenter: east}
  kafka_east:
    kind: kafka
    bootstrap: "broker:9092"
    datacenter: east
    options: {security.protocol: SASL_SSL, sasl.password: "env:KAFKA_PASSWORD"}
streams:
  web:                                        # files of this machine, the format found out from the first lines
    path: "/var/log/nginx/access.log*"
  apache_access:
    source: landing
    path: "access/*.log*"                     # .gz .zst .bz2 .xz are unpacked
    format: combined
    late_after: never
    history: {from: 2015-05-17, until: 2015-05-21}
    expect:
      - {kind: volume, min_lines: 1, every: 15m}
  dialer:
    source: landing
    path: "dialer/*.csv"
    format: csv
    expect:
      - {kind: file, name: "dialer-{date}.csv", by: "06:00", grace: 30m}
  app:
    source: kafka_east
    topic: app.events
    format: json
    event_time: {field: ts, unit: ms}
    columns: {user_id: string, status: int32, latency_ms: float64}
    retention: {raw: 30d, logs: 400d}
    expect:
      - {kind: heartbeat, every: 1m}
      - {kind: rate, name: payments_failing, where: "log_type = 'payment' AND status >= 500", max_pct: 5, every: 10m}
      - {kind: balance, name: calls, left: "log_type = 'call.begin'", right: "log_type = 'call.end'", tolerance_pct: 2}
      - {kind: values, column: status, allowed: [200, 201, 204, 400, 404, 500]}
hosts: [web-01.east, web-02.east]
alerts:
  channels:
    ops: {kind: slack, url: "env:SLACK_WEBHOOK"}
    oncall: {kind: email, smtp: "smtp://mail:25", from: nw@example.com, to: [oncall@example.com]}
  routes:
    - {severity: error, to: [ops, oncall]}
    - {severity: warn, to: [ops], days: [mon, tue, wed, thu, fri], hours: "08:00-18:00", zone: Europe/Berlin}
    - {streams: [app], checks: [silence, lag], to: [ops], escalate: {after: 30m, to: [oncall]}}
  reminder: 1h
  maintenance:
    - {streams: [web], days: [sun], hours: "22:00-02:00"}
    - {subjects: ["*.east"], from: 2026-11-22T22:00, until: 2026-11-23T04:00, zone: Europe/Berlin}
  link: "http://dagster.example.com:3000"
"""

_INTRODUCTION: Final = """\
# Configuration

<!-- Generated: python -m nw_platform.cli.config_docs > docs/configuration.md -->

One YAML file (JSON is YAML too), named by `-c PATH`, else by the environment variable `NW_CONFIG`, else
`./neverwinter.yaml`. PATH may be an address (`s3://...`, `webhdfs://...`). Relative paths start from the file's folder.
Everything but `streams` has a default; this is a whole file:

```yaml
streams: {web: {path: "/var/log/nginx/access.log*"}}
```

`nw init` writes one for what it finds on the machine. `nw config check` validates it and shows
[what it makes of a sample](operations.md#what-nw-config-check-shows) of every source; `nw config schema` prints its
JSON Schema. A wrong file is refused whole, before anything starts, with a line for each problem: where, what was found,
what is allowed, and the nearest valid name. A key that stands twice is a problem.

| type | written as |
|---|---|
| duration | a number and a unit: `90s`, `15m`, `24h`, `30d`; some keys also take `never` |
| size | a number of bytes, or with a unit: `512KiB`, `1MiB` |
| day, time of day | `2026-11-22`; `"06:00"`. UTC unless a zone is named |
| hours | times of day: `"08:00-18:00"`; `"22:00-06:00"` ends on the next day |
| time | `2026-11-22T22:00`, of the `zone` beside it; or with a zone of its own: `2026-11-22T22:00:00Z` |
| secret | a [reference](secrets.md): `env:NAME` (environment variable), `file:PATH` (a file), `vault:PATH#KEY` |

Secrets are read when they are needed, and never shown, logged or stored.

A stream's name is made of letters, digits and `_`: it becomes a directory, an asset in Dagster and a view in SQL. It
must not be the name of a [table](tables.md), and two names must differ in more than case.

## Example

```yaml
"""

_SECTIONS: Final = {
    "SourceEntry": ("## Sources", "sources.NAME"),
    "StreamEntry": ("## Streams", "streams.NAME"),
    "EventTimeEntry": ("### Event time", "streams.NAME.event_time"),
    "Multiline": ("### Records of several lines", "streams.NAME.multiline"),
    "History": ("### History", "streams.NAME.history"),
    "Retention": ("### Retention", "streams.NAME.retention"),
    "Alerts": ("## Alerts", "alerts"),
    "Route": ("### Routes", "alerts.routes[]"),
    "Escalation": ("### Escalation", "alerts.routes[].escalate"),
    "Maintenance": ("### Maintenance", "alerts.maintenance[]"),
}
_NOTES: Final = {
    "SourceEntry": "A stream without `source` reads files of this machine. A secret in `options` must be a reference.",
    "StreamEntry": "What the formats are, and which keys they fill, is in [formats](formats.md).",
    "History": "An asset in Dagster can have at most 100,000 partitions, so a history has at most 100,000 hours."
    " Records outside it are kept and reported.",
    "Alerts": "What becomes an alert, who hears of it and how often is told in [alerts](alerts.md).",
}


def page() -> str:
    """The text of docs/configuration.md."""
    return "\n".join(_page())


def _page() -> Iterator[str]:
    schema = config_schema()
    parts = schema["$defs"]
    yield _INTRODUCTION + EXAMPLE + "```\n"
    yield "## Top level\n"
    yield from _table("", schema, parts)
    for name, (title, path) in _SECTIONS.items():
        yield f"{title}\n"
        if name in _NOTES:
            yield f"{_NOTES[name]}\n"
        yield from _table(path, parts[name], parts)
        if name == "Retention":
            yield from _kinds(
                "### Expectations", "streams.NAME.expect[]", parts["StreamEntry"]["properties"]["expect"], parts
            )
        if name == "Maintenance":
            yield from _kinds("### Channels", "alerts.channels.NAME", parts["Alerts"]["properties"]["channels"], parts)


def _kinds(title: str, path: str, field: dict[str, Any], parts: dict[str, Any]) -> Iterator[str]:
    """A table for each kind of a list or mapping of alternatives."""
    yield f"{title}\n"
    union = field.get("items") or field["additionalProperties"]
    for kind, reference in union["discriminator"]["mapping"].items():
        part = parts[reference.rsplit("/", 1)[1]]
        yield f"#### `kind: {kind}`\n"
        yield f"{part['description']}\n"
        yield from _table(path, part, parts)


def _table(path: str, part: dict[str, Any], parts: dict[str, Any]) -> Iterator[str]:
    if path:
        yield f"Below `{path}`:\n"
    yield "| key | type | default | what it is |"
    yield "|---|---|---|---|"
    required = part.get("required", [])
    for key, field in part["properties"].items():
        if key == "kind" and "const" in field:
            continue
        default = "needed" if key in required else _default(field)
        cells = (f"`{key}`", _type(field, parts), default, field["description"])
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    return "" if default is None or default in ({}, []) or isinstance(default, dict) else f"`{_literal(default)}`"


def _literal(value: Any) -> str:  # noqa: ANN401  (any JSON value)
    return value if isinstance(value, str) else json.dumps(value)


def _type(field: dict[str, Any], parts: dict[str, Any]) -> str:  # noqa: PLR0911  (one return for each form)
    """A schema's type in words."""
    if "x-type" in field:
        return str(field["x-type"])
    if "$ref" in field:
        return "mapping"
    if "const" in field:
        return f"`{_literal(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{_literal(value)}`" for value in field["enum"])
    if "anyOf" in field:
        options = [_type(option, parts) for option in field["anyOf"] if option.get("type") != "null"]
        return " or ".join(options)
    if "oneOf" in field or not field.get("type"):
        return "mapping" if "oneOf" in field else "value"
    if field["type"] == "array":
        return f"list of {_type(field['items'], parts)}"
    if field["type"] == "object":
        inner = field.get("additionalProperties")
        return f"mapping of {_type(inner, parts)}" if isinstance(inner, dict) and "enum" in inner else "mapping"
    return {"string": "text", "integer": "number", "number": "number", "boolean": "true or false"}[field["type"]]


if __name__ == "__main__":
    sys.stdout.write(page())
