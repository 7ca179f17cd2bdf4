"""Passkeys, as WebAuthn has them: what a browser is asked for, and whether what it answers is right.

How it works: a challenge is a single-use token of the codes kit, so it counts once and for five minutes, and whoever answers need not say which one it was: the signed client data do.
The relying party is the host of the public URL, or localhost where none is set; browsers refuse others. The device must have made sure of its owner (a PIN,
a finger, a face), for a passkey stands for a password and a second factor at once, and it must find the key without being told whose it is wanted.
No attestation is asked for: which make of device somebody has is none of our business.

What may go wrong: after the public URL's host has changed no passkey works any more, for devices bind keys to it. A device that counts its signatures and shows a count
that is not higher than the last was copied, or its answer was: it is refused. Passkeys that are kept in several devices do not count.
"""

from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from msgspec import json
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import base64url_to_bytes, options_to_json_dict
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from domain.kit import Refused

SECONDS = 300  # for which a challenge is good
REQUIRED = UserVerificationRequirement.REQUIRED


class PasskeyWrong(Refused):
    """That is not the answer of a passkey we know to what we asked. Begin again."""

    status = 401


class PasskeysUnavailable(Refused):
    """Passkeys need a public URL with a host name. Ask the operator of the service to set one."""

    status = 503


class Relying(NamedTuple):
    """Whom a browser takes us for."""

    id: str
    origin: str

    @classmethod
    def of(cls, settings: Any) -> "Relying":
        """Return what follows from the settings."""
        url = urlsplit(getattr(settings, "public_url", "") or f"http://localhost:{getattr(settings, 'port', 8000)}")
        host = url.hostname or ""
        try:
            ip_address(host)
        except ValueError:
            return cls(host, f"{url.scheme}://{url.netloc}")
        raise PasskeysUnavailable

    def to_register(self, challenge: str, user: bytes, email: str, name: str, known: list[bytes]) -> dict[str, Any]:
        """Return what a browser is asked for to make a key."""
        return options_to_json_dict(generate_registration_options(
            rp_id=self.id, rp_name="Anamnesis", user_id=user, user_name=email, user_display_name=name, challenge=base64url_to_bytes(challenge),
            timeout=SECONDS * 1000, exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
            authenticator_selection=AuthenticatorSelectionCriteria(resident_key=ResidentKeyRequirement.REQUIRED, user_verification=REQUIRED)))

    def to_sign_in(self, challenge: str) -> dict[str, Any]:
        """Return what a browser is asked for to use whichever key it has for us."""
        return options_to_json_dict(generate_authentication_options(
            rp_id=self.id, challenge=base64url_to_bytes(challenge), timeout=SECONDS * 1000, user_verification=REQUIRED))

    def registered(self, credential: dict[str, Any], challenge: str) -> VerifiedRegistration:
        """Return the key that a device has made, or refuse it."""
        try:
            return verify_registration_response(
                credential=credential, expected_challenge=base64url_to_bytes(challenge), expected_rp_id=self.id, expected_origin=self.origin,
                require_user_verification=True)
        except Exception:  # noqa: BLE001 - what a stranger makes up can trip the library anywhere
            raise PasskeyWrong from None

    def proved(self, credential: dict[str, Any], challenge: str, key: bytes, counter: int) -> VerifiedAuthentication:
        """Return what a device has proved with its key, or refuse it."""
        try:
            return verify_authentication_response(
                credential=credential, expected_challenge=base64url_to_bytes(challenge), expected_rp_id=self.id, expected_origin=self.origin,
                credential_public_key=key, credential_current_sign_count=counter, require_user_verification=True)
        except Exception:  # noqa: BLE001 - what a stranger makes up can trip the library anywhere
            raise PasskeyWrong from None


def challenge_in(client_data: str) -> str:
    """Return the challenge that a device says it has answered."""
    try:
        said: dict[str, Any] = json.decode(base64url_to_bytes(client_data), type=dict[str, Any])
        challenge = said["challenge"]
        if not isinstance(challenge, str):
            raise PasskeyWrong
        base64url_to_bytes(challenge)
    except (ValueError, KeyError):
        raise PasskeyWrong from None
    return challenge


def raw(encoded: str) -> bytes:
    """Return bytes that were sent as text."""
    try:
        return base64url_to_bytes(encoded)
    except ValueError:
        raise PasskeyWrong from None
