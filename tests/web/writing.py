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
    needs: tuple[str, ...] = ()  # names without which there is nothing to ask about


def study(**fields: str) -> Case:
    return Case(Reach.STUDY, fields)


def person(**fields: str) -> Case:
    whom = {"patient": "{patient}", "name": "Doe, Jane", "born": "1970-01-01"}
    return Case(Reach.PERSON, {**whom, **fields})


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
_SECRET = {"grant": "{grant}", "secret": "A" * 43, "passcode": "ABCD-EFGH", "code": ""}
_CHEST = {"name": "chest", "to": "ae:PACS", "modality": "CT", "callers": "", "keys": ""}
_WHOM = {"recipient": "Dr Kim", "way": "email", "email": "kim@example.org", "language": "en"}
_HOW = {"code": "sms", "code_phone": "+447700900123", "until": "{soon}", "download": "on"}
_CHOSEN = {"study.{study}": "on", "reports": "on"}
_DESK = "what others brought: it is nobody's study before it is confirmed"

# what follows the order in which somebody does it all: what ends something comes last
STAFF: dict[Key, tuple[Case, ...]] = {
    ("POST", "/study/{study}/disc"): (study(),),
    ("POST", "/study/{study}/correct"): (
        study(act="correct", AccessionNumber="B-{turn}", reason="Wrong entry"),
        study(act="look", PatientID="{patient}"),
        study(act="undo", correction="{correction}", reason="It was right"),
        study(
            act="move",
            PatientID="P-77",
            PatientName="Roe^Rick",
            PatientBirthDate="1980-02-02",
            PatientSex="M",
            reason="Wrong patient",
        ),
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
    ("POST", "/share/{share:int}/test"): (study(),),
    ("POST", "/share/{share:int}/disc"): (study(),),
    ("POST", "/share/{share:int}/retry"): (study(message="{message}"),),
    ("POST", "/share/{share:int}/sheet.pdf"): (study(**_SECRET),),
    ("POST", "/share/{share:int}/passcode.pdf"): (study(**_SECRET),),
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
    ("POST", "/consents"): (person(),),
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
    ),
    ("POST", "/requests/patients/{number:int}/answer"): (
        Case(Reach.WHOLE, {"outcome": "done", "words": "It is right now."}, needs=("request",)),
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
    ("POST", "/my/share"): (study(**_CHOSEN),),
    ("POST", "/my/share/{draft:int}/what"): (mine(**_CHOSEN),),
    ("POST", "/my/share/{draft:int}/whom"): (mine(**_WHOM),),
    ("POST", "/my/share/{draft:int}/how"): (mine(**_HOW),),
    ("POST", "/my/share/{draft:int}/test"): (mine(),),
    ("POST", "/my/share/{draft:int}/send"): (mine(),),
    ("POST", "/my/shares/{share:int}/ask-stop"): (study(words="Please."),),
    ("POST", "/my/shares/{share:int}/sheet.pdf"): (mine(**{**_SECRET, "grant": "{mygrant}"}),),
    ("POST", "/my/shares/{share:int}/passcode.pdf"): (mine(**{**_SECRET, "grant": "{mygrant}"}),),
    ("POST", "/my/shares/{share:int}/renew"): (mine(grant="{mygrant}"),),
    ("POST", "/my/shares/{share:int}/stop"): (mine(grant="{mygrant}"), mine()),
    ("POST", "/my/consents/withdraw"): (Case(Reach.PERSON, {"consent": "{consent}"}),),
    ("POST", "/my/requests"): (study(kind="correct", words="It is wrong.", study="{study}"),),
    ("POST", "/my/requests/{number:int}/withdraw"): (mine(),),
    ("POST", "/my/account/language"): (nothing("one's own", language="de"),),
    ("POST", "/my/account/contact"): (
        nothing("one's own", act="begin", kind="email", typed="jane@example.org"),
    ),
}
