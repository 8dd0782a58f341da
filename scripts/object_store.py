"""A real S3 store on free ports of loopback, for tests, benchmarks and `scripts/services.sh`."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from scripts import compose
from scripts.server import free_ports

#: Servers of the one process. Each has a gRPC port too, this far above its own.
_SERVERS = ("master", "volume", "filer", "s3", "admin")
_GRPC = 10_000


@dataclass(frozen=True)
class ObjectStore:
    """A running store with one bucket."""

    endpoint: str
    bucket: str
    access_key_id: str
    secret_access_key: str
    pid: int

    @property
    def environment(self) -> dict[str, str]:
        """Variables from which boto3, s3fs and MLflow take the address and the keys."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
        }

    def client(self) -> Any:
        """Return a client of boto3 that fails at once where the store does not answer."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            region_name="us-east-1",
            config=Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 1}),
        )

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of all objects of the bucket, in order."""
        pages = self.client().get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for page in found for entry in page.get("Contents", ())]


@contextmanager
def object_store(
    folder: Path, *, bucket: str = "barwright", patience: float = 60
) -> Iterator[ObjectStore]:
    """Start SeaweedFS with new keys, wait for its bucket, and stop it at the end.

    Parameters
    ----------
    folder : pathlib.Path
        For the data and for ``weed.log``; made if it does not exist.
    bucket : str, default "barwright"
    patience : float, default 60
        Longest wait for the bucket, in seconds.

    Yields
    ------
    ObjectStore

    Raises
    ------
    RuntimeError
        If the store ended or its bucket was not there in time; the text has what it printed.
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    keys = secrets.token_hex(8), secrets.token_urlsafe(24)
    variables = {"S3_ACCESS_KEY_ID": keys[0], "S3_SECRET_ACCESS_KEY": keys[1]}
    port, log = free_store_ports(), folder / "weed.log"
    local = local_store(folder / "data", port, variables)
    local.environment["S3_BUCKET"] = bucket
    process = local.start(log)
    store = ObjectStore(f"http://127.0.0.1:{port['s3']}", bucket, *keys, process.pid)
    try:
        _wait_for(store, process, log, patience)
        yield store
    finally:
        # What a store holds that ends here is thrown away: an orderly end would take seconds.
        process.kill()
        process.wait(timeout=30)
        remove_sockets(port)


def local_store(
    data: Path, port: Mapping[str, int], variables: Mapping[str, str]
) -> compose.Service:
    """Return the store of docker-compose.yml for this machine only.

    Parameters
    ----------
    data : pathlib.Path
        Folder for the objects.
    port : mapping of str to int
        As `free_store_ports` returns it.
    variables : mapping of str to str
        Those of the file .env.
    """
    store = compose.service("s3", variables).moved(
        {"-dir=/store": f"-dir={data}", "0.0.0.0": "127.0.0.1"}
    )
    ports = [f"-{name}.port={number}" for name, number in port.items()]
    return compose.Service([*store.command, *ports], store.environment)


def free_store_ports() -> dict[str, int]:
    """Return a free port for each server of the process."""
    return dict(zip(_SERVERS, free_ports(len(_SERVERS), partner=_GRPC), strict=True))


def remove_sockets(port: Mapping[str, int]) -> None:
    """Remove what a store leaves in /tmp, whatever TMPDIR is."""
    for name, number in port.items():
        for socket_file in (f"{name}-{number}", f"{name}-grpc-{number + _GRPC}"):
            Path(f"/tmp/seaweedfs-{socket_file}.sock").unlink(missing_ok=True)


def _wait_for(
    store: ObjectStore, process: subprocess.Popen[bytes], log: Path, patience: float
) -> None:
    client = store.client()
    deadline = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < deadline:
        try:
            # The bucket is made last, after the server answers.
            client.head_bucket(Bucket=store.bucket)
            return
        except (BotoCoreError, ClientError):
            time.sleep(0.05)
    raise RuntimeError(f"the store at {store.endpoint} did not start: {log.read_text()}")
