"""Where permission templates live on the web."""

from litestar import Router

from commands.permission_templates import ResetPermissionTemplate, SetPermissionTemplate
from gateway.kit import act, browse
from schemas.permission_templates import PermissionTemplateRow

router = Router("/api/v1/protected/clinic/permission-templates", tags=["Permission Templates"], route_handlers=[
    browse("/", PermissionTemplateRow, sort="role"),
    act("/{role:str}", SetPermissionTemplate, method="PUT"),
    act("/{role:str}", ResetPermissionTemplate, method="DELETE"),
])
