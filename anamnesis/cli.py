"""The one command line.

How it works. Every command imports what it needs when it runs, so `--help` answers at once. Commands that run a single process
(`gateway`, `worker`) read their settings from the environment as they are; commands that a person types beside a running
installation find it by its data directory, or by ANAMNESIS_DATABASE_URL and ANAMNESIS_NATS_URL.

What may go wrong. A `Trouble` is printed as one line on stderr and ends the program with exit code 2.
"""

import os
import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
import typer.core

from anamnesis.trouble import Trouble

if TYPE_CHECKING:
    from anamnesis.installation import Installation


class Replaying(typer.core.TyperGroup):
    """`anamnesis replay --until ... --into ...` needs no further word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take whatever is not a command of its own for what is to be built."""
        known = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if known else ["build", *args])


app = typer.Typer(help="An event-sourced backend for clinics.", no_args_is_help=True, pretty_exceptions_enable=False)
worker_app = typer.Typer(help="Run one worker process.", no_args_is_help=True)
projections_app = typer.Typer(help="The read models: list, rebuild, verify.", no_args_is_help=True)
parked_app = typer.Typer(help="Streams set aside because an event of theirs could not be projected.", no_args_is_help=True)
events_app = typer.Typer(help="Look into the event store.", no_args_is_help=True)
audit_app = typer.Typer(help="Prove that history is what was written.", no_args_is_help=True)
privacy_app = typer.Typer(help="Forget a person; change the key that persons' keys are wrapped with.", no_args_is_help=True)
replay_app = typer.Typer(help="Read models as they stood at a position or an instant, in a schema of their own.", no_args_is_help=True, cls=Replaying)
zones_app = typer.Typer(help="What was arranged before a time zone's rules changed.", no_args_is_help=True)
mail_app = typer.Typer(help="The local mailbox: letters that no mail server was given.", no_args_is_help=True)
for name, group in (
    ("worker", worker_app), ("projections", projections_app), ("parked", parked_app), ("events", events_app), ("mail", mail_app), ("audit", audit_app), ("privacy", privacy_app),
    ("replay", replay_app), ("zones", zones_app),
):
    app.add_typer(group, name=name)


class Size(StrEnum):
    """How much history a demo has: about 10 thousand, 300 thousand, 5 million events."""

    small = "small"
    medium = "medium"
    large = "large"


class PersonKind(StrEnum):
    """Who a person is."""

    patients = "patients"
    staff = "staff"
    accounts = "accounts"
    signups = "signups"
    demo_requests = "demo_requests"


DataDir = Annotated[Path, typer.Option(envvar="ANAMNESIS_DATA_DIR", help="Where an embedded installation keeps everything.")]
Names = Annotated[list[str] | None, typer.Argument(help="Read models by name; all when none is named.")]
Projection = Annotated[str | None, typer.Option(help="This read model's only.")]
LetterNumber = Annotated[int | None, typer.Argument(help="Which, as `list` numbers them; the newest when none is named.")]
ClinicId = Annotated[UUID | None, typer.Option(help="This clinic's only.")]
StreamId = Annotated[UUID | None, typer.Option(help="This stream's only.")]
HERE = Path(".anamnesis")
BEHIND = 10  # how much a backup lets those go first who are waited for


def main() -> None:
    """Run the command line."""
    try:
        app()
    except Trouble as trouble:
        sys.stderr.write(f"anamnesis: {trouble}\n")
        sys.exit(Trouble.EXIT_CODE)


@app.command()
def up(
    demo: Annotated[Size | None, typer.Option(help="Fill an empty database with demo clinics of this size.")] = None,
    host: Annotated[str, typer.Option(envvar="ANAMNESIS_HOST")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="ANAMNESIS_PORT", min=0, max=65535, help="0 takes any free port.")] = 8000,
    data_dir: DataDir = HERE,
    gateways: Annotated[int, typer.Option(envvar="ANAMNESIS_GATEWAYS", min=1, max=64)] = 1,
    projectors: Annotated[int, typer.Option(envvar="ANAMNESIS_PROJECTORS", min=1, max=64)] = 1,
) -> None:
    """Start everything: Postgres, NATS, migrations, workers, gateway. Ctrl-C stops it."""
    from rich.console import Console

    from anamnesis.up import Options, up

    size = demo.value if demo else None
    options = Options(data_dir=data_dir, host=host, port=port, gateways=gateways, projectors=projectors, demo=size)
    up(options, Console(soft_wrap=True))


