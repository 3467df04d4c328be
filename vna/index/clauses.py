"""From a matching key to SQL: the condition with its values beside it, never inside it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import orjson
from psycopg import sql

from vna.dicom.attributes import vr_of
from vna.dicom.matching import (
    AllOf,
    AnyOf,
    Condition,
    DateRange,
    Empty,
    Item,
    MatchingKey,
    MomentRange,
    Name,
    Number,
    Query,
    Single,
    TimeRange,
    UidList,
    Wildcard,
)
from vna.dicom.moments import in_utc
from vna.dicom.text import phonetic
from vna.index.arrays import Texts
from vna.index.columns import BY_LEVEL, Column, Kind
from vna.index.terms import SOUND_SUFFIX, UTC_SUFFIX, clock, instant, padded, plain_number

_WILD = re.compile(r"[*?]")
GROUPS = 3  # component groups of a name (PS3.5 6.2.1)
_OFFSET: LiteralString = "(s.terms -> '00080201' ->> 0)"
_ZONED: LiteralString = (
    f"CASE WHEN {_OFFSET} ~"
    r" '^([+](0[0-9]|1[0-3])[0-5][0-9]|[+]1400|-(0[0-9]|1[01])[0-5][0-9]|-1200)$'"
    f" THEN %s::timestamp + (substr({_OFFSET}, 1, 3) || ':' || substr({_OFFSET}, 4))::interval"
    " ELSE %s::timestamptz AT TIME ZONE %s END"
)


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of SQL and the values of its placeholders, in order."""

    text: sql.Composable
    values: tuple[Any, ...] = ()  # whatever the driver adapts


NOTHING = Clause(sql.SQL("false"))
EVERYTHING = Clause(sql.SQL("true"))


def all_of(clauses: Iterable[Clause]) -> Clause:
    """Join clauses with AND."""
    return _join(" AND ", clauses, EVERYTHING)


def any_of(clauses: Iterable[Clause]) -> Clause:
    """Join clauses with OR."""
    return _join(" OR ", clauses, NOTHING)


def unsupported(query: Query) -> tuple[str, ...]:
    """Name the attributes of keys that search does not match on at this level: they are ignored."""
    columns, terms = BY_LEVEL[query.level]
    always = [key.tag for key in query.keys if key.added is None]
    return tuple(tag for tag in always if tag not in columns and tag not in terms)


def clauses_of(query: Query) -> list[Clause]:
    """Compose the condition of every key on what the archive always keeps."""
    columns, terms = BY_LEVEL[query.level]
    found: list[Clause] = []
    for key in query.keys:
        if key.added is not None:
            continue
        if key.tag in columns:
            time = columns.get(key.time_tag) if key.time_tag else None
            found.append(_on_column(key, columns[key.tag], time, query.site_zone))
        elif key.tag in terms:
            found.append(on_terms(key, sql.SQL(terms[key.tag]), query.site_zone))
    return found


