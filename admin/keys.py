"""What an operator does with API keys: make them, look at them, revoke them."""

import json
import os
from collections.abc import Callable, Sequence

import click

from admin.job_console import database_option, open_database, told
from gateway.keys import hash_key, new_key
from gateway.settings import SCOPES
from gateway.webhooks import secret_of
from job_store.api_keys import ApiKey, ApiKeys


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@database_option
@click.pass_context
def keys(context: click.Context, database_url: str | None) -> None:
    """API keys of the HTTP gateway.

    \b
    Examples:
      paddlewheel keys create shop --scope tasks --scope galleries:read
      paddlewheel keys list
      paddlewheel keys revoke 3f2a9c81d0e4
    """

    def opened() -> ApiKeys:
        return ApiKeys(open_database(context, database_url))

    context.obj = opened


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
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.pass_obj
def create(opened: Callable[[], ApiKeys], name: str, scopes: Sequence[str], as_json: bool) -> None:
    """Make a key called NAME. It is shown now and never again: only its hash is kept."""
    with told():
        key = new_key()
        kept = opened().add(name, hash_key(key), scopes)
        made = {"id": kept.id, "key": key}
        if master := os.environ.get("PADDLEWHEEL_WEBHOOK_SECRET"):
            made["webhook_secret"] = secret_of(master, kept.id)
        if as_json:
            click.echo(json.dumps(made))
            return
        click.echo(f"id      {kept.id}\nkey     {key}")
        if "webhook_secret" in made:
            click.echo(f"secret  {made['webhook_secret']}  (its webhooks are signed with it)")
        click.echo("Keep the key now: it cannot be shown again.", err=True)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_command(opened: Callable[[], ApiKeys], as_json: bool) -> None:
    """List every key, the newest first; revoked ones too."""
    with told():
        for key in opened().list_all():
            click.echo(json.dumps(_plain(key)) if as_json else _line(key))


@keys.command()
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke(opened: Callable[[], ApiKeys], key_id: str) -> None:
    """Let a key open nothing any more, from its next request on."""
    with told():
        key = opened().revoke(key_id)
        click.echo(f"{key.id}  {key.name}  revoked")


def _plain(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "created_at": key.created_at.isoformat(),
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }


def _line(key: ApiKey) -> str:
    state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "valid"
    return f"{key.id}  {key.created_at:%Y-%m-%d}  {state:<18}  {key.name}  {' '.join(key.scopes)}"
