"""Kafka: topics of a cluster, read by assigned partitions and offsets of our own; consumer groups are only written."""

from nw_platform.sources.kafka.source import KafkaSource

__all__ = ["KafkaSource"]
