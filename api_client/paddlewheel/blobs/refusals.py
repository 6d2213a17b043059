"""What an object store says when it refuses, in words that tell who has to do what.

The libraries behind fsspec share no errors: one of a missing bucket, of credentials that the store does not
know and of an object that nobody may read differ only in the store's own code, which S3 and OSS spell
alike, further down in the chain of causes.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

Refusal: TypeAlias = Literal["no_object", "no_bucket", "no_access", "no_credentials", "away"]
"""There is no such object; no such bucket; not for these credentials; wrong credentials; anything else."""

WORDS: Final[dict[Refusal, str]] = {
    "no_object": "The store has no object of that address.",
    "no_bucket": "The store has no bucket of that name: make it, or correct the address.",
    "no_access": "The store refuses access: the credentials used here are wrong, or may not do that there.",
    "no_credentials": "The store does not accept the credentials used here: an operator has to correct them.",
    "away": "An object store cannot be used",
}

_BUCKETS: Final = frozenset({"abfs", "az", "gcs", "gs", "oss", "s3", "s3a"})

_CODES: Final[dict[str, Refusal]] = {
    "NoSuchBucket": "no_bucket",
    "InvalidBucketName": "no_bucket",
    "AuthorizationHeaderMalformed": "no_credentials",
    "ExpiredToken": "no_credentials",
    "InvalidAccessKeyId": "no_credentials",
    "InvalidSecurity": "no_credentials",
    "InvalidToken": "no_credentials",
    "NoCredentialsError": "no_credentials",
    "PartialCredentialsError": "no_credentials",
    "SecurityTokenExpired": "no_credentials",
    "SignatureDoesNotMatch": "no_credentials",
    "TokenRefreshRequired": "no_credentials",
}


def refusal_of(err: Exception) -> Refusal:
    """What an error of a file system means."""
    for each in _chain(err):
        if found := _CODES.get(_code(each)) or _CODES.get(type(each).__name__):
            return found
    if isinstance(err, FileNotFoundError):
        return "no_object"
    return "no_access" if isinstance(err, PermissionError) else "away"


def explained(err: Exception) -> str:
    """One sentence about an error of a file system; what the store itself says may hold secrets."""
    refusal = refusal_of(err)
    return f"{WORDS[refusal]}: {type(err).__name__}." if refusal == "away" else WORDS[refusal]


def has_folders(file_system: Any) -> bool:
    """Whether folders have to be made there; a bucket is its operator's to make, and never made here."""
    protocol = file_system.protocol
    return _BUCKETS.isdisjoint([protocol] if isinstance(protocol, str) else protocol)


def _chain(err: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while err is not None and seen < 8:
        yield err
        err, seen = err.__cause__ or err.__context__, seen + 1


def _code(err: BaseException) -> str:
    """The store's code: botocore has it in the response, oss2 as a field."""
    response: Any = getattr(err, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    return str(getattr(err, "code", ""))
