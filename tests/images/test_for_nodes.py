"""What nodes call an image, and where ours are pushed to."""

from __future__ import annotations

import pytest

from mlabhub.cluster.images import brings_all, for_nodes, in_registry, parse_registry
from mlabhub.errors import InvalidConfiguration


@pytest.mark.parametrize(
    ("reference", "registry", "expected"),
    [
        ("localhost/mlabhub/base:latest", None, "localhost/mlabhub/base:latest"),
        ("localhost/mlabhub/base:latest", "harbor.lab:5000/mlabhub", "harbor.lab:5000/mlabhub/base:latest"),
        ("localhost/mlabhub/base:2026.1", "harbor.lab/a/b/", "harbor.lab/a/b/base:2026.1"),
        ("localhost/other/base:latest", "harbor.lab/mlabhub", "localhost/other/base:latest"),
        ("ghcr.io/mlabhub/base:latest", "harbor.lab/mlabhub", "ghcr.io/mlabhub/base:latest"),
        ("localhost/mlabhubs/base:latest", "harbor.lab/mlabhub", "localhost/mlabhubs/base:latest"),
    ],
)
def test_ours_are_in_the_sites_registry(reference: str, registry: str | None, expected: str):
    assert for_nodes(reference, registry) == expected


@pytest.mark.parametrize(
    ("reference", "registry", "expected"),
    [
        ("localhost/mlabhub/base:latest", None, True),
        ("harbor.lab/mlabhub/base:latest", "harbor.lab/mlabhub", True),
        ("harbor.lab/mlabhub/lab/grown:1", "harbor.lab/mlabhub/", True),
        ("harbor.lab/mlabhub2/base:latest", "harbor.lab/mlabhub", False),
        ("harbor.lab/mlabhub/base:latest", None, False),
        ("docker.io/library/debian:12", "harbor.lab/mlabhub", False),
        ("localhost/lab/tool:1", None, False),
    ],
)
def test_an_image_is_ours_or_an_outside_one(reference: str, registry: str | None, expected: bool):
    assert brings_all(reference, registry) is expected


def test_where_an_image_is_pushed_to():
    assert str(in_registry("base", "harbor.lab:5000/mlabhub/", "2026.1")) == "harbor.lab:5000/mlabhub/base:2026.1"
    assert str(in_registry("base", "127.0.0.1:5000")) == "127.0.0.1:5000/base:latest"


@pytest.mark.parametrize(
    "registry",
    [
        "",
        "harbor",
        "https://harbor.lab/x",
        "Harbor.lab/x",
        "harbor.lab/x:1",
        "harbor.lab/../x",
        "a b.c/x",
        "localhost/x",
    ],
)
def test_what_is_no_registry_is_said_to_be_none(registry: str):
    with pytest.raises(InvalidConfiguration, match="is not a registry"):
        parse_registry(registry)


@pytest.mark.parametrize("tag", ["", "a b", "-x", "x" * 129, "latest@sha256:0"])
def test_what_is_no_tag_is_said_to_be_none(tag: str):
    with pytest.raises(InvalidConfiguration, match="is not a tag"):
        in_registry("base", "harbor.lab/x", tag)
