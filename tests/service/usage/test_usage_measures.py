"""GPU seconds for Prometheus: by group, and never by more groups than can be kept apart."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from mlabhub.core.usage.sums import Sums
from mlabhub.service.usage.measures import MOST_GROUPS, NO_GROUP, OTHERS, USES, GpuSeconds


def test_groups_beyond_the_most_are_counted_together() -> None:
    registry = CollectorRegistry()
    measures = GpuSeconds(registry)
    for _ in range(2):
        for number in range(MOST_GROUPS + 50):
            measures.count(f"group{number}", Sums(held=10_000, used=5_000, idle=2_000, waited=1_000))
        measures.count("", Sums(waited=500))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"mlabhub_gpu_{name}_seconds_total", labels)

    assert [value("held", group="group0", use=use) for use in USES] == [10.0, 4.0, 6.0]
    assert value("held", group=f"group{MOST_GROUPS}", use="used") is None
    assert value("held", group=OTHERS, use="used") == 2 * 50 * 5.0
    assert value("waited", group=NO_GROUP) == 1.0
    (held, _) = registry.collect()
    assert len({sample.labels["group"] for sample in held.samples}) == MOST_GROUPS + 2
