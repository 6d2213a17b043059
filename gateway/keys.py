"""API keys: they identify the caller, carry its scopes, and are stored as hashes."""

import hashlib
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from gateway.problems import Refusal
from gateway.settings import Scope

PREFIX: Final = "pw_"

_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key: pw_...")
_bearer = HTTPBearer(auto_error=False, description="The same API key as a bearer token.")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The owner of a key; `key_id` is empty for an anonymous caller."""

    key_id: str
    scopes: frozenset[str]


def new_key() -> str:
    """Generate a key of 256 random bits. It cannot be guessed, so an unsalted hash keeps it secret."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """Hash a key for storage: SHA-256, hex."""
    return hashlib.sha256(key.encode()).hexdigest()


async def find_caller(
    request: Request,
    header: Annotated[str | None, Depends(_header)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Find the caller by the request's key. Raises Refusal (401) if the key is not valid."""
    services = request.app.state.services
    key = header or (bearer.credentials if bearer else None)
    if key is None:
        return Caller(key_id="", scopes=frozenset(services.settings.gateway_anonymous_scopes))
    caller: Caller | None = await services.find_key(hash_key(key))
    if caller is None:
        raise _unauthorized("The API key is not valid: it is unknown or was revoked.")
    return caller


def require_scope(scope: Scope) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """Make a dependency that checks the caller's scope and request rate."""

    async def check(request: Request, caller: Annotated[Caller, Depends(find_caller)]) -> Caller:
        if scope not in caller.scopes:
            if not caller.key_id:
                raise _unauthorized("An API key is needed: send it as X-API-Key.")
            raise Refusal(403, "forbidden", f"The API key does not have the scope {scope}.")
        await request.app.state.services.rates.take(caller.key_id or "anonymous")
        return caller

    return check


def _unauthorized(detail: str) -> Refusal:
    return Refusal(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
