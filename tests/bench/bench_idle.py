"""Verdicts on many servers, and a replay of many samples.

    python -m tests.bench.bench_idle [--servers 3000] [--samples 1000000]

Prints one line of JSON: seconds of processor time for one assessment of all servers with one new sample each, and for
all of them when nothing was read before; bytes of a day of samples; and seconds for reading and replaying a recording.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from mlabhub.core.idle.gaps import Gaps
from mlabhub.core.idle.patience import Patient
from mlabhub.core.idle.presets import DEFAULT
from mlabhub.core.idle.samples import Sample, Samples
from mlabhub.core.idle.state import State
from mlabhub.core.idle.verdict import assess
from mlabhub.replay.idle import read_samples, run
from tests.replay.idle.traces import lines_of, many

START = 1.7e9
DAY_MINUTES = 1440


def measure(servers: int, samples: int) -> dict[str, Any]:
    """Assess and replay once."""
    return {"servers": servers, "samples": samples, **assess_all(servers), **replay(samples)}


def assess_all(servers: int) -> dict[str, float]:
    """Assess all servers with a day of samples each, then once more with one more sample."""
    columns = [_day(number) for number in range(servers)]
    gaps, state = Gaps(5400.0), State()
    now = START + DAY_MINUTES * 60.0
    patients = [Patient(gaps, f"s{number}/") for number in range(servers)]
    spent = []
    for step in range(2):
        for number, one in enumerate(columns):
            one.add(_sample(number, DAY_MINUTES + step))
        begun = time.process_time()
        for one, patient in zip(columns, patients, strict=True):
            assess(one, state, DEFAULT, now + 60.0 * step, patience=patient)
        spent.append(time.process_time() - begun)
    size = sum(one.size() for one in columns)
    return {"assess_s": round(spent[1], 4), "first_assess_s": round(spent[0], 2), "day_mb": round(size / 1e6, 1)}


def replay(samples: int) -> dict[str, float]:
    """Read and replay a made recording."""
    lines = lines_of(many(samples))
    begun = time.process_time()
    recording = read_samples(lines)
    read = time.process_time()
    outcome = run(recording, DEFAULT)
    done = time.process_time()
    return {
        "read_s": round(read - begun, 2),
        "replay_s": round(done - read, 2),
        "all_s": round(done - begun, 2),
        "stops": outcome.totals.stops,
        "stops_of_a_busy_server": outcome.totals.stops_of_a_busy_server,
    }


def _day(number: int) -> Samples:
    samples = Samples()
    for minute in range(DAY_MINUTES):
        samples.add(_sample(number, minute))
    return samples


def _sample(number: int, minute: int) -> Sample:
    busy = (minute // 120 + number) % 3 == 0
    return Sample(START + 60.0 * minute, 1, [80.0 if busy else 0.0], [2e9], 0.3, START, 30.0, 0, 0)


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--servers", type=int, default=3_000)
    parser.add_argument("--samples", type=int, default=1_000_000)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.servers, arguments.samples)))


if __name__ == "__main__":
    main()
