"""Imports: what another program knows of a clinic's patients, read line by line; what cannot be read is said with its line, never guessed."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from domain.kit import Invalid
from domain.kit.delimited import Line, decoded, delimiter_of, lines
from domain.patients import BirthDateImpossible, Demographics, Entries, MedicalEntry, ensure_born

MOST = 100_000  # rows of a file

DateOrder = Literal["auto", "dmy", "mdy"]
ImportField = Literal[
    "externalId", "givenName", "familyName", "fullName", "birthDate", "sex", "email", "phone", "address", "postcode", "city", "nationalId", "notes",
    "allergies", "conditions", "medications",
]
LISTS = ("allergies", "conditions", "medications")
PLAIN = {"email": "email", "phone": "phone", "nationalId": "national_id", "notes": "notes", "externalId": "external_id"}
ADDRESS = ("address", "postcode", "city")

NAMES: dict[ImportField, str] = {  # as they are compared: `plain`
    "externalId": "externalid id patientid patientnumber patientno patientnr recordnumber chartnumber mrn number nummer patientnummer patientennummer numeropaciente idpaciente"
                  " numero numerodossier numeropatient historia nhc",
    "givenName": "givenname firstname first forename voornaam roepnaam vorname nombre prenom",
    "familyName": "familyname lastname last surname achternaam nachname familienname apellido apellidos nom nomdefamille",
    "fullName": "name fullname patient patientname naam volledigenaam vollername nombrecompleto nombreyapellidos nomcomplet",
    "birthDate": "birthdate dateofbirth dob birthday born geboortedatum geboren geburtsdatum geburtstag fechadenacimiento fechanacimiento nacimiento datedenaissance naissance",
    "sex": "sex gender geslacht geschlecht sexo genero sexe",
    "email": "email emailaddress mail emailadres emailadresse correo correoelectronico courriel",
    "phone": "phone phonenumber telephone telephonenumber tel mobile mobilephone cell cellphone telefoon telefoonnummer mobiel telefon telefonnummer handy mobil telefono movil portable",
    "address": "address street streetaddress adres straat adresse strasse direccion calle rue",
    "postcode": "postcode postalcode zip zipcode plz postleitzahl codigopostal codepostal",
    "city": "city town plaats woonplaats ort stadt ciudad poblacion ville",
    "nationalId": "nationalid ssn bsn nationalidnumber dni nie nif steuerid svnr numerodesecuritesociale",
    "notes": "notes note remarks comments opmerkingen notities bemerkungen notizen notas observaciones remarques",
    "allergies": "allergies allergy allergieen allergie allergien alergias alergia",
    "conditions": "conditions condition diagnoses diagnosis problems aandoeningen aandoening erkrankungen diagnosen enfermedades diagnosticos antecedentes maladies",
    "medications": "medications medication medicines drugs medicatie medicijnen medikamente medikation medicamentos medicacion medicaments",
}
HEADERS = {name: field for field, names in NAMES.items() for name in names.split()}

SEXES = {word: sex for sex, words in {
    "female": "f female w woman v vrouw weiblich frau mujer femenino femme feminin",
    "male": "m male man mannelijk maennlich mannlich mann h hombre masculino homme masculin",
    "other": "o x d other anders divers otro autre nonbinary",
}.items() for word in words.split()}
NOTHING = {"", "none", "unknown", "u", "na", "nil", "nka", "nkda", "geen", "onbekend", "keine", "unbekannt", "ninguna", "ninguno", "desconocido", "aucune", "aucun", "inconnu"}

ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})|(\d{4})(\d{2})(\d{2})")
DAY = re.compile(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4}|\d{2})")
MIDNIGHT = re.compile(r"[T ]00:00(:00(\.0+)?)?Z?$")


class HeadersUnclear(Invalid):
    """It is not clear which column is which. `details` say what is missing or doubled; say it with `mapping`."""


class DatesAmbiguous(Invalid):
    """No date of birth in the file shows whether the day or the month comes first, or some show one and some the other. Say it with `dates`."""


class TooManyRows(Invalid):
    """A file has at most 100,000 rows. Send it in parts; nobody is taken twice."""


class RowInvalid(Exception):
    """A row that cannot be taken: the column, a code and the reason."""

    def __init__(self, column: str, code: str, reason: str) -> None:
        super().__init__(code)
        self.column, self.code, self.reason = column, code, reason


class Draft(NamedTuple):
    """What a row says: by which id the other program knows the patient, who it is, and what is in the lists; a list that the row says nothing of is empty."""

    line: int
    external_id: str
    person: Demographics
    lists: dict[str, list[MedicalEntry]]


class Flaw(NamedTuple):
    """Why a row is not taken."""

    line: int
    column: str
    code: str
    reason: str


class Sheet(NamedTuple):
    """A file, read: how, which column is what, and its rows in their order."""

    encoding: str
    delimiter: str
    dates: DateOrder
    columns: dict[str, str]
    ignored: list[str]
    rows: list[Draft | Flaw]


def read(raw: bytes, mapping: dict[str, ImportField], dates: DateOrder, today: date) -> Sheet:
    """Read a file. `mapping` says which header is which field, where its name does not; `dates` whether the day or the month comes first."""
    text, encoding = decoded(raw)
    delimiter = delimiter_of(text)
    found = lines(text, delimiter)
    head = next(found, None)
    if head is None or head.broken:
        raise HeadersUnclear(problem="The first line has no headers")
    columns, ignored = fields_of([cell.strip() for cell in head.cells], mapping)
    rows = list(found)
    if len(rows) > MOST:
        raise TooManyRows(rows=len(rows))
    born = columns.get("birthDate", [])
    order = order_of((line.cells[n] for line in rows for n in born if n < len(line.cells)), dates)
    names = [cell.strip() for cell in head.cells]
    told = {names[n]: field for field, places in columns.items() for n in places}
    return Sheet(encoding, delimiter, order, told, ignored, [row_of(line, columns, names, order, today) for line in rows])


def fields_of(names: list[str], mapping: dict[str, ImportField]) -> tuple[dict[str, list[int]], list[str]]:
    """Return in which columns each field stands, and the headers that are none; several telephones are one field, of which the first that is filled in counts."""
    if unknown := sorted(set(mapping) - set(names)):
        raise HeadersUnclear(problem="There is no such header", headers=unknown)
    columns: dict[str, list[int]] = {}
    ignored = []
    for n, name in enumerate(names):
        field = mapping.get(name) or (HEADERS.get(plain(name)) if not set(mapping.values()) & {HEADERS.get(plain(name))} else None)
        if field is None:
            ignored += [name] if name else []
        else:
            columns.setdefault(field, []).append(n)
    if doubled := sorted(field for field, places in columns.items() if len(places) > 1 and field not in {"phone", "address", "notes", *LISTS}):
        raise HeadersUnclear(problem="Several columns are the same", fields=doubled)
    if "fullName" not in columns and not {"givenName", "familyName"} <= columns.keys():
        raise HeadersUnclear(problem="No column has the patients' names", headers=names[:100])
    return columns, ignored


def plain(name: str) -> str:
    """Return a header as it is compared: no accents, case, spaces or marks."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return re.sub(r"[\W_]", "", bare.casefold().replace("ß", "ss"))