def like(pattern: str) -> str:
    """Write a wild card pattern as one of LIKE (PS3.4 C.2.2.2.4)."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


def _join(between: LiteralString, clauses: Iterable[Clause], otherwise: Clause) -> Clause:
    parts = list(clauses)
    if len(parts) < 2:
        return parts[0] if parts else otherwise
    text = sql.SQL("({})").format(sql.SQL(between).join(part.text for part in parts))
    return Clause(text, tuple(value for part in parts for value in part.values))


def _clause(template: LiteralString, target: sql.Composable, *values: Any) -> Clause:
    return Clause(sql.SQL(template).format(target), values)


def _each(key: MatchingKey, asked: AnyOf) -> list[MatchingKey]:
    return [MatchingKey(key.tag, one) for one in asked.conditions]


def _on_column(key: MatchingKey, column: Column, time: Column | None, zone: str) -> Clause:
    target = sql.SQL(column.sql)
    asked = key.condition
    if isinstance(asked, AnyOf):
        return any_of(_on_column(one, column, time, zone) for one in _each(key, asked))
    if isinstance(asked, Empty):
        return _empty(key.tag, column, target)
    if isinstance(asked, MomentRange):
        return _moment(asked, target, time, zone)
    match column.kind:
        case Kind.NAME:
            return _name(asked, target, column)
        case Kind.LIST:
            return _list(asked, target, is_modality=key.tag == "00080061")
        case Kind.NUMBER:
            if isinstance(asked, Number) and asked.value == int(asked.value):
                return _clause("{} = %s", target, int(asked.value))
            return NOTHING
        case Kind.DATE | Kind.TIME:
            if isinstance(asked, DateRange | TimeRange):
                return _between(target, asked.first, asked.last)
            return NOTHING
    if isinstance(asked, AllOf):
        return _clause("string_to_array({}, E'\\\\') @> %s", target, Texts(asked.values))
    return _text(asked, target)


def _text(asked: Condition, target: sql.Composable) -> Clause:
    match asked:
        case Single(value):
            return _clause("{} = %s", target, _plain(value))
        case Wildcard(pattern):
            return _clause("{} LIKE %s", target, like(_plain(pattern)))
        case UidList(values):
            return _clause("{} = ANY (%s)", target, Texts(values))
    return NOTHING


def _list(asked: Condition, target: sql.Composable, *, is_modality: bool) -> Clause:
    if isinstance(asked, Wildcard):
        pattern = like(_plain(asked.pattern))
        return _clause("EXISTS (SELECT FROM unnest({}) AS u WHERE u LIKE %s)", target, pattern)
    if isinstance(asked, UidList):
        return _clause("{} && %s", target, Texts(asked.values))
    if not isinstance(asked, Single | AllOf):
        return NOTHING
    values = Texts([_plain(asked.value)]) if isinstance(asked, Single) else Texts(asked.values)
    held = _clause("{} @> %s", target, values)
    if not is_modality:
        return held
    # one look that ends the search at once when no study has it, instead of a walk over all
    known = "(SELECT count(*) FROM modality m WHERE m.modality = ANY (%s)) = %s"
    return all_of([Clause(sql.SQL(known), (values, len(set(values)))), held])


def _empty(tag: str, column: Column, target: sql.Composable) -> Clause:
    match column.kind:
        case Kind.TEXT | Kind.NAME:
            return _clause("{} IS NULL", target)
        case Kind.LIST:
            return _clause("{} = '{{}}'", target)
    # a value that is not valid has no place in the column, but it is no empty value
    return _clause("({}::jsonb -> %s ? 'Value') IS NOT TRUE", sql.SQL(column.answer), tag)


def _between(target: sql.Composable, first: Any, last: Any) -> Clause:
    # '-infinity' stands for a Study Date that is absent; it must not lie in an open range
    ends = [] if first is None else [_clause("{} >= %s", target, first)]
    if first is None and (last is None or not isinstance(last, dt.time)):
        ends.append(_clause("isfinite({})", target))
    if last is not None:
        ends.append(_clause("{} <= %s", target, last))
    return all_of(ends)


def _moment(asked: MomentRange, date: sql.Composable, time: Column | None, zone: str) -> Clause:
    """A date and a time column as one moment; the date alone lets an index help."""
    if time is None:
        return NOTHING
    joined = sql.SQL("({} + {})").format(date, sql.SQL(time.sql))
    ends = [_between(date, _day(asked.first, -1), _day(asked.last, 1))]
    for sign, end in _ends(asked.first, asked.last):
        moment = _in_its_zone(end, zone)
        text = sql.SQL(sign.replace("%s", "{}")).format(joined, moment.text)
        ends.append(Clause(text, moment.values))
    if asked.first is None and asked.last is None:
        ends.append(_clause("{} IS NOT NULL", joined))
    return all_of(ends)


def _day(end: dt.datetime | None, widened: int) -> dt.date | None:
    """The day of an end; with a zone it may be one further in the data set's."""
    if end is None or end.tzinfo is None:
        return end and end.date()
    try:
        return end.astimezone(dt.UTC).date() + dt.timedelta(days=widened)
    except OverflowError:
        return None


