"""The embedded stack: Postgres and NATS from Python wheels, as child processes with data in one directory."""

from anamnesis.stack.home import Home
from anamnesis.stack.nats import EmbeddedNats
from anamnesis.stack.postgres import EmbeddedPostgres

__all__ = ["EmbeddedNats", "EmbeddedPostgres", "Home"]
