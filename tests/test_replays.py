"""Read models as they stood: each replay equals the fold of the prefix, nobody who serves reads it, and whoever is erased is erased in it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from typer.testing import CliRunner

from anamnesis.cli import app
from anamnesis.installation import Installation
from anamnesis.replays import address, build, drop, moment, query, show
from anamnesis.trouble import Trouble
from projections.kit import PROJECTIONS, replays
from projections.kit.rows import mapper_of
from tests.lives import Lives
from tests.remembering import rows_of


def quiet(*_: Any) -> None: ...


def held(owner: psycopg.Connection[Any], name: str, model: str) -> dict[Any, Any]:
    """Return all rows of a replay's table."""
    mapper = mapper_of(PROJECTIONS[model].row)
    lines = owner.execute(f'select {mapper.select_list()} from "{name}"."{model}" t').fetchall()  # noqa: S608
    return {kept.key: kept.row for kept in map(mapper.kept, lines)}


def test_a_replay_to_any_moment_is_the_fold_of_what_had_happened_by_then(make_database):
    lives = Lives(make_database(), seed=5)
    kek, url = bytes(32), lives.database.url("owner")
    middle = lives.facts[len(lives.facts) // 2]
    moments = [(1, 1), (middle.position, middle.position), (lives.facts[-1].position, 10**9), (middle.recorded_at, middle.position),
               (middle.recorded_at + timedelta(milliseconds=1), middle.position), (datetime(2001, 1, 1, tzinfo=UTC), 0)]
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as owner:
        for until, position in moments:
            expected = rows_of(*(fact for fact in lives.facts if fact.position <= position))
            models = [name for name, projection in PROJECTIONS.items() if expected[name] or name in {"patients", "rooms"}]
            told = {model.name: model for model in replays.build(url, "then", models, until, kek=kek, by="me", progress=quiet)}
            for name in models:
                there = {key: row for key, row in expected[name].items() if row is not None}
                assert held(owner, "then", name) == there, (until, name)
                assert (told[name].rows, told[name].parked) == (len(there), 0)
            replays.drop(url, "then")
        assert len(models) == 2
        assert owner.execute("select 1 from pg_namespace where nspname = 'then'").fetchone() is None


def installation(web: Any) -> Installation:
    home, roles = web.database.postgres.home, ("owner", "notary", "gateway", "relay", "projector", "courier")
    return Installation(home.path, home.secrets(), {role: web.database.url(role) for role in roles}, dict.fromkeys(roles, "nats://nowhere:1"))


async def registered(web: Any, name: str) -> tuple[Any, str, dict[str, str]]:
    boss = await web.person(await web.clinic(), "admin")
    made = await boss("POST", "/patients", {"givenName": name, "familyName": "Quirrenbach"})
    sick = await boss("PUT", f"/patients/{made.json()['id']}/medical", {"allergies": [{"name": "Latex"}], "conditions": [], "medications": []})
    return boss, made.json()["id"], {"x-position": sick.headers["x-position"]}


def lines(out: str) -> list[Any]:
    """Return what a command has printed, beside the log."""
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def printed(capsys: Any) -> list[Any]:
    return lines(capsys.readouterr().out)


@pytest.mark.asyncio(loop_scope="module")
async def test_it_is_asked_listed_and_dropped_by_the_owner_and_read_by_nobody_who_serves(web, capsys):
    here = installation(web)
    _, patient, seen = await registered(web, "Noor")
    with pytest.raises(Trouble, match="no replay"):
        await asyncio.to_thread(drop, here, "march")
    await asyncio.to_thread(build, here, "march", ["patients", "rooms"], seen["x-position"])
    out, said = capsys.readouterr()
    made, _ = lines(out)
    assert (made["model"], made["rows"] > 0) == ("patients", True)
    assert "replay query march" in said
    assert "anamnesis_owner" in said
    assert "password=" not in said

    await asyncio.to_thread(query, here, "march", f"select family_name from patients where id = '{patient}'")  # noqa: S608
    assert printed(capsys) == [{"family_name": "Quirrenbach"}]
    with pytest.raises(Trouble, match="read-only"):
        await asyncio.to_thread(query, here, "march", "delete from patients")
    with pytest.raises(Trouble, match="multiple commands"):
        await asyncio.to_thread(query, here, "march", "set transaction read write; delete from patients")
    with psycopg.connect(address(web.database.url("owner"), "march"), password=psycopg.conninfo.conninfo_to_dict(web.database.url("owner"))["password"]) as owner:
        assert owner.execute("select count(*) from patients where family_name is null").fetchone() is not None

    await asyncio.to_thread(show, here)
    (listed,) = printed(capsys)
    assert (listed["name"], listed["until"], listed["models"], listed["finished"]) == ("march", seen["x-position"], 2, True)
    assert listed["built_by"]
    for role in ("gateway", "relay", "courier", "notary"):
        with psycopg.connect(web.database.url(role), autocommit=True) as stranger, pytest.raises(InsufficientPrivilege):
            stranger.execute("select 1 from march.patients")
    with psycopg.connect(web.database.url("gateway"), autocommit=True) as stranger, pytest.raises(InsufficientPrivilege):
        stranger.execute("select 1 from replays")

    for name, until, why in (
        ("march", "1", "already"), ("public", "1", "no name"), ("Ä", "1", "no name"), ("x", "10000000000", "history ends"), ("x", "yesterday", "neither"),
        ("x", "2026-01-01T00:00:00", "neither"),
    ):
        with pytest.raises(Trouble, match=why):
            await asyncio.to_thread(build, here, name, ["rooms"], until)
    with pytest.raises(Trouble, match="there is no read model"):
        await asyncio.to_thread(build, here, "x", ["nothing"], "1")
    await asyncio.to_thread(drop, here, "march")
    await asyncio.to_thread(show, here)
    assert printed(capsys) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_is_erased_is_erased_in_every_replay_and_the_report_counts_it(web):
    boss, patient, seen = await registered(web, "Xanthippe")
    url = web.database.url("owner")
    kek = web.services.settings.kek
    models = ["patients", "medical_histories", "invoices", "lifetimes"]
    for name in ("one", "two"):
        await asyncio.to_thread(replays.build, url, name, models, int(seen["x-position"]), kek=kek, by="me", progress=quiet)
    ask = {"personId": patient, "reason": "She asked"}
    rehearsed = (await boss("POST", "/privacy/erasures", {**ask, "dryRun": True}, headers=seen)).json()
    assert rehearsed["found"]["replays"] == 4
    report = (await boss("POST", "/privacy/erasures", {**ask, "despiteRetention": True})).json()
    assert (report["found"]["replays"], report["left"]["replays"]) == (4, 0)
    with psycopg.connect(url, autocommit=True) as owner:
        for name in ("one", "two"):
            rows = {key: row for key, row in held(owner, name, "patients").items() if key[1] == UUID(patient)}
            assert [(row.given_name, row.family_name) for row in rows.values()] == [(None, None)]
            found = owner.execute(f"select sort_name, tokens, digits from {name}.patients where id = %s", (patient,)).fetchall()  # noqa: S608
            assert found == [("", ["§1"], "")], "but the clinic's own number"
            replays.drop(url, name)


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_is_erased_while_a_replay_is_built_does_not_come_back_in_it(web):
    boss, patient, seen = await registered(web, "Xanthippe")
    url, loop = web.database.url("owner"), asyncio.get_running_loop()
    reports = []

    async def erase() -> None:
        reports.append((await boss("POST", "/privacy/erasures", {"personId": patient, "reason": "She asked", "despiteRetention": True})).json())

    def meanwhile(model: str, phase: str, *_: Any) -> None:
        if (model, phase) == ("patients", "index"):  # filled, with her name, and seen by nobody yet
            asyncio.run_coroutine_threadsafe(erase(), loop).result()

    build_ = lambda: replays.build(url, "late", ["patients"], int(seen["x-position"]), kek=web.services.settings.kek, by="me", progress=meanwhile)  # noqa: E731
    await asyncio.to_thread(build_)
    assert reports[0]["left"]["keys"] == 0
    with psycopg.connect(url, autocommit=True) as owner:
        assert owner.execute("select given_name, tokens from late.patients where id = %s", (patient,)).fetchall() == [(None, ["§1"])]
        replays.drop(url, "late")


@pytest.mark.asyncio(loop_scope="module")
async def test_what_a_dead_build_left_goes_and_so_does_what_could_not_be_blanked(web):
    url = web.database.url("owner")
    _, _, seen = await registered(web, "Noor")
    await asyncio.to_thread(replays.build, url, "kept", ["patients"], int(seen["x-position"]), kek=web.services.settings.kek, by="me", progress=quiet)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("create schema dead")
        owner.execute("insert into replays (name, until, position, built_by, pid) values ('dead', '1', 1, 'me', 1)")
        assert [one.name for one in replays.listing(url)] == ["kept"]
        assert owner.execute("select 1 from pg_namespace where nspname = 'dead'").fetchone() is None

        replays.install(owner)
        assert [one.name for one in replays.listing(url)] == ["kept"]
        owner.execute("update replays set models = jsonb_set(models, '{0,fingerprint}', '\"another\"')")
        replays.install(owner)
        assert replays.listing(url) == []
        assert owner.execute("select 1 from pg_namespace where nspname = 'kept'").fetchone() is None


@pytest.mark.asyncio(loop_scope="module")
async def test_a_build_that_fails_leaves_nothing(web):
    url = web.database.url("owner")
    _, _, seen = await registered(web, "Noor")

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    def built() -> None:
        with pytest.raises(KeyboardInterrupt):
            replays.build(url, "broken", ["patients"], int(seen["x-position"]), kek=web.services.settings.kek, by="me", progress=stop)

    await asyncio.to_thread(built)
    assert replays.listing(url) == []
    with psycopg.connect(url, autocommit=True) as owner:
        assert owner.execute("select 1 from pg_namespace where nspname = 'broken'").fetchone() is None


def test_the_command_line_takes_what_is_no_command_for_what_is_to_be_built(tmp_path):
    run = CliRunner()
    elsewhere = ["--data-dir", str(tmp_path)]
    for words in (["replay", "--until", "1", "--into", "x", "rooms"], ["replay", "build", "--until", "1", "--into", "x"], ["replay", "list"], ["replay", "drop", "x"]):
        failed = run.invoke(app, [*words, *elsewhere])
        assert isinstance(failed.exception, Trouble), failed.output
        assert "nothing runs" in str(failed.exception)
    assert run.invoke(app, ["replay", "--until", "1"]).exit_code == 2


def test_a_moment_is_a_position_or_an_instant():
    assert moment("12") == 12
    assert moment("2026-03-02T08:30:00Z") == datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
