"""The made ledger: that it is a history which can have happened, and that the real service lives with it."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from pathlib import Path

import httpx

from mlabhub.core.sample_history import COARSE_FOR_S
from mlabhub.ledger import SqlUsage, open_ledger
from mlabhub.ledger.samples import SqlSamples
from mlabhub.settings import Settings
from tests.bench.bench_admission import bare_installation
from tests.bench.made_ledger import Made, make_ledger
from tests.bench.made_service import login_cookies, start_made_service


def make(folder: Path) -> tuple[Settings, Made]:
    settings = bare_installation(folder)
    return settings, make_ledger(settings, users=50, servers=60, nodes=20, days=40, groups=5, sample_hours=2)


def test_no_gpu_and_no_server_is_held_twice_at_once(tmp_path: Path) -> None:
    settings, made = make(tmp_path)
    ledger = open_ledger(settings)
    runs = [
        (one.held, one.released or made.now, (*one.gpus, f"{one.user}/{one.server}"))
        for one in map(ledger.reservation, (f"01MADE{number:020}" for number in range(1, made.launches + 1)))
        if one is not None and one.held is not None
    ]
    ledger.close()
    assert len(runs) == made.launches > 1000
    spans = defaultdict(list)
    for begun, ended, things in runs:
        assert begun < ended <= made.now
        for thing in things:
            spans[thing].append((begun, ended))
    for held in spans.values():
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(sorted(held)))


def test_it_has_what_was_asked_for(tmp_path: Path) -> None:
    settings, made = make(tmp_path)
    ledger = open_ledger(settings)
    contents = ledger.load(made.now)
    assert {one.launch_id for one in contents.reservations} == {one.launch_id for one in made.running}
    assert len(made.running) == 60
    assert sum(one.kind == "user" for one in contents.ids) == 50
    parts = (contents.entries, contents.quota_changes, contents.warnings, contents.keepings)
    assert all((*parts, ledger.told_starts(0.0), ledger.would_stops(0.0)))
    assert {entry.act for entry in ledger.audit(limit=10_000)} >= {"admit", "release", "queue"}
    samples = SqlSamples(ledger)
    one = made.running[0]
    of_server = samples.of_server(f"{one.user}/{one.server}", made.now - 3600.0, made.now)
    assert len(of_server) >= 14
    sums = samples.days(0.0, made.now - COARSE_FOR_S)
    assert sum(day.used_s for day in sums) > 0
    usage = SqlUsage(ledger)
    users = usage.totals("user", "2000-01-01", "2999-01-01")
    assert (len(users), sum(one.idle > 0 for one in users.values())) == (50, 50)
    assert usage.until() is not None
    ledger.close()


def test_the_service_lives_with_it(tmp_path: Path) -> None:
    settings, made = make(tmp_path)
    process = start_made_service(settings)
    try:
        one = made.running[0]
        with httpx.Client(base_url=settings.service_url, trust_env=False, timeout=30) as http:
            mine = http.get("api/v1/servers", headers={"Authorization": f"token t-{one.user}"})
            queue = http.get("api/v1/queue", headers={"Authorization": "token t-admin"})
            http.cookies.update(login_cookies("admin"))
            page = http.get("idle")
        assert one.server in {server["server_name"] for server in mine.json()["servers"]}
        assert (queue.status_code, page.status_code) == (200, 200), page.text
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(30)
    ledger = open_ledger(settings)
    held = {reservation.launch_id for reservation in ledger.load(time.time()).reservations}
    ledger.close()
    assert held >= {reservation.launch_id for reservation in made.running}
