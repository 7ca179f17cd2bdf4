"""Three clinics, and the people, prices and holidays of where they are."""

from datetime import date, timedelta
from typing import NamedTuple

from msgspec import Struct


class Procedure(NamedTuple):
    """A line of the price list: price in minor units, without tax."""

    code: str
    text: str
    price: int
    tax: int = 0


class Kind(NamedTuple):
    """A kind of visit: how long it takes, what is charged, and what often follows."""

    name: str
    minutes: tuple[int, ...]
    charged: tuple[str, ...]
    share: int
    then: tuple[str, ...] = ()


KINDS = (
    Kind("checkup", (15, 20), ("exam",), 34),
    Kind("cleaning", (20, 20, 30), ("clean",), 17),
    Kind("checkup and x-ray", (20, 30), ("exam", "xray"), 9),
    Kind("filling", (30, 30, 45), ("filling",), 14),
    Kind("root canal", (45, 60), ("root",), 4, ("root canal", "crown preparation")),
    Kind("crown preparation", (45, 60), ("crown", "xray"), 3, ("crown placement",)),
    Kind("crown placement", (30,), ("fit",), 0),
    Kind("extraction", (30,), ("pull",), 4, ("control",)),
    Kind("control", (10, 15), ("control",), 5),
    Kind("whitening", (45, 60), ("white", "paste"), 2),
    Kind("pain", (15, 20), ("pain", "xray"), 8, ("filling", "root canal")),
)


class Place(Struct, frozen=True):
    """A clinic and its town."""

    key: str
    name: str
    address: str
    phone: str
    zone: str
    currency: str
    share: float  # of all visits
    weekdays: frozenset[int]
    hours: tuple[int, int]
    country: str
    towns: tuple[str, ...]
    streets: tuple[str, ...]
    women: tuple[str, ...]
    men: tuple[str, ...]
    families: tuple[str, ...]
    dial: str
    prices: dict[str, Procedure]

    def holidays(self, year: int) -> dict[date, str]:
        """Return the days of a year on which nobody works."""
        return HOLIDAYS[self.country](year)


