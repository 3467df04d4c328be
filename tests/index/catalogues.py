"""Random catalogues and random queries, and what the letter of the standard says to them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.index.samples import CT, MR, Elements, registration
from vna.dicom.attributes import INDEXED
from vna.dicom.evaluate import matches, values_of
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
from vna.dicom.moments import read_date
from vna.dicom.refs import Level
from vna.index.faces import INSTANCE_TAGS, SERIES_TAGS, STUDY_TAGS
from vna.index.register import Registration

NAMES = ["Doe^Jane", "Müller^Hans", "Mueller^Hans", "Smith^Anna", "Smythe^Anna", "doe^j", "^", []]
NAMES += ["Yamada^Tarou=山田^太郎=やまだ^たろう", "Wang^XiaoDong=王^小東", "O'Neil_100%^A\\b"]
DATES = ["20240101", "20240102", "2024.02.03", "19991231", "20241399", "soon", []]
TIMES = ["10", "1030", "103015", "103015.5", "2359", "9999", []]
TEXTS = ["A", "AB", "ab", "A_B", "A%B", "a*b", " A ", "ABCDEF", "Ä", []]
NUMBERS = [1, 2, 10, -3, "x", []]
UIDS = [CT, MR]

TEXT_TAGS = {
    Level.PATIENT: ["00100020", "00100021", "00100040"],
    Level.STUDY: ["00080050", "00200010", "00081030"],
    Level.SERIES: ["00080060", "0008103E", "00180015", "00080080", "00081010"],
    Level.IMAGE: ["00280004"],
}
NAME_TAGS = {
    Level.PATIENT: ["00100010"],
    Level.STUDY: ["00080090", "00081060"],
    Level.SERIES: [],
    Level.IMAGE: [],
}
MOMENT_TAGS = {
    Level.PATIENT: [],
    Level.STUDY: [("00080020", "00080030")],
    Level.SERIES: [("00400244", "00400245")],
    Level.IMAGE: [("00080023", "00080033")],
}
NUMBER_TAGS = {
    Level.PATIENT: [],
    Level.STUDY: [],
    Level.SERIES: ["00200011"],
    Level.IMAGE: ["00200013", "00280010", "00280008"],
}
ITEM_TAGS = {Level.PATIENT: "00101002", Level.STUDY: "00081032", Level.SERIES: "00400275"}
LEVELS = tuple(Level)


def _items(rng: Random) -> list[dict[str, Any]]:
    values: dict[str, list[Any]] = {
        "00400009": TEXTS,
        "00401001": ["R1", "R2"],
        "00400002": DATES,
        "00400003": TIMES,
        "00321032": NAMES,
        "00404005": ["2024", "20240102103000", "20240102103000+0200", "x"],
        "00200013": [*NUMBERS, 2.5],
    }
    return [
        {tag: rng.choice(pool) for tag, pool in values.items() if rng.random() < 0.6}
        for _ in range(rng.randint(0, 2))
    ]


def _of_level(rng: Random, level: Level) -> dict[str, Any]:
    found: dict[str, Any] = {tag: rng.choice(TEXTS) for tag in TEXT_TAGS[level]}
    found |= {tag: rng.choice(NAMES) for tag in NAME_TAGS[level]}
    for date, time in MOMENT_TAGS[level]:
        found[date], found[time] = rng.choice(DATES), rng.choice(TIMES)
    found |= {tag: rng.choice(NUMBERS) for tag in NUMBER_TAGS[level]}
    if level in ITEM_TAGS:
        found[ITEM_TAGS[level]] = _items(rng)
    if level is Level.STUDY:
        found["00081060"] = rng.sample([n for n in NAMES if n], rng.randint(0, 2))
        found["00080201"] = rng.choice(["+0100", []])
    if level is Level.PATIENT:
        found["00100030"] = rng.choice(DATES)
        del found["00100021"]
    return {tag: value for tag, value in found.items() if rng.random() < 0.9}


def catalogue(rng: Random, *, mixed: bool = False) -> list[Registration]:
    """Make registrations of a few studies. `mixed`: instances of one study may disagree."""
    items: list[Registration] = []
    for s in range(rng.randint(1, 6)):
        study = _of_level(rng, Level.PATIENT) | _of_level(rng, Level.STUDY)
        for e in range(rng.randint(1, 3)):
            series = _of_level(rng, Level.SERIES)
            for i in range(rng.randint(1, 3)):
                if mixed and rng.random() < 0.4:
                    study = study | _of_level(rng, Level.STUDY)
                    series = series | _of_level(rng, Level.SERIES)
                own = _of_level(rng, Level.IMAGE) | {"00080016": rng.choice(UIDS)}
                uids = f"1.{s}", f"1.{s}.{e}", f"1.{s}.{e}.{i}"
                number = rng.randrange(10**6) * 100 + len(items)
                items.append(registration(number, *uids, attributes=study | series | own))
    return items


TEXT_PATTERNS = ["A*", "*B", "a?b", "A_B", "A%*", "?", "*B*", "\\*", "Ä*", "*?*"]
NAME_PATTERNS = [
    *("doe^jane", "doe*", "*anna", "*an*", "m?ller*", "sm*h*", "wang*", "山田*", "*太郎", "?*"),
    *("muller^hans", "meyer", "smith", "smyth anna", "hans muller", "=山田*", "yamada*=山*"),
    *("d*=*", "o'neil_100%*", "^", "doe^*=", "a*=b=c=d", "jane^doe", "*"),
]
END_DATES = [None, dt.date(1999, 12, 31), dt.date(2024, 1, 1), dt.date(2024, 2, 3)]
END_TIMES = [None, dt.time(10), dt.time(10, 30, 15), dt.time(23, 59, 59, 999999)]


def _text(rng: Random) -> Condition:
    values = [text.strip() for text in TEXTS if isinstance(text, str)]
    choices: list[Condition] = [
        Single(rng.choice(values)),
        Wildcard(rng.choice(TEXT_PATTERNS)),
        Empty(),
        AllOf(tuple(rng.sample(values, rng.randint(1, 2)))),
        AnyOf((Single(rng.choice(values)), Wildcard(rng.choice(TEXT_PATTERNS)))),
    ]
    return rng.choice(choices)


def _dates(rng: Random) -> DateRange:
    return DateRange(rng.choice(END_DATES), rng.choice(END_DATES))


def _times(rng: Random) -> TimeRange:
    return TimeRange(rng.choice(END_TIMES), rng.choice(END_TIMES))


ZONES = [None, None, dt.timezone(dt.timedelta(hours=2)), dt.timezone(dt.timedelta(hours=-5))]


def _moments(rng: Random) -> MomentRange:
    ends: list[dt.datetime | None] = []
    zone = rng.choice(ZONES)
    for _ in range(2):
        date, time = rng.choice(END_DATES), rng.choice(END_TIMES)
        ends.append(dt.datetime.combine(date, time, zone) if date and time else None)
    return MomentRange(*ends)


def _item(rng: Random) -> Item:
    zoned = dt.datetime(2024, 1, rng.randint(1, 3), rng.randint(0, 23), tzinfo=dt.UTC)
    choices = [
        MatchingKey("00400009", _text(rng)),
        MatchingKey("00401001", Single(rng.choice(["R1", "R2"]))),
        MatchingKey("00400002", _dates(rng)),
        MatchingKey("00400003", _times(rng)),
        MatchingKey("00400002", _moments(rng), "00400003"),
        MatchingKey("00321032", Name(rng.choice(NAME_PATTERNS))),
        MatchingKey("00200013", Number(rng.choice([1.0, 2.5]))),
        MatchingKey("00404005", MomentRange(zoned, None)),
        MatchingKey("00404005", _moments(rng)),
    ]
    return Item(tuple(rng.sample(choices, rng.choice([1, 1, 2, 3]))))


def _key(rng: Random, level: Level) -> MatchingKey:
    choices = [MatchingKey(rng.choice(TEXT_TAGS[level]), _text(rng)) for _ in range(2)]
    for tag in NAME_TAGS[level]:
        name = Name(rng.choice(NAME_PATTERNS), rng.random() < 0.4)
        either = AnyOf((Name("smith^*"), Name("smith")))
        choices += [MatchingKey(tag, rng.choice([name, name, name, either, Empty()]))]
    for date, time in MOMENT_TAGS[level]:
        choices.append(MatchingKey(date, rng.choice([_dates(rng), _dates(rng), Empty()])))
        choices.append(MatchingKey(time, rng.choice([_times(rng), _times(rng), Empty()])))
        choices.append(MatchingKey(date, _moments(rng), time))
    for tag in NUMBER_TAGS[level]:
        number = Number(rng.choice([1.0, 2.0, 2.5, -3.0]))
        choices.append(MatchingKey(tag, rng.choice([number, number, Empty()])))
    if level in ITEM_TAGS:
        choices.append(MatchingKey(ITEM_TAGS[level], rng.choice([_item(rng), _item(rng), Empty()])))
    return rng.choice(choices + _uid_keys(rng, level))


def _uid_keys(rng: Random, level: Level) -> list[MatchingKey]:
    classes = rng.choice([Single(CT), UidList((CT, MR)), UidList((MR,))])
    match level:
        case Level.STUDY:
            uid = rng.choice([Single("1.0"), UidList(("1.0", "1.1", "9")), Single("9")])
            held = rng.choice([_text(rng), Single("AB"), Single("XX")])
            both = rng.choice([classes, AllOf((CT, MR))])
            return [
                MatchingKey("0020000D", uid),
                MatchingKey("00080061", held),
                MatchingKey("00080062", both),
            ]
        case Level.SERIES:
            uid = rng.choice([Single("1.0.0"), UidList(("1.0.1", "1.1.0"))])
            return [MatchingKey("0020000E", uid)]
        case Level.IMAGE:
            uid = rng.choice([Single("1.0.0.0"), UidList(("1.0.0.1", "1.1.0.0"))])
            return [MatchingKey("00080018", uid), MatchingKey("00080016", classes)]
    return []


def question(rng: Random) -> Query:
    """Make a query at any level with up to three keys of its level and those above."""
    level = rng.choice(LEVELS)
    usable = LEVELS[: LEVELS.index(level) + 1]
    keys = [_key(rng, rng.choice(usable)) for _ in range(rng.randint(0, 3))]
    return Query(level=level, keys=tuple({key.tag: key for key in keys}.values()))


@dataclass(frozen=True)
class Entity:
    """One entity as the oracle sees it; `order` is its place."""

    uids: tuple[str, ...]
    attributes: Elements
    order: tuple[Any, ...]


def expected(items: Sequence[Registration], query: Query) -> list[tuple[str, ...]]:
    """Say which entities match, in the order of the archive."""
    found = [e for e in entities(items, query.level) if matches(query, e.attributes)]
    return [e.uids for e in sorted(found, key=lambda e: e.order)]


def entities(items: Sequence[Registration], level: Level) -> list[Entity]:
    """List the entities of a level with the attributes an answer has, computed ones included."""
    depth = max(LEVELS.index(level), 1)
    groups: dict[tuple[str, ...], list[Registration]] = {}
    for item in items:
        uids = (str(item.ref.study), str(item.ref.series), str(item.ref.instance))[:depth]
        groups.setdefault(uids, []).append(item)
    found = [_entity(items, uids, group) for uids, group in groups.items()]
    return _patients(found, items) if level is Level.PATIENT else found


def _entity(
    items: Sequence[Registration], uids: tuple[str, ...], group: list[Registration]
) -> Entity:
    study = [item for item in items if item.ref.study == uids[0]]
    attributes = _study(study)
    order: list[Any] = [_date_order(attributes), _descending(uids[0])]
    if len(uids) > 1:
        series = [item for item in study if item.ref.series == uids[1]]
        attributes |= _own(_first(series), SERIES_TAGS)
        attributes["00201209"] = _count(len(series))
        order += [_number_order(attributes, "00200011"), uids[1]]
    if len(uids) > 2:
        attributes |= _own(group[0], INSTANCE_TAGS)
        attributes["00083002"] = {"vr": "UI", "Value": [group[0].transfer_syntax]}
        order += [_number_order(attributes, "00200013"), uids[2]]
    return Entity(uids, attributes, tuple(order))


def _study(items: Sequence[Registration]) -> Elements:
    attributes = _own(_first(items), STUDY_TAGS)
    if values_of(attributes.get("00100020")):
        attributes["00100021"] = {"vr": "LO", "Value": ["LOCAL"]}
    serieses = {
        item.ref.series: [i for i in items if i.ref.series == item.ref.series] for item in items
    }
    modalities = {
        str(value).strip()
        for group in serieses.values()
        for value in values_of(_first(group).attributes.get("00080060"))
    }
    return attributes | {
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080061": {"vr": "CS", **({"Value": sorted(modalities)} if modalities else {})},
        "00080062": {"vr": "UI", "Value": sorted({item.sop_class for item in items})},
        "00201206": _count(len(serieses)),
        "00201208": _count(len(items)),
    }


def _patients(studies: list[Entity], items: Sequence[Registration]) -> list[Entity]:
    groups: dict[str, list[Entity]] = {}
    for study in studies:
        id_ = "".join(map(str, values_of(study.attributes.get("00100020")))).strip()
        groups.setdefault(id_ or study.uids[0], []).append(study)
    found = []
    for group in groups.values():
        latest = max(group, key=lambda e: (read_or_low(e.attributes), e.uids[0]))
        own = {t: e for t, e in latest.attributes.items() if t in INDEXED[Level.PATIENT]}
        of = [i for i in items if any(i.ref.study == e.uids[0] for e in group)]
        own["00201200"] = _count(len(group))
        own["00201202"] = _count(len({i.ref.series for i in of}))
        own["00201204"] = _count(len(of))
        found.append(Entity((latest.uids[0],), own, (latest.uids[0],)))
    return found


def read_or_low(attributes: Elements) -> dt.date:
    """Read the Study Date; absent and invalid ones are below all others."""
    values = values_of(attributes.get("00080020"))
    return (read_date(str(values[0])) if values else None) or dt.date.min


def _own(item: Registration, tags: frozenset[str]) -> Elements:
    return {
        tag: e if values_of(e) else {"vr": e["vr"]}
        for tag, e in item.attributes.items()
        if tag in tags
    }


def _first(items: Sequence[Registration]) -> Registration:
    return min(items, key=lambda i: (i.created_us, i.blob_id))


def _count(number: int) -> Elements:
    return {"vr": "IS", "Value": [number]}


def _date_order(attributes: Elements) -> int:
    return -read_or_low(attributes).toordinal()


def _number_order(attributes: Elements, tag: str) -> float:
    values = values_of(attributes.get(tag))
    if not values or values[0] == "x" or values[0] != int(values[0]):
        return float("inf")
    return float(values[0])


def _descending(uid: str) -> tuple[int, ...]:
    return tuple(-ord(c) for c in uid)
