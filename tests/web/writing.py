"""Every route that changes something, with a request it takes: of what, and who reaches that.

`test_writing` sends each to everybody. A writing route without a row here fails the build.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

Key = tuple[str, str]


class Reach(enum.Enum):
    """Who, of those that have the action, reaches what a request names."""

    STUDY = enum.auto()  # who sees the study
    PERSON = enum.auto()  # who sees any study of the person, or the whole archive
    WHOLE = enum.auto()  # what crosses studies: who sees the whole archive alone
    BOTH = enum.auto()  # who sees the whole archive, and the study
    MINE = enum.auto()  # whose own it is: names no study
    NOTHING = enum.auto()  # it names nothing that is anybody's


@dataclass(frozen=True, slots=True)
class Case:
    """One request: names of what is held stand in braces."""

    reach: Reach
    fields: Mapping[str, str] = field(default_factory=dict)
    is_telling: bool = False  # asked by POST, and changes nothing
    is_last: bool = False  # after it the study is another's


def study(**fields: str) -> Case:
    return Case(Reach.STUDY, fields)


def told(reach: Reach = Reach.STUDY, /, **fields: str) -> Case:
    return Case(reach, fields, is_telling=True)


_PERSON = {"patient": "{patient}", "name": "Doe, Jane", "born": "1970-01-01"}


def person(**fields: str) -> Case:
    return Case(Reach.PERSON, {**_PERSON, **fields})


def whole(**fields: str) -> Case:
    return Case(Reach.WHOLE, fields)


def mine(**fields: str) -> Case:
    return Case(Reach.MINE, fields)


def nothing(_why: str, /, **fields: str) -> Case:
    """Make a case that names nothing of anybody's, and say why there is none."""
    return Case(Reach.NOTHING, fields)


_COMPARED = {"compared.name": "on", "compared.birth-date": "on"}
_CONFIRMED = {"confirmed.name": "on", "confirmed.birth-date": "on"}
_SHARED = {
    **_CONFIRMED, "recipient": "Dr Kim", "to": "kim@example.org", "by": "+44 20 7946 0018",
    "purpose": "patient-request", "basis": "legal:patient-request", "until": "{soon}",
    "language": "en", "download": "on", "series.{series}": "on",
}  # fmt: skip
_GUARDIAN = {
    "act": "give", "relation": "guardian", "called": "Ann", "shown.custody": "on",
    "may_view": "on", "until": "{soon}", "login": "",
}  # fmt: skip
_SECRET = {"grant": "{grant}", "secret": "A" * 43, "passcode": "ABCD-EFGH", "code": ""}
_MY_SECRET = {**_SECRET, "grant": "{mygrant}"}
_CHEST = {"name": "chest", "to": "ae:PACS", "modality": "CT", "callers": "", "keys": ""}
_WHOM = {"recipient": "Dr Kim", "way": "email", "email": "kim@example.org", "language": "en"}
_HOW = {"code": "sms", "code_phone": "+447700900123", "until": "{soon}", "download": "on"}
_CHOSEN = {"study.{study}": "on", "reports": "on"}
_ANOTHER = {
    "PatientID": "P-77", "PatientName": "Roe^Rick", "PatientBirthDate": "1980-02-02",
    "PatientSex": "M", "reason": "Wrong patient",
}  # fmt: skip
_DESK = "what others brought: it is nobody's study before it is confirmed"

