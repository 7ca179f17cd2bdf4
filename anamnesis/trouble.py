"""Trouble that the person at the terminal can mend; it is shown as one line, without a traceback."""


class Trouble(Exception):
    """Its message names what is wrong and what to do, in one line. The program ends with `EXIT_CODE`."""

    EXIT_CODE = 2
