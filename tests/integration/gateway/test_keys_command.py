"""`paddlewheel keys` on a real database."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from database.pool import Database
from gateway.keys import hash_key
from gateway.webhooks import secret_of
from job_store.api_keys import ApiKeys
from paddlewheel.cli import main

Keys = Callable[..., Result]


@pytest.fixture
def keys(gateway_database: str, monkeypatch: pytest.MonkeyPatch) -> Keys:
    monkeypatch.setenv("PADDLEWHEEL_DATABASE_URL", gateway_database)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["keys", *arguments])

    return run


def made(result: Result) -> dict[str, str]:
    assert result.exit_code == 0, result.output
    found: dict[str, str] = json.loads(result.stdout)
    return found


def listed(keys: Keys) -> dict[str, dict[str, object]]:
    lines = map(json.loads, keys("list", "--json").stdout.splitlines())
    return {line["id"]: line for line in lines}


def test_a_made_key_is_shown_once_and_opens_what_it_names(keys: Keys, gateway_database: str) -> None:
    key = made(keys("create", "shop", "--scope", "tasks", "--scope", "galleries:read", "--json"))
    found = ApiKeys(Database(gateway_database)).find(hash_key(key["key"]))
    assert found is not None
    assert (found.id, found.name, found.scopes) == (key["id"], "shop", ("tasks", "galleries:read"))
    shown = keys("list")
    assert key["id"] in shown.stdout
    assert key["key"] not in shown.stdout + keys("list", "--json").stdout


def test_a_revoked_key_stays_in_the_list_and_opens_nothing(keys: Keys, gateway_database: str) -> None:
    key = made(keys("create", "old", "--scope", "jobs", "--json"))
    assert listed(keys)[key["id"]]["revoked_at"] is None
    revoked = json.loads(keys("revoke", key["id"], "--json").stdout)
    assert (revoked["id"], revoked["revoked_at"] is None) == (key["id"], False)
    assert listed(keys)[key["id"]]["revoked_at"] is not None
    assert ApiKeys(Database(gateway_database)).find(hash_key(key["key"])) is None


def test_a_new_key_is_printed_with_the_secret_of_its_webhooks(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADDLEWHEEL_WEBHOOK_SECRET", "operators own")
    key = made(keys("create", "hooked", "--scope", "tasks", "--json"))
    assert key["webhook_secret"] == secret_of("operators own", key["id"])


def test_what_cannot_be_done_is_one_line(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = keys("revoke", "nobody")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("error[api_key_not_found]")
    assert keys("create", "shop", "--scope", "everything").exit_code == 2
    monkeypatch.setenv("PADDLEWHEEL_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    gone = keys("list")
    assert (gone.exit_code, gone.stdout) == (3, "")
    assert gone.stderr.startswith("error[database_unavailable]")
