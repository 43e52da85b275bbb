"""What is remembered of a catalogue is what would be worked out anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.admission import Capacity
from mlabhub.core.bounds import bounded_by
from mlabhub.core.profiles import Catalog, default_choice, opening_image, visible_profiles
from mlabhub.core.sight import offered_profiles, see
from tests.core.examples import CATALOG, make_node
from tests.core.test_images import LAB

groups = st.lists(st.sampled_from(["vision", "nlp", "research", "other"]), unique=True)
types = st.none() | st.lists(st.sampled_from(["a100", "t4", "v100", "h100"]), unique=True)


@given(st.sampled_from([CATALOG, LAB]), groups, types)
def test_it_is_what_the_plain_functions_say(catalog, groups, types):
    for _ in range(2):
        sight = see(catalog, groups, types)
        present = visible_profiles(catalog, groups, types)
        default = default_choice(catalog, groups, present or visible_profiles(catalog, groups))
        assert tuple(sight.usable.values()) == visible_profiles(catalog, groups)
        assert (sight.present, sight.default) == (present, default)
        assert sight.images == {
            slug: opening_image(catalog, groups, profile, default) for slug, profile in sight.usable.items()
        }


def test_an_edited_catalogue_is_seen_anew():
    assert "lab" in see(CATALOG, ["research"]).usable
    closed = [profile.model_copy(update={"groups": ("others",)}) for profile in CATALOG.profiles]
    edited = Catalog(profiles=tuple(closed), images=CATALOG.images)
    assert see(edited, ["research"]).usable == {}
    assert "lab" in see(CATALOG, ["research"]).usable


@pytest.mark.parametrize("gpus", [0, 1, 3])
def test_what_a_page_offers_is_bounded_by_the_machines(gpus):
    capacity = Capacity((make_node("n1", gpus, "t4", cpu=4, memory_gib=7.8), make_node("n2", cpu=2, memory_gib=9)))
    offered = offered_profiles(CATALOG, ["research"], capacity)
    assert [one.slug for one in offered] == [
        one.slug for one in visible_profiles(CATALOG, ["research"], capacity.gpu_types)
    ]
    for one in offered:
        bounded = bounded_by(CATALOG.profiles_by_slug[one.slug], capacity)
        assert (one.cpu, one.memory_gib, one.shm_gib) == (bounded.cpu, bounded.memory_gib, bounded.shm_gib)
        assert one.gpus == (CATALOG.profiles_by_slug[one.slug].gpus if one.gpus.choices else bounded.gpus)
