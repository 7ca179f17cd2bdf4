"""Where somebody marks patients for themselves; `GET /patients?favouritesOnly=true` lists them."""

from litestar import Router

from commands.favourites import FavourPatient, UnfavourPatient
from gateway.kit import act

router = Router("/api/v1/protected/patients", tags=["Patients"], route_handlers=[
    act("/{patientId:uuid}/favourite", FavourPatient, "PUT"),
    act("/{patientId:uuid}/favourite", UnfavourPatient, "DELETE"),
])
