"""A server of the S3 protocol in a process of its own, and what a test does to it as its operator."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import boto3  # type: ignore[import-untyped]
import fsspec  # type: ignore[import-untyped]
import requests

from local.ports import free_port

START_SECONDS = 60
OPEN = 1_000_000_000
"""Requests that the server answers before it looks at credentials."""


class ObjectServer:
    """`options` are what a worker's environment says with FSSPEC_S3_..."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.options = {"endpoint_url": url, "key": "a key", "secret": "its secret"}
        self.client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id="a key",
            aws_secret_access_key="its secret",
            region_name="us-east-1",
        )

    def environment(self) -> dict[str, str]:
        return {f"FSSPEC_S3_{name.upper()}": value for name, value in self.options.items()}

    def new_bucket(self) -> str:
        """Make one; its name."""
        name = f"b-{uuid.uuid4().hex}"
        self.client.create_bucket(Bucket=name)
        return name

    def buckets(self) -> list[str]:
        return [each["Name"] for each in self.client.list_buckets()["Buckets"]]

    def keys(self, bucket: str) -> list[str]:
        found = self.client.list_objects_v2(Bucket=bucket)
        return [each["Key"] for each in found.get("Contents", ())]

    def get(self, bucket: str, key: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return data

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=data)

    def deny(self, bucket: str, action: str, below: str) -> None:
        """Let nobody do that with the objects whose keys begin so."""
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": f"s3:{action}",
            "Resource": f"arn:aws:s3:::{bucket}/{below}*",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.client.put_bucket_policy(Bucket=bucket, Policy=policy)

    @contextmanager
    def knowing_nobody(self) -> Iterator[None]:
        """Meanwhile no credentials are right."""
        self._look_after(0)
        try:
            yield
        finally:
            self._look_after(OPEN)

    def _look_after(self, count: int) -> None:
        requests.post(f"{self.url}/moto-api/reset-auth", data=str(count), timeout=10).raise_for_status()


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    """It listens on the loopback address, and forgets everything at its end."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _await(url, process)
        yield ObjectServer(url)
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def known_to_fsspec(server: ObjectServer) -> Iterator[None]:
    """`s3://` means this server, by the variables that docs/how-to/run-a-million-images.md names."""
    # fsspec has read the environment already: it does so when it is imported.
    fsspec.config.set_conf_env(fsspec.config.conf, server.environment())
    try:
        yield
    finally:
        del fsspec.config.conf["s3"]
        fsspec.get_filesystem_class("s3").clear_instance_cache()


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            requests.get(f"{url}/moto-api/", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the object server did not start: {process.poll()}")
