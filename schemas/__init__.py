"""What may be seen."""
