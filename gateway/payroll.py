"""Where the payroll lives on the web."""

from litestar import Router

from commands.payroll import (
    AddPayrollEmployee,
    ApprovePayrollRun,
    ChangePayrollEmployee,
    ChangePayrollRun,
    DraftPayrollRun,
    OpenPayrollPeriod,
    PayPayrollRun,
    RemovePayrollPeriod,
    VoidPayrollRun,
)
from gateway.kit import act, browse, create, fetch
from schemas.payroll import PayrollEmployeeRow, PayrollPeriodRow, PayrollRunRow, PayslipEntry

router = Router("/api/v1/protected/payroll", tags=["Payroll"], route_handlers=[
    browse("/employees", PayrollEmployeeRow, by=["staff_id", "salary_kind", "starts_on..", "ends_on.."], sort="-created_at", sorts=["name", "starts_on"], csv=True),
    fetch("/employees/{id:uuid}", PayrollEmployeeRow),
    create("/employees", AddPayrollEmployee),
    act("/employees/{id:uuid}", ChangePayrollEmployee, "PUT"),
    browse("/periods", PayrollPeriodRow, by=["starts_on..", "ends_on.."], sort="-starts_on"),
    fetch("/periods/{id:uuid}", PayrollPeriodRow),
    create("/periods", OpenPayrollPeriod),
    act("/periods/{id:uuid}", RemovePayrollPeriod, "DELETE"),
    browse("/runs", PayrollRunRow, by=["period_id", "status", "number", "starts_on..", "ends_on.."], sort="-created_at", sorts=["starts_on", "net"], csv=True),
    browse("/slips", PayslipEntry, by=["run_id", "employee_id", "period_id", "status", "starts_on.."], sort="-starts_on", sorts=["name", "net"], csv=True),
    fetch("/runs/{id:uuid}", PayrollRunRow),
    create("/runs", DraftPayrollRun),
    act("/runs/{id:uuid}", ChangePayrollRun, "PUT"),
    act("/runs/{id:uuid}/approve", ApprovePayrollRun),
    act("/runs/{id:uuid}/pay", PayPayrollRun),
    act("/runs/{id:uuid}/void", VoidPayrollRun),
])
