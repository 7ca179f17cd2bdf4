"""What is usually built: plain Litestar on the same server, the library's recorder in threads, psycopg's pool. The baselines behind HTTP.

How it works. `python -m anamnesis.bench.kit.plain` serves on a free port, which it prints. It does less than the gateway: nobody signs in, nothing is permitted,
claimed or made safe to repeat, and it reads as the tables' owner, past row-level security. So what it is faster by is what those cost, and what
it is slower by is no merit of leaving them out.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec
import uvicorn
from eventsourcing.postgres import PostgresApplicationRecorder
from litestar import Litestar, Request, get, post
from litestar.datastructures import State
from litestar.response import Stream
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from anamnesis.bench.kit import stock
from anamnesis.stack.process import passed_on

URL = "ANAMNESIS_DATABASE_URL"
THREADS = 32
READERS = 8


@post("/appointments", sync_to_thread=True)
def append(state: State, body: bytes) -> dict[str, str]:
    """Store an event with the library's recorder."""
    recorder: PostgresApplicationRecorder = state.recorder
    event = stock.booking(body)
    recorder.insert_events([event])
    return {"id": str(event.originator_id)}


@get("/patients/{id:uuid}")
async def patient(state: State, request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Read a patient."""
    found = await _rows(state, "select * from patients where clinic_id = %s and id = %s", request.query_params["clinic"], request.path_params["id"])
    return found[0]


@get("/search")
async def search(state: State, clinic: UUID, q: str) -> list[dict[str, Any]]:
    """Find patients as it is often built: each word anywhere in the name, the telephone or the e-mail address, whatever its case."""
    parts = [f"%{part}%" for part in q.split()]
    where = "".join(" and (given_name ilike %s or family_name ilike %s or phone ilike %s or email ilike %s)" for _ in parts)
    values = [value for part in parts for value in [part] * 4]
    return await _rows(state, f"select * from patients where clinic_id = %s{where} order by family_name, given_name limit 20", clinic, *values)  # noqa: S608


@get("/invoices")
async def invoices(state: State, clinic: UUID) -> list[dict[str, Any]]:
    """Read the first page of invoices."""
    return await _rows(state, "select * from invoices where clinic_id = %s order by created_at desc, id desc limit 51", clinic)


@get("/account")
async def account(state: State, clinic: UUID, patient: UUID) -> dict[str, Any]:
    """Add up what is due on a patient's invoices, and what they have."""
    found = await _rows(state, (
        "select coalesce(sum(due), 0)::bigint as owed, (select coalesce(sum(balance), 0)::bigint from credits where clinic_id = %s and patient_id = %s) as credit "
        "from invoices where clinic_id = %s and patient_id = %s"), clinic, patient, clinic, patient)
    return found[0]


@get("/week")
async def week(state: State, clinic: UUID, first: date, last: date, doctor: UUID | None = None) -> list[dict[str, Any]]:
    """Read a week of the calendar with its names."""
    whose, values = (" and c.doctor_id = %s", [doctor]) if doctor else ("", [])
    return await _rows(state, (
        "select c.*, p.given_name, p.family_name, s.name as doctor_name, r.name as room_name from calendar c "  # noqa: S608 - constants
        "left join patients p on p.id = c.patient_id left join staff s on s.id = c.doctor_id left join rooms r on r.id = c.room_id "
        f"where c.clinic_id = %s and c.date between %s and %s{whose} order by c.starts_at"), clinic, first, last, *values)


@get("/slots")
async def slots(state: State, clinic: UUID, first: date, last: date, zone: str, minutes: int) -> list[dict[str, Any]]:
    """Read every start of the doctors' weekdays, from eight to six and a quarter of an hour apart, that meets no visit."""
    return await _rows(state, (
        "select s.id as doctor_id, t as starts_local, t at time zone %s as starts_at from staff s "
        "cross join generate_series(%s::timestamp, %s::timestamp + interval '1 day', interval '15 minutes') t "
        "where s.clinic_id = %s and s.role = 'doctor' and s.active and extract(isodow from t) < 6 and t::time >= '08:00' "
        "and t::time <= '18:00'::time - make_interval(mins => %s) and not exists (select from calendar c where c.clinic_id = s.clinic_id and c.doctor_id = s.id "
        "and c.date = t::date and c.starts_at < t at time zone %s + make_interval(mins => %s) and c.ends_at > t at time zone %s) order by 2, 1"),
        zone, first, last, clinic, minutes, zone, minutes, zone)


@post("/events")
async def tell(state: State, body: bytes) -> None:
    """Pass something on to everybody who listens."""
    state.told += 1
    message = b'id: %d\nevent: told\ndata: {"recordedAt":"%s","data":%s}\n\n' % (
        state.told, datetime.now(UTC).isoformat().encode(), msgspec.json.encode(body.decode()))
    for queue in state.queues:
        queue.put_nowait(message)


@get("/events")
async def listen(state: State) -> Stream:
    """Listen."""
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    state.queues.append(queue)

    async def messages() -> AsyncIterator[bytes]:
        yield b": welcome\n\n"
        while True:
            yield await queue.get()

    return Stream(messages(), media_type="text/event-stream")


async def _rows(state: State, statement: str, *values: Any) -> list[dict[str, Any]]:
    async with state.pool.connection() as connection:
        return list(await (await connection.execute(statement, values)).fetchall())


@asynccontextmanager
async def _lifespan(app: Litestar) -> AsyncIterator[None]:
    url = os.environ[URL]
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        url, min_size=READERS, max_size=READERS, open=False, kwargs={"autocommit": True, "row_factory": dict_row})
    await pool.open()
    app.state.pool = pool
    app.state.queues, app.state.told = [], 0
    with stock.recorder(url, THREADS) as app.state.recorder:
        yield
    await pool.close()


def main() -> None:
    """Serve."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    app = Litestar([append, patient, search, invoices, account, week, slots, tell, listen], lifespan=[_lifespan], openapi_config=None, logging_config=None)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", ws="none", access_log=False, log_config=None, server_header=False)
    uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def served(owner_url: str) -> Iterator[str]:
    """A plain server in a process of its own; gives its URL."""
    command = [sys.executable, "-m", __name__]
    process = subprocess.Popen(command, env={**passed_on(), URL: owner_url}, stdout=subprocess.PIPE, text=True)
    try:
        told = process.stdout.readline() if process.stdout else ""
        yield f"http://127.0.0.1:{int(told)}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
