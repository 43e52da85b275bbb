"""Samples as they are kept: one server's are found among thousands without reading those."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.readings import Sample
from mlabhub.ledger.sample_tables import pack, unpack, unpack_of

NAMES = st.one_of(st.sampled_from(["alice/", 'a"b/', "[1.0,/", 'x","y/', "小明/", "\\/"]), st.text(max_size=6))
SAMPLES = st.lists(
    st.builds(
        Sample,
        st.floats(0, 4e9),
        NAMES,
        NAMES,
        st.integers(0, 8),
        st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=2).map(tuple),
        st.just(()),
        st.one_of(st.none(), st.floats(0, 64)),
        more=st.dictionaries(NAMES, st.floats(0, 9), max_size=2),
    ),
    max_size=8,
)


@given(SAMPLES, NAMES)
def test_one_servers_samples_are_those_of_that_name(samples: list[Sample], name: str) -> None:
    packed = pack(samples)
    for server in {name, *(one.server for one in samples)}:
        assert unpack_of(packed, server) == [one for one in unpack(packed) if one.server == server]
