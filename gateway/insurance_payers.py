"""Where payers live on the web."""

from litestar import Router

from commands.insurance_payers import AddPayer, ArchivePayer, ChangePayer, RestorePayer
from gateway.kit import act, browse, create, fetch
from schemas.insurance_payers import PayerRow

router = Router("/api/v1/protected/insurance-payers", tags=["Insurance"], route_handlers=[
    browse("/", PayerRow, by=["archived", "name", "payer_number"], sort="name", sorts=["created_at"], csv=True),
    fetch("/{id:uuid}", PayerRow),
    create("/", AddPayer),
    act("/{id:uuid}", ChangePayer, "PUT"),
    act("/{id:uuid}", ArchivePayer, "DELETE"),
    act("/{id:uuid}/restore", RestorePayer),
])
