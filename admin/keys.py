"""`paddlewheel keys`: make, list and revoke API keys of the gateway."""

import os
from collections.abc import Callable, Sequence
from typing import TypeAlias

import click

from admin.console import database_option, open_database
from gateway.keys import hash_key, new_key
from gateway.settings import SCOPES
from gateway.webhooks import secret_of
from job_store.api_keys import ApiKey, ApiKeys
from paddlewheel.cli.console import (
    CONTEXT_SETTINGS,
    json_lines_option,
    json_option,
    print_json,
    report_errors,
)
from paddlewheel.cli.exit_codes import exit_code_help

OpenKeys: TypeAlias = Callable[[], ApiKeys]


@click.group(context_settings=CONTEXT_SETTINGS, epilog=exit_code_help())
@database_option
@click.pass_context
def keys(context: click.Context, database_url: str | None) -> None:
    """Make, list and revoke API keys of the HTTP gateway.

    \b
    Examples:
      paddlewheel keys create shop --scope tasks --scope galleries:read
      paddlewheel keys list
      paddlewheel keys revoke 3f2a9c81d0e4
    """

    def open_keys() -> ApiKeys:
        return ApiKeys(open_database(context, database_url))

    context.obj = open_keys


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    required=True,
    help="What it may do; give it more than once for more.",
)
@json_option
@click.pass_obj
@report_errors()
def create(open_keys: OpenKeys, name: str, scopes: Sequence[str], as_json: bool) -> None:
    """Make a key called NAME. The key is shown once: only its hash is kept."""
    key = new_key()
    kept = open_keys().add(name, hash_key(key), scopes)
    made = {"id": kept.id, "key": key}
    if master := os.environ.get("PADDLEWHEEL_WEBHOOK_SECRET"):
        made["webhook_secret"] = secret_of(master, kept.id)
    if as_json:
        print_json(made)
        return
    click.echo(f"id      {kept.id}\nkey     {key}")
    if "webhook_secret" in made:
        click.echo(f"secret  {made['webhook_secret']}  (its webhooks are signed with it)")
    click.echo("Keep the key now: it cannot be shown again.", err=True)


@keys.command("list")
@json_lines_option
@click.pass_obj
@report_errors()
def list_command(open_keys: OpenKeys, as_json: bool) -> None:
    """List every key, the newest first; revoked ones too."""
    for key in open_keys().list_all():
        if as_json:
            print_json(_to_json(key))
        else:
            click.echo(_to_text(key))


@keys.command()
@click.argument("key_id", metavar="ID")
@json_option
@click.pass_obj
@report_errors()
def revoke(open_keys: OpenKeys, key_id: str, as_json: bool) -> None:
    """Revoke a key: the gateway refuses it from the next request on."""
    key = open_keys().revoke(key_id)
    if as_json:
        print_json(_to_json(key))
    else:
        click.echo(f"{key.id}  {key.name}  revoked")


def _to_json(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }


def _to_text(key: ApiKey) -> str:
    state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "valid"
    return f"{key.id}  {key.created_at:%Y-%m-%d}  {state:<18}  {key.name}  {' '.join(key.scopes)}"
