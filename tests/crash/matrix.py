"""SIGKILLs over every step of the protocol and at random, on a real Kafka, the lake on local disk or on a real HDFS.

    python tests/crash/matrix.py [--lake local|hdfs] [--kills 60] [--records 300000] [--seed 1]

Records come in while the commands run; some are sent twice, also to other partitions, and some are broken. Commands are
the ones that users have (`nw ingest`, `compact`, `replay`, `rebuild`, `build`), each killed at a step or at any moment;
the broker and the NameNode are stopped and started meanwhile, and the number of lanes changes. In the end every id
is in `logs` once, every repeat is in `duplicates`, every broken line is a reject, and `nw verify` finds nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
if str(REPOSITORY) not in sys.path:
    sys.path.insert(0, str(REPOSITORY))

import pyarrow.fs as pafs  # noqa: E402
from confluent_kafka import Consumer, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

from nw_platform.ingest.steps import Step  # noqa: E402
from nw_platform.lake.store import Lake  # noqa: E402
from nw_platform.services.guardian import guarded  # noqa: E402
from nw_platform.services.hdfs import Hdfs  # noqa: E402
from nw_platform.services.kafka import Kafka  # noqa: E402

PARTITIONS = 4
SESSIONS = 7
HOURS = 3  # event hours, all of them closed long ago
REPEATED, BROKEN = 0.02, 0.005
TOPIC = "events"
RANGE = ("2026-01-01", "2100-01-01")

# Which command is killed where. Retention and new parsing rules have crash tests of their own (test_crash.py).
Places = tuple[tuple[str, Step], ...]
PLACES: Places = (
    ("ingest", Step.TABLE_CREATED), ("ingest", Step.GENESIS_COMMITTED), ("ingest", Step.PLANNED),
    ("ingest", Step.SPAN_READ), ("ingest", Step.RAW_WRITTEN), ("ingest", Step.RAW_COMMITTED),
    ("ingest", Step.RECEIPT_APPENDED), ("ingest", Step.DUPLICATES_WRITTEN), ("ingest", Step.DUPLICATES_COMMITTED),
    ("ingest", Step.LOGS_WRITTEN), ("ingest", Step.LOGS_COMMITTED), ("ingest", Step.DEDUPE_MARKED),
    ("ingest", Step.DEDUPE_SAVED), ("ingest", Step.SOURCE_ADVANCED), ("compact", Step.COMPACTION_WRITTEN),
    ("compact", Step.COMPACTION_COMMITTED), ("replay", Step.REPLAY_WRITTEN), ("replay", Step.REPLAY_COMMITTED),
    ("replay", Step.REBUILD_WRITTEN), ("build", Step.REPORT_WRITTEN), ("build", Step.REPORT_REPLACED),
)  # fmt: skip


@dataclass
class Traffic:
    """Reproducible records, and what was sent so far."""

    bootstrap: str
    chance: random.Random
    records: int = 0
    ids: int = 0
    repeats: int = 0
    broken: int = 0
    sample: list[bytes] = field(default_factory=list)

    def send(self, count: int) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 20})
        start = int(time.time() * 1000) // 3_600_000 * 3_600_000 - (HOURS + 2) * 3_600_000
        for _ in range(count):
            dice = self.chance.random()
            if dice < REPEATED and self.sample:
                value = self.chance.choice(self.sample)
                self.repeats += 1
            elif dice < REPEATED + BROKEN:
                value = b'{"v":1,"id":"broken-%d","ts":%d,"host":' % (self.broken, start)
                self.broken += 1
            else:
                session, seq = self.ids % SESSIONS, self.ids // SESSIONS
                ts = start + (self.ids * 7919) % (HOURS * 3_600_000)
                value = (
                    b'{"v":1,"id":"s%d-%d","ts":%d,"host":"h%d","session":"s%d","seq":%d,"fields":{"n":%d,"pad":"%s"}}'
                    % (session, seq, ts, session, session, seq, self.ids, b"x" * 60)
                )
                self.ids += 1
                if len(self.sample) < 5000 or dice > 0.99:
                    self.sample.append(value)
            producer.produce(TOPIC, value, partition=self.records % PARTITIONS)
            producer.poll(0)
            self.records += 1
        if left := producer.flush(60):
            raise AssertionError(f"the broker did not take {left} records")


class Matrix:
    """One lake, one topic, many kills."""

    def __init__(self, root: Path, bootstrap: str, lake: str, *, seed: int, say: Callable[[str], object]) -> None:
        self.root, self.bootstrap, self.lake_url, self.say = root, bootstrap, lake, say
        self.chance = random.Random(seed)  # noqa: S311  (a test's dice)
        self.traffic = Traffic(bootstrap, self.chance)
        self.kills: Counter[str] = Counter()
        self.lanes = 1
        self.places = PLACES
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(60)

    @property
    def lake(self) -> Lake:
        return Lake(self.lake_url, work=self.root / "work")

    def run(self, kills: int, records: int, outages: Iterator[Callable[[], object]]) -> None:
        """Kill commands until there were `kills` kills and every place had one, while `records` come in."""
        wanted = self._places(kills)
        slice_ = records // len(wanted)
        for number in range(6 * kills):
            if not wanted or sum(self.kills.values()) >= 2 * kills:
                break
            self.traffic.send(max(60, min(slice_, records - self.traffic.records)))  # something to do, always
            if number % 5 == 4:
                self.lanes = self.chance.choice((1, 2, 3))
            action, step = wanted.pop(0)
            if not self._kill(action, step, next(outages) if number % 9 == 7 else None) and step != "any":
                wanted.append((action, step))  # it had nothing to do there: later it has
        self.traffic.send(max(0, records - self.traffic.records))

    def _places(self, kills: int) -> list[tuple[str, str]]:
        every = [(action, str(step)) for action, step in self.places]
        places = [*every, *(("ingest", "any") for _ in range(max(0, kills - len(every))))]
        first, rest = places[:3], places[3:]  # tables and genesis are there only once
        self.chance.shuffle(rest)
        return [*first, *rest]

    def _kill(self, action: str, step: str, outage: Callable[[], object] | None) -> bool:
        if action == "replay":
            self._damage()
        elif action != "ingest":
            self.nw("ingest", "--once", patient=True)
        process = self._start(action, {} if step == "any" else {"NW_CRASH_AT": step})
        if outage is not None:
            self.say("   a service is away meanwhile")
            outage()
        try:
            said = process.communicate(timeout=self.chance.uniform(0.8, 4.0) if step == "any" else 300)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[1]
        killed = process.returncode == -signal.SIGKILL
        assert killed or process.returncode in {0, 1}, said
        self.kills[f"{action} {step}"] += killed
        self.say(f"{action:8} {step:22} {'killed' if killed else f'ended with {process.returncode}'}")
        return killed

    def _damage(self) -> None:
        """Lose one raw file, so that a replay has something to mend."""
        self.nw("ingest", "--once", patient=True)
        snapshot = self.lake.raw("app").snapshot()
        assert snapshot is not None
        there = [f for f in snapshot.files() if self.lake.files.get_file_info(_raw(f.path)).type == pafs.FileType.File]
        self.lake.files.delete_file(_raw(self.chance.choice(there).path))

    def check(self) -> None:
        """Let everything come to its end, and count."""
        self.traffic.send(10 * PARTITIONS)  # group offsets follow batches: the last one is not killed
        self.nw("ingest", "--once", patient=True)
        self.nw("replay", "app", *RANGE, patient=True)
        self.nw("verify")
        self._count()
        self.nw("compact")
        self.nw("rebuild", "app", *RANGE)
        self.nw("build", patient=True)  # HDFS may still be taking a killed writer's file away from it
        self.nw("verify")
        self._count()
        (lines,) = self.sql("SELECT sum(lines) AS n FROM summary_report WHERE grain = 'hour'")
        sent = self.traffic
        assert lines["n"] == sent.ids + sent.broken
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "neverwinter.app"})
        committed = consumer.committed([TopicPartition(TOPIC, n) for n in range(PARTITIONS)], timeout=10)
        ends = [consumer.get_watermark_offsets(place, timeout=10)[1] for place in committed]
        consumer.close()
        assert [place.offset for place in committed] == ends

    def _count(self) -> None:
        sent = self.traffic
        (found,) = self.sql(
            "SELECT count(*) FILTER (reject_reason IS NULL) AS whole, count(DISTINCT event_id) FILTER (reject_reason "
            "IS NULL) AS ids, count(*) FILTER (reject_reason IS NOT NULL) AS broken, "
            "(SELECT count(*) FROM duplicates) AS repeats FROM logs"
        )
        assert found == {"whole": sent.ids, "ids": sent.ids, "broken": sent.broken, "repeats": sent.repeats}

    def sql(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.nw("sql", query, "--format", "json"))
        return found

    def nw(self, *arguments: str, patient: bool = False) -> str:
        """Run a command to its end. `patient`: again, if a service has only just come back."""
        for _ in range(10):
            process = self._start(*arguments)
            out, said = process.communicate(timeout=600)
            if process.returncode == 0:
                return out
            if not patient and "did not answer" not in said:
                break
        raise AssertionError(f"nw {' '.join(arguments)} ended with {process.returncode}: {out}{said}")

    def _start(self, action: str, *rest: Any) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            **(rest[-1] if rest and isinstance(rest[-1], dict) else {}),
        }
        arguments = [word for word in rest if isinstance(word, str)]
        if not arguments:
            arguments = {"ingest": ["--once"], "replay": ["app", *RANGE]}.get(action, [])
        settings = {
            "lake": self.lake_url,
            "sources": {"kafka": {"kind": "kafka", "bootstrap": self.bootstrap}},
            "streams": {
                "app": {
                    "source": "kafka",
                    "topic": TOPIC,
                    "format": "json",
                    "lanes": self.lanes,
                    "columns": {"n": "int64"},
                }
            },
        }
        config = self.root / "neverwinter.yaml"
        config.write_text(json.dumps(settings))
        command = [sys.executable, "-m", "nw_platform.cli.main", "-c", str(config), action, *arguments]
        return subprocess.Popen(
            command, env=environment, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


def _raw(path: str) -> str:
    return f"raw/stream=app/{path}"


def outages(*restarts: Callable[[], object]) -> Iterator[Callable[[], object]]:
    """One service after the other, for ever."""
    while True:
        yield from restarts


def kill_and_check(root: Path, bootstrap: str, lake: str, services: Sequence[Any], places: Places) -> None:
    """A size for every day: each place once and two kills at random; `services` are stopped and started meanwhile."""

    def away(service: Any) -> Callable[[], object]:
        return lambda: (service.stop(), service.start())

    matrix = Matrix(root, bootstrap, lake, seed=7, say=print)
    matrix.places = places
    matrix.run(len(places) + 2, 30_000, outages(*map(away, services)))
    assert {place for place, count in matrix.kills.items() if count} >= {f"{a} {s}" for a, s in places}
    matrix.check()


def main() -> int:
    """The full size, from the command line."""
    parser = argparse.ArgumentParser(description="SIGKILLs on real services; exit 1 if a record was lost or repeated.")
    parser.add_argument("--lake", choices=("local", "hdfs"), default="local")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="neverwinter-crash-") as folder,
        guarded(Path(f"{folder}-services")) as services,
    ):
        kafka = Kafka(services)
        bootstrap, lake, restarts = kafka.up()["bootstrap"], f"{folder}/lake", [_restart(kafka)]
        if args.lake == "hdfs":
            hdfs = Hdfs(services)
            lake = f"{hdfs.up()['rpc']}/lake"
            restarts.append(_restart(hdfs))
        matrix = Matrix(Path(folder), bootstrap, lake, seed=args.seed, say=print)
        matrix.run(args.kills, args.records, outages(*restarts))
        matrix.check()
        killed = sum(matrix.kills.values())
        missing = {f"{action} {step}" for action, step in PLACES} - {place for place, n in matrix.kills.items() if n}
        assert not missing, missing
    matrix.say(f"{killed} kills, {matrix.traffic.records:,} records: none lost, none repeated")
    return 0


def _restart(service: Kafka | Hdfs) -> Callable[[], object]:
    def restart() -> None:
        service.down()
        service.up()

    return restart


if __name__ == "__main__":
    sys.exit(main())
