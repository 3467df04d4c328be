"""The messages to patients about their account, and about what else of theirs was given away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vna.delivery.form import QUESTIONS, Form
from vna.texts import marked

_NOT_YOU = marked("Was it not you? Call us at once.")
_SURPRISED = (
    marked("Sign in to your account to see which images, and with whom."),
    marked("That surprises you? Call us at once."),
    marked("Questions? %(help)s"),
)

ACCOUNT_FORMS: Final[Mapping[str, Form]] = {
    # to a patient with an account: what somebody who took it over would change
    "contact-replaced": Form(
        takes=frozenset(),
        subject=marked("We no longer write to you here"),
        paragraphs=(
            marked("This address was taken out of an account at %(site)s, or replaced by another."),
            _NOT_YOU,
            marked("Questions? %(help)s"),
        ),
        short=marked(
            "%(site)s: this number was taken out of your account, or replaced. Was it not you? "
            "Call us. %(help)s"
        ),
    ),
    "contact-held": Form(
        takes=frozenset({"when"}),
        subject=marked("Where we write to you is to change"),
        paragraphs=(
            marked(
                "Somebody signed in to your account at %(site)s and asked us to write elsewhere, "
                "or here no more. Until %(when)s nothing changes."
            ),
            marked("If it was you, do nothing."),
            marked(
                "If it was not you, stop it: call us, or sign in, open “My account” and choose "
                "“Leave it as it was”."
            ),
            marked("Questions? %(help)s"),
        ),
        short=marked(
            "%(site)s: from %(when)s messages of your account go elsewhere, as asked for there. "
            "Not you? Call us, it is stopped at once. %(help)s"
        ),
    ),
    "desk-code-made": Form(
        takes=frozenset(),
        subject=marked("A new code for your account"),
        paragraphs=(
            marked(
                "%(site)s gave out a new code, with which one signs in to your account anew or "
                "makes another one for you."
            ),
            marked("If you asked for it, do nothing."),
            marked(
                "If you did not, call us at once. Or sign in, open “My account” and choose “Make "
                "the code void”."
            ),
            marked("Questions? %(help)s"),
        ),
        short=marked(
            "%(site)s gave out a new code for your account. You did not ask for it? Call us at "
            "once. %(help)s"
        ),
    ),
    "sign-in-changed": Form(
        takes=frozenset(),
        subject=marked("How you sign in has changed"),
        paragraphs=(
            marked(
                "How one signs in to your account at %(site)s was changed: a passkey, the app, "
                "recovery codes or the passphrase."
            ),
            _NOT_YOU,
            marked("Questions? %(help)s"),
        ),
        short=marked(
            "%(site)s: how one signs in to your account was changed. Was it not you? Call us. "
            "%(help)s"
        ),
    ),
    "recovery-code-used": Form(
        takes=frozenset(),
        subject=marked("A recovery code was used"),
        paragraphs=(
            marked("Somebody signed in to your account at %(site)s with a recovery code."),
            _NOT_YOU,
            marked("Questions? %(help)s"),
        ),
        short=marked(
            "%(site)s: a recovery code of your account was used. Was it not you? Call us. %(help)s"
        ),
    ),
    "codes-guessed": Form(
        takes=frozenset(),
        subject=marked("Somebody may know your passphrase"),
        paragraphs=(
            marked(
                "Somebody entered your passphrase at %(site)s, and then several wrong codes. "
                "They did not get in."
            ),
            marked("Was it not you? Choose another passphrase, and call us."),
            marked("Questions? %(help)s"),
        ),
        short=marked(
            "%(site)s: your passphrase was entered, then wrong codes. Was it not you? Call us. "
            "%(help)s"
        ),
    ),
    "carer-given": Form(
        takes=frozenset(),
        subject=marked("Somebody may act for you"),
        paragraphs=(
            marked("Somebody may now act for you in your account at %(site)s."),
            marked("Sign in to see who, how far and until when. You can end it there at any time."),
            marked("You did not want this? Call us at once."),
            marked("Questions? %(help)s"),
        ),
        short=marked(
            "%(site)s: somebody may act for you in your account. Not your wish? Call us. %(help)s"
        ),
    ),
    # to a patient with an account, whoever else was sent a link to images of theirs
    "shared-with-organisation": Form(
        takes=frozenset({"day"}),
        subject=marked("Images of yours were shared"),
        paragraphs=(
            marked(
                "On %(day)s, %(site)s shared images of yours with a practice, a hospital or "
                "another organisation."
            ),
            *_SURPRISED,
        ),
        short=marked(
            "%(site)s shared images of yours with an organisation. That surprises you? Call us. "
            "%(help)s"
        ),
    ),
    "shared-with-person": Form(
        takes=frozenset({"day"}),
        subject=marked("Images of yours were shared"),
        paragraphs=(
            marked("On %(day)s, %(site)s shared images of yours with a private person."),
            *_SURPRISED,
        ),
        short=marked(
            "%(site)s shared images of yours with a private person. That surprises you? Call us. "
            "%(help)s"
        ),
    ),
    # to a patient who asked for something, by their own account
    "request-answered": Form(
        takes=frozenset({"number", "link"}),
        subject=marked("There is an answer to your request"),
        paragraphs=(
            marked("%(site)s has answered your request. Sign in to read the answer."),
            "%(link)s",
            *QUESTIONS,
        ),
        link=marked("Read the answer"),
        short=marked("%(site)s has answered your request. Sign in to read it: %(link)s"),
    ),
}
