"""One name, one meaning; whatever can be asked or seen has an address, a permission and a word about itself; nothing happens unheard."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, get_args, get_origin
from uuid import UUID

import pytest
from msgspec import Meta

from commands.kit import Command
from domain.kit import Event, Forbidden, Frozen, Invalid, PatientId, Personal, Refused, State
from domain.kit.codec import hints, metas
from domain.kit.grants import TABLE, Grant, granted, table
from gateway.app import openapi
from gateway.kit.errors import code
from projections.kit import PROJECTIONS, Projection
from schemas.kit import Row
from tests.laws.project import COMMANDS, EVENTS, REFUSALS, ROWS, SPEC, STATES, said
from tests.laws.some import events_of

Json = dict[str, Any]

PSEUDO = {"superadmin", "admin", "self", "public", "house"}  # what follows from who one is, not keys

INTERNAL = {  # rows without an address of their own -> where what they say is seen
    "CalendarRow": "CalendarEntry adds the names",
    **dict.fromkeys(["QueueRow", "TurnRow", "QueueEntry"], "QueuePlace has them all, and what is to be expected"),
    "EarningRow": "CommissionLine says what it comes to", "EarningDay": "what a payroll run takes",
    "CampaignCallRow": "CampaignCallEntry says what became of it",
    "LifetimeRow": "Lifetime counts the records of one patient together",
    "AuditRow": "AuditLine adds what changed and from where",
    "SeriesRow": "the next number",
    "PatientPreferencesRow": "PreferencesOfPatient says it for all records of a patient",
    "FavouriteRow": "GET /patients?favouritesOnly=true",
    "PublicDocumentRow": "sharing answers with the link, and whoever has it sees the document",
    "TillDayRow": "what the end of a day says",
    "TallyRow": "GetWhy shows the lines behind a figure",
    "ProcedureDayRow": "revenue by procedure, and what procedures earn",
    "TrailRow": "lists as they were, for which it is an index",
    "PaymentAccountRow": "PaymentAccountShown says where webhooks go as well",
    "VisitEndingRow": "the fees that follow from it",
    "SeatsRow": "how many of the licence's seats are taken",
}
UNHEARD: dict[str, str] = {  # events that no read model but the audit log wants -> why
    "SessionStarted": "who is in is a secret table's to say; that they came in is the audit log's",
    "SessionClosed": "likewise",
    "LetterResendAsked": "the outbox itself shows what becomes of the letter",
    "InvoiceClaimed": "what all claims on an invoice ask together is there to be decided on; each claim's row says its own",
}

INDOORS = {  # commands without an address of their own -> by what they are given
    "KeepSyncConflict": "PushChanges", "NoteSyncConflictApplied": "ApplySyncConflict",
    "OpenAccount": "inviting, registering and onboarding", "GivePlace": "accepting an invitation",
    "SetPassword": "changing and resetting a password", "AskPasswordReset": "ForgotPassword", "AskClinics": "DiscoverClinics",
    "SetPin": "ChoosePin and DropPin", "ShowOneself": "SetProfileImage and RemoveProfileImage", "LockOut": "guessing too often", "StartSession": "every way of coming in", "EndSession": "every way of leaving",
    "InviteAccount": "CreateSuperadmin, ResendAccountInvite and RefreshPatientAccess",
    "JoinPortal": "AcceptPortalInvitation", "CheckInAppointment": "CheckIn", "ArriveByCode": "Arrive",
    "MoveQueuedAppointment": "MoveQueueEntry, of somebody with an appointment", "RankQueuedAppointment": "RankQueueEntry, likewise", "ViewDocument": "GetPublicDocument and PrintPublicDocument",
    "ChargeVisitFee": "time", "WithdrawVisitFee": "a visit that is struck out", "OpenCheckout": "PayPublicDocument and GoToCheckout", "ReceiveCardPayment": "HearCardPayment, and time", "LapseCheckout": "likewise", "NoteCardReturn": "ReturnCardPayment",
    "AnswerQuotation": "AcceptPublicDocument and DeclinePublicDocument",
    "WithdrawPassword": "ForcePasswordReset", "NotePatientAccess": "RefreshPatientAccess",
    "OfferTotp": "BeginSecondFactorSetup", "EnableSecondFactor": "ConfirmSecondFactorSetup", "DisableSecondFactor": "SwitchSecondFactorOff",
    "AskSecondFactorCode": "SendSecondFactorCode", "UseRecoveryCode": "RecoverSignIn", "MakeRecoveryCodes": "RegenerateRecoveryCodes",
    "RegisterPasskey": "AddPasskey", "AskRecoveryCodes": "MailRecoveryCodes", "AskSecondFactorReset": "RequestSecondFactorReset",
    "UseInviteCode": "SubmitSignup, with a code", "FoundClinic": "SubmitSignup and CompleteOnboarding", "AdmitFounder": "CompleteOnboarding", "CompleteSignup": "CompleteOnboarding",
    "ErasePatient": "AskErasure", "ErasePerson": "AskErasure",
    "GenerateRecall": "GenerateRecalls", "AnswerRecall": "a visit that is booked", "LoseRecallVisit": "a visit that is cancelled or missed",
    "BillDueTerm": "time, and GenerateDueInvoices", **dict.fromkeys(["RetimeAppointment", "RetimeBlock", "RetimeGroupSession", "RetimeHold", "NoteClocksSet"], "ChangeClinicZone, and a time-zone database with other rules"),
    "StartImport": "BeginPatientImport and RunPatientImport", "TakeImported": "a row of a list", "FinishImport": "the end of a list", "ArchiveImported": "UndoImport", "SetImportedBack": "likewise", "FinishImportUndo": "likewise",
    "CallForCampaign": "time", "FinishRecallCampaign": "time",
    "OfferFreeSlot": "a time that is free", "SettleSlotOffer": "time", "EndWaitingEntry": "time, or a visit that is gone",
    "Remind": "time", "RemindClosing": "time", "FinishClosing": "time", "GiveWebhookUp": "a receiver that is gone, or takes nothing for days",
    "JoinStaff": "AcceptStaffInvitation", "GiveStaffAccount": "HireStaff",
    "SuspendAccount": "ChangeAccountStatus", "ReinstateAccount": "likewise", "WithdrawPlace": "RemoveFromClinic",
}

BARE = {  # ids that point at no stream -> why
    **{f"{name}.{field}": why for name in ("SyncConflictKept", "KeepSyncConflict") for field, why in (
        ("device_id", "a device's own id; it is no stream"), ("entity_id", "what was to change; the action says of which kind"),
        ("alike", "patients who may be the same; whoever looks is told which still are there"))},
    **dict.fromkeys([f"{name}.attachment_id" for name in (
        "InsuranceClaimAttached", "InsuranceClaimDetached", "AttachToInsuranceClaim", "DetachFromInsuranceClaim")], "an attachment is a part of its claim's stream"),
    **dict.fromkeys([f"{name}.payment_id" for name in (
        "InsuranceClaimPaid", "InsuranceClaimPaymentReversed", "ReverseInsurancePayment")], "a payment is a part of its invoice's stream, which the claim names"),
    "InsuranceClaimWrittenOff.credit_note_id": "a write-off is a part of its invoice's stream, which the claim names",
    "PlaceGiven.subject_id": "a member of staff or a patient of the clinic beside it; the role says which",
    "GivePlace.subject_id": "likewise", "SessionStarted.subject_id": "likewise", "StartSession.subject_id": "likewise",
    "PasswordChanged.secret_id": "the vault's, which is no stream", "SetPassword.secret_id": "likewise", "PinChanged.secret_id": "likewise",
    "SetPin.secret_id": "likewise", "ProfilePictureChanged.secret_id": "likewise", "ShowOneself.secret_id": "likewise", "TotpOffered.secret_id": "likewise", "OfferTotp.secret_id": "likewise", "SecondFactorEnabled.secret_id": "likewise",
    "PasskeyRegistered.secret_id": "likewise", "RegisterPasskey.secret_id": "likewise",
    **dict.fromkeys([f"{name}.passkey_id" for name in ("PasskeyRegistered", "PasskeyRenamed", "PasskeyRemoved", "RegisterPasskey", "RenamePasskey", "RemovePasskey")],
                    "a passkey is a part of its account's stream"),
    "EnableSecondFactor.recovery_id": "the vault's", "RecoveryCodesMade.secret_id": "likewise", "MakeRecoveryCodes.recovery_id": "likewise",
    "ApiKeyIssued.secret_id": "likewise", "IssueApiKey.secret_id": "likewise",
    **dict.fromkeys([f"{name}.secret_id" for name in ("WebhookAdded", "AddWebhook", "WebhookSecretRotated", "RotateWebhookSecret")], "the vault's, which is no stream"),
    **dict.fromkeys(["WebhookResendAsked.delivery", "ResendDelivery.delivery"], "a delivery is of a table, which is no stream, and looked for there"),
    **dict.fromkeys([f"{name}.person_id" for name in ("PersonErased", "ErasureRefused", "ErasePerson")], "of one of several kinds, which the kind beside it says"),
    "PersonErased.persons": "likewise",
    "LegalHoldPlaced.hold_id": "a hold is a part of its clinic's retention", "LegalHoldLifted.hold_id": "likewise", "LiftLegalHold.hold_id": "likewise",
    **dict.fromkeys(["RecallScheduled.batch_id", "GenerateRecall.batch_id"], "a batch is no stream: it only names those that were generated together"),
    "ImportedPatient.patient_id": "whoever is to be registered is not there yet",
    "Belonging.id": "of one of several kinds, which the kind beside it says",
    "AnswerAppointment.link": "a link is a part of its appointment's stream", "JoinPortal.link": "a link is a part of its invitation's stream",
    "LetterResendAsked.letter": "a letter is the outbox's, which is no stream",
    "ResendLetter.letter": "a letter is the outbox's, and looked for there",
    **dict.fromkeys([f"{name}.treatment_plan_id" for name in ("InstallmentPlanMade", "CreateInstallmentPlan")], "treatment plans are others' to keep"),
    "GenerateInstallmentInvoice.term_id": "a term is a part of its plan's stream, which its id tells",
    "InvoiceReassigned.payments": "payments are parts of their invoice's stream",
    "PaymentRecorded.payment_id": "a payment is a part of its invoice's stream",
    **dict.fromkeys([f"{name}.payment_id" for name in (
        "CreditApplied", "PaymentReallocated", "PaymentReversed", "CreditGained", "CreditUsed", "ReallocatePayment", "ReversePayment")], "a payment is a part of its invoice's stream"),
    **dict.fromkeys(["InvoiceCredited.credit_note_id", "InvoiceReassigned.credit_notes"], "a credit note is a part of its invoice's stream"),
    **dict.fromkeys(["CreditReceived.deposit_id", "CreditReversed.deposit_id", "CreditReassigned.deposits", "ReverseDeposit.deposit_id"], "a deposit is a part of its patient's credit"),
    "CreditReturned.return_id": "likewise",
    "PaymentRefunded.payment_id": "a payment is a part of its invoice's stream",
    "PaymentRefunded.refund_id": "a refund is a part of its invoice's stream",
    **dict.fromkeys([f"{name}.entry_id" for name in (
        "MedicalEntryAdded", "MedicalEntryAmended", "MedicalEntryEnded", "MedicalEntryRefuted", "MedicalEntryReopened", "AmendMedicalEntry", "EndMedicalEntry", "RefuteMedicalEntry",
        "ReopenMedicalEntry")], "an entry is a part of its patient's stream"),
    **dict.fromkeys([f"{name}.document_id" for name in ("DocumentShared", "DocumentLinkRevoked", "DocumentViewed")], "of one of several kinds, which the document beside it says"),
    **dict.fromkeys([f"{name}.{field}" for name in ("PaymentAccountConnected", "ConnectPaymentAccount") for field in ("secret_id", "webhook_id")], "the vault's, which is no stream"),
    "CardPaymentReceived.payment_id": "a payment is a part of its invoice's stream",
    "CardPaymentReturned.payment_refund_id": "a refund is a part of its invoice's stream",
    "ReceiptIssued.payment_id": "a payment is a part of its invoice's stream", "IssueReceipt.payment_id": "the invoice itself says whether it has such a payment",
    "RefundPayment.payment_id": "the invoice itself says whether it has such a payment",
}

OPEN = {  # free text that lies open in the store -> whose it is
    **dict.fromkeys(["PatientRegistered.external_key", "PatientChanged.external_key"], "a keyed hash"),
    "ConsentFormRetired.reason": "the clinic's",
    **dict.fromkeys([f"{name}.{field}" for name in ("RecallCampaignDrafted", "RecallCampaignChanged") for field in ("name", "groups")], "the clinic's, to many"),
    "SyncConflictKept.code": "the name of a refusal", "SyncConflictKept.fields": "names of fields",
    "ChargedItem.description": "the platform's books: what was sold", "SubscriptionInvoiceDrafted.notes": "the platform's books, to a clinic",
    "SubscriptionInvoiceIssued.number": "the platform's books", "SubscriptionInvoicePaid.reference": "the platform's books: a bank's line",
    "SubscriptionInvoiceSent.number": "the platform's books",
    "SubscriptionInvoiceVoided.reason": "the platform's books", "CustomSubscriptionAgreed.reason": "the platform's, about a clinic",
    "UpgradeOffered.message": "the platform's, to a clinic", "UpgradeRequestApproved.reason": "the platform's, to a clinic",
    "UpgradeRequestRejected.reason": "the platform's, to a clinic", "ReferralPayoutApproved.reason": "the platform's, to a clinic",
    "ReferralPayoutRejected.reason": "the platform's, to a clinic", "ClinicReferred.clinic_name": "a business's",
    **dict.fromkeys(["PersonErased.reason", "ErasureRefused.reason"], "the clinic's or the platform's: why, which must outlast the person's key"),
    "ErasureRefused.because": "ours",
    "ClinicClosing.reason": "the clinic's, about itself", "LegalHoldPlaced.reason": "the clinic's or the platform's: which dispute", "LegalHoldLifted.reason": "likewise",
    "ApiKeyIssued.name": "the clinic's: which program it is for",
    **dict.fromkeys(["WebhookAdded.description", "WebhookChanged.description"], "likewise"),
    "SignupSubmitted.zone": "ours", "SignupRejected.reason": "the platform's, to whoever asked",
    "InviteCodeMinted.label": "the platform's: whom a code is for", "InviteCodeRevoked.reason": "the platform's", "DemoRequested.clinic_name": "a business's",
    "StaffInvited.speciality": "the clinic's: what is offered",
    "SessionStarted.reason": "the platform's: why somebody acted in another's name, to be read by whoever audits it",
    "Allocation.procedure_code": "the price list's", "BilledLine.procedure_code": "the price list's", "DoctorShare.procedure_code": "the price list's",
    **dict.fromkeys(["ProcedureCostSet.procedure_code", "ProcedureCostDropped.procedure_code"], "the price list's"),
    "BilledLine.description": "the price list's: what was sold, and stays in the books",
    **dict.fromkeys(["ClaimedLine.description", "ClaimedLine.procedure_code", "Fee.description", "Fee.procedure_code", "FeeKey.procedure_code"], "the price list's"),
    **dict.fromkeys(["InsuranceClaimDrafted.currency", "InsuranceClaimAttached.digest"], "ours"),
    **dict.fromkeys(["InsuranceClaimDrafted.invoice_number", "InsuranceClaimSubmitted.number"], "the books'"),
    **dict.fromkeys(["InsuranceClaimAnswered.payer_reference", "InsuranceClaimPaid.payer_reference"], "the payer's: what its letter or transfer calls itself"),
    **dict.fromkeys(["InsuranceClaimPaymentReversed.reason", "InsuranceClaimVoided.reason"], "the books': why money went back, or a number was cancelled"),
    **{f"Payer{event}.{field}": "a company's" for event in ("Added", "Changed") for field in ("name", "payer_number", "address", "notes")},
    "PaymentRefunded.reason": "the books': why money left, to be read as long as they are kept",
    "InvoiceVoided.reason": "the books': why a number was cancelled",
    **dict.fromkeys(["InvoiceCredited.reason", "PaymentReversed.reason", "CreditReversed.reason", "CreditReturned.reason"], "the books': why less is owed, or money is not there"),
    "CreditReceived.purpose": "the books': what the money is for",
    **dict.fromkeys(["InvoiceCredited.number", "InvoiceCredited.invoice_number"], "the books'"), **dict.fromkeys([f"Credit{event}.currency" for event in ("Received", "Gained")], "ours"), "InvoiceCredited.currency": "ours",
    "InvoiceIssued.number": "the books'", "QuotationIssued.number": "the books'", "ReceiptIssued.number": "the books'", "ReceiptIssued.invoice_number": "the books'", "ReceiptIssued.currency": "ours", "QuotationWithdrawn.reason": "the books': why a number was taken back",
    **dict.fromkeys([f"Quotation{event}.currency" for event in ("Drafted", "Edited", "Issued")], "ours"),
    **dict.fromkeys([f"CommissionRule{event}.procedure_code" for event in ("Made", "Changed")], "the price list's"), "CommissionRuleRemoved.reason": "the books': why something does not count",
    "PayrollPeriodOpened.name": "the clinic's", "PayrollRunDrafted.currency": "ours", "PayrollRunApproved.number": "the books'", "PayrollRunVoided.reason": "the books': why a number was taken back",
    "PayLine.description": "the books': for what money left",
    "InstallmentPlanMade.currency": "ours",
    **dict.fromkeys(["InstallmentLine.description", "InstallmentLine.procedure_code"], "the price list's: what is paid in parts, and stays in the books"),
    "PaymentAccountConnected.hint": "the clinic's: the last signs of a key",
    "CardPaymentReturned.reason": "the books': why money left",
    **dict.fromkeys(["FeeSettingsChanged.no_show_text", "FeeSettingsChanged.late_text"], "the clinic's: what stands on the bill"), "VisitFeeCharged.currency": "ours",
    "VisitFeeWaived.reason": "the books': why nothing is owed",
    **dict.fromkeys(["TillOpened.currency"], "ours"), "TillClosed.reason": "the books': why cash is missing, or too much", "TillReopened.reason": "the books'",
    "NumberAllotted.series": "ours", "InvoiceDrafted.currency": "ours", "InvoiceEdited.currency": "ours",
    **dict.fromkeys([f"{name}.{field}" for name in ("ExpenseRecorded", "ExpenseCorrected", "Spent") for field in ("description", "vendor", "reference")], "the clinic's own books: what it bought of whom"),
    "ExpenseRecorded.currency": "ours", "ExpenseStruckOut.reason": "the books': why something does not count",
    "ClinicOpened.name": "the clinic's", "ClinicOpened.address": "the clinic's", "ClinicOpened.phone": "the clinic's", "ClinicOpened.email": "the clinic's",
    "ClinicChanged.name": "the clinic's", "ClinicChanged.address": "the clinic's", "ClinicChanged.phone": "the clinic's",
    "ClinicChanged.email": "the clinic's", "ClinicOpened.zone": "ours",
    "ClinicLicensed.reason": "the platform's: why a licence was given", "ClinicDeactivated.reason": "the platform's: why, for the clinic to read",
    "ClinicDeleted.reason": "the platform's: why a clinic is no more", "ClinicDeleted.name": "the clinic's",
    **dict.fromkeys([f"{event}.{field}" for event in ("PlanDefined", "PlanChanged") for field in ("title", "about", "features")], "the platform's: a price list"),
    **dict.fromkeys(["LeadFormCreated.label", "LeadFormChanged.label"], "the clinic's: which form of its website it is"),
     "RoomAdded.name": "the clinic's", "RoomChanged.name": "the clinic's",
    **dict.fromkeys([f"{event}.{field}" for event in ("PlaceOpened", "PlaceChanged") for field in ("name", "address")], "the clinic's"),
    **dict.fromkeys(["AppointmentTypeAdded.name", "AppointmentTypeChanged.name", "ClosedDay.name"], "the clinic's: what is offered, and when it is not"),
    "StaffHired.speciality": "the clinic's: what is offered", "StaffChanged.speciality": "the clinic's: what is offered",
    **dict.fromkeys([f"{name}.type" for name in ("WaitingEntryAdded", "WaitingEntryChanged", "SlotOffered", "GroupSessionPlanned", "GroupSessionMoved")], "the clinic's: what is offered"),
    **dict.fromkeys([*(f"{name}.zone" for name in ("SlotOffered", "GroupSessionPlanned", "GroupSessionMoved")), "SlotOffered.start_local"], "ours"),
    **dict.fromkeys(["GroupSessionPlanned.notes", "GroupSessionChanged.notes", "GroupSessionCancelled.reason"], "the clinic's: about a session, not about anybody in it"),
    "AppointmentBooked.type": "the clinic's: what is offered", "AppointmentRescheduled.type": "the clinic's: what is offered",
    "AppointmentDetailsChanged.type": "the clinic's: what is offered", "AppointmentBooked.zone": "ours", "AppointmentRescheduled.zone": "ours",
    **dict.fromkeys(["AppointmentSeriesBooked.type", "AppointmentSeriesChanged.type"], "the clinic's: what is offered"),
    "EmailTemplateCreated.about": "the platform's",
    "TimeBlocked.zone": "ours", "TimeBlocked.start_local": "a time", "TimeBlocked.end_local": "a time",
    "TimeHeld.zone": "ours", "TimeHeld.start_local": "a time",
    **dict.fromkeys([f"{event}.{field}" for event in ("AppointmentRetimed", "BlockRetimed", "GroupSessionRetimed", "HoldRetimed") for field in ("zone", "was_zone")], "a time, and where"),
    "BlockRetimed.end_local": "a time", "ClinicZoneChanged.zone": "ours", "ClinicZoneChanged.was_zone": "ours", "ClinicZoneChanged.reason": "the clinic's, about itself",
}


@pytest.fixture(scope="module")
def served() -> Json:
    return openapi()


def twice(names: Iterable[str]) -> list[str]:
    """Return the names that more than one thing has."""
    return [name for name, count in Counter(names).items() if count > 1]


def command_faults(command: type[Command], operations: Mapping[str, int], keys: Iterable[str]) -> Iterator[str]:
    """Yield what a command lacks: `operations` are the addresses by operation id."""
    if not said(command):
        yield f"{command.__name__} says nothing about itself"
    if operations.get(command.__name__, 0) != (0 if command.__name__ in INDOORS else 1):
        yield f"{command.__name__} has {operations.get(command.__name__, 0)} addresses"
    if command.permission not in {*keys, *PSEUDO}:
        yield f"{command.__name__} takes the key {command.permission}, which nobody can have"
    if "state" not in command.__dict__ or "decide" not in command.__dict__:
        yield f"{command.__name__} does not say what it is about, or what follows"


def row_faults(row: type[Row], seen: Iterable[str], keys: Iterable[str]) -> Iterator[str]:
    """Yield what a row lacks: `seen` are the names of what answers contain."""
    if not said(row):
        yield f"{row.__name__} says nothing about itself"
    if row.__name__ not in {*seen, *INTERNAL}:
        yield f"{row.__name__} can be seen nowhere"
    for key in (row.permission, row.detail or row.permission):
        if key not in {*keys, *PSEUDO}:
            yield f"{row.__name__} takes the key {key}, which nobody can have"
    columns = {*row.own.values(), *row.key}
    yield from (f"{row.__name__} has no column {column}" for column in sorted(columns - set(row.__struct_fields__)))
    yield from (f"{row.__name__} widens what {role} sees with an unknown key" for role, key in row.widened.items() if key not in keys)


def unheard(events: Iterable[type[Event]], projections: Iterable[Projection]) -> list[str]:
    """Return the events that no read model wants, but such as want all."""
    wanted = {topic for projection in projections if projection.of is not Event for topic in projection.topics}
    return [event.__name__ for event in events if event.__name__ not in wanted]


def homeless(events: Iterable[type[Event]], states: Iterable[type[State]]) -> list[str]:
    """Return the events that not exactly one state evolves by."""
    homes = Counter(event.__name__ for state in states for event in events_of(state))
    return [event.__name__ for event in events if homes[event.__name__] != 1]


def bare_ids(struct: type[Any]) -> Iterator[str]:
    """Yield the fields of a struct, and of those within it, that hold ids and do not say of what."""
    for name, hint in hints(struct).items():
        if untyped(hint):
            yield f"{struct.__name__}.{name}"
        for inner in nested(hint):
            yield from bare_ids(inner)


def untyped(hint: Any) -> bool:
    if get_origin(hint) is Annotated and any("ref" in extra for extra in metas(hint)):
        return False
    return hint is UUID or any(untyped(argument) for argument in get_args(hint))


def nested(hint: Any) -> Iterator[type[Frozen]]:
    """Yield the structs in an annotation."""
    if isinstance(hint, type) and issubclass(hint, Frozen):
        yield hint
    for argument in get_args(hint):
        yield from nested(argument)


def personal_faults(event: type[Event]) -> Iterator[str]:
    """Yield what would keep a person's data from being sealed, or read once its key is gone."""
    for name, hint in hints(event).items():
        about = [extra["personal"] for extra in metas(hint) if "personal" in extra]
        if about and type(None) not in everything(hint):
            yield f"{event.__name__}.{name} is personal and cannot be None"
        if about and about[0] and about[0] not in event.__struct_fields__:
            yield f"{event.__name__}.{name} is about nobody: there is no field {about[0]}"
        inner = [extra for struct in nested(hint) for field in hints(struct).values() for extra in metas(field)]
        if any("personal" in extra for extra in inner):
            yield f"{event.__name__}.{name} hides personal data where it is not sealed"


