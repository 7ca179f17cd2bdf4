"""`python -m anamnesis` is `anamnesis`."""

from anamnesis.cli import main

main()
