"""Which version is current: a function of the set alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vna.index.versions import CONTENT, ELSEWHERE, ENCODING, FIRST, Version, settle

SETS = st.lists(
    st.builds(
        Version,
        created_us=st.integers(0, 3),
        blob_id=st.integers(0, 255).map(lambda n: n.to_bytes(16, "big")),
        place=st.integers(1, 2),
        reason=st.sampled_from([FIRST, ENCODING, CONTENT, ELSEWHERE]),
        current=st.booleans(),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda version: version.blob_id,
)
POLICIES = st.sampled_from(["first", "newest", "reject"])


@given(versions=SETS, policy=POLICIES, data=st.data())
def test_the_order_in_which_versions_are_listed_does_not_matter(
    versions: list[Version], policy: str, data: st.DataObject
) -> None:
    mixed = data.draw(st.permutations(versions))

    assert settle(mixed, policy) == settle(versions, policy)


@given(versions=SETS, policy=POLICIES)
def test_exactly_one_is_current_and_it_is_at_home(versions: list[Version], policy: str) -> None:
    settled = settle(versions, policy)

    first = min(versions, key=lambda v: (v.created_us, v.blob_id))
    (current,) = [v for v in versions if settled[v.blob_id][1]]
    assert current.place == first.place
    assert settled[first.blob_id][0] == FIRST
    assert settled[current.blob_id][0] not in (ELSEWHERE, ENCODING)
    if policy != "newest":
        assert current is first


@given(versions=SETS, policy=POLICIES)
def test_settling_what_is_settled_changes_nothing(versions: list[Version], policy: str) -> None:
    once = settle(versions, policy)
    again = [
        Version(
            created_us=v.created_us,
            blob_id=v.blob_id,
            place=v.place,
            reason=once[v.blob_id][0],
            current=once[v.blob_id][1],
        )
        for v in versions
    ]

    assert settle(again, policy) == once