@app.command()
def demo(
    size: Annotated[Size, typer.Option()] = Size.small,
    seed: Annotated[int, typer.Option(help="The same seed and day make the same history.")] = 1,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day at which the history ends; today when none is given.")] = None,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Do nothing where there is any event.")] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Make three demo clinics with two years of history in a running installation."""
    from anamnesis.demo import run
    from anamnesis.store import is_empty

    installation = _running(data_dir)
    if not if_empty or is_empty(installation.database_urls["owner"]):
        run(installation, size=size.value, seed=seed, until=until.date() if until else None)


@app.command()
def migrate(data_dir: DataDir = HERE) -> None:
    """Bring the database to this release's shape (`up` does it by itself)."""
    from anamnesis.installation import Installation, is_external
    from anamnesis.migrations import migrate
    from anamnesis.stack import EmbeddedPostgres, Home

    home = Home(data_dir)
    if is_external(os.environ):
        installation = Installation.external(home, os.environ)
        installation.establish()
        waiting = migrate(installation.database_urls["owner"], typer.echo)
    elif home.holder():
        installation = _running(data_dir)
        installation.establish()  # a release may bring a role
        waiting = migrate(installation.database_urls["owner"], typer.echo)
    else:
        postgres = EmbeddedPostgres(home)
        postgres.start()
        try:
            waiting = migrate(postgres.url("owner"), typer.echo)
        finally:
            postgres.stop()
    if waiting:
        typer.echo(f"Before this release's processes start: anamnesis projections rebuild {' '.join(waiting)}")


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="Where history goes; what is there already is added to.")],
    keys: Annotated[Path, typer.Option(help="Where the key store goes, replacing the one before: another place than the history's.")],
    data_dir: DataDir = HERE,
) -> None:
    """Back up history, and apart from it the key store, while everything goes on. Secrets are in neither."""
    from anamnesis.backup.place import to_back_up
    from anamnesis.backup.taking import back_up

    os.nice(BEHIND)
    with to_back_up(data_dir) as installation:
        back_up(installation, folder, keys)


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="The history that was backed up.")],
    keys: Annotated[Path, typer.Option(help="The folder of the newest key store.")],
    until: Annotated[str | None, typer.Option(help="Only up to this position, or instant (2026-02-01T18:00:00+01:00).")] = None,
    erasures: Annotated[list[Path] | None, typer.Option(help="The folder where erasures are on record outside the database; may be repeated.")] = None,
    no_later_erasures: Annotated[bool, typer.Option("--no-later-erasures", help="Nobody was erased since the key store was written.")] = False,
    secrets: Annotated[Path | None, typer.Option(help="secrets.json of the installation that was backed up, for a new data directory.")] = None,
    data_dir: DataDir = HERE,
) -> None:
    """Restore a backup into an empty data directory or database, without anybody who was erased since."""
    from anamnesis.backup.place import to_restore_into
    from anamnesis.backup.restoring import Wish, moment, restore

    wish = Wish(folder, keys, moment(until), erasures or [], no_later_erasures)
    restore(to_restore_into(data_dir, secrets), wish)


@app.command()
def gateway(fd: Annotated[int | None, typer.Option(help="A listening socket to inherit instead of opening a port.")] = None) -> None:
    """Run one gateway process, told by the environment."""
    from anamnesis.serve import gateway

    gateway(fd)


@worker_app.command("relay")
def relay() -> None:
    """Publish the store's events to JetStream (one leads, others wait)."""
    from anamnesis.serve import worker

    worker("relay")


@worker_app.command("projector")
def projector() -> None:
    """Keep the read models up to date (any number share the partitions)."""
    from anamnesis.serve import worker

    worker("projector")


@worker_app.command("courier")
def courier() -> None:
    """Write and send the letters that events ask for (any number share the work)."""
    from anamnesis.serve import worker

    worker("courier")


