"""Kafka -> raw and logs, beside a plain consumer of the same broker that only looks at every value.

The broker runs on the same two cores. The plain consumer is configured as a Kafka client usually is for throughput
and does nothing with the records; the platform parses, drops repeats, and writes exact bytes and typed columns.
"""

from __future__ import annotations

import gc
import json
import shutil
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks import data, spark_kafka
from benchmarks.alone import Taken, run_alone
from benchmarks.figures import Figure, median_of
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import run_tick
from nw_platform.services.guardian import guarded
from nw_platform.services.kafka import Kafka
from nw_platform.settings import parse

PARTITIONS: Final = 4
BROKEN: Final = 0.001
_GIB: Final = 1 << 30
_PLAIN: Final[dict[str, Any]] = {
    "group.id": "plain",
    "enable.auto.commit": False,
    "check.crcs": False,
    "queued.min.messages": 1_000_000,
    "queued.max.messages.kbytes": 262_144,
    "fetch.message.max.bytes": 8 << 20,
}
_TUNED: Final[dict[str, Any]] = {
    **_PLAIN,
    "queued.min.messages": 100_000,
    "queued.max.messages.kbytes": 16_384,
    "fetch.message.max.bytes": 1 << 20,
    "fetch.queue.backoff.ms": 2,
}
_COLUMNS: Final = {"user_id": "string", "status": "int32", "latency_ms": "float64"}


def figures(folder: Path, *, records: int, pairs: int) -> Iterator[Figure]:
    """Measure with a broker of its own. `pairs`: how often the consumers and the platform alternate."""
    with guarded(folder.with_name(f"{folder.name}-services")) as services:
        bootstrap = Kafka(services).up()["bootstrap"]
        clean = fill(bootstrap, "clean", records, folder / "text", broken=0.0)
        found = _measured(folder, bootstrap, "clean", clean, pairs)
        mine = found["platform"]
        lanes = [_two_lanes(folder, bootstrap, "clean", clean) for _ in range(pairs)]
        yield _ratio("kafka: rate, of the plain consumer", found["plain"], mine, clean, at_least=0.6)
        yield _ratio("kafka: rate, of the tuned consumer", found["tuned"], mine, clean)
        yield _ratio("kafka, two lanes in two processes: rate, of the plain consumer", found["plain"], lanes, clean)
        cpu = [1e6 * taken.cpu / clean for taken in mine]
        plain = 1e6 * min(taken.cpu for taken in found["plain"]) / clean
        detail = f"the plain consumer takes {plain:.2f} us"
        yield median_of("kafka: CPU a record", cpu, unit=" us", at_most=4.4, detail=detail)
        yield Figure("kafka: peak memory", max(taken.peak for taken in mine) / _GIB, " GiB", at_most=1.5)
        broken = fill(bootstrap, "broken", records, folder / "text", broken=BROKEN)
        found = _measured(folder, bootstrap, "broken", broken, pairs)
        yield _ratio(
            "kafka, 0.1 % broken: rate, of the plain consumer", found["plain"], found["platform"], broken, at_least=0.45
        )
        peak = max(taken.peak for taken in found["platform"]) / _GIB
        yield Figure("kafka, 0.1 % broken: peak memory", peak, " GiB", at_most=1.2)
        if reason := spark_kafka.missing():
            yield Figure("kafka: rate, of Spark's batch", float("nan"), detail=f"not measured: {reason}")
            return
        spark, ours = [], []
        for _ in range(pairs):
            job = {"folder": str(folder / "run"), "bootstrap": bootstrap, "topic": "clean"}
            taken = run_alone("benchmarks.spark_kafka:ingest", **job)
            shutil.rmtree(folder / "run")
            if taken.result["records"] != clean:
                raise SystemExit(f"Spark wrote {taken.result['records']} of {clean} records")
            spark.append(replace(taken, seconds=taken.result["seconds"]))
            ours.append(_platform(folder, bootstrap, "clean", clean))
        yield _ratio("kafka: rate, of Spark's batch", spark, ours, clean, at_least=6.0)


def backlog(folder: Path, *, records: int) -> Iterator[Figure]:
    """Peak memory of a run that meets a backlog."""
    with guarded(folder.with_name(f"{folder.name}-services")) as services:
        bootstrap = Kafka(services).up()["bootstrap"]
        count = fill(bootstrap, "backlog", records, folder / "text", broken=0.0)
        taken = _platform(folder, bootstrap, "backlog", count)
        detail = f"{count:,} records at {count / taken.seconds / 1000:,.0f}k records/s"
        yield Figure("kafka, backlog: peak memory", taken.peak / _GIB, " GiB", at_most=1.5, detail=detail)


