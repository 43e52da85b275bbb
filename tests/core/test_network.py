"""Where servers may go, as kubernetes.yaml says it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlabhub.core.network import NetworkSpec, parts_of


def faults_of(data):
    with pytest.raises(ValidationError) as caught:
        NetworkSpec.model_validate(data)
    return [
        (*detail["loc"], *fault.at, str(fault.message))
        for detail in caught.value.errors()
        for fault in detail["ctx"]["faults"]
    ]


def test_addresses_become_ranges():
    spec = NetworkSpec.model_validate(
        {"lab": [{"cidr": "10.1.2.3"}, {"cidr": "2001:DB8:0::/48"}], "cluster_ranges": ["10.96.0.0/16"], "dns": ["::1"]}
    )
    assert [one.cidr for one in spec.lab] == ["10.1.2.3/32", "2001:db8::/48"]
    assert (spec.cluster_ranges, spec.dns) == (("10.96.0.0/16",), ("::1/128",))


NO_RANGE = "must be an address or a range of them, such as 10.1.2.3 or 10.1.2.0/24, not a name"
CLOSED = "which is closed to everybody; for pods of the cluster give their namespace"


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        ({"dns": ["registry.lab"]}, [("dns", 0, NO_RANGE)]),
        ({"dns": ["10.1.2.3 "]}, [("dns", 0, NO_RANGE)]),
        ({"dns": ["fe80::1%eth0/64"]}, [("dns", 0, NO_RANGE)]),
        ({"dns": ["010.1.2.3"]}, [("dns", 0, NO_RANGE)]),
        (
            {"lab": [{"cidr": "10.1.2.3/24"}]},
            [("lab", 0, "cidr", "is no range's beginning; the range around it is 10.1.2.0/24")],
        ),
        ({"lab": [{}]}, [("lab", 0, "needs one of cidr and namespace")]),
        ({"lab": [{"cidr": "10.0.0.1", "namespace": "git"}]}, [("lab", 0, "needs one of cidr and namespace")]),
        (
            {"lab": [{"cidr": "10.0.0.1", "pods": {"app": "git"}}]},
            [("lab", 0, "pods", "needs the namespace of these pods")],
        ),
        (
            {"lab": [{"cidr": "10.96.0.10"}, {"cidr": "169.254.169.254"}], "cluster_ranges": ["10.96.0.0/16"]},
            [
                ("lab", 0, "cidr", f"lies in 10.96.0.0/16, {CLOSED}"),
                ("lab", 1, "cidr", f"lies in 169.254.0.0/16, {CLOSED}"),
            ],
        ),
    ],
)
def test_faults(data, faults):
    assert faults_of(data) == faults


RANGES = st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "0.0.0.0/0", "::/0", "fc00::/7"])


@given(st.lists(RANGES), RANGES)
def test_parts_lie_in_what_is_around_them_and_not_in_one_another(ranges, around):
    parts = parts_of(ranges, around)
    assert set(parts) <= set(ranges)
    assert parts == parts_of(reversed(ranges), around)
    assert all(parts_of([one], other) == () for one in parts for other in parts if one != other)
    assert all(any(parts_of([one], part) for part in parts) for one in ranges if parts_of([one], around))
