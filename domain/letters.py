"""Letters: what the installation writes to people, in its own words, and asking for one of them to be sent again.

A letter comes about by a policy in `workers/` that answers an event; here are only its words.
"""

from typing import ClassVar, Self
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.kit import Event, Refused, State
from domain.kit.letters import letter

LETTERS = UUID("6f0d3b52-8a0b-5c0e-9a57-2f1f6f3c9d10")
MOST = 10


class LetterResendAsked(Event):
    letter: UUID


LetterEvent = LetterResendAsked


class LetterOnItsWay(Refused):
    """That letter has not been sent yet. Wait for what becomes of it."""


class LetterSentTooOften(Refused):
    """That letter has been sent again ten times already. Look into why it does not arrive."""


def letter_of(letter: UUID) -> UUID:
    """Return the id of the stream that says how often a letter was asked for again."""
    return uuid5(LETTERS, str(letter))


class Letter(State):
    """A letter that somebody wants sent again."""

    kind: ClassVar[str] = "letters"
    again: int = 0

    def evolve(self, event: LetterEvent) -> Self:
        return replace(self, again=self.again + 1)

    def resend(self, letter: UUID, *, settled: bool) -> list[Event]:
        if not settled:
            raise LetterOnItsWay
        if self.again >= MOST:
            raise LetterSentTooOften
        return [LetterResendAsked(letter=letter)]


SAMPLE = letter(
    "sample", "What a custom template is sent as when somebody tries it; and a letter to try the mail server with.", {},
    en=("A letter from {{clinic}}", """
Dear {{name}},

This is a letter to see whether letters from {{clinic}} arrive. You asked for it.
"""),
    es=("Una carta de {{clinic}}", """
Hola, {{name}}:

Esta carta sirve para comprobar que las cartas de {{clinic}} llegan. La ha pedido usted.
"""),
)

ACCOUNT_INVITED = letter(
    "account.invited", "Lets somebody who has no password yet set one within seven days.", {"link": "https://example.org/set-password?token=x7Kq"},
    en=("Choose your password", """
Dear {{name}},

An account has been made for you. Choose a password here, within seven days; then you can sign in with this address:

{{link}}

If you did not expect this, you need not do anything.
"""),
    es=("Elija su contraseña", """
Hola, {{name}}:

Se ha creado una cuenta para usted. Elija aquí una contraseña, en los próximos siete días; después podrá iniciar sesión con esta dirección:

{{link}}

Si no lo esperaba, no tiene que hacer nada.
"""),
)

SECOND_FACTOR_CODE = letter(
    "account.second-factor-code", "Six digits with which somebody completes a sign-in, or sets such codes up.", {"code": "271828"},
    en=("{{code}} is your code", """
Dear {{name}},

Your code is {{code}}. It is good for ten minutes, once, in the window that asked for it.

If you did not ask for it, somebody knows your password: change it now. Tell nobody this code.
"""),
    es=("{{code}} es su código", """
Hola, {{name}}:

Su código es {{code}}. Sirve una sola vez y durante diez minutos, en la ventana que lo ha pedido.

Si no lo ha pedido usted, alguien conoce su contraseña: cámbiela ya. No le diga este código a nadie.
"""),
)

RECOVERY_CODES = letter(
    "account.recovery-codes", "A link that leads somebody signed in to fresh recovery codes.", {"link": "https://example.org/second-factor/codes/abc"},
    en=("Your recovery codes", """
Dear {{name}},

Open this link, signed in, to see ten fresh recovery codes. It is good for an hour, once; your earlier codes stop working when you do.

{{link}}

If you did not ask for it, do not open it, and change your password.
"""),
    es=("Sus códigos de recuperación", """
Hola, {{name}}:

Abra este enlace con la sesión iniciada para ver diez códigos de recuperación nuevos. Sirve una sola vez y durante una hora; al abrirlo, los códigos anteriores dejan de valer.

{{link}}

Si no lo ha pedido usted, no lo abra y cambie su contraseña.
"""),
)

SECOND_FACTOR_RESET = letter(
    "account.second-factor-reset", "A link with which somebody locked out can switch their second factor off.", {"link": "https://example.org/second-factor/reset/abc"},
    en=("Sign in without your second factor", """
Dear {{name}},

You wrote that you have lost what you complete a sign-in with. Open this link and enter your password to switch your second factor off. It is good for an hour, once.

{{link}}

If it was not you, do nothing: without your password this link opens nothing.
"""),
    es=("Iniciar sesión sin su segundo factor", """
Hola, {{name}}:

Ha indicado que perdió aquello con lo que completa el inicio de sesión. Abra este enlace y escriba su contraseña para desactivar el segundo factor. Sirve una sola vez y durante una hora.

{{link}}

Si no ha sido usted, no haga nada: sin su contraseña, este enlace no abre nada.
"""),
)

