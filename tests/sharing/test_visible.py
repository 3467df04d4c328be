"""What of a share is shown, as a scope: exactly the list, whole where the list is all there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vna.dicom.refs import UID, InstanceRef, SeriesRef, StudyRef
from vna.sharing.visible import Seen, scope_of

STUDIES, SERIES = ["1", "2"], ["1", "2", "3"]


@st.composite
def archives(draw: st.DrawFn) -> list[Seen]:
    """Some series of some studies, and which of their instances are on the list."""
    found = []
    for study in STUDIES:
        for series in draw(st.lists(st.sampled_from(SERIES), unique=True)):
            total = draw(st.integers(1, 3))
            shown = draw(st.lists(st.integers(1, total), unique=True))
            uid = f"{study}.{series}"
            found.append(
                Seen(UID(study), UID(uid), total, [UID(f"{uid}.{number}") for number in shown])
            )
    return found


PARTS = st.lists(
    st.lists(
        st.sampled_from(STUDIES).flatmap(
            lambda study: st.tuples(
                st.just(study), st.none() | st.sampled_from([f"{study}.{s}" for s in SERIES])
            )
        ),
        min_size=1,
        max_size=3,
    ),
    max_size=2,
)


@given(archives(), PARTS)
def test_the_scope_is_what_is_shown_and_no_more(
    seen: list[Seen], parts: list[list[tuple[str, str | None]]]
) -> None:
    scope = scope_of(seen, parts)
    shown = {
        InstanceRef(one.study, one.series, uid)
        for one in seen
        for uid in one.instances
        if all((one.study, None) in part or (one.study, one.series) in part for part in parts)
    }
    for one in seen:
        every = [
            InstanceRef(one.study, one.series, UID(f"{one.series}.{number}"))
            for number in range(1, one.total + 1)
        ]
        for ref in every:
            assert scope.covers(ref) is (ref in shown)
        assert scope.covers(SeriesRef(one.study, one.series)) is (set(every) <= shown)
    for study in {one.study for one in seen}:
        of_study = [one for one in seen if one.study == study]
        total = sum(one.total for one in of_study)
        is_whole = total == sum(ref.study == study for ref in shown)
        assert scope.covers(StudyRef(study)) is is_whole
        assert scope.touches(StudyRef(study)) is any(ref.study == study for ref in shown)


def test_nothing_left_is_nothing_shown() -> None:
    scope = scope_of([], ())
    assert not scope.touches(StudyRef(UID("1")))
    assert not scope.everything