# what follows the order in which somebody does it all: what ends something comes last
STAFF: dict[Key, tuple[Case, ...]] = {
    ("POST", "/study/{study}/disc"): (study(),),
    ("POST", "/study/{study}/sealed"): (told(),),
    ("POST", "/study/{study}/correct"): (
        study(act="correct", AccessionNumber="B-{turn}", reason="Wrong entry"),
        told(act="look", PatientID="{patient}"),
        study(act="undo", correction="{correction}", reason="It was right"),
        Case(Reach.STUDY, {"act": "move", **_ANOTHER}, is_last=True),
    ),
    ("POST", "/study/{study}/share"): (study(**_SHARED),),
    ("POST", "/study/{study}/account"): (
        Case(Reach.BOTH, {"act": "code", **_COMPARED}),
        Case(Reach.BOTH, {"act": "end", "binding": "{binding}", "reason": "She asked"}),
    ),
    ("POST", "/study/{study}/account.pdf"): (
        nothing(
            "prints what the page before showed, and looks at nothing",
            code="ABCD-EFGH-JKMN",
            login="p-abcd-efgh",
            until="{soon}",
        ),
    ),
    ("POST", "/study/{study}/carers"): (
        Case(Reach.BOTH, _GUARDIAN),
        Case(Reach.BOTH, {"act": "end", "carer": "{carer}", "reason": "It is over"}),
    ),
    ("POST", "/share/{share:int}/test"): (study(),),
    ("POST", "/share/{share:int}/second"): (
        study(what="agree"),
        study(what="refuse", reason="She knows nothing of it"),
    ),
    ("POST", "/share/{share:int}/disc"): (study(),),
    ("POST", "/share/{share:int}/retry"): (study(message="{message}"),),
    ("POST", "/share/{share:int}/sheet.pdf"): (told(**_SECRET),),
    ("POST", "/share/{share:int}/passcode.pdf"): (told(**_SECRET),),
    ("POST", "/share/{share:int}/extend"): (study(until="{later}"),),
    ("POST", "/share/{share:int}/renew"): (study(grant="{grant}"),),
    ("POST", "/share/{share:int}/revoke"): (
        study(grant="{grant}", reason="A test"),
        study(reason="A test"),
    ),
    ("POST", "/shares/retry"): (whole(),),
    ("POST", "/shares/automatic"): (
        study(study="{study}", consent="{consent}", what="urgent"),
        study(study="{study}", consent="{consent}", what="leave"),
    ),
    ("POST", "/disc/{disc:int}/without"): (study(),),
    ("POST", "/disc/{disc:int}/cancel"): (study(),),
    ("POST", "/disc/{disc:int}/retry"): (study(),),
    ("POST", "/consents"): (told(Reach.PERSON, **_PERSON),),
    ("POST", "/consents/record"): (
        person(said="yes", signed_by="Jane Doe", way="paper", purpose="research"),
    ),
    ("POST", "/consents/withdraw"): (person(consent="{consent}"),),
    ("POST", "/consents/kiosk"): (person(purpose="patient-request", lane="now", **_CONFIRMED),),
    ("POST", "/consents/texts"): (
        nothing(
            "the words everybody is asked in",
            purpose="research",
            **{"title.en": "Research?", "body.en": "May images be given to research?"},
        ),
    ),
    ("POST", "/patients"): (
        whole(verdict="part", first="{identity}", second="{twin}", reason="Her sister"),
        whole(verdict="link", first="{identity}", second="{twin}", reason="Asked her again"),
        whole(verdict="refuse", first="{identity}", second="{twin}", reason="I am not sure"),
        nothing(
            "agreed by another than who proposed: tests/web/test_patients_proposed.py",
            verdict="agree",
        ),
    ),
    ("POST", "/requests/patients/{number:int}/answer"): (
        whole(outcome="done", words="It is right now."),
    ),
    ("POST", "/rules"): (
        nothing("rules are of the whole archive", act="put", **_CHEST),
        nothing("rules are of the whole archive", act="remove", name="chest"),
    ),
    ("POST", "/imports"): (nothing(_DESK, note="A disc"),),
    ("POST", "/import/{number:int}/expect"): (nothing(_DESK),),
    ("PUT", "/import/{number:int}/file/{mark}"): (nothing(_DESK),),
    ("POST", "/import/{number:int}/form"): (nothing(_DESK),),
    ("POST", "/import/{number:int}/finish"): (nothing(_DESK),),
    ("POST", "/import/{number:int}/confirm"): (nothing(_DESK, family="Doe", born="1970-01-01"),),
    ("POST", "/import/{number:int}/reject"): (nothing(_DESK, why="Sent twice"),),
    ("POST", "/requests"): (
        nothing(
            "asks others for what is not here",
            organisation="Elsewhere",
            wanted="A CT",
            to="radiology@example.org",
            until="{soon}",
        ),
    ),
    ("POST", "/request/{number:int}/stop"): (nothing(_DESK),),
    ("POST", "/emergency"): (
        nothing(
            "reaches what is not seen otherwise: that is what it is for",
            patient="P-0",
            reason="treatment",
            note="Brought in without papers.",
        ),
    ),
    ("POST", "/emergency/second"): (nothing("asked of everybody who may agree", emergency="1"),),
    ("POST", "/emergencies"): (
        nothing("the list of all emergencies", emergency="1", verdict="ok", remark="checked"),
    ),
}