SECOND_FACTOR_CHANGED = letter(
    "account.second-factor-off", "Tells somebody that a password alone opens their account again.", {},
    en=("Your second factor is switched off", """
Dear {{name}},

From now on your password alone is enough to sign in. If that was not your wish, change your password and set a second factor up again.
"""),
    es=("Su segundo factor está desactivado", """
Hola, {{name}}:

Desde ahora basta su contraseña para iniciar sesión. Si no lo ha querido así, cambie su contraseña y configure de nuevo un segundo factor.
"""),
)

PASSKEY_ADDED = letter(
    "account.passkey-added", "Tells somebody that a new passkey opens their account.", {"passkey": "My telephone"},
    en=("A new passkey opens your account", """
Dear {{name}},

From now on the passkey "{{passkey}}" opens your account without a password. If it is not yours, remove it in your account's settings and change your password.
"""),
    es=("Una nueva llave de acceso abre su cuenta", """
Hola, {{name}}:

Desde ahora la llave de acceso "{{passkey}}" abre su cuenta sin contraseña. Si no es suya, quítela en los ajustes de su cuenta y cambie su contraseña.
"""),
)

PASSWORD_RESET = letter(
    "account.password-reset", "A link with which somebody sets a new password.", {"link": "https://example.org/reset-password/abc"},
    en=("Set a new password", """
Dear {{name}},

Open this link to set a new password. It is good for an hour, once; all your sessions end when you do.

{{link}}

If you did not ask for it, do nothing: your password stays as it is.
"""),
    es=("Elija una contraseña nueva", """
Hola, {{name}}:

Abra este enlace para elegir una contraseña nueva. Sirve una sola vez y durante una hora; al hacerlo, se cierran todas sus sesiones.

{{link}}

Si no lo ha pedido usted, no haga nada: su contraseña sigue siendo la misma.
"""),
)

PASSWORD_CODE = letter(
    "account.password-code", "Six digits with which somebody sets a new password.", {"code": "271828"},
    en=("{{code}} sets a new password", """
Dear {{name}},

Your code is {{code}}. With it you set a new password; it is good for ten minutes, once, and all your sessions end when you do.

If you did not ask for it, do nothing: your password stays as it is. Tell nobody this code.
"""),
    es=("{{code}} es su código para una contraseña nueva", """
Hola, {{name}}:

Su código es {{code}}. Con él elige una contraseña nueva; sirve una sola vez y durante diez minutos, y al usarlo se cierran todas sus sesiones.

Si no lo ha pedido usted, no haga nada: su contraseña sigue siendo la misma. No le diga este código a nadie.
"""),
)

PASSWORD_CHANGED = letter(
    "account.password-changed", "Tells somebody that another password opens their account.", {},
    en=("Your password was changed", """
Dear {{name}},

Another password counts from now on. If that was not you, set a new one at once at {{url}}, and tell your clinic.
"""),
    es=("Su contraseña ha cambiado", """
Hola, {{name}}:

Desde ahora vale otra contraseña. Si no ha sido usted, elija una nueva cuanto antes en {{url}} y avise a su clínica.
"""),
)

ACCOUNT_LOCKED = letter(
    "account.locked", "Tells somebody that too many wrong guesses were made at their account.", {"until": "2026-01-05 09:15 UTC"},
    en=("Somebody tries to get into your account", """
Dear {{name}},

Too many wrong passwords or codes were tried at your account, so it takes no more of them until {{until}}. Nobody got in by them.

If it was you, wait until then, or set a new password at {{url}}. If it was not, there is nothing you have to do; a second factor makes your account safer.
"""),
    es=("Alguien intenta entrar en su cuenta", """
Hola, {{name}}:

Se han probado demasiadas contraseñas o códigos erróneos en su cuenta, así que no admite más hasta el {{until}}. Nadie ha entrado con ellos.

Si ha sido usted, espere hasta entonces o elija una contraseña nueva en {{url}}. Si no, no tiene que hacer nada; un segundo factor hace su cuenta más segura.
"""),
)

CLINICS = letter(
    "account.clinics", "Lists the clinics where somebody can sign in.", {"clinics": "Grachten Dental\nKanaal Dental"},
    en=("Your clinics", """
Dear {{name}},

With this address you belong to:

{{clinics}}

Sign in at {{url}}. If you did not ask for it, do nothing.
"""),
    es=("Sus clínicas", """
Hola, {{name}}:

Con esta dirección pertenece a:

{{clinics}}

Inicie sesión en {{url}}. Si no lo ha pedido usted, no haga nada.
"""),
)
