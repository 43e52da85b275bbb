"""A configuration folder to be written into, and its faults."""

from pathlib import Path

import pytest

from mlabhub.catalog import read_folder

PROFILES = """\
profiles:
  cpu:
    display_name: CPU
    images: [base]
    cpu: {min: 1, max: 8}
    memory_gib: 4
"""


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes files into a folder and returns it."""

    def write(profiles: str | None = PROFILES, **files: str) -> Path:
        if profiles is not None:
            (tmp_path / "profiles.yaml").write_text(profiles)
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        return tmp_path

    return write


def faults_of(folder: Path) -> list[str]:
    """Return the faults without the folder's own path."""
    return [str(fault).replace(f"{folder}/", "") for fault in read_folder(folder).faults]
