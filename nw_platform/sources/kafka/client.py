"""The brokers: options of the client, metadata and offsets, every call with a timeout of its own."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType

from nw_platform.errors import ConfigError, SourceError
from nw_platform.sources.kafka_options import REFUSED

__all__ = ["CALL_S", "Broker", "Topic", "client_options", "one_line"]

_LOG = logging.getLogger(__name__)

CALL_S: Final = 4.0  # one request
REMEMBERED_S: Final = 10.0  # so long brokers that did not answer are not asked again: other streams need not wait too
_TURN_S: Final = 0.05
_PAUSES_S: Final = (0.0, 0.1, 0.4)  # before each attempt
# A partition is being made, deleted or moved; the others go on.
_PASSING: Final = frozenset({
    KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REPLICA_NOT_AVAILABLE, KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE, KafkaError._UNKNOWN_PARTITION, KafkaError._NOENT,  # noqa: SLF001  (public in the C module, named so)
})  # fmt: skip
_SILENCE: Final = frozenset({
    KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE,  # noqa: SLF001  (public in the C module, named so)
    KafkaError._AUTHENTICATION, KafkaError._SSL,  # noqa: SLF001  (public in the C module, named so)
})  # fmt: skip
_SILENT: Final[
    dict[int, tuple[float, str]]
] = {}  # brokers of this process: when they did not answer, and what was said

_SECRET: Final = re.compile(r"password|secret|token|jaas|\.pem$|\.key$|credential", re.IGNORECASE)
_DEFAULTS: Final[Mapping[str, Any]] = {
    "client.id": "neverwinter",
    "log_level": 0,  # librdkafka writes to standard error otherwise; its errors reach us by callback
    "socket.timeout.ms": 10_000,
    "socket.connection.setup.timeout.ms": 3_000,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,
}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the brokers describe it: its id lasts until it is deleted."""

    name: str
    id: str
    partitions: tuple[int, ...]