PATIENTS: dict[Key, tuple[Case, ...]] = {
    ("POST", "/my/study/{study}/sealed"): (told(),),
    ("POST", "/my/share"): (study(**_CHOSEN),),
    ("POST", "/my/share/{draft:int}/what"): (mine(**_CHOSEN),),
    ("POST", "/my/share/{draft:int}/whom"): (mine(**_WHOM),),
    ("POST", "/my/share/{draft:int}/how"): (mine(**_HOW),),
    ("POST", "/my/share/{draft:int}/test"): (told(Reach.MINE),),
    ("POST", "/my/share/{draft:int}/send"): (mine(),),
    ("POST", "/my/shares/{share:int}/ask-stop"): (study(words="Please."),),
    ("POST", "/my/shares/{share:int}/sheet.pdf"): (told(Reach.MINE, **_MY_SECRET),),
    ("POST", "/my/shares/{share:int}/passcode.pdf"): (told(Reach.MINE, **_MY_SECRET),),
    ("POST", "/my/shares/{share:int}/renew"): (mine(grant="{mygrant}"),),
    ("POST", "/my/shares/{share:int}/stop"): (mine(grant="{mygrant}"), mine()),
    ("POST", "/my/consents/withdraw"): (Case(Reach.PERSON, {"consent": "{consent}"}),),
    ("POST", "/my/requests"): (study(kind="correct", words="It is wrong.", study="{study}"),),
    ("POST", "/my/requests/{number:int}/withdraw"): (mine(),),
    ("POST", "/my/study/{study}/carers"): (study(kept="yes"), study(kept="no")),
    ("POST", "/my/carers"): (
        Case(Reach.PERSON, {"act": "end", "carer": "{carer}"}),
        nothing("to an account by its name", act="give", called="Ann", login="p-none-none"),
    ),
    ("POST", "/my/acting"): (mine(carer="{ward}"),),
    ("POST", "/my/account/language"): (nothing("one's own", language="de"),),
    ("POST", "/my/account/code"): (nothing("one's own"),),
    ("POST", "/my/account/contact"): (
        nothing("one's own", act="begin", kind="email", typed="jane@example.org"),
        nothing("one's own", act="stop", kind="email"),
    ),
}

# DICOMweb: the resource is in the path, or in what is sent
DICOMWEB: dict[Key, Reach] = {
    ("POST", "studies"): Reach.STUDY,
    ("POST", "studies/{study}"): Reach.STUDY,
    ("DELETE", "studies/{study}"): Reach.STUDY,
    ("DELETE", "studies/{study}/series/{series}"): Reach.STUDY,
    ("DELETE", "studies/{study}/series/{series}/instances/{instance}"): Reach.STUDY,
    ("POST", "commitment-requests/{transaction}"): Reach.MINE,
}

