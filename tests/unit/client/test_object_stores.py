"""What file systems' own errors mean."""

from typing import Any

import pytest

from paddlewheel.blobs.refusals import Refusal, explained, has_folders, refusal_of


class ResponseError(Exception):
    """As botocore raises."""

    def __init__(self, code: str) -> None:
        super().__init__("secret words of the store")
        self.response = {"Error": {"Code": code}}


class CodeError(Exception):
    """As oss2 raises."""

    def __init__(self, code: str) -> None:
        super().__init__("secret words of the store")
        self.code = code


def translated(raised: Exception, cause: Exception | None) -> Exception:
    raised.__cause__ = cause
    return raised


@pytest.mark.parametrize("kind", [ResponseError, CodeError])
@pytest.mark.parametrize(
    ("raised", "code", "refusal"),
    [
        (FileNotFoundError(), "NoSuchKey", "no_object"),
        (FileNotFoundError(), "NoSuchBucket", "no_bucket"),
        (PermissionError(), "AccessDenied", "no_access"),
        (PermissionError(), "SignatureDoesNotMatch", "no_credentials"),
        (OSError(5, "x"), "InvalidAccessKeyId", "no_credentials"),
        (OSError(5, "x"), "SlowDown", "away"),
    ],
)
def test_a_refusal_is_known_by_the_stores_code(
    kind: Any, raised: Exception, code: str, refusal: Refusal
) -> None:
    err = translated(raised, kind(code))
    assert refusal_of(err) == refusal
    assert "secret" not in explained(err)


def test_an_error_without_a_cause_is_known_by_its_class() -> None:
    assert refusal_of(FileNotFoundError()) == "no_object"
    assert refusal_of(PermissionError()) == "no_access"
    assert explained(ConnectionError("secret")) == "An object store cannot be used: ConnectionError."
    ring = RuntimeError()
    ring.__context__ = ring
    assert refusal_of(ring) == "away"


@pytest.mark.parametrize(
    ("protocol", "folders"), [(("s3", "s3a"), False), ("oss", False), ("memory", True), (("file",), True)]
)
def test_folders_are_made_where_there_are_some(protocol: Any, folders: bool) -> None:
    class Files:
        pass

    files = Files()
    files.protocol = protocol  # type: ignore[attr-defined]
    assert has_folders(files) is folders
