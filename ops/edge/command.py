"""`refrain edge keys`: adds, lists and revokes the API keys of the endpoint."""

from __future__ import annotations

import re
import time
from typing import Annotated

import typer

from refrain.ops.terminal import output
from refrain.ops.terminal.options import settings_of
from refrain.schemas.names import NAME_PATTERN
from refrain.streams import time_of_day

app = typer.Typer(no_args_is_help=True, help="The OpenAI-compatible endpoint: `refrain run edge` runs it.")
keys = typer.Typer(no_args_is_help=True, help="The API keys of the endpoint.")
app.add_typer(keys, name="keys")

NOTE_CHARS_MAX = 200


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="edge")


def _tenant(value: str) -> str:
    if not re.fullmatch(NAME_PATTERN, value):
        raise typer.BadParameter("a tenant is 1 to 64 letters, digits, `.`, `_` and `-`")
    return value


def _note(value: str) -> str:
    if len(value) > NOTE_CHARS_MAX or not value.isprintable():
        raise typer.BadParameter(f"a note is one line of at most {NOTE_CHARS_MAX} characters")
    return value


@keys.command()
def add(
    context: typer.Context,
    tenant: Annotated[str, typer.Argument(help="Whose requests are asked with it.", callback=_tenant)],
    note: Annotated[str, typer.Option(help="Who has it, for the list.", callback=_note)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Make a key for a tenant and print it, once: it is kept nowhere. A running endpoint takes it within a second."""
    from refrain.streams.edge.keys import changing, keys_path, new_key, pepper_of

    settings = settings_of(context)
    key, kept = new_key(pepper_of(settings), tenant, time_of_day.now_ms(), note)
    with changing(keys_path(settings)) as known:
        known.append(kept)
    if as_json:
        output.emit({"id": kept.id, "tenant": tenant, "key": key})
        return
    output.say(key)
    output.hint(f"key {kept.id} of tenant {tenant}; it is shown this once")


@keys.command("list")
def list_(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a key.")] = False,
) -> None:
    """List the keys by their ids: tenants, notes, since when, and whether they are revoked. No key is shown."""
    from refrain.streams.edge.keys import keys_path, read_keys

    found = read_keys(keys_path(settings_of(context)))
    if as_json:
        for key in found:
            output.emit(key.model_dump(mode="json", exclude={"digest"}))
        return
    rows = [(key.id, key.tenant, _at(key.added_at_ms), _at(key.revoked_at_ms), key.note) for key in found]
    if not rows:
        output.hint("there are no keys: `refrain edge keys add TENANT` makes one")
    output.table(("id", "tenant", "added", "revoked", "note"), rows)


@keys.command()
def revoke(
    context: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `refrain edge keys list` shows it.")],
) -> None:
    """Revoke a key: a running endpoint refuses it within a second. It stays in the list."""
    from refrain.streams.edge.keys import changing, keys_path, revoked

    with changing(keys_path(settings_of(context))) as known:
        key = revoked(known, id_, time_of_day.now_ms())
    output.say(f"revoked: key {key.id} of tenant {key.tenant}")


def _at(ms: int | None) -> str:
    return "-" if ms is None else time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ms / 1_000))
