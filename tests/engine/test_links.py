"""Links that an image has where something is mounted for its server: an engine follows them, so they are refused."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mlabhub.engine import Bind, EngineApi, runtime
from mlabhub.engine.runtime import places_to_check
from mlabhub.errors import LaunchRefused
from mlabhub.spawners.images import ImageSource
from tests.engine.podman import Playground
from tests.engine.test_containers import ended
from tests.spawners.test_plan_to_container import PLAN

pytestmark = pytest.mark.engine

HOME = "/mnt/user/alice"


def make_image(ground: Playground, link: str, to: str) -> str:
    """Make an image with a link, and a volume there, which hides it from who asks the engine carelessly."""
    image = f"localhost/mlabhub-test-{ground.instance}/link:latest"
    container = ground.podman("create", "--label", f"mlabhub.instance={ground.instance}", ground.image, "true")
    place = Path(ground.podman("mount", container) + link)
    if place.is_dir():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(to)
    ground.podman("umount", container)
    label = f"LABEL mlabhub.instance={ground.instance}"
    ground.podman("commit", "--change", label, "--change", f'VOLUME ["{link}"]', container, image)
    ground.podman("rm", container)
    return image


def make_program(program: Path) -> None:
    program.parent.mkdir()
    program.write_text(f"#!{shutil.which('sh')}\nid -u; echo chosen by alice\n")
    program.chmod(0o755)
    program.parent.parent.chmod(0o755)


def test_places_on_the_way_count() -> None:
    assert {"/data", "/data/x", "/opt", "/opt/mlabhub", "/run", "/etc"} <= places_to_check(["/data/x"])
    assert "/" not in places_to_check(["/data/x"])


@pytest.mark.parametrize(
    ("link", "to"),
    [("/opt", f"{HOME}/opt"), ("/opt/mlabhub", "/nowhere")],
)
async def test_an_image_with_a_link_there_is_not_started(
    ground: Playground, api: EngineApi, link: str, to: str
) -> None:
    image = make_image(ground, link, to)
    try:
        paths = sorted(places_to_check([HOME]))
        assert link in await api.image_links(image, paths)
        assert await api.image_links(ground.image, paths) == ()
        source = ImageSource(api, None, None, None)  # type: ignore[arg-type]
        plan = replace(PLAN, image=image, image_reference=image, image_kind="typed")
        for _ in range(2):
            with pytest.raises(LaunchRefused, match="has a link at"):
                await source._check_links(plan, image)
    finally:
        ground.podman("rmi", "-f", image)


async def test_a_container_to_look_into_is_nobodys_server(ground: Playground, api: EngineApi) -> None:
    image = make_image(ground, "/opt", "/nowhere")
    mine = {"mlabhub.instance": ground.instance}
    container = await api._create_bare(image)
    try:
        assert container not in {one.id for one in await api.containers(mine)}
    finally:
        await api.remove(container)
        ground.podman("rmi", "-f", image)


async def test_what_would_run_as_root_otherwise(ground: Playground, api: EngineApi, tmp_path: Path) -> None:
    image = make_image(ground, "/run", f"{HOME}/run")
    make_program(tmp_path / "run" / "podman-init")
    container = await api.create(replace(ground.spec(binds=(Bind(str(tmp_path), HOME),)), image=image))
    try:
        await api.start(container)
        await ended(api, container)
        assert await api.logs(container) == "0\nchosen by alice"
    finally:
        await api.remove(container)
        ground.podman("rmi", "-f", image)


def test_what_a_killed_process_left_of_the_bundle_goes_and_what_is_written_stays(tmp_path: Path) -> None:
    for name in ("new-killed", "new-young", "0123", "newest", "used"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / "new-killed", (0, 0))
    runtime._remove_but(tmp_path, {"newest", "used"})
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["new-young", "newest", "used"]