def row_of(line: Line, columns: dict[str, list[int]], names: list[str], order: DateOrder, today: date) -> Draft | Flaw:
    """Return what a row says, or why that cannot be read."""
    if line.broken:
        return Flaw(line.number, "", "QUOTES_BROKEN", "Quotation marks in this row do not go together")
    if any(cell.strip() for cell in line.cells[len(names):]):
        return Flaw(line.number, "", "TOO_MANY_CELLS", "The row has more cells than there are headers; perhaps a text with the delimiter is not quoted")

    def cell(field: str) -> str:
        for n in columns.get(field, ()):
            if n < len(line.cells) and (found := line.cells[n].strip()):
                return found
        return ""

    def cells(field: str) -> list[str]:
        return [line.cells[n] for n in columns.get(field, ()) if n < len(line.cells) and line.cells[n].strip()]

    def column(field: str) -> str:
        return next((names[n] for n in columns.get(field, ())), field)

    try:
        person = person_of(cell, column, order, today)
        found = {name: [entry for text in cells(name) for entry in entries(text, column(name))] for name in LISTS}
    except RowInvalid as flaw:
        return Flaw(line.number, flaw.column, flaw.code, flaw.reason)
    return Draft(line.number, cell("externalId"), person, found)


def person_of(cell: Callable[[str], str], column: Callable[[str], str], order: DateOrder, today: date) -> Demographics:
    """Return who a row is about."""
    given, family = cell("givenName"), cell("familyName")
    if not given and not family:
        given, family = parted(cell("fullName"))
    for field, value in (("givenName", given), ("familyName", family)):
        if not value:
            raise RowInvalid(column(field), "NAME_MISSING", "A patient has a given name and a family name")
    said: dict[str, Any] = {"given_name": given, "family_name": family, "birth_date": birth(cell("birthDate"), order, today, column("birthDate"))}
    said["sex"] = sex(cell("sex"), column("sex"))
    said["address"] = ", ".join(part for part in (cell(name) for name in ADDRESS) if part) or None
    said |= {name: cell(field) or None for field, name in PLAIN.items()}
    said["phone"] = dialled(said["phone"])
    try:
        person = msgspec.convert({CAMEL[name]: value for name, value in said.items() if value is not None}, Demographics)
    except msgspec.ValidationError:  # the row as a whole is quicker to look at; which cell it is only matters now
        for name, value in said.items():
            check(name, value, column)
        raise
    try:
        ensure_born(person, today)
    except BirthDateImpossible as error:
        raise RowInvalid(column("birthDate"), "BIRTH_DATE_IMPOSSIBLE", str(BirthDateImpossible.__doc__)) from error
    return person


TYPES = {field.name: field.type for field in msgspec.structs.fields(Demographics)}
CAMEL = {field.name: field.encode_name for field in msgspec.structs.fields(Demographics)}


