"""A list of fifty thousand patients taken in over HTTP, five hundred of them wrong, while a desk in the same clinic books; beside the plainest way to put such a list into a table."""

import asyncio
import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import psycopg

from anamnesis.bench.kit import clinics
from anamnesis.bench.kit import http as requests
from anamnesis.bench.kit.clinics import Diary
from anamnesis.bench.kit.figures import Figure, Result, Target, latencies
from anamnesis.bench.kit.frame import Options
from anamnesis.bench.kit.places import Place, furnished
from anamnesis.trouble import Trouble
from commands.accounts import OpenAccount, enrolled
from commands.kit.handling import Handler
from commands.kit.vault import Vault
from domain.clinics import Clinic

ROWS, WRONG = 50_000, 500
MOST_SECONDS = 60
PATIENCE = 600.0
LOOK_SECONDS = 0.25
CALM_SECONDS = 5.0
BETWEEN_BOOKINGS = 0.02
ADMIN = "admin@clinic0.example"
HEAD = "id,first name,last name,dob,phone,email"
TABLE = "create temp table plain_list (id text primary key, given text not null, family text not null, born date, phone text, email text, line int not null)"


def measure(options: Options) -> list[Result]:
    """How long it takes until every row is in the books and shown, what a booking waits meanwhile, and whether each wrong row is told by its line."""
    with furnished(options, doctors=5, patients=100, number=1) as place:
        asyncio.run(admitted(place))
        baseline = plain(place)
        desk = Desk(place)
        options.tell("  a desk that books, and nothing else")
        with desk.booking() as calm:
            time.sleep(CALM_SECONDS)
        options.tell(f"  {ROWS:,} rows, {WRONG} of them wrong, while it books")
        token = clinics.sign_in(place.url, ADMIN)
        with desk.booking() as busy:
            began = time.perf_counter()
            run, begun = begin(place, token), time.perf_counter() - began
            seen = over(place, token, run)
            took = time.perf_counter() - began
            place.caught_up()
            shown = time.perf_counter() - began
        checked = told(place, token, run, seen)
        figure: Figure = {
            "seconds": round(took, 1), "rows_per_second": round(ROWS / took), "shown_after_seconds": round(shown, 1), "answered_after_seconds": round(begun, 1), "bookings_meanwhile": len(busy),
            **{f"booking_{name}": value for name, value in latencies(busy).items()}, **{f"booking_alone_{name}": value for name, value in latencies(calm).items()}}
        targets = [Target("seconds", most=MOST_SECONDS), Target("booking_p99_ms", most=500)]
        place.bench.add("import", figure, baseline, by="rows_per_second", targets=targets, checked=checked)
        return place.done()