def easter(year: int) -> date:
    """Return Easter Sunday (the Gregorian computus of Meeus)."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    week = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    month, day = divmod(h + week - 7 * ((a + 11 * h + 22 * week) // 451) + 114, 31)
    return date(year, month, day + 1)


def nth(year: int, month: int, weekday: int, count: int) -> date:
    """Return the first, second, ... or with -1 the last such weekday of a month."""
    if count > 0:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (count - 1))
    last = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - weekday) % 7)


def dutch(year: int) -> dict[date, str]:
    """Return the holidays of the Netherlands."""
    sunday = easter(year)
    return {
        date(year, 1, 1): "Nieuwjaarsdag", sunday + timedelta(days=1): "Tweede paasdag", date(year, 4, 27): "Koningsdag",
        sunday + timedelta(days=39): "Hemelvaartsdag", sunday + timedelta(days=50): "Tweede pinksterdag",
        date(year, 12, 25): "Eerste kerstdag", date(year, 12, 26): "Tweede kerstdag",
    }


def american(year: int) -> dict[date, str]:
    """Return the holidays of the United States."""
    thanks = nth(year, 11, 3, 4)
    return {
        date(year, 1, 1): "New Year's Day", nth(year, 1, 0, 3): "Martin Luther King Jr. Day", nth(year, 5, 0, -1): "Memorial Day",
        date(year, 6, 19): "Juneteenth", date(year, 7, 4): "Independence Day", nth(year, 9, 0, 1): "Labor Day", thanks: "Thanksgiving",
        thanks + timedelta(days=1): "Day after Thanksgiving", date(year, 12, 25): "Christmas Day",
    }


def australian(year: int) -> dict[date, str]:
    """Return the holidays of South Australia."""
    sunday = easter(year)
    return {
        date(year, 1, 1): "New Year's Day", date(year, 1, 26): "Australia Day", sunday - timedelta(days=2): "Good Friday",
        sunday + timedelta(days=1): "Easter Monday", date(year, 4, 25): "Anzac Day", nth(year, 6, 0, 2): "King's Birthday",
        nth(year, 10, 0, 1): "Labour Day", date(year, 12, 25): "Christmas Day", date(year, 12, 26): "Proclamation Day",
    }


HOLIDAYS = {"NL": dutch, "US": american, "AU": australian}

AMSTERDAM = Place(
    key="amsterdam", name="Tandartspraktijk De Gracht", address="Keizersgracht 214, 1016 DX Amsterdam", phone="+31 20 555 0142",
    zone="Europe/Amsterdam", currency="EUR", share=0.37, weekdays=frozenset(range(5)), hours=(8 * 60, 18 * 60), country="NL", dial="+31 6",
    towns=("Amsterdam", "Amstelveen", "Diemen", "Zaandam", "Haarlem"),
    streets=("Prinsengracht", "Linnaeusstraat", "Ceintuurbaan", "Jan van Galenstraat", "Overtoom", "Javastraat", "Zeeburgerdijk"),
    women=(
        "Noor", "Sanne", "Fleur", "Anouk", "Eva", "Lotte", "Zoë", "Renée", "Fatima", "Aïcha", "Julia", "Marijke", "Hanneke", "Chloé", "Yasmin",
        "Eline", "Tess", "Saskia", "Loïs", "Noëlle", "Şebnem", "Mei-Lin", "李娜",
    ),
    men=(
        "Daan", "Sem", "Bram", "Thijs", "Joost", "Willem", "Ruben", "André", "Mohammed", "Youssef", "Jeroen", "Pieter", "Koen", "Loïc", "Emre",
        "Sjoerd", "Jérôme", "Bas", "Hendrik", "Özgür", "Chérif", "Wei",
    ),
    families=(
        "de Vries", "van den Berg", "Jansen", "Bakker", "Visser", "Smit", "Meijer", "de Boer", "Mulder", "de Groot", "Bos", "Vos", "Peters",
        "Hendriks", "van Leeuwen", "Dekker", "Brouwer", "de Wit", "Dijkstra", "Smits", "El Amrani", "Yıldız", "Öztürk", "Brønsted", "Kovač",
        "van 't Hof", "Noordhof", "Çelik", "Nguyễn", "王",
    ),
    prices={
        "exam": Procedure("C002", "Periodic check-up", 2830), "clean": Procedure("M03", "Cleaning, 20 minutes", 6200),
        "xray": Procedure("X10", "Small x-ray", 2060), "filling": Procedure("V92", "Composite filling, two surfaces", 8790),
        "root": Procedure("E14", "Root canal, two canals", 26900), "crown": Procedure("R24", "Crown", 36600),
        "fit": Procedure("R31", "Fitting of a crown", 8900), "pull": Procedure("H11", "Extraction", 5560),
        "control": Procedure("C003", "Control", 2580), "white": Procedure("E97", "Bleaching, per jaw", 9900, 2100),
        "pain": Procedure("C003P", "Problem-oriented consultation", 2830), "paste": Procedure("P01", "Fluoride toothpaste", 795, 2100),
    },
)
NEW_YORK = Place(
    key="newyork", name="Hudson Street Dental", address="410 Hudson Street, New York, NY 10014", phone="+1 212 555 0177",
    zone="America/New_York", currency="USD", share=0.35, weekdays=frozenset(range(5)), hours=(8 * 60, 18 * 60), country="US", dial="+1 212 555",
    towns=("New York", "Brooklyn", "Hoboken", "Jersey City", "Queens"),
    streets=("Bleecker Street", "Bedford Avenue", "Washington Street", "Court Street", "Grand Street", "Myrtle Avenue", "Perry Street"),
    women=(
        "Olivia", "Emma", "Ava", "Sophia", "Isabella", "Mía", "Charlotte", "Amelia", "Harper", "Guadalupe", "Renée", "Siobhán", "Aaliyah",
        "Chloë", "Inés", "Grace", "Ruth", "Naomi", "Keiko", "지우", "Ольга",
    ),
    men=(
        "Liam", "Noah", "Elijah", "James", "José", "Lucas", "Mateo", "Ethan", "Michael", "Andrés", "Daniel", "Seán", "Jamal", "Ángel", "Walter",
        "Isaac", "Björn", "Raúl", "Hiroshi", "Дмитрий", "Владимир",
    ),
    families=(
        "Smith", "Johnson", "Williams", "Brown", "Jones", "García", "Miller", "Davis", "Rodríguez", "Martínez", "Hernández", "López", "Wilson",
        "Anderson", "Thomas", "Nguyen", "Lee", "O'Brien", "Muñoz", "Peña", "Müller", "Cohen", "Kowalski", "St. John", "Washington", "Okafor",
        "김", "Петров", "D’Angelo", "Vázquez-Reyes",
    ),
    prices={
        "exam": Procedure("D0120", "Periodic oral evaluation", 7200), "clean": Procedure("D1110", "Prophylaxis, adult", 13500),
        "xray": Procedure("D0274", "Bitewings, four images", 8400), "filling": Procedure("D2392", "Resin composite, two surfaces", 26800),
        "root": Procedure("D3320", "Endodontic therapy, premolar", 98500), "crown": Procedure("D2740", "Crown, ceramic", 142500),
        "fit": Procedure("D2920", "Seating of a crown", 14900), "pull": Procedure("D7140", "Extraction", 24500),
        "control": Procedure("D0140", "Limited evaluation", 8900), "white": Procedure("D9972", "External bleaching, per arch", 29500, 888),
        "pain": Procedure("D9110", "Palliative treatment", 15500), "paste": Procedure("D9630", "Fluoride toothpaste", 1295, 888),
    },
)
ADELAIDE = Place(
    key="adelaide", name="Parklands Dental Care", address="88 Hutt Street, Adelaide SA 5000", phone="+61 8 5550 0134",
    zone="Australia/Adelaide", currency="AUD", share=0.28, weekdays=frozenset(range(6)), hours=(8 * 60 + 30, 17 * 60 + 30), country="AU",
    dial="+61 4 9150", towns=("Adelaide", "Norwood", "Glenelg", "Unley", "Prospect"),
    streets=("Rundle Street", "The Parade", "Gouger Street", "Jetty Road", "King William Road", "Magill Road", "Carrington Street"),
    women=(
        "Matilda", "Isla", "Ruby", "Sienna", "Evie", "Zara", "Poppy", "Kirra", "Priya", "Anaïs", "Freya", "Hồng", "Eleni", "Maëlle", "Tahlia",
        "Bronwyn", "Ngaire", "Σοφία", "Ελένη",
    ),
    men=(
        "Jack", "William", "Oliver", "Lachlan", "Cooper", "Angus", "Hamish", "Arjun", "Nikos", "Jarrah", "Minh", "Callum", "Declan", "Zoltán",
        "Tadhg", "Kai", "Björn", "Γιώργος", "Rohan",
    ),
    families=(
        "Smith", "Jones", "Taylor", "Nguyen", "Wilson", "Martin", "White", "Kelly", "Papadopoulos", "Singh", "Rossi", "O’Connor", "Campbell",
        "Trần", "Hughes", "Ryan", "Schäfer", "Lévêque", "Walsh", "Patel", "Murray", "Đặng", "Bianchi", "Παπαδόπουλος", "Tennant", "McKinley",
    ),
    prices={
        "exam": Procedure("012", "Periodic oral examination", 6800), "clean": Procedure("114", "Removal of calculus", 13800),
        "xray": Procedure("022", "Intraoral radiograph", 4900), "filling": Procedure("532", "Adhesive restoration, two surfaces", 22900),
        "root": Procedure("415", "Root canal preparation", 54500), "crown": Procedure("615", "Full crown, veneered", 168000),
        "fit": Procedure("651", "Recementing of a crown", 16800), "pull": Procedure("311", "Removal of a tooth", 23500),
        "control": Procedure("013", "Limited oral examination", 5600), "white": Procedure("118", "Bleaching, external", 24900, 1000),
        "pain": Procedure("911", "Palliative care", 12500), "paste": Procedure("P90", "Fluoride toothpaste", 1190, 1000),
    },
)
PLACES = (AMSTERDAM, NEW_YORK, ADELAIDE)
