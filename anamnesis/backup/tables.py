"""Which table goes where when an installation is backed up. A law sees to it that every table has its place here."""

HISTORY = ("stored_events", "signed_heads", "store_settings")
"""What never changes."""

KEPT = {
    "person_keys": "true",
    "vault": "true",
    "vault_codes": "true",
    "origins": "true",
    "chart_reads": "true",
    "denials": "true",
    "api_key_uses": "true",
    "counters": "true",
    "command_log": "request_hash is not null",  # the others follow from the events
    "policies": "true",
    "letters": "true",
    "webhook_targets": "true",
    "webhook_deliveries": "true",
    "webhook_attempts": "true",
    "parked_events": "state = 'discarded'",  # somebody's decision; what is only parked is tried again
    "head_keys": "true",
    "import_lines": "true",
    "restorations": "number > 0",
}
"""What the key store keeps, and which lines of it; one that refers to another comes after it."""

MADE = {
    "store_head": "the last position",
    "chain_heads": "each clinic's last event",
    "unique_claims": "what the streams' states claim",
    "time_claims": "what the streams' states claim",
    "snapshots": "taken again as streams grow",
    "policy_cursor": "the last position: nothing is written because of a restore",
    "webhook_cursor": "the last position: nothing is sent because of a restore",
    "projector_tracking": "moved by the rebuild",
    "read_models": "by migration and rebuild",
    "read_model_state": "by migration and rebuild",
    "read_model_shares": "by migration and rebuild",
    "migrations": "by migration",
    "proof_findings": "the notary looks again",
}
"""What follows from the rest, and from what."""

LEFT = {
    "stays": "sessions: one that was ended since would be open again, so everybody signs in anew",
    "stay_tickets": "good for half a minute",
    "link_codes": "links that were used or withdrawn since would be good again",
    "digit_codes": "good for minutes",
    "door_attempts": "counts of an hour",
    "door_homes": "whoever signs in is known again",
    "rate_debts": "debts of a minute",
    "head_wishes": "wished again",
    "import_leases": "good for half a minute",
    "projector_members": "processes that ran then",
    "rebuilds": "of tables that are not in a backup",
    "replays": "schemas of their own, made again when wanted",
}
"""What is not backed up, and why."""
