"""What a patient is written who is asked into the portal."""

from commands.kit.codes import bearing
from domain.kit import Fact
from domain.kit.links import link_of
from domain.portal_invitations import INVITED_FOR, PORTAL, PORTAL_LETTER, PortalInvited
from workers.kit.policies import Letter, Link, To, answers


@answers
def when_PortalInvited(fact: Fact, event: PortalInvited) -> Letter:
    path = f"/api/v1/auth/portal-invitation/{bearing(fact.id, '{token}')}"
    link = Link(PORTAL, link_of(fact.id, event.number), path, int(INVITED_FOR.total_seconds()))
    return Letter(PORTAL_LETTER, To("patients", event.patient_id), link=link, language=event.language)
