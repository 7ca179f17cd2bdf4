"""Other people's code as the other party: a second JOSE library, and an authenticator built on the types of `fido2`."""

import time
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError
from joserfc.jwk import ECKey, KeySet

from tests.authenticator import Authenticator, text, text_bytes
from tests.served import PROTECTED, failure, served
from tests.test_passkeys import HOME, asked, post, registered


@pytest.fixture
async def web(module_database):
    async with served(module_database, public_url=HOME) as serving:
        yield serving


async def published(web) -> KeySet:
    return KeySet.import_key_set((await web.client.get("/.well-known/jwks.json")).json())


async def test_another_library_reads_our_tokens_by_the_published_keys(web):
    clinic = await web.clinic()
    person = await web.person(clinic, "doctor")
    token = jwt.decode(person.session["accessToken"], await published(web), algorithms=["ES256"])
    jwt.JWTClaimsRegistry(iss={"essential": True, "value": "anamnesis"}, aud={"essential": True, "value": "anamnesis-api"}).validate(token.claims)
    assert (token.header["alg"], UUID(token.claims["sub"]), UUID(token.claims["clinic"]), token.claims["role"]) == ("ES256", person.id, clinic, "doctor")
    head, body, seal = person.session["accessToken"].split(".")
    with pytest.raises(BadSignatureError):
        jwt.decode(f"{head}.{body}.{'A' * len(seal)}", await published(web), algorithms=["ES256"])
    with pytest.raises(InvalidKeyIdError):
        jwt.decode(person.session["accessToken"], KeySet([ECKey.generate_key("P-256", {"kid": "another"})]), algorithms=["ES256"])


async def test_what_another_library_signs_with_a_key_of_its_own_is_not_believed(web):
    person = await web.person(await web.clinic(), "doctor")
    ours = jwt.decode(person.session["accessToken"], await published(web), algorithms=["ES256"])
    claims = {**ours.claims, "iat": int(time.time()), "exp": int(time.time()) + 600}
    for kid in (ours.header["kid"], "another"):
        forged = jwt.encode({"alg": "ES256", "kid": kid}, claims, ECKey.generate_key("P-256"))
        answer = await web.client.get(f"{PROTECTED}/appointments/doctor-schedules", headers={"authorization": f"Bearer {forged}"})
        failure(answer, 401, "TOKEN_INVALID")


class Device(Authenticator):
    """An authenticator whose answers are made of fido2's own types."""

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        self.user = text_bytes(options["user"]["id"])
        key = ES256.from_cryptography_key(self.key.public_key())
        attested = AttestedCredentialData.create(bytes(16), self.id, key)
        flags = AuthenticatorData.FLAG.USER_PRESENT | AuthenticatorData.FLAG.USER_VERIFIED | AuthenticatorData.FLAG.ATTESTED
        attestation = AttestationObject.create("none", self.authenticated(options["rp"]["id"], flags, attested), {})
        client = self.collected("webauthn.create", options["challenge"])
        return self.answer({"clientDataJSON": text(bytes(client)), "attestationObject": text(bytes(attestation)), "transports": ["internal"]})

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        client = self.collected("webauthn.get", options["challenge"])
        flags = AuthenticatorData.FLAG.USER_PRESENT | AuthenticatorData.FLAG.USER_VERIFIED
        data = self.authenticated(options["rpId"], flags)
        signature = self.key.sign(bytes(data) + client.hash, ECDSA(SHA256()))
        return self.answer({
            "clientDataJSON": text(bytes(client)), "authenticatorData": text(bytes(data)), "signature": text(signature), "userHandle": text(self.user),
        })

    def authenticated(self, party: str, flags: Any, attested: bytes = b"") -> AuthenticatorData:
        self.count += 1
        return AuthenticatorData.create(sha256(party.encode()).digest(), flags, self.count, attested)

    def collected(self, kind: str, challenge: str) -> CollectedClientData:
        return CollectedClientData.create(kind, text_bytes(challenge), self.origin)


async def test_a_device_of_fido2s_making_registers_and_signs_in(web):
    person, device = await registered(web, Device(HOME))
    for _ in range(2):
        answer = await post(web, "/authenticate", {"credential": device.get(await asked(web))})
        assert answer.status_code == 200, answer.text
        assert UUID(answer.json()["user"]["id"]) == person.id
    device.key = Device(HOME).key
    failure(await post(web, "/authenticate", {"credential": device.get(await asked(web))}), 401, "PASSKEY_WRONG")
