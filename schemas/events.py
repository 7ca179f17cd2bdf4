"""Who may hear of events of kinds that have no row of their own: the key of what shows them."""

VIEWED = {
    "clinics": "appointments.view",
    "schedules": "appointments.view",
    "blocks": "appointments.view",
    "series": "audit.logs.view",
}
