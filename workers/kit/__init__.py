"""Running things later, and elsewhere."""