def _in_its_zone(end: dt.datetime, zone: str) -> Clause:
    """Take a moment to the zone the study says it is in, or else to that of the site."""
    if end.tzinfo is None:
        return Clause(sql.SQL("%s::timestamp"), (end,))
    utc = end.astimezone(dt.UTC)
    return Clause(sql.SQL(_ZONED), (utc.replace(tzinfo=None), utc, zone))


def _name(asked: Condition, target: sql.Composable, column: Column | None) -> Clause:
    if isinstance(asked, AllOf):
        return all_of(
            _clause("{} LIKE %s", target, f"%{like(padded(value))}%") for value in asked.values
        )
    if not isinstance(asked, Name):
        return NOTHING
    pattern = _plain(asked.pattern)
    if "=" in pattern:
        return _groups(pattern.split("="), target)
    found = [_any_group(pattern, target)]
    if asked.fuzzy and column is not None and column.codes:
        found += _sounds_like(pattern, sql.SQL(column.codes))
    return any_of(found)


def _any_group(pattern: str, target: sql.Composable) -> Clause:
    """Match one of the groups that stand between `=`; LIKE alone unless it could cross one."""
    core = pattern.strip("*")
    if not core:
        return _clause("{} ~ '[^=]'", target)
    before = "%" if pattern.startswith("*") else "%="
    after = "%" if pattern.endswith("*") else "=%"
    found = _clause("{} LIKE %s", target, f"{before}{like(core)}{after}")
    if "*" in core or "?" in core:
        return all_of([found, _clause("{} ~ %s", target, f"={_group(pattern)}=")])
    return found


def _groups(wanted: Sequence[str], target: sql.Composable) -> Clause:
    """Match group by group; one that is not asked for may hold anything."""
    if any(want.strip("*") for want in wanted[GROUPS:]):
        return NOTHING
    steps = [_group(want) if want else "[^=]*" for want in wanted[:GROUPS]]
    return _clause("{} ~ %s", target, f"^={'='.join(steps)}=")


def _group(pattern: str) -> str:
    steps = {"*": "[^=]*", "?": "[^=]"}
    return "".join(steps.get(step) or re.escape(step) for step in re.split(r"([*?])", pattern))


def _sounds_like(pattern: str, codes: sql.Composable) -> list[Clause]:
    found = sorted(set(phonetic(_WILD.sub("", pattern))))
    if not found:
        return []
    return [
        _clause("{} @> %s", codes, Texts(f"{group}:{code}" for code in found))
        for group in range(GROUPS)
    ]


def on_terms(key: MatchingKey, target: sql.Composable, zone: str, *, depth: int = 0) -> Clause:
    """Match an attribute in the terms of its level, or in those of one item of a sequence."""
    asked = key.condition
    if isinstance(asked, AnyOf):
        return any_of(on_terms(one, target, zone, depth=depth) for one in _each(key, asked))
    if isinstance(asked, Empty):
        return _clause("({} ? %s) IS NOT TRUE", target, key.tag)
    if (contained := _contained(key)) is not None:
        return _clause("{} @> %s::jsonb", target, orjson.dumps(contained).decode())
    if isinstance(asked, Item):
        return _item(key.tag, asked, target, zone, depth)
    if isinstance(asked, Name) and asked.fuzzy and "=" not in asked.pattern:
        literal = _any_value(key.tag, asked, target, depth)
        sounds = sorted(set(phonetic(_WILD.sub("", asked.pattern))))
        held = orjson.dumps({key.tag + SOUND_SUFFIX: [sounds]}).decode()
        return any_of([literal, _clause("{} @> %s::jsonb", target, held)]) if sounds else literal
    if isinstance(asked, MomentRange) and key.time_tag:
        joined = sql.SQL("(({0} -> %s ->> 0) || 'T' || ({0} -> %s ->> 0)) COLLATE \"C\"")
        tags = (key.tag, key.time_tag)
        ends = []
        for sign, end in _ends(asked.first, asked.last):
            moment = _in_its_zone(end, zone)
            text = sql.SQL("to_char({}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US')").format(moment.text)
            compared = sql.SQL(sign.replace("%s", "{}")).format(joined.format(target), text)
            ends.append(Clause(compared, (*tags, *moment.values)))
        both = Clause(sql.SQL("{} IS NOT NULL").format(joined.format(target)), tags)
        return all_of(ends or [both])
    return _any_value(key.tag, asked, target, depth)


