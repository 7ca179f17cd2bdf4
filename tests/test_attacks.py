"""What somebody would try who wants more than is his: each attempt is refused, tells nothing and changes nothing."""

import base64
import hmac
import json
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.kit.tokens import HALF, Keys, TokenInvalid, jwk_of
from tests.served import PROTECTED, Person, failure, served

AUTH = "/api/v1/auth"


@pytest.fixture
async def web(module_database):
    async with served(module_database) as serving:
        yield serving


@pytest.fixture
async def admin(web):
    return await web.person(await web.clinic(), "admin")


def packed(part):
    return base64.urlsafe_b64encode(part if isinstance(part, bytes) else json.dumps(part).encode()).rstrip(b"=")


def sealed(header, claims, seal):
    """A token as a library would not make it."""
    body = packed(header) + b"." + packed(claims)
    return (body + b"." + packed(seal(body))).decode()


def pem_of(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def claims_of(person):
    return jwt.decode(person.session["accessToken"], options={"verify_signature": False})


async def rooms(web, token):
    return await web.client.get(f"{PROTECTED}/rooms", headers={"authorization": f"Bearer {token}"})


async def test_the_public_key_is_no_password(web, admin):
    """Key confusion: the verifier is told to take the public key, which everybody has, for a shared secret."""
    public = web.services.keys._private.public_key()
    forms = [public.public_bytes(form, PublicFormat.SubjectPublicKeyInfo) for form in (Encoding.PEM, Encoding.DER)]
    forms += [json.dumps(jwk).encode() for jwk in web.services.keys.jwks()["keys"]]
    for secret in forms:
        for algorithm in ("HS256", "hs256"):
            token = sealed({"alg": algorithm, "kid": web.services.keys.kid}, claims_of(admin), lambda body, key=secret: hmac.digest(key, body, "sha256"))
            failure(await rooms(web, token), 401, "TOKEN_INVALID")


@pytest.mark.parametrize("header", [
    {"alg": "none"}, {"alg": "None"}, {"alg": "nOnE"}, {"alg": ["ES256"]}, {"alg": None}, {}, {"alg": "ES256", "b64": False, "crit": ["b64"]},
])
async def test_a_header_talks_nobody_out_of_checking(web, admin, header):
    for seal in (b"", bytes(64)):
        token = sealed({"kid": web.services.keys.kid, **header}, claims_of(admin), lambda _, made=seal: made)
        failure(await rooms(web, token), 401, "TOKEN_INVALID")


async def test_a_key_of_ones_own_is_not_believed_however_it_is_handed_over(web, admin):
    own = ec.generate_private_key(ec.SECP256R1())
    told = jwk_of(own.public_key())
    for header in ({"kid": told["kid"]}, {"kid": web.services.keys.kid, "jwk": told}, {"jku": "http://127.0.0.1/keys"}, {"kid": "../../../dev/null"}, {"kid": ""}, {}):
        failure(await rooms(web, jwt.encode(claims_of(admin), own, "ES256", headers=header)), 401, "TOKEN_INVALID")


@pytest.mark.parametrize("change", [{"aud": "another"}, {"iss": "another"}, {"aud": HALF}, {"sub": "x"}, {"sid": None}, {"clinic": 7}, {"exp": None}, {"act": "x"}])
async def test_even_our_own_signature_opens_only_what_it_was_made_for(web, admin, change):
    said = {name: value for name, value in {**claims_of(admin), **change}.items() if value is not None}
    token = jwt.encode(said, web.services.keys._private, "ES256", headers={"kid": web.services.keys.kid})
    failure(await rooms(web, token), 401, "TOKEN_INVALID")


async def test_a_raised_role_or_another_clinic_in_a_token_needs_our_key(web, admin):
    far = await web.clinic()
    head, _, seal = admin.session["accessToken"].split(".")
    for change in ({"role": "superadmin"}, {"clinic": str(far)}, {"sub": str(uuid4())}):
        failure(await rooms(web, f"{head}.{packed({**claims_of(admin), **change}).decode()}.{seal}"), 401, "TOKEN_INVALID")


async def test_a_key_that_was_dropped_opens_nothing_and_one_that_was_added_does(web, admin):
    """Rotation: the new key signs, the old one is still read, until it is dropped."""
    old, fresh = (pem_of(key) for key in (web.services.keys._private, ec.generate_private_key(ec.SECP256R1())))
    both, alone = Keys(fresh + old), Keys(fresh)
    token = admin.session["accessToken"]
    assert both.read(token).account == admin.id
    assert jwt.get_unverified_header(both.sign(account=admin.id, clinic=uuid4(), role="admin", session=uuid4(), subject=None))["kid"] == alone.kid
    assert [key["kid"] for key in both.jwks()["keys"]] == [alone.kid, web.services.keys.kid]
    with pytest.raises(TokenInvalid):
        alone.read(token)


EXTRA = {"role": "superadmin", "clinicId": str(UUID(int=1)), "clinic": str(UUID(int=1)), "grants": ["*"], "id": str(UUID(int=2)), "subjectId": str(UUID(int=3))}


async def test_a_body_takes_no_more_than_is_asked_for(web, admin):
    """Mass assignment: role, clinic and rights beside what may be changed."""
    before = (await web.client.get(AUTH + "/me", headers=admin.headers)).json()
    for name, value in EXTRA.items():
        for method, path, body in (("PATCH", AUTH + "/me", {"name": "Eve"}), ("POST", PROTECTED + "/rooms", {"name": "Room", "type": "surgery"})):
            answer = await web.client.request(method, path, json={**body, name: value}, headers=admin.headers)
            assert (answer.status_code, name in answer.text) == (400, True), (path, answer.text)
    assert (await web.client.get(AUTH + "/me", headers=admin.headers)).json() == before


async def test_nobody_appoints_a_superadmin_or_hires_elsewhere(web, admin):
    far = await web.clinic()
    elsewhere = await web.person(far, "admin")
    for more in ({"role": "superadmin"}, {"role": "doctor", "clinicId": str(far)}):
        answer = await admin("POST", "/staff/create", {"name": "Eve", "email": "eve@clinic.example", "role": "doctor", **more})
        assert answer.status_code == 400, answer.text
    for headers in ({"x-clinic-id": str(far)}, {"x-tenant": str(far)}):
        made = await admin("POST", "/rooms", {"name": uuid4().hex[:8], "type": "surgery"}, headers=headers)
        assert made.status_code == 201
        failure(await elsewhere("DELETE", f"/rooms/{made.json()['id']}"), 404, "NOT_FOUND")
    failure(await admin("POST", "/clinics", {"name": "Mine", "zone": "UTC", "currency": "EUR"}), 403, "FORBIDDEN")
    switched = await admin("POST", "/clinics/context/switch", {"clinicId": str(far)})
    assert switched.status_code in {403, 404}
    assert "accessToken" not in switched.text


async def test_a_session_is_never_taken_over_from_before_signing_in(web, admin):
    """Session fixation: nothing that is brought along becomes the session."""
    brought = {"authorization": admin.headers["authorization"], "cookie": "session=1; sid=1; refresh=1", "x-session-id": "1"}
    email = await web.account(UUID(admin.session["user"]["clinicId"]), "doctor")
    answer = await web.client.post(AUTH + "/signin", json={"email": email, "password": "correct horse battery staple"}, headers=brought)
    fresh = Person(web, answer.json())
    assert web.services.keys.read(fresh.session["accessToken"]).session != web.services.keys.read(admin.session["accessToken"]).session
    assert fresh.id != admin.id