def lines() -> Iterator[tuple[str, ...]]:
    """The list; every hundredth row has a day of birth that there is not."""
    for n in range(ROWS):
        born = "1990-02-31" if n % (ROWS // WRONG) == 7 else f"{1940 + n % 60}-{1 + n % 12:02}-{1 + n % 28:02}"  # noqa: PLR2004 - any
        yield str(n), f"Given{n}", f"Family{n}", born, f"020{n:07}", f"p{n}@example.org"


async def admitted(place: Place) -> None:
    """Let an administrator of the clinic sign in, who alone may import."""
    settings = place.stack.settings("gateway")
    handler = await Handler.open(settings, clinic_state=Clinic)
    vault = Vault(handler.lanes, settings.kek)

    async def secret(account: Any) -> Any:
        return await vault.put_password(account, clinics.PASSWORD)

    await enrolled(handler, OpenAccount(email=ADMIN, name="Admin"), place.clinics[0].id, "admin", None, secret)
    vault.close()
    await handler.close()


def plain(place: Place) -> dict[str, Any]:
    """COPY into a table without any rule, event, key or search; and an INSERT a row, each its own transaction."""
    good = [(*line, n) for n, line in enumerate(lines(), 2) if not line[3].endswith("02-31")]
    with place.bench.connect() as connection:
        connection.execute(TABLE)
        began = time.perf_counter()
        with connection.cursor().copy("copy plain_list from stdin") as copy:
            for line in good:
                copy.write_row(line)
        copied = time.perf_counter() - began
        connection.execute("truncate plain_list")
        some, began = good[:5_000], time.perf_counter()
        for line in some:
            connection.execute("insert into plain_list values (%s, %s, %s, %s, %s, %s, %s)", line)
        inserted = (time.perf_counter() - began) / len(some) * len(good)
    return {"rows_per_second": round(len(good) / inserted), "insert_seconds": round(inserted, 1), "copy_seconds": round(copied, 2), "by": "INSERT a row"}


class Desk:
    """A receptionist who makes one booking after the other."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.bookings = iter(Diary(place.clinics).take(5_000))
        self.token = place.tokens()[0][0]

    @contextmanager
    def booking(self) -> Iterator[list[float]]:
        """Book for as long as the `with` lasts; gives how long each took."""
        waited: list[float] = []
        done, faults = Event(), list[str]()
        thread = Thread(target=self._book, args=(waited, done, faults), daemon=True)
        thread.start()
        try:
            yield waited
        finally:
            done.set()
            thread.join()
        if faults or not waited:
            raise Trouble(f"a booking was answered {faults[:1]}")

    def _book(self, waited: list[float], done: Event, faults: list[str]) -> None:
        while not done.wait(BETWEEN_BOOKINGS):
            began = time.perf_counter()
            status, text = asked(self.place, "POST", requests.BOOK, self.token, next(self.bookings).body)
            waited.append(time.perf_counter() - began)
            if status != http.client.CREATED:
                faults.append(f"{status} {text!r}")
                return


def asked(place: Place, method: str, path: str, token: str, body: bytes = b"", media: str = "application/json") -> tuple[int, bytes]:
    """Ask the gateway something."""
    connection = http.client.HTTPConnection(*requests.address(place.url), timeout=PATIENCE)
    try:
        connection.request(method, path, body or None, {"authorization": f"Bearer {token}", **({"content-type": media} if body else {})})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def begin(place: Place, token: str) -> str:
    """Hand the list in; gives the run's id."""
    body = "\n".join([HEAD, *(",".join(line) for line in lines())]).encode()
    status, text = asked(place, "POST", "/api/v1/protected/patients/imports", token, body, "text/csv")
    if status != http.client.ACCEPTED:
        raise Trouble(f"the list was answered {status}: {text[:300]!r}")
    return str(json.loads(text)["id"])


def over(place: Place, token: str, run: str) -> dict[str, Any]:
    """Look at a run until it is at its end."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status, text = asked(place, "GET", f"/api/v1/protected/import-runs/{run}", token)
        if status == http.client.OK and (seen := json.loads(text))["endedAt"] is not None:
            return dict(seen)
        time.sleep(LOOK_SECONDS)
    raise Trouble("the import does not end")


def told(place: Place, token: str, run: str, seen: dict[str, Any]) -> list[str]:
    """See that every row is accounted for: the good ones are patients, the wrong ones told by line and reason."""
    if (seen["created"], seen["rejected"]) != (ROWS - WRONG, WRONG):
        raise Trouble(f"the run says {seen}")
    wrong, cursor = list[tuple[int, str]](), ""
    while True:
        status, text = asked(place, "GET", f"/api/v1/protected/import-runs/lines?runId={run}&step=rejected&limit=200{cursor}", token)
        page = json.loads(text)
        wrong += [(one["line"], one["code"]) for one in page["items"]] if status == http.client.OK else []
        if page.get("next") is None:
            break
        cursor = f"&cursor={page['next']}"
    expected = [(n, "DATE_IMPOSSIBLE") for n, line in enumerate(lines(), 2) if line[3].endswith("02-31")]
    if sorted(wrong) != expected:
        raise Trouble(f"{len(wrong)} wrong rows are told, of which the first are {wrong[:3]}")
    with psycopg.connect(place.bench.owner_url) as connection:
        found = connection.execute("select count(*) from patients where clinic_id = %s and given_name like 'Given%%'", (place.clinics[0].id,)).fetchone()
    if found != (ROWS - WRONG,):
        raise Trouble(f"{found} patients are shown")
    return [f"{ROWS - WRONG:,} shown", f"{WRONG} told by line and reason"]
