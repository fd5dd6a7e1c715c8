"""The id of a new Kafka cluster is one that Kafka's tools take."""

import base64
import uuid

from nw_platform.services.kafka import new_cluster_id


def test_no_id_begins_with_a_dash():
    dashed = uuid.UUID(bytes=base64.urlsafe_b64decode("-" + "x" * 20 + "w=="))
    assert new_cluster_id(dashed) == "A" + "x" * 20 + "w"


def test_other_ids_stay_as_they_are():
    for number in range(200):
        of = uuid.UUID(int=number << 64 | number)
        text = new_cluster_id(of)
        assert len(text) == 22
        assert base64.urlsafe_b64decode(text + "==") == of.bytes
