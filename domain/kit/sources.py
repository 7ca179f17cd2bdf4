"""How people come to a clinic: words of a list, so that they can name nobody; by them patients, referral sources and figures are told apart."""

from typing import Literal

Source = Literal[
    "recommendation", "practitioner", "search", "website", "social-media", "advertisement", "insurer", "passing-by", "event", "other",
]
"""How a patient heard of the clinic: from somebody they know, from another practice, ..."""
