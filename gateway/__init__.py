"""Where everything lives on the web."""

from projections.kit.tables import load

load()  # a command's answer is the row that its projection makes: the verbs must know them all
