"""`mlabhub idle export`: what it writes is what `mlabhub idle replay` reads."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from typer.testing import CliRunner

from mlabhub.cli import app
from mlabhub.core.readings import Sample
from mlabhub.ledger import SqlSamples, open_sqlite
from tests.service.conftest import make_settings

BEGIN = 20_000 * 86_400.0


def test_what_is_kept_is_written_and_replayed(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    settings.save()
    ledger = open_sqlite(settings.ledger_file)
    store = SqlSamples(ledger)
    for minute in range(1, 181):
        t = BEGIN + 60.0 * minute
        busy = 90.0 if minute < 10 else 0.0
        store.add(t, [Sample(t, "alice/", "L1", 1, (busy,), (1e9,), 0.0)])
    ledger.close()
    run = CliRunner().invoke
    file = tmp_path / "samples.jsonl.gz"
    written = run(app, ["idle", "export", "--out", str(file), "--state", str(settings.state_dir)])
    assert written.exit_code == 0, written.output
    with gzip.open(file, "rt") as lines:
        told = [json.loads(line) for line in lines]
    assert (len(told), told[0]["t"], told[-1]["gpu_util"]) == (180, BEGIN + 60, [0.0])
    replayed = run(app, ["idle", "replay", str(file), "--json"])
    assert replayed.exit_code == 0, replayed.output
    assert json.loads(replayed.stdout)["samples"] == 180
    since = ["--from", str(BEGIN + 9000), "--state", str(settings.state_dir)]
    assert len(run(app, ["idle", "export", *since]).stdout.splitlines()) == 31
    assert not (tmp_path / "samples.jsonl.gz.part").exists()
