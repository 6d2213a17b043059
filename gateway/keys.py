"""Who is asking, and what they may do: API keys, kept as hashes."""

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
    """A key's owner, or nobody in particular (`key_id` is empty)."""

    key_id: str
    scopes: frozenset[str]


def new_key() -> str:
    """A key of 256 random bits: it cannot be guessed, so a plain hash of it keeps it secret."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """SHA-256 (hex): what is stored of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


async def find_caller(
    request: Request,
    header: Annotated[str | None, Depends(_header)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """The caller that the request's key names. Raises Refusal (401) for a key that is not valid."""
    services = request.app.state.services
    key = header or (bearer.credentials if bearer else None)
    if key is None:
        return Caller(key_id="", scopes=frozenset(services.settings.gateway_anonymous_scopes))
    caller: Caller | None = await services.find_key(hash_key(key))
    if caller is None:
        raise _unauthorized("The API key is not valid: it is unknown or was revoked.")
    return caller


def allowed(scope: Scope) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """A dependency that lets in who may do this, at the rate that their key allows."""

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
