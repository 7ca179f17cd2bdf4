"""Letters about one's account: what lies in the mailbox really opens it, and nobody else is written to."""

import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from commands.accounts import GivePlace, WithdrawPassword, house
from commands.clinics import DeleteClinic
from commands.kit.handling import Who
from domain.kit import PLATFORM
from tests.mail import MailServer, Outbox, carrying, text
from tests.served import PASSWORD, failure, served, until

AUTH = "/api/v1/auth"
NEW = "a wholly different sentence"
ROOT = Who(actor=uuid4(), clinic=PLATFORM, role="superadmin", grants=frozenset())


@pytest.fixture
async def post(database: Any) -> AsyncIterator[Any]:
    """A gateway, a courier and a mail server; `post(subject)` waits for that letter."""
    with MailServer() as server:
        async with served(database) as web, carrying(database, server, public_url="https://app.example"):
            clinic = await web.clinic()
            email = await web.account(clinic, "doctor")
            yield SimpleNamespace(web=web, server=server, clinic=clinic, email=email, outbox=Outbox(database), client=web.client, database=database)


async def letter(post: Any, subject: str) -> Any:
    """Wait for a letter; there is one of it, and it went to its owner alone."""
    def found() -> list[Any]:
        return [message for message in post.server.box.taken if re.fullmatch(subject, message["Subject"])]

    async def there() -> bool:
        return bool(found())

    await until(there, 20)
    (message,) = found()
    assert message["To"].addresses[0].addr_spec == post.email
    return message


async def test_the_link_in_the_letter_sets_a_new_password_once(post: Any) -> None:
    for address in ("nobody@clinic.example", post.email):
        assert (await post.client.post(AUTH + "/forgot-password", json={"email": address})).status_code == 202
    words = text(await letter(post, "Set a new password"))
    (token,) = re.findall(r"https://app\.example/reset-password/([\w-]{43})\n", words)
    assert (await post.client.post(AUTH + "/reset-password", json={"token": token, "newPassword": NEW})).status_code == 204
    failure(await post.web.sign_in(post.email), 401, "CREDENTIALS_WRONG")
    assert (await post.web.sign_in(post.email, NEW)).status_code == 200
    failure(await post.client.post(AUTH + "/reset-password", json={"token": token, "newPassword": NEW}), 400, "CODE_WRONG")
    assert "https://app.example" in text(await letter(post, "Your password was changed"))
    assert len(post.server.box.taken) == 2
    kept = post.outbox.run("select l::text from letters l") + post.outbox.run("select convert_from(state, 'UTF8') from stored_events")
    assert not any(token in line or post.email in line for (line,) in kept)


async def test_the_digits_in_the_letter_set_a_new_password(post: Any) -> None:
    account = await post.web.sign_in(post.email)
    headers = {"authorization": f"Bearer {account.json()['accessToken']}"}
    assert (await post.client.patch(AUTH + "/me", json={"language": "es"}, headers=headers)).status_code == 200
    await post.client.post(AUTH + "/forgot-password", json={"email": post.email, "way": "code"})
    message = await letter(post, r"\d{6} es su código para una contraseña nueva")
    assert message["Content-Language"] == "es"
    wanted = {"email": post.email, "otp": message["Subject"][:6], "newPassword": NEW}
    assert (await post.client.post(AUTH + "/confirm-password-reset", json=wanted)).status_code == 204
    assert (await post.web.sign_in(post.email, NEW)).status_code == 200
    await letter(post, "Su contraseña ha cambiado")


async def test_whose_password_was_withdrawn_sets_another_by_letter(post: Any) -> None:
    account = UUID((await post.web.sign_in(post.email)).json()["user"]["id"])
    await post.web.services.handler.handle(WithdrawPassword(), ROOT, id=account)
    failure(await post.web.sign_in(post.email), 401, "CREDENTIALS_WRONG")
    (token,) = re.findall(r"/reset-password/([\w-]{43})\n", text(await letter(post, "Set a new password")))
    assert (await post.client.post(AUTH + "/reset-password", json={"token": token, "newPassword": PASSWORD})).status_code == 204
    assert (await post.web.sign_in(post.email)).status_code == 200


async def test_the_clinics_of_an_address_are_told_to_it_alone(post: Any) -> None:
    account, other, gone = UUID((await post.web.sign_in(post.email)).json()["user"]["id"]), await post.web.clinic(), await post.web.clinic()
    for clinic in (other, gone):
        await post.web.services.handler.handle(GivePlace(clinic_id=clinic, role="doctor", subject_id=None), house(account), id=account)
    await post.web.services.handler.handle(DeleteClinic(name="Grachten", reason="Closed"), ROOT, id=gone)
    for address in ("nobody@clinic.example", post.email):
        assert (await post.client.post(AUTH + "/clinics", json={"email": address})).status_code == 202
    assert "belong to:\n\nGrachten\nGrachten\n\nSign in at https://app.example." in text(await letter(post, "Your clinics"))
    assert len(post.server.box.taken) == 1


async def test_too_many_guesses_are_told_once(post: Any) -> None:
    for _ in range(14):
        await post.web.sign_in(post.email, "wrong")
    assert re.search(r"no more of them until \d{4}-\d\d-\d\d \d\d:\d\d UTC", text(await letter(post, "Somebody tries to get into your account")))