# what names nothing: a cookie says whom it is about, and `test_writing` or another shows it
_SIGNING = "signs somebody in, by what they know and have: tests/web/test_sign_in.py"
_ENROLLING = "of whom the link was made for: tests/web/test_sign_in.py"
_ACCOUNT = "of one's own account: test_what_is_of_one_s_account_is_nobody_else_s"
_LOOKING = "leads to what was looked for: test_whom_somebody_looks_for_stands_in_no_address"
ELSEWHERE: dict[Key, str] = {
    ("POST", "/"): _LOOKING,
    ("POST", "/login"): _SIGNING,
    ("POST", "/login/factor"): _SIGNING,
    ("POST", "/login/passkey/begin"): _SIGNING,
    ("POST", "/login/passkey"): _SIGNING,
    ("POST", "/login/sso/return"): "tests/web/test_federation.py",
    ("POST", "/logout"): _SIGNING,
    ("POST", "/confirm"): _SIGNING,
    ("POST", "/confirm/passkey/begin"): _SIGNING,
    ("POST", "/confirm/passkey"): _SIGNING,
    ("POST", "/enrol"): _ENROLLING,
    ("POST", "/enrol/passphrase"): _ENROLLING,
    ("POST", "/enrol/factor"): _ENROLLING,
    ("POST", "/enrol/passkey/begin"): _ENROLLING,
    ("POST", "/enrol/passkey"): _ENROLLING,
    ("POST", "/enrol/done"): _ENROLLING,
    ("POST", "/my/start"): _ENROLLING,
    ("POST", "/account/sessions/end"): _ACCOUNT,
    ("POST", "/account/recovery-codes"): _ACCOUNT,
    ("POST", "/account/passkeys/begin"): _ACCOUNT,
    ("POST", "/account/passkeys"): _ACCOUNT,
    ("POST", "/account/passkeys/remove"): _ACCOUNT,
    ("POST", "/send"): "begins something of its sender's own: tests/web/test_exchange.py",
    ("POST", "/emergency/end"): "of this session: tests/web/test_emergency.py",
}


@dataclass(frozen=True, slots=True)
class Door:
    """A request of who came by a link, a code or a tablet: a cookie stands for what it opens."""

    family: str
    fields: Mapping[str, str] = field(default_factory=dict)
    how: str = "form"  # json, file, parts
    is_entry: bool = False  # asked before anything is open: what is sent says of what
    stays: str = ""  # why it is answered after the end, too


_LINK = {"link": "{link}", "passcode": "{passcode}"}
GUESTS: dict[Key, Door] = {
    ("POST", "/s/open"): Door("share", {"link": "{link}"}, is_entry=True),
    ("POST", "/s/prove"): Door("opened", {"way": "passcode", "text": "{passcode}"}),
    ("POST", "/s/code"): Door("coded", {"way": "sms"}),
    ("POST", "/s/forward"): Door(
        "share", {"name": "Dr Low", "email": "low@example.org", "proof": "passcode", "days": "3"}
    ),
    ("POST", "/s/sealed"): Door("share", {"study": "{study}"}),
    ("POST", "/s/archive"): Door("share", {"to": "remote:CLINIC", "sure": "yes"}),
    ("POST", "/s/account"): Door("share", {"mine": "on"}),
    ("POST", "/s/leave"): Door("share"),
    ("POST", "/s/not-me"): Door("opened"),
    ("POST", "/u/open"): Door("asked", _LINK, is_entry=True),
    ("POST", "/u/expect"): Door("asked", how="json"),
    ("PUT", "/u/file/{mark}"): Door("asked", how="file"),
    ("POST", "/u/form"): Door("asked", how="parts"),
    ("POST", "/u/done"): Door("asked"),
    ("POST", "/u/leave"): Door("asked"),
    ("POST", "/send/again"): Door("proving"),
    ("POST", "/send/code"): Door("proving", {"code": "{code}"}),
    ("POST", "/send/expect"): Door("sender", how="json"),
    ("PUT", "/send/file/{mark}"): Door("sender", how="file"),
    ("POST", "/send/form"): Door("sender", how="parts"),
    ("POST", "/send/done"): Door("sender"),
    ("POST", "/send/stop"): Door("sender"),
    ("POST", "/send/leave"): Door("sender", stays="one's own session is one's own to leave"),
    ("POST", "/send/status"): Door(
        "sent", {"link": "{status}"}, is_entry=True, stays="whoever sent sees that it was ended"
    ),
    ("POST", "/g/open"): Door("recipient", _LINK, is_entry=True),
    ("POST", "/g/leave"): Door("recipient"),
    ("POST", "/g/not-me"): Door(
        "recipient", {"link": "{link}"}, is_entry=True, stays="the same is said of every link"
    ),
    ("POST", "/kiosk/answer"): Door(
        "kiosk",
        {"said": "no", "signed_by": "Jane Doe", "language": "en"},
    ),
    ("POST", "/kiosk/leave"): Door("kiosk"),
}