@worker_app.command("notary")
def notary() -> None:
    """Check what is added to history, and sign each clinic's head."""
    from anamnesis.serve import worker

    worker("notary")


@worker_app.command("builder")
def builder() -> None:
    """Make read models anew when a superadmin asks (one at a time)."""
    from anamnesis.serve import worker

    worker("builder")


@app.command()
def openapi() -> None:
    """Print the OpenAPI document; nothing needs to run."""
    import json

    from gateway.app import openapi

    typer.echo(json.dumps(openapi(), indent=2, ensure_ascii=False))


@app.command()
def asyncapi() -> None:
    """Print the AsyncAPI document of the event streams and webhooks; nothing needs to run."""
    import json

    import gateway.app  # noqa: F401 - defines every event
    from gateway.docs import heard

    typer.echo(json.dumps(heard(), indent=2, ensure_ascii=False))


@app.command()
def secrets() -> None:
    """Print fresh secrets for an installation that is not embedded, as an environment file."""
    from anamnesis.settings import variable
    from anamnesis.stack.home import fresh_secrets

    for name, value in fresh_secrets().items():
        typer.echo(f"{variable(name)}={value.strip().replace(chr(10), chr(92) + 'n')}")


@app.command("rotate-key")
def rotate_key(
    data_dir: DataDir = HERE,
    drop: Annotated[bool, typer.Option("--drop", help="Drop all keys but the first; tokens that they signed open nothing any more.")] = False,
) -> None:
    """Sign access tokens with a fresh key from the next start on; tokens of the old keys are still read until they are dropped."""
    from anamnesis.stack.home import Home

    if not (data_dir / "secrets.json").exists():
        raise Trouble(f"there is no installation in {data_dir}; where keys come from the environment, put the new one before the old one there")
    count = Home(data_dir).rotate(drop=drop)
    typer.echo("One key is left." if drop else f"The fresh key signs; {count} keys are read. An hour after the next start: anamnesis rotate-key --drop")


@app.command("nats-config")
def nats_config(listen: str = "0.0.0.0:4222", store: str = "/data") -> None:
    """Print the configuration of a NATS that is not embedded: our users, their passwords from its environment."""
    from anamnesis.stack.nats import portable_configuration

    typer.echo(portable_configuration(listen, store))


@app.command()
def status(data_dir: DataDir = HERE) -> None:
    """Say what runs, and how far each read model is."""
    from rich.console import Console

    from anamnesis.status import show

    show(_running(data_dir), Console())


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Which; all when none is named.")] = None,
    json: Annotated[bool, typer.Option("--json", help="A list of objects instead of a table.")] = False,
    size: Annotated[Size, typer.Option(help="How much history to measure on.")] = Size.small,
    seconds: Annotated[float, typer.Option(min=1, help="How long each load lasts.")] = 10.0,
    history: Annotated[Path | None, typer.Option(help="A data directory at rest with a demo of that size: a copy of it is measured, instead of one made anew.")] = None,
) -> None:
    """Measure it on real processes of its own, beside its baselines."""
    from anamnesis.bench import run

    run(names or [], json=json, size=size.value, seconds=seconds, history=history)


@projections_app.command("list")
def list_projections(data_dir: DataDir = HERE) -> None:
    """Every version of every read model."""
    from anamnesis.progress import table
    from projections.kit.rebuild import listing

    table(listing(_owner_url(data_dir)))


