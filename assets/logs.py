"""Assets logs/<stream>: parsed and deduplicated records by event hour. Materializing one by hand rebuilds it."""

import dagster as dg

from assets.columns import logs_columns
from assets.partitions import chosen_hours, is_open
from assets.raw import OWNERS, allow_long, described
from nw_platform.streams.declaration import StreamDecl
from resources.platform import Platform


def build_logs(stream: StreamDecl, hours: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The asset `logs/<stream>`."""

    @dg.asset(
        key=["logs", stream.name],
        group_name="logs",
        description=(
            f"The records of stream `{stream.name}`, parsed (format `{stream.format}`) and deduplicated, by event "
            "hour. A tick fills it every minute. To materialize an hour is to rebuild it from `raw`."
        ),
        kinds={"deltalake", "parquet"},
        owners=list(OWNERS),
        partitions_def=hours,
        backfill_policy=dg.BackfillPolicy.single_run(),
        # A late record arrives in any later hour, so any hour of raw can hold records of this one.
        deps=[dg.AssetDep(["raw", stream.name], partition_mapping=dg.AllPartitionMapping())],
        metadata={"dagster/column_schema": logs_columns(stream), "format": stream.format},
    )
    def logs(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
        allow_long(context)
        first, last = chosen_hours(context)
        now = platform.clock()
        if is_open(last, now):
            platform.tick(streams=[stream.name])
        return described(context, platform.rebuild(stream.name, first, last, now))

    return logs
