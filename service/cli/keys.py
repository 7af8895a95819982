"""`recsys keys`: makes API keys, and the entries to keep instead of them."""

from typing import Annotated

import typer

app = typer.Typer(help="API keys of the service.", no_args_is_help=True)

Name = Annotated[str, typer.Option(help="Who will use the key; logs and metrics call it so.")]
Scopes = Annotated[
    str,
    typer.Option(
        help="What it may do, with commas: recommend, explain, events, items, histories, users, admin, metrics."
    ),
]
Limit = Annotated[str | None, typer.Option(help="A rate limit of its own, such as 600/minute.")]


@app.command("new")
def make_key(name: Name, scopes: Scopes = "recommend", rate_limit: Limit = None) -> None:
    """Make a key. It is shown once, here; the service keeps the entry, which does not let anybody in."""
    from service.security.api_keys import entry_of, new_key

    key = new_key()
    entry = entry_of(key, name, scopes.split(","), rate_limit)
    typer.echo(f"The key, for {name}; it is not shown again:\n  {key}", err=True)
    typer.echo("The entry, for the file that RECSYS_KEYS_FILE names:", err=True)
    typer.echo(str(entry))


@app.command("hash")
def hash_key(name: Name, scopes: Scopes = "recommend", rate_limit: Limit = None) -> None:
    """Print the entry of a key that was made elsewhere; the key is asked for, or read from standard input."""
    import sys

    from service.security.api_keys import entry_of

    # Never an argument: other users of a machine see those.
    key = typer.prompt("Key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline().strip()
    typer.echo(str(entry_of(key, name, scopes.split(","), rate_limit)))
