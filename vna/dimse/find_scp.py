"""C-FIND: Identifier -> Query -> answers, several a send, until all or cancelled (PS3.4 C.4.1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from vna.config import Settings
from vna.dicom.attributes import KEYS
from vna.dicom.encode import CHARSET, decode_dataset
from vna.dicom.identifiers import LEVEL, Model, text_of
from vna.dicom.matchkeys import Options
from vna.dicom.refs import StudyRef
from vna.dimse.collecting import Collected
from vna.dimse.exchange import Answer, Exchange, Service
from vna.dimse.messages import SUCCESS, Status
from vna.dimse.sop_classes import FIND_MODELS
from vna.dimse.status import (
    CANCELLED,
    NO_DATA_SET,
    PENDING,
    PENDING_WITH_UNSUPPORTED_KEYS,
    of_find_error,
)
from vna.dimse.syntaxes import encode_identifier
from vna.errors import InvalidQuery, TooLarge, VNAError
from vna.query.keys import RETRIEVE_AE, Asked, from_identifier

if TYPE_CHECKING:
    from vna.query.engine import QueryEngine

_BATCH_BYTES = 32 << 10
_BATCH_S = 0.05  # an answer does not wait longer for company

Elements = Mapping[str, Any]  # values of DICOM JSON differ by VR
Read = Callable[[Elements, Options], Asked]


def finding(query: QueryEngine, settings: Settings) -> Callable[[Exchange], Service]:
    """Return what serves C-FIND."""

    def begin(exchange: Exchange) -> Service:
        if not exchange.command.has_data_set:
            return Answer(exchange, NO_DATA_SET)
        return _Finding(exchange, query, settings)

    return begin


class _Finding:
    """One query: its Identifier is small and collected, then answered in one go."""

    def __init__(self, exchange: Exchange, query: QueryEngine, settings: Settings) -> None:
        self._exchange = exchange
        self._query = query
        self._settings = settings
        self._identifier = Collected.identifier()

    def feed(self, data: memoryview) -> None:
        """Collect it, up to the limit."""
        self._identifier.feed(data)

    def finish(self) -> None:
        """Answer."""
        exchange = self._exchange
        try:
            status = self._answer()
        except VNAError as exc:
            status = of_find_error(exc)
        exchange.respond(status, None)
        exchange.send()

    def abort(self) -> None:
        """Nothing is held."""

    def _answer(self) -> Status:
        context = self._exchange.context
        elements = decode_dataset(self._identifier.whole(), context.transfer_syntax)
        options = Options(
            relational=context.options.relational,
            combined=context.options.combined_datetime,
            fuzzy=context.options.fuzzy,
            empty_value=context.options.empty_value,
            multiple_value=context.options.multiple_value,
            timezone=context.options.timezone,
        )
        read = partial(
            from_identifier,
            FIND_MODELS[context.sop_class],
            added=self._query.searchable(),
            site_zone=self._settings.site.timezone,
        )
        try:
            asked = read(elements, options)
        except InvalidQuery as exc:
            offending = _offending(FIND_MODELS[context.sop_class], read, elements, options)
            return of_find_error(exc, offending=offending)
        answers = self._query.find(self._exchange.peer.asker(), asked.query)
        pending = PENDING_WITH_UNSUPPORTED_KEYS if asked.unsupported else PENDING
        remote = self._exchange.peer.remote
        charset = text_of(elements.get(CHARSET, {})) or (remote and remote.character_set) or ""
        return self._send_all(answers.rows, pending, charset)

    def _send_all(self, rows: Any, pending: Status, charset: str) -> Status:  # answers, closable
        exchange = self._exchange
        syntax = exchange.context.transfer_syntax
        ours = {RETRIEVE_AE: {"vr": "AE", "Value": [self._settings.dicom.ae_title]}}
        queued, since = 0, time.monotonic()
        most = self._settings.limits.find_rows
        scope = exchange.peer.asker().scope
        for number, row in enumerate(rows):
            if row.study is not None and not scope.touches(StudyRef(row.study)):
                continue  # withheld since the search began: it may take as long as the peer reads
            if number == most > 0:
                rows.close()
                return of_find_error(TooLarge(f"There are more than {most} matches: ask for less."))
            data = encode_identifier({**row.attributes, **ours}, syntax, charset=charset)
            queued += exchange.respond(pending, data)
            if queued >= _BATCH_BYTES or time.monotonic() - since > _BATCH_S:
                exchange.send()
                queued, since = 0, time.monotonic()
                scope = exchange.peer.asker().scope
                if exchange.is_cancelled():
                    rows.close()
                    return CANCELLED
        return SUCCESS


def _offending(model: Model, read: Read, elements: Elements, options: Options) -> tuple[int, ...]:
    """Find the attributes at fault: each is asked alone (PS3.7 Annex C, Offending Element)."""
    level = elements.get(LEVEL, {})
    names = {one.value: one for one in model.levels}
    wanted = names.get(text_of(level).strip(" \0"))
    if wanted is None:
        return (int(LEVEL, 16),)
    alone = replace(options, relational=True)
    bad = [
        t for t, e in elements.items() if t != LEVEL and _is_bad(read, {LEVEL: level, t: e}, alone)
    ]
    if not bad and not options.relational:
        above = model.levels[: model.levels.index(wanted)]
        bad = [KEYS[one].unique for one in above if not _is_one(elements.get(KEYS[one].unique, {}))]
    return tuple(int(tag, 16) for tag in bad)


def _is_bad(read: Read, elements: Elements, options: Options) -> bool:
    try:
        read(elements, options)
    except InvalidQuery:
        return True
    return False


def _is_one(element: Any) -> bool:  # a DICOM JSON element
    text = text_of(element).strip(" \0")
    return bool(text) and not any(char in text for char in "\\*?")
