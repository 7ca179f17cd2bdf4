"""Where it lives on the web what patients do not want to be written; and the door by which they say so themselves, without an account."""

from html import escape
from typing import Annotated
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.params import PathParameter

from commands.kit.doors import MESSAGE_LINKS
from commands.message_wishes import ChangeMessageWishes, RefuseMessages, WelcomeMessages
from domain.kit import NotFound
from domain.message_wishes import MessageLinkOver, MessageTopic, MessageWishes
from gateway.kit import Desk, act, browse
from gateway.kit import desk as kit
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from projections.message_wishes import kept_under, unwanted_of
from schemas.message_wishes import MessageLink, MessageWishesOfPatient, MessageWishesRow

PatientId = Annotated[UUID, PathParameter(description="Id of the patient.")]
Topic = Annotated[MessageTopic, PathParameter(description="About what messages are.")]
Token = Annotated[str, PathParameter(description="The token of the message's link.")]
SECRET = {"cache-control": "no-store", "referrer-policy": "no-referrer", "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"}
PUBLIC = {"public": True, "lapsed": True, "refusals": [MessageLinkOver]}
PAGE = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{clinic}</title></head>
<body style="margin:3em auto;max-width:30em;font:16px/1.5 system-ui,sans-serif">
<h1>{clinic}</h1><p>{said}</p><form method="post" action="{action}"><button>{button}</button></form>
</body></html>
"""
SAID: dict[tuple[MessageTopic, str, bool], tuple[str, str]] = {  # by topic, language and whether they are wanted
    ("reminders", "en", True): ("You get reminders of your appointments by e-mail.", "Send me no more reminders"),
    ("reminders", "en", False): ("You get no more reminders of your appointments by e-mail.", "Send me reminders again"),
    ("reminders", "es", True): ("Recibe recordatorios de sus citas por correo electrónico.", "No enviarme más recordatorios"),
    ("reminders", "es", False): ("Ya no recibe recordatorios de sus citas por correo electrónico.", "Volver a enviarme recordatorios"),
    ("recalls", "en", True): ("You are told by e-mail when it is time to come again.", "Do not tell me any more"),
    ("recalls", "en", False): ("You are not told by e-mail any more when it is time to come again.", "Tell me again"),
    ("recalls", "es", True): ("Se le avisa por correo electrónico cuando es hora de volver.", "No avisarme más"),
    ("recalls", "es", False): ("Ya no se le avisa por correo electrónico cuando es hora de volver.", "Volver a avisarme"),
}


@get("/patient/{patientId:uuid}", operation_id="GetMessageWishesOfPatient", summary="Show: what a patient does not want to be written", opt={
    "permission": MessageWishesRow.permission, "refusals": [NotFound]})
async def of_patient(desk: Desk, patientId: PatientId) -> MessageWishesOfPatient:  # noqa: N803
    """For whichever of their records it was noted."""
    no_query(desk.call.query())
    if (own_column(MessageWishesRow, desk.who) and patientId != desk.who.subject) or not await desk.known("patients", patientId):
        raise NotFound(kind="patients", id=str(patientId))
    return MessageWishesOfPatient(patient_id=patientId, unwanted=await unwanted_of(desk.reader, patientId))


async def patient_of(desk: kit.Desk, topic: MessageTopic, token: str) -> UUID:
    """Return whose link a token is, and go on in their clinic."""
    services = desk.call.services
    await services.doors.enter(MESSAGE_LINKS, desk.call.address)
    named = services.lasting.read(f"unsubscribe/{topic}", token)
    clinic = await services.handler.tenant_of(named.subject) if named else None
    if named is None or clinic is None:
        raise MessageLinkOver
    await desk.enter(clinic)
    here = await desk.clinic()
    if not here.active or here.closing is not None:  # nothing comes on record there any more, and nobody is written to
        raise MessageLinkOver
    return named.subject


async def shown(desk: kit.Desk, topic: MessageTopic, token: str, patient: UUID) -> Response[MessageLink]:
    """Return how it stands: as a page for people, as JSON for programs."""
    clinic = await desk.clinic()
    wanted = not any([topic in (await wishes(desk, kept)).unwanted for kept in await kept_under(desk.reader, patient)])
    if b"text/html" not in desk.call.headers.get(b"accept", b""):
        return Response(MessageLink(topic=topic, clinic_name=clinic.name, wanted=wanted), headers=SECRET)
    language = clinic.language or "en"
    said, button = SAID[topic, language, wanted]
    action = f"{desk.call.services.address}/api/v1/message-wishes/{topic}/{token}{'' if wanted else '/undo'}"
    page = PAGE.format(language=language, clinic=escape(clinic.name), said=said, button=button, action=escape(action))
    return Response(page, headers=SECRET, media_type="text/html")  # type: ignore[arg-type]


async def wishes(desk: kit.Desk, kept: UUID) -> MessageWishes:
    """Return what is noted for one record, as the store has it: who has just asked for it sees it."""
    stream = await desk.call.services.handler.streams.latest(MessageWishes, kept, desk.who.clinic)
    return stream.state  # type: ignore[return-value]


@get("/{topic:str}/{token:str}", operation_id="GetMessageLink", summary="Show: what the link of a message is about", opt=PUBLIC)
async def look(desk: Desk, topic: Topic, token: Token) -> Response[MessageLink]:
    """Whether messages of its kind are wanted. Whoever opens it in a browser sees a page with a button; nothing is changed by looking."""
    no_query(desk.call.query())
    return await shown(desk, topic, token, await patient_of(desk, topic, token))


@post("/{topic:str}/{token:str}", operation_id="RefuseMessages", status_code=200, summary="Get no more messages of that kind", opt=PUBLIC)
async def refuse(desk: Desk, topic: Topic, token: Token) -> Response[MessageLink]:
    """Not be written about it by e-mail any more, by the link in the message; mail programs send it at one click (RFC 8058). Again it changes nothing, and it can be undone."""
    no_query(desk.call.query())
    patient = await patient_of(desk, topic, token)
    await desk.handle(RefuseMessages(patient_id=patient, topic=topic))
    return await shown(desk, topic, token, patient)


@post("/{topic:str}/{token:str}/undo", operation_id="WelcomeMessages", status_code=200, summary="Get messages of that kind again", opt=PUBLIC)
async def welcome(desk: Desk, topic: Topic, token: Token) -> Response[MessageLink]:
    """Be written about it by e-mail again."""
    no_query(desk.call.query())
    patient = await patient_of(desk, topic, token)
    await desk.handle(WelcomeMessages(patient_id=patient, topic=topic))
    return await shown(desk, topic, token, patient)


router = Router("/api/v1", tags=["Reminders"], route_handlers=[
    Router("/message-wishes", route_handlers=[look, refuse, welcome]),
    Router("/protected/message-wishes", route_handlers=[
        browse("/", MessageWishesRow, by=["patient_id", "way", "noted_at.."], sort="-noted_at"),
        of_patient,
        act("/patient/{patientId:uuid}", ChangeMessageWishes, "PUT"),
    ]),
])
