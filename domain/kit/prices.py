"""What software costs: a currency, and how often it is paid."""

from typing import Annotated, Literal

from msgspec import Meta

CurrencyCode = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.", examples=["EUR"])]
Interval = Literal["month", "year"]
