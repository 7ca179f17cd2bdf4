"""What every benchmark leans on: honest conditions, a load generator, clinics to measure, checks afterwards, figures."""
