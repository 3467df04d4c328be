"""The messages there are, each with the values it takes; nothing else can stand in one.

A value has a form (a link, a code, a day): free text cannot get into a message, and with it no
value of a patient's attribute. The texts are translated through `vna/locale`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from vna.delivery.account_forms import ACCOUNT_FORMS
from vna.delivery.form import QUESTIONS, Form
from vna.texts import marked

VALUES: Final[Mapping[str, re.Pattern[str]]] = {
    "link": re.compile(
        r"https?://[A-Za-z0-9.\-:\[\]]{1,255}/[A-Za-z0-9/._~\-]{0,128}(#[\w\-]{1,128})?", re.A
    ),
    "code": re.compile(r"[0-9A-Z]{4,16}(-[0-9A-Z]{2,8}){0,4}", re.A),
    "host": re.compile(r"[a-z0-9.\-]{1,253}", re.A),
    "minutes": re.compile(r"[0-9]{1,4}", re.A),
    **dict.fromkeys(
        ("shared", "waiting", "blocked", "left", "failed", "count"),
        re.compile(r"[0-9]{1,9}", re.A),
    ),
    "number": re.compile(r"[0-9A-Z]{1,12}(-[0-9A-Z]{1,12}){0,4}", re.A),
    **dict.fromkeys(("until", "day"), re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.A)),
    "when": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}(\+00:00|Z)", re.A),
    "way": re.compile(r"[^\s<>\x00-\x1f]{0,3}…([0-9]{2}|@[a-z0-9.\-]{1,253})|"),
}
"""What a value looks like: `way` is a masked channel or empty, `until` and `day` are days."""


_STRANGER = marked(
    "You were not expecting this? Open the link and press “This is not me”, or do nothing."
)
_FROM_A_GUEST = (
    "%(link)s",
    marked("You will need a passcode. The sender has it and tells it to you: ask them."),
    marked("The images can be opened until %(until)s. You need no account."),
    marked("You were not expecting this? Open the link and press “This is not me”."),
    *QUESTIONS,
)

FORMS: Final[Mapping[str, Form]] = {
    # to a recipient: the link; the code goes another way, once it was opened
    "invitation": Form(
        takes=frozenset({"link", "way", "until", "number"}),
        subject=marked("Medical images for you"),
        paragraphs=(
            marked("%(site)s has medical images for you."),
            "%(link)s",
            marked("You will need a code. It is sent to %(way)s when you open the link."),
            marked("The images can be opened until %(until)s."),
            _STRANGER,
            *QUESTIONS,
        ),
        link=marked("Open the images"),
        short=marked("%(site)s has medical images for you, until %(until)s: %(link)s"),
    ),
    "renewed": Form(
        takes=frozenset({"link", "way", "until", "number"}),
        subject=marked("Your new link"),
        paragraphs=(
            marked("This is your new link to medical images at %(site)s. The old one is void."),
            "%(link)s",
            marked("You will need a code. It is sent to %(way)s when you open the link."),
            marked("The images can be opened until %(until)s."),
            _STRANGER,
            *QUESTIONS,
        ),
        link=marked("Open the images"),
        short=marked("%(site)s: your new link, until %(until)s: %(link)s"),
    ),
    # a one-time code; the last line is for the browser (WebOTP: origin-bound one-time codes)
    "code": Form(
        takes=frozenset({"code", "minutes", "host"}),
        subject=marked("Your code"),
        paragraphs=(
            marked("Your code for %(site)s is %(code)s."),
            marked("It is valid once, for %(minutes)s minutes. Never tell it to anybody."),
            marked("You did not ask for a code? Then somebody else opened your link: call us."),
            marked("Questions? %(help)s"),
        ),
        short=marked(
            "%(code)s is your code for %(site)s, valid for %(minutes)s minutes. "
            "Never tell it to anybody.\n\n@%(host)s #%(code)s"
        ),
    ),
    # does a channel reach whom we think: the code is typed, or told at the desk
    "prove": Form(
        takes=frozenset({"code", "minutes"}),
        subject=marked("Your code for %(site)s"),
        paragraphs=(
            marked("%(site)s asks whether this address is yours. The code is %(code)s."),
            marked("It is valid for %(minutes)s minutes. You know nothing of it? Do nothing."),
            marked("Questions? %(help)s"),
        ),
        short=marked(
            "%(code)s is the code by which %(site)s makes sure that this number is yours, "
            "valid for %(minutes)s minutes."
        ),
    ),
    # to whom a share belongs
    "shared": Form(
        takes=frozenset({"number", "until"}),
        subject=marked("Your medical images were shared"),
        paragraphs=(
            marked("%(site)s has shared medical images of yours, until %(until)s."),
            marked("You did not agree to this? Call us."),
            *QUESTIONS,
        ),
        short=marked("%(site)s has shared images of yours. Reference: %(number)s. %(help)s"),
    ),
    "opened": Form(
        takes=frozenset({"number", "when"}),
        subject=marked("Medical images you shared were opened"),
        paragraphs=(
            marked("The medical images you shared were opened for the first time: %(when)s."),
            marked("You did not expect this? Call us, and we stop the link."),
            *QUESTIONS,
        ),
        short=marked("%(site)s: images you shared were opened. Reference: %(number)s. %(help)s"),
    ),
    "locked": Form(
        takes=frozenset({"number"}),
        subject=marked("A link was locked"),
        paragraphs=(
            marked("A link to medical images you shared was locked after too many wrong codes."),
            marked("Nobody can open it until you make a new one."),
            *QUESTIONS,
        ),
        short=marked(
            "%(site)s: a link was locked after many wrong codes. Reference: %(number)s. %(help)s"
        ),
    ),
    "not-me": Form(
        takes=frozenset({"number"}),
        subject=marked("A link reached somebody else"),
        paragraphs=(
            marked("Somebody who opened a link to medical images says that it is not for them."),
            marked("The link was stopped. Check the address, and send it again."),
            *QUESTIONS,
        ),
        short=marked(
            "%(site)s: a link reached somebody else: stopped. Reference: %(number)s. %(help)s"
        ),
    ),
    "asked-again": Form(
        takes=frozenset({"number"}),
        subject=marked("Somebody asks for a new link"),
        paragraphs=(
            marked("The link to medical images you shared is over. A new one is asked for."),
            *QUESTIONS,
        ),
        short=marked("%(site)s: a new link is asked for. Reference: %(number)s. %(help)s"),
    ),
    # to a recipient
    "expiring": Form(
        takes=frozenset({"number", "until"}),
        subject=marked("Your link ends soon"),
        paragraphs=(
            marked("The medical images at %(site)s can be opened with your link until %(until)s."),
            *QUESTIONS,
        ),
        short=marked("%(site)s: your link to medical images ends on %(until)s. %(help)s"),
    ),
    "unopened": Form(
        takes=frozenset({"number", "until"}),
        subject=marked("Your medical images are waiting"),
        paragraphs=(
            marked("%(site)s has sent you a link to medical images. Nobody has opened it so far."),
            marked("The images can be opened until %(until)s."),
            marked("You cannot find the link? Call us: we send you a new one."),
            *QUESTIONS,
        ),
        short=marked(
            "%(site)s: the link to your images was not opened yet. It is good until %(until)s. "
            "%(help)s"
        ),
    ),
    "stopped": Form(
        takes=frozenset({"number"}),
        subject=marked("A link was stopped"),
        paragraphs=(
            marked("The link to medical images that %(site)s sent you can no longer be opened."),
            *QUESTIONS,
        ),
        short=marked("%(site)s: your link to medical images was stopped. %(help)s"),
    ),
    "report-added": Form(
        takes=frozenset({"number"}),
        subject=marked("A report was added"),
        paragraphs=(
            marked("A report was added to the images at %(site)s. Your link shows it, too."),
            *QUESTIONS,
        ),
        short=marked("%(site)s: a report was added to your images; your link shows it, too."),
    ),
    # to the old channel, when codes go elsewhere from now on
    "replaced": Form(
        takes=frozenset(),
        subject=marked("Your codes go elsewhere now"),
        paragraphs=(
            marked("Codes of %(site)s are no longer sent here, but to another address."),
            marked("You did not want this? Call us at once."),
            marked("Questions? %(help)s"),
        ),
        short=marked("%(site)s: your codes go elsewhere now. Not your wish? Call us. %(help)s"),
    ),
    # to somebody elsewhere, who is asked to send images
    "images-wanted": Form(
        takes=frozenset({"link", "until", "number"}),
        subject=marked("Please send us medical images"),
        paragraphs=(
            marked("%(site)s asks you for medical images."),
            "%(link)s",
            marked("You will need the passcode we told you. It shows what is asked for."),
            marked("The images can be sent until %(until)s. You need no account."),
            marked("You know nothing of this? Do nothing."),
            *QUESTIONS,
        ),
        link=marked("Send the images"),
        short=marked("%(site)s asks you for medical images, until %(until)s: %(link)s"),
    ),
    # between guests: to who is sent images, to the patient they show, and to who sent them
    "guest-images": Form(
        takes=frozenset({"link", "until", "number"}),
        subject=marked("Medical images for you"),
        paragraphs=(
            marked("Somebody has sent you medical images through %(site)s."),
            *_FROM_A_GUEST,
        ),
        link=marked("Open the images"),
        short=marked("%(site)s has medical images for you, until %(until)s: %(link)s"),
    ),
    "guest-images-own": Form(
        takes=frozenset({"link", "until", "number"}),
        subject=marked("Medical images of yours"),
        paragraphs=(
            marked("Somebody has sent you medical images of yours through %(site)s."),
            *_FROM_A_GUEST,
        ),
        link=marked("Open the images"),
        short=marked("%(site)s has medical images of yours, until %(until)s: %(link)s"),
    ),
    "guest-sent": Form(
        takes=frozenset({"link", "until", "number"}),
        subject=marked("You sent medical images"),
        paragraphs=(
            marked("The link to the images you sent through %(site)s is on its way."),
            marked("Tell the passcode you were shown, by telephone for example."),
            marked("Here you see whether the images were opened, and can stop it:"),
            "%(link)s",
            marked("The images can be opened until %(until)s."),
            marked("You sent nothing? Open the link and stop it."),
            *QUESTIONS,
        ),
        link=marked("Look after what you sent"),
        short=marked("%(site)s: what you sent can be looked after here: %(link)s"),
    ),
    # to who reviews emergencies: which one, and nothing of whom it was about
    "emergency": Form(
        takes=frozenset({"number", "when"}),
        subject=marked("Emergency access was used"),
        paragraphs=(
            marked("Somebody has used emergency access at %(site)s: %(when)s."),
            marked("It is on the list of emergency accesses, and waits there to be reviewed."),
            marked("Reference: %(number)s"),
        ),
        short=marked("%(site)s: emergency access was used. Reference: %(number)s."),
    ),
    # to the same, and nothing of who it was: a mail is read by others, too
    "many": Form(
        takes=frozenset({"count"}),
        subject=marked("Unusually many studies were opened"),
        paragraphs=(
            marked("One account has opened %(count)s studies at %(site)s within an hour."),
            marked("Who it was stands in the audit trail, as opened.many."),
        ),
        short=marked("%(site)s: one account has opened %(count)s studies within an hour."),
    ),
    # to staff, after a night: how many, and nothing of anybody
    "morning": Form(
        takes=frozenset({"shared", "waiting", "blocked", "left", "failed", "link"}),
        subject=marked("What went out tonight: %(shared)s"),
        paragraphs=(
            marked("Last night at %(site)s, of what patients let go out by itself:"),
            marked("Shared: %(shared)s. Of these, the message failed: %(failed)s."),
            marked("Still waiting: %(waiting)s. Somebody is needed: %(blocked)s."),
            marked("Will not go out: %(left)s."),
            "%(link)s",
        ),
        link=marked("Look at the shares"),
        short=marked(
            "%(site)s, last night: %(shared)s shared, %(failed)s failed, %(blocked)s blocked."
        ),
    ),
    **ACCOUNT_FORMS,
    "test": Form(
        takes=frozenset(),
        subject=marked("Test message"),
        paragraphs=(marked("This is a test message of %(site)s. It works."),),
        short=marked("This is a test message of %(site)s. It works."),
    ),
}


def check(template: str, values: Mapping[str, str]) -> Form:
    """Find a form and see that the values are those it takes. Raises `ValueError`, naming no value.

    A wrong name or form is a fault of ours: nobody outside can bring it about.
    """
    form = FORMS.get(template)
    if form is None:
        raise ValueError(f"there is no message {template}")
    if set(values) != form.takes:
        raise ValueError(f"the message {template} takes {sorted(form.takes)}")
    for name, value in values.items():
        if not VALUES[name].fullmatch(value):
            raise ValueError(f"the value {name} of the message {template} has another form")
    return form
