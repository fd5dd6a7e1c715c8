"""A real Kafka and a real HDFS on this machine, for development and tests (`nw services`; docs/services.md)."""
