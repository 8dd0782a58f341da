"""The S3 store that tests start: real objects, real keys, this machine only, nothing left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError

from scripts.object_store import ObjectStore
from scripts.object_store import object_store as start


def test_objects_are_kept_for_who_has_the_keys(object_store: ObjectStore) -> None:
    object_store.client().put_object(Bucket=object_store.bucket, Key="a/b", Body=b"bytes")
    found = object_store.client().get_object(Bucket=object_store.bucket, Key="a/b")
    assert found["Body"].read() == b"bytes"
    assert object_store.keys("a/") == ["a/b"]
    stranger = replace(object_store, secret_access_key="guessed")
    with pytest.raises(ClientError, match=r"SignatureDoesNotMatch|403"):
        stranger.keys()


def test_two_stores_run_at_once_on_loopback_only_and_leave_nothing(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    with start(tmp_path, bucket="second") as second:
        assert second.endpoint != object_store.endpoint
        assert second.keys() == []
        sockets = psutil.Process(second.pid).net_connections("inet")
        listens = [entry.laddr for entry in sockets if entry.status == psutil.CONN_LISTEN]
        assert len(listens) == 10
        assert {address.ip for address in listens} == {"127.0.0.1"}
    assert not psutil.pid_exists(second.pid)
    for address in listens:
        assert list(Path("/tmp").glob(f"seaweedfs-*-{address.port}.sock")) == []
