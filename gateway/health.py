"""How the installation is, for people and for machines."""

import asyncio
from datetime import datetime
from typing import Any, Literal

import msgspec
from litestar import Request, Response, get
from psycopg import Error

from domain.kit import Frozen, Refused
from gateway.kit.answer import TEXT
from gateway.kit.services import Services
from projections.kit.outbox import outbox_health, proof_health, webhooks_health
from projections.kit.tables import LIVE
from projections.kit.tracking import HEALTH, PartitionHealth

PATIENCE = 2.0  # seconds for the database to answer
STALLED = 10.0  # seconds without progress while the store moved
OVERDUE = 60.0  # seconds that a letter or delivery which is due should not wait: is there a courier?


class PartitionState(Frozen):
    """How far the read models of a partition have come."""

    partition: int
    head: int
    tracked: int
    lag: int
    stalled_seconds: float
    parked: int


class LettersState(Frozen):
    """Letters that wait to be sent, for how long the oldest has, how long one is overdue for its next attempt, and how many of the last day's have failed."""

    queued: int
    oldest_seconds: float
    overdue_seconds: float
    failed: int


class WebhooksState(Frozen):
    """Deliveries to webhooks that wait, for how long one is overdue that should be under way, and how many webhooks fail."""

    queued: int
    overdue_seconds: float
    failing: int


class ProofState(Frozen):
    """What of history does not check out, where the first of it is, and when heads were signed last (null: never yet)."""

    findings: int
    first_position: int | None
    signed_at: datetime | None


class Health(Frozen):
    """`ok`; `degraded`: everything answers, but something needs a look; `down`: requests fail or read models stand still."""

    status: Literal["ok", "degraded", "down"]
    database: bool
    nats: bool
    relay: bool
    parked: int
    letters: LettersState | None
    webhooks: WebhooksState | None
    proof: ProofState | None
    partitions: list[PartitionState]


@get("/health", operation_id="Health", tags=["Operations"], opt={"public": True})
async def health(request: Request[Any, Any, Any]) -> Response[Health]:
    """Say how the installation is: 503 if requests fail or read models stand still."""
    found = await look(request.app.state.services)
    return Response(found, status_code=503 if found.status == "down" else 200, headers={"cache-control": "no-store"})


@get("/metrics", operation_id="Metrics", tags=["Operations"], opt={"public": True, "media": "text/plain"})
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Show figures for Prometheus: requests, latencies, how far the read models have come."""
    services: Services = request.app.state.services
    found = await look(services)
    gauges: list[tuple[str, str, dict[str, Any], float]] = [
        ("anamnesis_up", "Whether a part answers.", {"part": "database"}, found.database),
        ("anamnesis_up", "Whether a part answers.", {"part": "nats"}, found.nats),
        ("anamnesis_up", "Whether a part answers.", {"part": "relay"}, found.relay),
        ("anamnesis_stream_readers", "Readers of event streams.", {}, services.hub.readers),
    ]
    head = max((p.head for p in found.partitions), default=0)
    gauges += [
        *(("anamnesis_tracked_position", "Read models are complete up to here.", {"partition": p.partition}, p.tracked) for p in found.partitions),
        *(("anamnesis_stalled_seconds", "Time without progress while the store moved.", {"partition": p.partition}, p.stalled_seconds)
          for p in found.partitions),
        ("anamnesis_head_position", "The position of the newest event.", {}, head),
        ("anamnesis_parked_events", "Events that could not be projected.", {}, found.parked),
    ]
    if proof := found.proof:
        gauges.append(("anamnesis_proof_findings", "Places where history is not what was written.", {}, proof.findings))
    if letters := found.letters:
        gauges += [
            ("anamnesis_letters_queued", "Letters that wait to be sent.", {}, letters.queued),
            ("anamnesis_letters_oldest_seconds", "For how long the oldest of them has waited.", {}, letters.oldest_seconds),
            ("anamnesis_letters_failed", "Letters of the last day that will never arrive.", {}, letters.failed),
        ]
    if webhooks := found.webhooks:
        gauges += [
            ("anamnesis_webhooks_queued", "Deliveries to webhooks that wait.", {}, webhooks.queued),
            ("anamnesis_webhooks_overdue_seconds", "For how long one is overdue that should be under way.", {}, webhooks.overdue_seconds),
            ("anamnesis_webhooks_failing", "Webhooks that take nothing.", {}, webhooks.failing),
        ]
    return Response(services.metrics.text(gauges).encode(), media_type=TEXT.decode())


async def look(services: Services) -> Health:
    """Return how the installation is."""
    partitions: list[PartitionState] = []
    letters = webhooks = proof = None
    try:
        async with asyncio.timeout(PATIENCE):
            rows = (await services.reading.lanes.ask(None, HEALTH, (LIVE,))).rows
            waiting = await outbox_health(services.reading.lanes)
            pushed = await webhooks_health(services.reading.lanes)
            proven = await proof_health(services.reading.lanes)
        partitions, letters = [_state(PartitionHealth(*row)) for row in rows], LettersState(**waiting._asdict())
        webhooks = WebhooksState(**pushed._asdict())
        proof = ProofState(**proven._asdict())
        database = True
    except (Refused, TimeoutError, Error):
        database = False
    parked = sum(p.parked for p in partitions)
    nats, relay = services.bus.up, services.gate.listening
    down = not database or any(p.stalled_seconds > STALLED for p in partitions)
    overdue = any(waiting is not None and waiting.overdue_seconds > OVERDUE for waiting in (letters, webhooks))
    forged = proof is not None and proof.findings > 0
    status: Literal["ok", "degraded", "down"] = "down" if down else "ok" if nats and relay and not parked and not overdue and not forged else "degraded"
    return Health(status=status, database=database, nats=nats, relay=relay, parked=parked, letters=letters, webhooks=webhooks, proof=proof, partitions=partitions)


def _state(found: PartitionHealth) -> PartitionState:
    return msgspec.convert(
        {"partition": found.partition, "head": found.head, "tracked": found.tracked, "lag": found.lag,
         "stalledSeconds": float(found.stalled_seconds), "parked": found.parked}, PartitionState)
