"""API keys in Postgres: names, scopes, and a hash of each."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select, update

from database.pool import Database
from job_store.http_schema import API_KEYS
from paddlewheel.errors import ApiKeyNotFound


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """One key, without its secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


class ApiKeys:
    """The table. Every method is one transaction; they raise DatabaseUnavailable and SchemaOutdated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, digest: str, scopes: Sequence[str]) -> ApiKey:
        """Store a new key by its hash (hex)."""
        values = {"id": uuid.uuid4().hex[:12], "name": name, "digest": digest, "scopes": list(scopes)}
        with self._database.begin() as connection:
            return _key(connection.execute(insert(API_KEYS).values(values).returning(API_KEYS)).one())

    def find(self, digest: str) -> ApiKey | None:
        """The key of this hash, if it is valid."""
        query = select(API_KEYS).where(API_KEYS.c.digest == digest, API_KEYS.c.revoked_at.is_(None))
        with self._database.begin() as connection:
            row = connection.execute(query).first()
        return _key(row) if row else None

    def list_all(self) -> list[ApiKey]:
        """Every key, revoked ones too, the newest first."""
        with self._database.begin() as connection:
            rows = connection.execute(select(API_KEYS).order_by(API_KEYS.c.created_at.desc()))
            return [_key(row) for row in rows]

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key; a second time changes nothing. Raises ApiKeyNotFound."""
        change = (
            update(API_KEYS)
            .where(API_KEYS.c.id == key_id)
            .values(revoked_at=func.coalesce(API_KEYS.c.revoked_at, func.now()))
            .returning(API_KEYS)
        )
        with self._database.begin() as connection:
            row = connection.execute(change).first()
        if row is None:
            raise ApiKeyNotFound(f"There is no API key {key_id}: 'paddlewheel keys list' shows them.")
        return _key(row)


def _key(row: Row[Any]) -> ApiKey:
    fields = row._mapping
    return ApiKey(
        id=fields["id"],
        name=fields["name"],
        scopes=tuple(fields["scopes"]),
        created_at=fields["created_at"],
        revoked_at=fields["revoked_at"],
    )
