"""Money over HTTP: payments recorded, a patient's invoices listed, and what patients owe."""

from itertools import cycle

from anamnesis.bench.book import CLIENTS, PATIENCE, WARM, plain_appends
from anamnesis.bench.kit import checks, http, load, plain
from anamnesis.bench.kit.figures import Figure, Result, Target, latencies
from anamnesis.bench.kit.frame import Options
from anamnesis.bench.kit.load import Job
from anamnesis.bench.kit.places import Lag, Place, furnished
from anamnesis.bench.read import REQUESTS, figure, run, summary
from anamnesis.trouble import Trouble

TARGET = 1500
MOST = 4000  # payments a second; more are not made ready
INVOICES = 2000
OK = 200
API = "/api/v1/protected"


def measure(options: Options) -> list[Result]:
    """Payments as many as possible, beside plain appends behind the same server; then reads beside plain SQL."""
    with furnished(options, number=1, invoices=INVOICES) as place:
        bills = issued(place)
        payments(place, list(bills), plain_appends(place))
        ours, theirs = paths(place, list(bills.values()))
        with plain.served(place.bench.owner_url) as url:
            baselines = {name: summary(run(place, url, theirs[name])) for name in theirs}
        for name, wanted in ours.items():
            figure(place, name, wanted, baselines[name], ["every answer 200"])
        return place.done()


def issued(place: Place) -> dict[str, str]:
    """Return the invoices and whose they are."""
    with place.bench.connect() as connection:
        found = connection.execute("select id, patient_id from invoices where clinic_id = %s", [place.clinics[0].id]).fetchall()
    if len(found) != INVOICES:
        raise Trouble(f"{len(found)} invoices, not {INVOICES}")
    return {str(invoice): str(patient) for invoice, patient in found}


def payments(place: Place, bills: list[str], baseline: Figure) -> None:
    """Many clients, each with its next payment as soon as the last is answered; each a cent, in turns on all invoices."""
    options = place.bench.options
    users, which = cycle(place.tokens()[0]), cycle(bills)
    requests = [
        http.post(f"{API}/invoices/{next(which)}/payments", next(users), b'{"amount":1,"method":"cash"}') for _ in range(int(MOST * (options.seconds + WARM)))]
    host, port = http.address(place.url)
    options.tell(f"  {len(requests):,} payments ready, {CLIENTS} clients")
    with place.bench.connect() as connection:
        since = checks.head(connection)
        with Lag(place.bench.owner_url) as lag:
            tally = load.generate(Job(
                host=host, port=port, requests=requests, seconds=options.seconds, connections=CLIENTS, warm=WARM, watch=place.stack.pids()))
        place.caught_up()
        checks.nothing_lost(tally.lost)
        paid = connection.execute("select coalesce(sum(paid), 0), count(*) filter (where paid > 0) from invoices where clinic_id = %s", [place.clinics[0].id]).fetchone()
        booked = connection.execute("select count(*) from stored_events where topic = 'PaymentRecorded' and notification_id > %s", [since]).fetchone()
    if paid is None or booked is None or paid[0] != booked[0]:
        raise Trouble(f"{booked} payments of a cent came to {paid}")
    found = {
        "per_second": round(tally.per_second(OK)), **latencies(tally.times), "clients": CLIENTS, "answers": len(tally.times), "behind_seconds": round(lag.worst, 3),
        **tally.cost, **{f"status_{status}": n for status, n in tally.answers.items() if status != OK}}
    targets = [Target("per_second", least=TARGET), Target("behind_seconds", most=PATIENCE)]
    place.bench.add("record a payment", found, baseline, by="per_second", targets=targets, checked=["every cent is on its invoice", *place.bench.store_is_sound(since)])


def paths(place: Place, patients: list[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return what is asked of the gateway, and of the plain server."""
    clinic, whose = place.clinics[0].id, list(dict.fromkeys(patients))[:REQUESTS]
    ours = {
        "a patient's invoices": [f"{API}/invoices?patientId={patient}" for patient in whose],
        "a patient's balance": [f"{API}/patients/{patient}/balance" for patient in whose]}
    theirs = {
        "a patient's invoices": [f"/invoices?clinic={clinic}"], "a patient's balance": [f"/account?clinic={clinic}&patient={patient}" for patient in whose]}
    return ours, theirs