def client_options(bootstrap: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Properties of the client: those given, over our defaults.

    Raises:
        ConfigError: an option that would break what the platform promises, or is no scalar.
    """
    given: dict[str, Any] = {}
    for name, value in options.items():
        if name in REFUSED:
            raise ConfigError(f"options.{name} of a kafka source cannot be set ({REFUSED[name]}): take it out")
        if value is None:
            continue
        if not isinstance(value, str | int | float):
            raise ConfigError(f"options.{name} of a kafka source is {type(value).__name__}: give text, number or bool")
        given[name] = str(value).lower() if isinstance(value, bool) else value
    return {**_DEFAULTS, **given, "bootstrap.servers": bootstrap, "allow.auto.create.topics": "false"}


def one_line(text: object, options: Mapping[str, Any]) -> str:
    """An error of the client in one line, without the secrets among its options."""
    line = " ".join(str(text).split())
    for name, value in options.items():
        if _SECRET.search(name) and str(value):
            line = line.replace(str(value), "***")
    return line


class Broker:
    """A cluster's metadata and offsets. Opens its connections when first asked; keeps them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = dict(options)
        self._admin: Any = None
        self._said = ""  # the client's last error since a call succeeded
        # Whom it talks to, and how: streams of one source share what is known of its brokers.
        self._key = hash(tuple(sorted((name, str(value)) for name, value in options.items() if name != "group.id")))

    @property
    def address(self) -> str:
        """The brokers, as configured."""
        return str(self.options["bootstrap.servers"])

    def heard(self, error: object) -> None:
        """Remember an error that the client told; it is the reason when a call then fails."""
        if isinstance(error, KafkaError) and error.code() == KafkaError._ALL_BROKERS_DOWN and self._said:  # noqa: SLF001  (public in the C module, named so)
            return
        self._said = one_line(error.str() if isinstance(error, KafkaError) else error, self.options)
        _LOG.debug("kafka %s: %s", self.address, self._said)

    def failure(self, what: str, error: object) -> SourceError:
        """The error for a call that failed: the brokers' address, the reason, what to do."""
        said = error.args[0] if isinstance(error, KafkaException) and error.args else error
        text = one_line(said.str() if isinstance(said, KafkaError) else said, self.options)
        reason = f"{text} ({self._said})" if self._said and self._said not in text else text
        return SourceError(
            f"kafka {self.address}: {what}: {reason}; see that the brokers run and can be reached and that "
            "`options` fit them; the next tick tries again"
        )

    def _remembered(self, what: str, error: KafkaException) -> SourceError:
        """The same for a call that any broker can answer: if there was no answer, others need not try for a while."""
        failed = self.failure(what, error)
        if error.args[0].code() in _SILENCE:
            _SILENT[self._key] = (time.monotonic(), str(failed))
        return failed

    def _answered(self) -> None:
        self._said = ""
        _SILENT.pop(self._key, None)

    def _refuse(self) -> None:
        """Do not wait again for brokers that did not answer a moment ago.

        Raises:
            SourceError: they did not, and why, as it was said then.
        """
        since, reason = _SILENT.get(self._key, (0.0, ""))
        if reason and time.monotonic() - since < REMEMBERED_S:
            raise SourceError(reason)

    def construct(self, kind: Callable[[dict[str, Any]], Any], more: Mapping[str, Any]) -> Any:  # noqa: ANN401  (a client of an untyped library)
        """A client with the options and `more`.

        Raises:
            ConfigError: a property that the client does not know, or a value that it refuses.
        """
        try:
            return kind({**self.options, **more, "error_cb": self.heard})
        except (KafkaException, ValueError, TypeError) as error:
            said = error.args[0] if error.args else error
            text = one_line(said.str() if isinstance(said, KafkaError) else said, self.options)
            raise ConfigError(f"kafka {self.address}: {text}; correct `options` of the source") from error

    def names(self) -> list[str]:
        """The names of all topics but Kafka's own.

        Raises:
            SourceError: the brokers do not answer.
        """
        self._refuse()
        try:
            found = self._client().list_topics(timeout=CALL_S).topics
        except KafkaException as error:
            raise self._remembered("topics could not be listed", error) from error
        self._answered()
        return sorted(name for name in found if not name.startswith("__"))

    def topics(self, names: Sequence[str]) -> dict[str, Topic]:
        """The topics of these names that are there.

        Raises:
            SourceError: the brokers do not answer, or refuse to.
        """
        if not names:
            return {}
        self._refuse()
        client = self._client()
        asked = client.describe_topics(TopicCollection(list(names)), request_timeout=CALL_S)
        found: dict[str, Topic] = {}
        for name, future in asked.items():
            try:
                said = self._wait(future)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue
                raise self._remembered(f"topic {name} could not be looked at", error) from error
            # As Kafka's own tools print it: base64 for file names.
            number = str(said.topic_id).replace("+", "-").replace("/", "_")
            found[name] = Topic(name, number, tuple(sorted(p.id for p in said.partitions)))
        self._answered()
        return found

    def bounds(
        self, places: Iterable[tuple[str, int]]
    ) -> tuple[dict[tuple[str, int], tuple[int, int]], dict[tuple[str, int], str]]:
        """(topic, partition) -> its first offset, and the one after its last committed record; and what failed, why.

        Raises:
            SourceError: the brokers do not answer.
        """
        wanted = list(places)
        low, missing = self._offsets(dict.fromkeys(wanted, OffsetSpec.earliest()))
        high, also = self._offsets(dict.fromkeys(low, OffsetSpec.latest()))
        return {place: (low[place], high[place]) for place in high}, missing | also

    def at_time(self, places: Iterable[tuple[str, int]], time_us: int) -> dict[tuple[str, int], int]:
        """(topic, partition) -> the first offset of a record of that time or later; left out: there is none.

        Raises:
            SourceError: the brokers do not answer, or not for all.
        """
        spec = OffsetSpec.for_timestamp(max(0, -(-time_us // 1000)))
        found, failed = self._offsets(dict.fromkeys(places, spec))
        for (topic, partition), reason in failed.items():
            raise self.failure(f"offsets of {topic}/{partition} could not be read", reason)
        return {place: offset for place, offset in found.items() if offset >= 0}

    def retention_us(self, names: Sequence[str]) -> dict[str, int]:
        """Topic -> how long its records are kept; left out: for ever, or it is not known."""
        wanted = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not wanted:
            return {}
        found: dict[str, int] = {}
        for resource, future in self._client().describe_configs(wanted, request_timeout=CALL_S).items():
            try:
                said = self._wait(future)
            except KafkaException as error:
                _LOG.debug("kafka %s: %s", self.address, error)
                continue
            keeps = int(said["retention.ms"].value)
            if keeps >= 0 and "delete" in said["cleanup.policy"].value:
                found[resource.name] = keeps * 1000
        return found

    def close(self) -> None:
        """Give up the connections."""
        self._admin = None

    def _client(self) -> Any:  # noqa: ANN401  (a client of an untyped library)
        if self._admin is None:
            self._admin = self.construct(AdminClient, {})
        return self._admin

    def _offsets(
        self, asked: Mapping[tuple[str, int], Any]
    ) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], str]]:
        """Offsets, and which could not be read. Leaders that have just changed are asked for again."""
        self._refuse()
        found: dict[tuple[str, int], int] = {}
        failed: dict[tuple[str, int], KafkaException] = {}
        for pause in _PAUSES_S:
            time.sleep(pause)
            failed = {}
            left = {TopicPartition(*place): spec for place, spec in asked.items() if place not in found}
            for place, future in (
                self._client()
                .list_offsets(left, request_timeout=CALL_S, isolation_level=IsolationLevel.READ_COMMITTED)
                .items()
                if left
                else ()
            ):
                try:
                    found[place.topic, place.partition] = self._wait(future).offset
                except KafkaException as error:
                    failed[place.topic, place.partition] = error
            if not failed or any(error.args[0].code() not in _PASSING for error in failed.values()):
                break
        for (topic, partition), problem in failed.items():
            if not found or problem.args[0].code() not in _PASSING:
                raise self.failure(f"offsets of {topic}/{partition} could not be read", problem) from problem
        if found:
            self._answered()
        return found, {place: one_line(problem.args[0].str(), self.options) for place, problem in failed.items()}

    def _wait(self, future: Future[Any]) -> Any:  # noqa: ANN401  (results of an untyped library)
        """The result; the client's errors are heard meanwhile."""
        end = time.monotonic() + CALL_S + 1.0
        while True:
            try:
                return future.result(timeout=_TURN_S)
            except TimeoutError:
                self._client().poll(0)
                if time.monotonic() > end:
                    late = KafkaError(KafkaError._TIMED_OUT, f"no answer within {CALL_S:g} s")  # noqa: SLF001  (public in the C module, named so)
                    raise KafkaException(late) from None
