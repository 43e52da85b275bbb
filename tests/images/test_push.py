"""Images of ours, pushed into a real registry and fetched from it again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlabhub.cluster.images import in_registry
from mlabhub.errors import NotFound
from mlabhub.images.program import ImageError, Program
from mlabhub.images.push import Registry, explain_push, push_images
from tests.registry import RunningRegistry, running_registry

ALICE, PASSWORD = "alice", "not:a secret"
SMALL = "FROM scratch\nCOPY word /word\n"


@pytest.fixture
def images(program: Program, tmp_path: Path) -> Iterator[Path]:
    """A folder like images/ with two images that take no time, of which one is built."""
    folder = tmp_path / "images"
    for name in ("push-one", "push-two"):
        (folder / name).mkdir(parents=True)
        (folder / name / "Containerfile").write_text(SMALL)
        (folder / name / "word").write_text(name)
    (folder / "images.yaml").write_text("push-one: {parent: scratch}\npush-two: {parent: scratch}\n")
    reference = "localhost/mlabhub/push-one:latest"
    program.run("build", f"--tag={reference}", str(folder / "push-one"), f"--file={folder}/push-one/Containerfile")
    yield folder
    program.ask("rmi", "--force", reference)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[RunningRegistry]:
    """A registry that wants a password."""
    with running_registry(tmp_path, account=(ALICE, PASSWORD)) as registry:
        yield registry


def push(images: Path, place: str, *names: str, tag: str = "latest", password: str = PASSWORD):
    registry = Registry(place, tls_verify=False, user=ALICE, password=password)
    return push_images(names, registry, tag=tag, report=lambda _: None, folder=images)


@pytest.mark.engine
def test_what_is_built_is_pushed_and_can_be_fetched_by_its_digest(
    images: Path, closed: RunningRegistry, program: Program, tmp_path: Path
):
    [pushed] = push(images, f"{closed.host}/lab/mlabhub", tag="2026.1")
    assert (pushed.name, pushed.reference) == ("push-one", f"{closed.host}/lab/mlabhub/push-one:2026.1")
    credentials = f"--creds={ALICE}:{PASSWORD}"
    if program.engine.kind == "podman":
        program.run("pull", "--tls-verify=false", credentials, pushed.exact)
        program.run("rmi", "--force", pushed.exact)
    [again] = push(images, f"{closed.host}/lab/mlabhub", "push-one", tag="2026.2")
    assert again.digest == pushed.digest


@pytest.mark.engine
def test_a_wrong_password_is_a_sentence_and_stands_nowhere(images: Path, closed: RunningRegistry):
    with pytest.raises(ImageError, match="does not take lab/push-one from this account") as refused:
        push(images, f"{closed.host}/lab", password="wrong-password")
    assert "wrong-password" not in refused.value.log_text


@pytest.mark.engine
def test_plain_http_is_said(images: Path, closed: RunningRegistry):
    with pytest.raises(ImageError, match="speaks plain HTTP"):
        push_images((), Registry(f"{closed.host}/lab"), report=lambda _: None, folder=images)


@pytest.mark.engine
def test_what_is_not_built_is_said_before_anything_is_pushed(images: Path, closed: RunningRegistry):
    with pytest.raises(ImageError, match="Not built yet: push-two"):
        push(images, f"{closed.host}/lab", "push-one", "push-two")
    with pytest.raises(NotFound, match="push-three"):
        push(images, f"{closed.host}/lab", "push-three")


def test_an_account_without_its_password_is_refused():
    command = [str(Path(sys.executable).with_name("mlabhub")), "image", "push", "--registry=127.0.0.1:1/lab"]
    answer = subprocess.run([*command, "--username=alice"], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "go together" in answer.stderr


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Error: unauthorized: authentication required", "podman login harbor.lab"),
        ("denied: requested access to the resource is denied", "podman login harbor.lab"),
        ("x509: certificate signed by unknown authority", "CA_FILE"),
        ("http: server gave HTTP response to HTTPS client", "--no-tls-verify"),
    ],
)
def test_a_registrys_answer_is_said_with_what_mends_it(said: str, expected: str):
    assert expected in explain_push(in_registry("base", "harbor.lab/mlabhub"), said)


def test_an_answer_that_nobody_knows_is_left_as_it_is():
    assert explain_push(in_registry("base", "harbor.lab/mlabhub"), json.dumps({"code": 500})) == ""