def _any_value(tag: str, asked: Condition, target: sql.Composable, depth: int) -> Clause:
    value = sql.SQL("{}.v").format(sql.Identifier(f"value{depth}"))
    read: Callable[[Any], str]
    match asked:
        case DateRange(first, last):
            read = dt.date.isoformat
        case TimeRange(first, last):
            read = clock
        case MomentRange(first, last):
            if any(end is not None and end.tzinfo is not None for end in (first, last)):
                tag, first, last = tag + UTC_SUFFIX, _utc(first), _utc(last)
            read = instant
        case _:
            first = last = None
            inner = _name(asked, value, None) if isinstance(asked, Name) else _text(asked, value)
            return _exists(tag, inner, target, depth)
    compared = sql.SQL('{} COLLATE "C"').format(value)
    inner = all_of(_clause(sign, compared, read(end)) for sign, end in _ends(first, last))
    return _exists(tag, inner, target, depth)


def _exists(tag: str, inner: Clause, target: sql.Composable, depth: int) -> Clause:
    text = sql.SQL(
        "EXISTS (SELECT FROM jsonb_array_elements_text({} -> %s) AS {} (v) WHERE {})"
    ).format(target, sql.Identifier(f"value{depth}"), inner.text)
    return Clause(text, (tag, *inner.values))


def _item(tag: str, asked: Item, target: sql.Composable, zone: str, depth: int) -> Clause:
    """One item satisfies all keys; those that are plain values let the index find it."""
    alias = sql.Identifier(f"item{depth}")
    inner = all_of(
        on_terms(key, sql.SQL("{}.v").format(alias), zone, depth=depth + 1) for key in asked.keys
    )
    text = sql.SQL("EXISTS (SELECT FROM jsonb_array_elements({} -> %s) AS {} (v) WHERE {})")
    exists = Clause(text.format(target, alias, inner.text), (tag, *inner.values))
    plain = Item(tuple(key for key in asked.keys if _contained(key) is not None))
    if not plain.keys:
        return exists
    first = _clause(
        "{} @> %s::jsonb", target, orjson.dumps(_contained(MatchingKey(tag, plain))).decode()
    )
    return all_of([first, exists])


def _contained(key: MatchingKey) -> dict[str, Any] | None:
    """Write a key as the JSON that terms must contain; None where it is not that simple."""
    match key.condition:
        case Single(value):
            return {key.tag: [_plain(value)]}
        case AllOf(values):
            names = vr_of(key.tag) == "PN"
            return {key.tag: [padded(value) if names else _plain(value) for value in values]}
        case Number(value):
            return {key.tag: [plain_number(value)]}
        case Item(keys):
            inner = [_contained(one) for one in keys]
            if any(one is None for one in inner) or len({k.tag for k in keys}) < len(keys):
                return None
            return {key.tag: [{tag: v for one in inner if one for tag, v in one.items()}]}
    return None


def _ends(first: Any, last: Any) -> list[tuple[LiteralString, Any]]:
    found: list[tuple[LiteralString, Any]] = []
    if first is not None:
        found.append(("{} >= %s", first))
    if last is not None:
        found.append(("{} <= %s", last))
    return found


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return None if moment is None else in_utc(moment, dt.UTC)


def _plain(text: str) -> str:
    return text.replace("\0", "").strip(" ")
