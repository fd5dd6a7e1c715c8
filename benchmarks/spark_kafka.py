"""The same work with Spark 4 in batch mode: Kafka -> exact bytes and parsed, deduplicated logs, `local[2]`.

Runs where pyspark is installed (`pip install pyspark==4.0.0`) and Maven can fetch the jars that
benchmarks/spark/pom.xml names. The clock starts when the session is up.
"""

from __future__ import annotations

import importlib.util
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from nw_platform.errors import RequirementError
from nw_platform.services.artefacts import cache_folder
from nw_platform.services.java import find_java, find_maven

_POM: Final = Path(__file__).parent / "spark" / "pom.xml"
_GOAL: Final = "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies"
_SCHEMA: Final = (
    "v INT, id STRING, ts BIGINT, host STRING, ip STRING, process STRING, pid INT, type STRING, type_version INT, "
    "series STRING, spilled BOOLEAN, session STRING, seq BIGINT, severity STRING, message STRING, "
    "fields STRUCT<user_id: STRING, status: INT, latency_ms: DOUBLE>"
)


def missing() -> str | None:
    """Why Spark cannot be measured here; None: it can."""
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed"
    try:
        find_java()
        jars()
    except (RequirementError, subprocess.SubprocessError) as error:
        return str(error)
    return None


def jars() -> list[Path]:
    """Spark's Kafka source, fetched once."""
    folder = cache_folder() / "spark"
    if not any(folder.glob("*.jar")):
        command = [find_maven(), "-B", "-q", "-f", str(_POM), _GOAL, f"-DoutputDirectory={folder}"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=600)  # noqa: S603  (our own arguments)
    return sorted(folder.glob("*.jar"))


def ingest(folder: str, bootstrap: str, topic: str) -> dict[str, float]:
    """Read a topic, write raw and logs. Returns the rows of logs and the seconds that took."""
    from pyspark.sql import SparkSession  # noqa: PLC0415  (optional)
    from pyspark.sql import functions as f  # noqa: PLC0415

    listed = ",".join(str(jar) for jar in jars())
    builder: Any = SparkSession.builder
    spark = (
        builder.master("local[2]")
        .config("spark.jars", listed)
        .config("spark.driver.memory", "4g")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    began = time.perf_counter()
    read = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", bootstrap)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .option("endingOffsets", "latest")
        .load()
    )
    read.write.parquet(f"{folder}/raw")
    parsed = (
        read.select(
            f.from_json(f.col("value").cast("string"), _SCHEMA).alias("r"), "topic", "partition", "offset", "timestamp"
        )
        .select("r.*", "topic", "partition", "offset", "timestamp")
        .withColumn("event_time", f.timestamp_millis("ts"))
        .withColumn("dt", f.date_format("event_time", "yyyy-MM-dd"))
        .withColumn("hour", f.date_format("event_time", "HH"))
        .dropDuplicates(["dt", "hour", "id"])
    )
    parsed.write.partitionBy("dt", "hour").parquet(f"{folder}/logs")
    seconds = time.perf_counter() - began
    count = spark.read.parquet(f"{folder}/logs").count()
    spark.stop()
    return {"records": count, "seconds": seconds}
