"""What `anamnesis up` says when everything runs: where the API is, who can log in, and a line to try."""

from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from anamnesis.installation import Installation
from anamnesis.store import is_empty

TRY = """token=$(curl -s {url}/api/v1/auth/signin -H 'content-type: application/json' \\
  -d '{{"email": "{email}", "password": "{password}"}}' | sed 's/.*"accessToken": *"\\([^"]*\\)".*/\\1/') \\
  && curl -s {url}/api/v1/protected/patients -H "authorization: Bearer $token" \\
  | python3 -m json.tool --no-ensure-ascii | head -30"""


def welcome(console: Console, url: str, installation: Installation, logs: Path) -> None:
    """Print it."""
    console.print(f"\n[bold]Anamnesis[/] runs.  API: {url}/api/v1   Docs: {url}/docs   Logs: {logs}   Ctrl-C stops it.")
    logins = _logins(installation)
    if logins:
        console.print(_table(logins))
        first = logins[0]
        console.print("Try:", style="bold")
        console.print(TRY.format(url=url, email=first.email, password=first.password).rstrip(), highlight=False, markup=False)
    elif is_empty(installation.database_urls["owner"]):
        console.print("The database is empty. For three demo clinics: [bold]anamnesis demo --size small[/], in another terminal.")


def _logins(installation: Installation) -> list[Any]:
    """The demo's logins, where there is a demo. Nobody else's credentials are known, let alone shown."""
    if is_empty(installation.database_urls["owner"]):
        return []
    try:
        demo = import_module("anamnesis.demo")
    except ModuleNotFoundError:
        return []
    return list(demo.logins(installation))


def _table(logins: list[Any]) -> Table:
    table = Table(title="Demo logins", title_justify="left", box=None, pad_edge=False)
    for name, column in (("role", "role"), ("email", "e-mail"), ("password", "password")):
        table.add_column(column, no_wrap=True, min_width=max(len(getattr(login, name)) for login in logins))
    table.add_column("clinic", no_wrap=True)
    for login in logins:
        table.add_row(login.role, login.email, login.password, login.clinic)
    return table