def legible(struct: type[Any]) -> Iterator[str]:
    """Yield the fields of an event, and of what it holds, in which somebody may have written something and which are not sealed."""
    for name, hint in hints(struct).items():
        if any("personal" in extra for extra in metas(hint)):
            continue
        if free_text(hint):
            yield f"{struct.__name__}.{name}"
        for inner in nested(hint):
            yield from legible(inner)


def free_text(hint: Any) -> bool:
    """Say whether an annotation lets any text in; a pattern makes it a code."""
    if get_origin(hint) is Annotated and any(isinstance(meta, Meta) and meta.pattern for meta in hint.__metadata__):
        return False
    return hint is str or any(free_text(argument) for argument in get_args(hint))


def everything(hint: Any) -> set[Any]:
    return {hint, *(part for argument in get_args(hint) for part in everything(argument))} if get_args(hint) else {hint}


def reference_faults(grants: Mapping[str, Grant], reference: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yield where the grants differ from the reference table."""
    letters = {"yes": {True: "D", False: "R"}, "no": {True: "", False: ""}}
    for line in reference:
        patient = {"yes": "P", "own": "o", "no": ""}[line["patient"]]
        floor = "".join({"doctor": "D", "receptionist": "R"}[role] for role in line["floor_roles"].split("|") if role)
        told = [letters[line[f"doctor_{plan}"]][True] + letters[line[f"receptionist_{plan}"]][False] + patient or "-" for plan in ("pro", "proplus")]
        wanted = (line["key"], line["min_plan"], *told, floor or "-")
        if (ours := grants.get(line["key"])) is None or tuple(ours) != wanted:
            yield f"{line['key']}: the reference says {wanted}, we say {ours}"


def operations_of(document: Json) -> list[str]:
    return [operation["operationId"] for path in document["paths"].values() for operation in path.values()]


def test_names_are_unique() -> None:
    assert twice(cls.__name__ for cls in [*EVENTS, *COMMANDS, *ROWS, *REFUSALS]) == []
    assert twice(["PaymentRecorded", "RecordPayment", "PaymentRecorded"]) == ["PaymentRecorded"]


def test_states_and_tables_have_one_word_each() -> None:
    assert twice(state.kind for state in STATES) == []
    assert twice(row.table for row in ROWS if row.table in PROJECTIONS) == []
    assert {PROJECTIONS[name].row.table for name in PROJECTIONS} == set(PROJECTIONS)


def test_refusals_have_a_code_each_and_a_sentence() -> None:
    assert twice(code(refusal) for refusal in REFUSALS) == []
    assert [refusal.__name__ for refusal in REFUSALS if speechless(refusal)] == []


def test_a_refusal_without_a_sentence_is_caught() -> None:
    class TeethTooWhite(Refused): ...

    class TeethTooFew(Invalid):
        """teeth are few"""

    assert speechless(TeethTooWhite)
    assert speechless(TeethTooFew)
    assert not speechless(Forbidden)


def speechless(refusal: type[Refused]) -> bool:
    """Say whether a refusal's docstring could not stand as the error's message."""
    return not said(refusal).endswith(".") or not said(refusal)[0].isupper() or not 400 <= refusal.status < 600


def test_every_command_has_an_address_a_permission_and_a_word(served: Json) -> None:
    operations = Counter(operations_of(served))
    assert [fault for command in COMMANDS for fault in command_faults(command, operations, table())] == []
    assert twice(operations_of(served)) == []


def test_a_command_that_lacks_something_is_caught() -> None:
    class WhitenTeeth(Command):
        permission = "teeth.whiten"

    found = list(command_faults(WhitenTeeth, {"WhitenTeeth": 2}, table()))
    assert len(found) == 4


def test_every_row_can_be_seen_or_is_internal(served: Json) -> None:
    seen = set(served["components"]["schemas"])
    assert [fault for row in ROWS for fault in row_faults(row, seen, table())] == []
    assert set(INTERNAL) <= {row.__name__ for row in ROWS} - seen


def test_a_row_that_lacks_something_is_caught() -> None:
    class ToothRow(Row):
        table: ClassVar[str] = "teeth"
        permission: ClassVar[str] = "teeth.view"
        own: ClassVar[dict[str, str]] = {"patient": "mouth_id"}
        widened: ClassVar[dict[str, str]] = {"doctor": "teeth.view_all"}
        id: UUID

    assert len(list(row_faults(ToothRow, ["Tooth"], table()))) == 6


def test_every_event_is_heard_and_has_one_home() -> None:
    assert set(unheard(EVENTS, PROJECTIONS.values())) == set(UNHEARD)
    assert homeless(EVENTS, STATES) == []


def test_an_event_unheard_is_caught() -> None:
    class ToothWhitened(Event): ...

    assert set(unheard([*EVENTS, ToothWhitened], PROJECTIONS.values())) - set(UNHEARD) == {"ToothWhitened"}
    assert homeless([*EVENTS, ToothWhitened], STATES) == ["ToothWhitened"]


def test_every_id_says_what_it_points_at() -> None:
    assert sorted({field for struct in [*EVENTS, *COMMANDS] for field in bare_ids(struct)} - set(BARE)) == []
    assert set(BARE) <= {field for struct in [*EVENTS, *COMMANDS] for field in bare_ids(struct)}


def test_a_bare_id_is_caught() -> None:
    class Tooth(Frozen):
        crown_id: UUID | None = None

    class PullTooth(Frozen):
        patient_id: PatientId | None = None
        tooth: list[Tooth]
        others: list[UUID]

    assert list(bare_ids(PullTooth)) == ["Tooth.crown_id", "PullTooth.others"]


def test_what_is_personal_can_be_sealed_and_lost() -> None:
    assert [fault for event in EVENTS for fault in personal_faults(event)] == []


def test_personal_data_that_would_stay_open_is_caught() -> None:
    class Mouth(Frozen):
        smell: Annotated[str | None, Personal()] = None

    class ToothPulled(Event):
        name: Annotated[str, Personal()]
        note: Annotated[str | None, Personal("patient_id")] = None
        mouth: Mouth

    assert len(list(personal_faults(ToothPulled))) == 3


def test_free_text_is_sealed_or_known_to_be_about_nobody() -> None:
    """Whatever somebody can write about a patient must go with the patient's key."""
    assert {field for event in EVENTS for field in legible(event)} == set(OPEN)


def test_legible_text_is_caught() -> None:
    class Mouth(Frozen):
        smell: str

    class ToothPulled(Event):
        tooth: Annotated[str, Meta(pattern="^[1-4][1-8]$")]
        note: Annotated[str | None, Personal()] = None
        mouths: list[Mouth]
        remark: str | None = None

    assert list(legible(ToothPulled)) == ["Mouth.smell", "ToothPulled.remark"]


def test_every_key_in_use_is_held_by_some_role(served: Json) -> None:
    used = {operation.get("x-permission", "signed in") for path in served["paths"].values() for operation in path.values()}
    used |= {command.permission for command in COMMANDS} | {row.permission for row in ROWS} | {row.detail for row in ROWS if row.detail}
    assert unheld(used - PSEUDO - {"signed in"}) == set()
    assert unheld({"appointments.view", "teeth.whiten"}) == {"teeth.whiten"}


def unheld(keys: Iterable[str]) -> set[str]:
    """Return the keys that nobody in a clinic holds, on whatever plan."""
    return {key for key in keys if not any(key in granted(role, plan) for role in ("admin", "doctor", "receptionist", "patient") for plan in ("Pro", "Pro+"))}


@pytest.fixture(scope="module")
def reference() -> list[dict[str, str]]:
    with (SPEC / "permissions.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_grants_are_those_of_the_reference(reference: list[dict[str, str]]) -> None:
    assert len(reference) > 170
    assert list(reference_faults(table(), reference)) == []
    assert set(table()) - {line["key"] for line in reference} == {
        "appointments.overbook", "billing.payments.refund", "billing.invoices.credit", "billing.invoices.write_off", "billing.till.manage", "billing.till.reopen", "appointments.remind", "settings.reminders.manage", "appointments.view_board", "appointments.show_code",
        "billing.payroll.view_commissions"}
    assert twice(line.split()[0] for line in TABLE.splitlines() if line.strip()) == []


@pytest.mark.parametrize(("plan", "suffix"), [("Pro", "pro"), ("Pro+", "proplus"), ("Enterprise", "proplus")])
def test_each_role_holds_what_the_reference_says(reference: list[dict[str, str]], plan: Any, suffix: str) -> None:
    """What `granted` answers, role by role and plan by plan, from the reference's own columns."""
    for role in ("doctor", "receptionist"):
        assert granted(role, plan) & {line["key"] for line in reference} == {line["key"] for line in reference if line[f"{role}_{suffix}"] == "yes"}
    assert granted("patient", plan) == {line["key"] for line in reference if line["patient"] in {"yes", "own"}}
    reached = {line["key"] for line in reference if line["admin"] == "yes" and (line["min_plan"] == "Pro" or plan != "Pro")}
    assert granted("admin", plan) & {line["key"] for line in reference} == reached


def test_a_changed_grant_is_caught(reference: list[dict[str, str]]) -> None:
    ours = table()
    for change in ({"floor": "-"}, {"pro": "DR"}, {"more": "R"}, {"plan": "Pro+"}):
        changed = {**ours, "appointments.view": ours["appointments.view"]._replace(**change)}
        assert len(list(reference_faults(changed, reference))) == 1
    assert len(list(reference_faults({k: v for k, v in ours.items() if k != "leads.view"}, reference))) == 1