@projections_app.command("rebuild")
def rebuild_projections(
    names: Names = None,
    clinic: Annotated[UUID | None, typer.Option(help="Make only this clinic's rows anew.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=16, help="How many processes replay at once; they take their time from the API's.")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, even where an interrupted rebuild could be gone on with.")] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Make read models anew beside the live ones, then swap. Readers notice nothing. Ctrl-C ends it; the next one goes on from there."""
    from anamnesis.upkeep import rebuild

    rebuild(_running(data_dir), names or [], clinic=clinic, jobs=jobs, fresh=fresh)


@projections_app.command("verify")
def verify_projections(names: Names = None, data_dir: DataDir = HERE) -> None:
    """Compare read models with a replay of the events, row by row; exit code 1 if any row differs."""
    from anamnesis.upkeep import verify

    if not verify(_running(data_dir), names or []):
        raise typer.Exit(1)


@projections_app.command("back")
def back_projection(name: str, data_dir: DataDir = HERE) -> None:
    """Let a read model's version before serve again."""
    from anamnesis.upkeep import back

    back(_running(data_dir), name)


@parked_app.command("list")
def list_parked(
    discarded: Annotated[bool, typer.Option("--discarded", help="What was given up, instead.")] = False,
    data_dir: DataDir = HERE,
) -> None:
    """What is set aside, and why."""
    from anamnesis.upkeep import parked

    parked(_running(data_dir), discarded=discarded)


@parked_app.command("retry")
def retry_parked(projection: Projection = None, stream: StreamId = None, data_dir: DataDir = HERE) -> None:
    """Project parked events again: all, one read model's, or one stream's."""
    from anamnesis.upkeep import retry

    retry(_running(data_dir), projection, stream)


@parked_app.command("discard")
def discard_parked(
    projection: Annotated[str, typer.Argument(help="The read model.")],
    stream: Annotated[UUID, typer.Argument(help="The stream's id.")],
    reason: Annotated[str, typer.Option(help="Kept in the record.")],
    data_dir: DataDir = HERE,
) -> None:
    """Give up a stream's parked events for one read model, with a reason."""
    from anamnesis.upkeep import discard

    discard(_running(data_dir), projection, stream, reason)


@replay_app.command("build")
def build_replay(
    until: Annotated[str, typer.Option(help="A position, or an instant with its offset: 2026-11-01T12:00:00Z.")],
    into: Annotated[str, typer.Option(help="The name of the schema that is made.")],
    models: Names = None,
    data_dir: DataDir = HERE,
) -> None:
    """Build read models, all unless some are named, as they stood. `anamnesis replay --until T --into NAME` is the same."""
    from anamnesis.replays import build

    build(_running(data_dir), into, models or [], until)


@replay_app.command("list")
def list_replays(data_dir: DataDir = HERE) -> None:
    """The replays there are: until when, made when and by whom, how large."""
    from anamnesis.replays import show

    show(_running(data_dir))


@replay_app.command("query")
def query_replay(
    name: Annotated[str, typer.Argument(help="The replay.")], statement: Annotated[str, typer.Argument(help="SQL; nothing can be changed.")], data_dir: DataDir = HERE,
) -> None:
    """Ask a replay in SQL."""
    from anamnesis.replays import query

    query(_running(data_dir), name, statement)


@replay_app.command("drop")
def drop_replay(name: Annotated[str, typer.Argument(help="The replay.")], data_dir: DataDir = HERE) -> None:
    """Drop a replay."""
    from anamnesis.replays import drop

    drop(_running(data_dir), name)


@events_app.command("schemas")
def event_schemas() -> None:
    """Print the JSON Schema of all events; nothing needs to run."""
    import json

    import gateway.app  # noqa: F401 - defines every event
    from gateway.kit.catalogue import schemas

    typer.echo(json.dumps(schemas(), indent=2, ensure_ascii=False))


@events_app.command("tail")
def tail_events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as events come.")] = False,
    last: Annotated[int, typer.Option("-n", min=0, help="How many to begin with.")] = 20,
    data_dir: DataDir = HERE,
) -> None:
    """The newest events, one line each; personal data stays sealed."""
    from anamnesis.store import tail

    for line in tail(_owner_url(data_dir), last, follow=follow):
        typer.echo(line)


@events_app.command("show")
def show_event(position: Annotated[int, typer.Argument(help="The event's position in the store.")], data_dir: DataDir = HERE) -> None:
    """One event whole: envelope and body, as stored."""
    from anamnesis.store import show

    typer.echo(show(_owner_url(data_dir), position))


@audit_app.command("verify")
def verify_history(clinic: ClinicId = None, data_dir: DataDir = HERE) -> None:
    """Hold every event against hashes, MACs, signed heads and the audit log's copies; exit code 1 if anything was changed, and where."""
    from anamnesis.auditing import verify

    if not verify(_running(data_dir), clinic):
        raise typer.Exit(1)


@audit_app.command("sign")
def sign_heads(data_dir: DataDir = HERE) -> None:
    """Sign the heads now, of all clinics that have moved since."""
    from anamnesis.auditing import sign

    sign(_running(data_dir))


@audit_app.command("export")
def export_evidence(
    folder: Annotated[Path, typer.Argument(help="An empty or new folder.")],
    clinic: ClinicId = None,
    personal: Annotated[bool, typer.Option("--personal", help="Also show opened what is about persons.")] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Write an export that an auditor can check on another machine, with plain Python."""
    from anamnesis.auditing import export

    export(_running(data_dir), folder, clinic, personal=personal)


@audit_app.command("key")
def audit_key(data_dir: DataDir = HERE) -> None:
    """Print the public key that heads are signed with: give it to auditors by other means than the export."""
    from anamnesis.auditing import public_key

    typer.echo(public_key(_running(data_dir)))


@privacy_app.command("erase")
def erase_person(
    person: Annotated[UUID, typer.Argument(help="The id of the patient (or of whoever --kind says).")],
    reason: Annotated[str, typer.Option(help="Kept for ever in the history; name nobody.")],
    kind: Annotated[PersonKind, typer.Option(help="Who it is.")] = PersonKind.patients,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what there is.")] = False,
    despite_retention: Annotated[bool, typer.Option("--despite-retention", help="Override retention periods; legal holds bind all the same.")] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Destroy the key under which everything about a person is sealed, blank every row about them, and say what is left."""
    from anamnesis.privacy import erase

    erase(_running(data_dir), person, kind.value, reason, dry_run=dry_run, despite_retention=despite_retention)


@privacy_app.command("rotate-key")
def rotate_kek(
    data_dir: DataDir = HERE,
    drop: Annotated[bool, typer.Option("--drop", help="Drop all key-encryption keys but the first, after `rewrap`.")] = False,
) -> None:
    """Wrap persons' keys with a fresh key-encryption key from the next start on; after that: anamnesis privacy rewrap."""
    from anamnesis.stack.home import Home

    if not (data_dir / "secrets.json").exists():
        raise Trouble(f"there is no installation in {data_dir}; where keys come from the environment, put the new one before the old one there, with a comma between")
    if drop:
        from anamnesis.privacy import ensure_rewrapped

        ensure_rewrapped(_running(data_dir))
    count = Home(data_dir).rotate_kek(drop=drop)
    typer.echo("One key is left." if drop else f"The fresh key wraps; {count} keys are read. After the next start: anamnesis privacy rewrap")


@privacy_app.command("rewrap")
def rewrap_keys(data_dir: DataDir = HERE) -> None:
    """Bring every person's key, and every sealed secret, under the first key-encryption key; no event is touched."""
    from anamnesis.privacy import rewrap

    rewrap(_running(data_dir))


@zones_app.command("check")
def check_zones(data_dir: DataDir = HERE) -> None:
    """Say what would be at another instant by the time-zone database as it is now; exit code 1 if anything is."""
    from anamnesis.zones import check

    if not check(_running(data_dir)):
        raise typer.Exit(1)


@zones_app.command("apply")
def apply_zones(data_dir: DataDir = HERE) -> None:
    """Move what is to come to the instants at which the clock on the wall shows what people were told. Start the gateways anew before."""
    from anamnesis.zones import apply

    apply(_running(data_dir))


@mail_app.command("list")
def list_mail(data_dir: DataDir = HERE) -> None:
    """Every letter in the mailbox, the newest last."""
    from anamnesis.mail import letters
    from anamnesis.progress import table

    table(one.line() for one in letters(data_dir))


@mail_app.command("show")
def show_mail(number: LetterNumber = None, data_dir: DataDir = HERE) -> None:
    """One letter as text."""
    from anamnesis.mail import letter, shown

    typer.echo(shown(letter(data_dir, number)))


@mail_app.command("open")
def open_mail(number: LetterNumber = None, data_dir: DataDir = HERE) -> None:
    """One letter in the browser, as its reader sees it."""
    from anamnesis.mail import letter, opened

    typer.echo(opened(data_dir, letter(data_dir, number)))


def _running(data_dir: Path) -> "Installation":
    from anamnesis.installation import running

    return running(data_dir, os.environ)


def _owner_url(data_dir: Path) -> str:
    return _running(data_dir).database_urls["owner"]
