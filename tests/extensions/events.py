"""Real event files, written with TensorBoard's own writer, for the tests of TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.event_file_writer import EventFileWriter

STARTED = 1_790_000_000.0


def write_curves(folder: Path, curves: Mapping[str, Sequence[float]]) -> None:
    """Write a run whose curves have these values at steps 0, 1, 2, ..."""
    writer = EventFileWriter(str(folder))
    for tag, values in curves.items():
        for step, value in enumerate(values):
            event = Event(wall_time=STARTED + step, step=step)
            event.summary.value.add(tag=tag, simple_value=value)
            writer.add_event(event)
    writer.close()
