"""How it is run: settings, the embedded stack, the supervisor and the command line."""

__version__ = "0.1.0"
