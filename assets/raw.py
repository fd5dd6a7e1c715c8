"""Assets raw/<stream>: exact bytes by arrival hour. Ticks fill them; materializing one by hand replays it."""

from typing import Final

import dagster as dg

from assets.columns import raw_columns
from assets.markdown import plain
from assets.partitions import chosen_hours, is_open
from assets.reporting import materialization_metadata
from nw_platform.streams.declaration import StreamDecl
from resources.platform import HourOutcome, Platform

OWNERS: Final = ("team:neverwinter",)
LONG_SECONDS: Final = 43_200


def build_raw(stream: StreamDecl, hours: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The asset `raw/<stream>`."""

    @dg.asset(
        key=["raw", stream.name],
        group_name="raw",
        description=(
            f"The records of stream `{stream.name}` ({plain(_origin(stream))}), byte for byte, by arrival hour. "
            "A tick fills it every minute. To materialize an hour is to replay it: its spans are read from the source "
            "again and compared by digest; only what differs is replaced."
        ),
        kinds={"deltalake", "parquet"},
        owners=list(OWNERS),
        partitions_def=hours,
        backfill_policy=dg.BackfillPolicy.single_run(),
        metadata={"dagster/column_schema": raw_columns(), "format": stream.format, "source": _origin(stream)},
    )
    def raw(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
        allow_long(context)
        first, last = chosen_hours(context)
        now = platform.clock()
        if is_open(last, now):
            platform.tick(streams=[stream.name])
        return described(context, platform.replay(stream.name, first, last, now))

    return raw


def allow_long(context: dg.AssetExecutionContext) -> None:
    """A backfill may take half a day; dagster.yaml lets a run that says nothing take a quarter of an hour."""
    context.instance.add_run_tags(context.run_id, {"dagster/max_runtime": str(LONG_SECONDS)})


def described(context: dg.AssetExecutionContext, outcomes: list[HourOutcome]) -> dg.MaterializeResult[None]:
    """Numbers and notes for each hour that was worked on, and a line for each that changed."""
    chosen = set(context.partition_keys)
    for outcome in outcomes:
        if outcome.note or outcome.numbers.get("changed"):
            context.log.info("%s: %s %s", outcome.hour, dict(outcome.numbers), outcome.note)
        if outcome.hour in chosen:
            note = {"note": outcome.note} if outcome.note else {}
            metadata = {**materialization_metadata(outcome.numbers), **note}
            context.add_asset_metadata(metadata, partition_key=outcome.hour)
    return dg.MaterializeResult()


def _origin(stream: StreamDecl) -> str:
    if stream.path is not None:
        return f"{stream.source.url.rstrip('/')}/{stream.path}" if stream.source.url else stream.path
    return ", ".join(stream.topics)