def check(name: str, value: Any, column: Callable[[str], str]) -> None:
    """Refuse what the desk could not enter either."""
    try:
        msgspec.convert(value, TYPES[name])
    except msgspec.ValidationError:
        reasons = {"email": "This is no e-mail address", "phone": "This is no telephone number"}
        raise RowInvalid(column(CAMEL[name]), f"{name.upper()}_INVALID", reasons.get(name, "This is too long")) from None


def parted(name: str) -> tuple[str, str]:
    """Return given and family name: "Bakker, Noor" or "Noor Bakker"; without a comma the first word is the given name."""
    if "," in name:
        family, _, given = name.partition(",")
    else:
        given, _, family = name.partition(" ")
    return given.strip(), family.strip()


def sex(text: str, column: str) -> str | None:
    word = plain(text)
    if word in NOTHING:
        return None
    if word not in SEXES:
        raise RowInvalid(column, "SEX_UNKNOWN", "Expected female, male or other, or such a word in Dutch, French, German or Spanish")
    return SEXES[word]


def dialled(text: str | None) -> str | None:
    """Return a telephone number as the desk writes them: the international prefix as +, and nothing but digits, spaces and marks between them."""
    if text is None:
        return None
    bare = re.sub(r"^(tel|phone|mob)[.: ]+", "", unicodedata.normalize("NFKC", text), flags=re.IGNORECASE)
    bare = re.sub(r"[\u2010-\u2015]", "-", bare).replace("(0)", "").replace("(", "").replace(")", " ")
    bare = re.sub(r"^\s*00", "+", bare)
    return re.sub(r"^\+\s+", "+", " ".join(bare.split()))


def entries(text: str, column: str) -> list[MedicalEntry]:
    """Return every entry of a list: one a line, or parted by |, by semicolons, or by commas where there is nothing else."""
    mark = next((mark for mark in ("\n", "|", ";", ",") if mark in text.replace("\r", "\n")), None)
    parts = [" ".join(part.split()) for part in (text.replace("\r", "\n").split(mark) if mark else [text])]
    found = [part for part in dict.fromkeys(parts) if plain(part) not in NOTHING]
    try:
        return msgspec.convert([{"name": part} for part in found], Entries)
    except msgspec.ValidationError:
        raise RowInvalid(column, "LIST_INVALID", "An entry has at most 200 characters, and a list 200 entries") from None


def joined(there: list[MedicalEntry], more: list[MedicalEntry]) -> list[MedicalEntry]:
    """Return a list with the entries that it lacks; those it has keep their notes and days."""
    names = {entry.name.casefold() for entry in there}
    return [*there, *(entry for entry in more if entry.name.casefold() not in names)]


# --- dates of birth


def order_of(cells: Iterable[str], dates: DateOrder) -> DateOrder:
    """Return whether the day or the month comes first, by the column as a whole: one date that can only be one of the two decides for all."""
    if dates != "auto":
        return dates
    only = {"dmy": 0, "mdy": 0}
    either = 0
    for first, second in _pairs(cells):
        if first > 12 >= second:  # noqa: PLR2004 - months
            only["dmy"] += 1
        elif second > 12 >= first:  # noqa: PLR2004
            only["mdy"] += 1
        elif first != second:
            either += 1
    if all(only.values()) or (either and not any(only.values())):
        raise DatesAmbiguous(dayFirst=only["dmy"], monthFirst=only["mdy"], either=either)
    return "mdy" if only["mdy"] else "dmy"


def _pairs(cells: Iterable[str]) -> Iterator[tuple[int, int]]:
    for cell in cells:
        if found := DAY.fullmatch(MIDNIGHT.sub("", cell.strip())):
            first, second = int(found[1]), int(found[2])
            if min(first, second) > 0 and max(first, second) <= 31:  # noqa: PLR2004 - days
                yield first, second


def birth(text: str, order: DateOrder, today: date, column: str) -> date | None:
    """Return a day of birth; of a year in two digits the latest that is not in the future."""
    bare = MIDNIGHT.sub("", text)
    if not bare:
        return None
    if found := ISO.fullmatch(bare):
        year, month, day = (part for part in found.groups() if part is not None)
    elif found := DAY.fullmatch(bare):
        year, month, day = (found[3], found[2], found[1]) if order == "dmy" else (found[3], found[1], found[2])
    else:
        raise RowInvalid(column, "DATE_UNREADABLE", "Expected a date such as 1990-05-17 or 17-05-1990")
    try:
        if len(year) > 2:  # noqa: PLR2004
            return date(int(year), int(month), int(day))
        return _latest(int(year), int(month), int(day), today)
    except ValueError:
        raise RowInvalid(column, "DATE_IMPOSSIBLE", "There is no such day") from None


def _latest(year: int, month: int, day: int, today: date) -> date:
    century = today.year // 100 * 100
    for whole in (century + year, century - 100 + year):
        try:
            found = date(whole, month, day)
        except ValueError:
            continue
        if found <= today:
            return found
    raise ValueError


Mapping = Annotated[dict[str, ImportField], Meta(max_length=200)]