def fill(bootstrap: str, topic: str, records: int, text: Path, *, broken: float) -> int:
    """Make a topic and put wire records into it, spread evenly. Returns how many."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(60)
    data.json_lines(text, max(1, records * data.JSON_BYTES // 1_000_000), broken=broken)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 50,
            "batch.size": 1 << 20,
            "acks": "all",
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    count = 0
    with text.open("rb") as file:
        for line in file:
            while True:
                try:
                    producer.produce(topic, line.rstrip(b"\n"), partition=count % PARTITIONS)
                except BufferError:
                    producer.poll(0.1)
                else:
                    break
            count += 1
    if left := producer.flush(120):
        raise SystemExit(f"{left} records were not taken by the broker")
    text.unlink()
    return count


def consumer(bootstrap: str, topic: str, *, tuned: bool) -> dict[str, int]:
    """Read all of a topic and look at each value."""
    if tuned:
        gc.disable()
    client = Consumer({"bootstrap.servers": bootstrap, **(_TUNED if tuned else _PLAIN)})
    ends, starts = {}, []
    for number in range(PARTITIONS):
        low, high = client.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
        ends[number] = high
        starts.append(TopicPartition(topic, number, low))
    client.assign(starts)
    wanted, seen = sum(ends.values()), 0
    while seen < wanted:
        messages = client.consume(2_000 if tuned else 50_000, timeout=1.0)
        deque(map(Message.value, messages), maxlen=0)
        seen += len(messages)
    client.close()
    return {"records": seen}


def platform(folder: str, bootstrap: str, topic: str, lanes: int = 1, lane: int | None = None) -> dict[str, Any]:
    """Ingest a topic, or one lane of it. Returns records, rejects, duplicates, batches, and when it began and ended."""
    began = time.time()
    root = Path(folder)
    stream = {
        "source": "kafka",
        "topic": topic,
        "format": "json",
        "late_after": "never",
        "columns": _COLUMNS,
        "lanes": lanes,
    }
    text = json.dumps(
        {
            "lake": str(root / "lake"),
            "sources": {"kafka": {"kind": "kafka", "bootstrap": bootstrap}},
            "streams": {"app": stream},
        }
    )
    with Session(parse(text, base=folder, origin="benchmark")) as session:
        report = run_tick(session, lambda: time.time_ns() // 1000, until_caught_up=True, lane=lane)
    if report.failures or report.problems:
        raise SystemExit(f"the platform failed: {report.failures} {report.problems}")
    return {
        "records": sum(batch.records for batch in report.batches),
        "rejects": sum(batch.rejects for batch in report.batches),
        "duplicates": sum(batch.duplicates for batch in report.batches),
        "batches": len(report.batches),
        "began": began,
        "ended": time.time(),
    }


def _measured(folder: Path, bootstrap: str, topic: str, records: int, pairs: int) -> dict[str, list[Taken]]:
    """Both consumers and the platform in turn."""
    found: dict[str, list[Taken]] = {"plain": [], "tuned": [], "platform": []}
    for _ in range(pairs):
        for name in ("plain", "tuned"):
            taken = run_alone("benchmarks.kafka:consumer", bootstrap=bootstrap, topic=topic, tuned=name == "tuned")
            found[name].append(taken)
        found["platform"].append(_platform(folder, bootstrap, topic, records))
    return found


def _platform(folder: Path, bootstrap: str, topic: str, records: int) -> Taken:
    taken = run_alone("benchmarks.kafka:platform", folder=str(folder / "run"), bootstrap=bootstrap, topic=topic)
    shutil.rmtree(folder / "run")
    if taken.result["records"] != records or taken.result["duplicates"]:
        raise SystemExit(f"{records} records were sent, {taken.result} came in")
    return taken


def _two_lanes(folder: Path, bootstrap: str, topic: str, records: int) -> Taken:
    """The same by two lanes, each in a process of its own, from the start of the first to the end of the last."""

    def lane(index: int) -> Taken:
        arguments = {"folder": str(folder / "run"), "bootstrap": bootstrap, "topic": topic, "lanes": 2, "lane": index}
        return run_alone("benchmarks.kafka:platform", **arguments)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lane, range(2)))
    shutil.rmtree(folder / "run")
    if sum(taken.result["records"] for taken in both) != records:
        raise SystemExit(f"{records} records were sent, {[taken.result for taken in both]} came in")
    seconds = max(t.result["ended"] for t in both) - min(t.result["began"] for t in both)
    return Taken(seconds, sum(t.cpu for t in both), max(t.peak for t in both), None)


def _ratio(what: str, theirs: list[Taken], mine: list[Taken], records: int, **target: float) -> Figure:
    rates = [t.seconds / m.seconds for t, m in zip(theirs, mine, strict=True)]
    peer, our = (records / min(taken.seconds for taken in runs) / 1000 for runs in (theirs, mine))
    return median_of(what, rates, detail=f"{our:,.0f}k records/s beside {peer:,.0f}k", **target)
