"""Images that are not here: fetched once for all who wait, told in words, started when they are here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlabhub.errors import MLabError
from mlabhub.ledger import LedgerUnavailable
from mlabhub.service.fetching import (
    FAILED_S,
    MOST_TYPED,
    ImageFetcher,
    ImageFetching,
    build_image,
    read_step,
    recipe_of,
)
from tests.doubles import ScriptedBackend, ScriptedImages
from tests.service.conftest import Running, make_settings, run_service

REFERENCE = "master0:5000/eflops/torch:1"
IMAGES = (
    "images:\n  base: {display_name: Base, reference: 'localhost/mlabhub/base:latest'}\n"
    f"  torch: {{display_name: Torch, reference: '{REFERENCE}'}}\n"
    "  nowhere: {display_name: Nowhere, reference: 'localhost/mlabhub/nowhere:latest'}\n"
)
PROFILES = "profiles: {cpu: {display_name: CPU, images: [base, torch, nowhere], cpu: 1, memory_gib: 1}}\n"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Running]:
    settings = make_settings(tmp_path)
    (settings.config_dir / "images.yaml").write_text(IMAGES)
    (settings.config_dir / "profiles.yaml").write_text(PROFILES)
    images = ScriptedImages(here={"localhost/mlabhub/base:latest"}, registries={REFERENCE: ""})
    async with run_service(settings, backend=ScriptedBackend(images=images)) as one:
        yield one


def images_of(site: Running) -> ScriptedImages:
    assert isinstance(site.backend.images, ScriptedImages)
    return site.backend.images


async def launch(site: Running, image: str, server: str = "") -> tuple[int, dict[str, object]]:
    body = {"server_name": server, "user_options": {"image": image}}
    answer = await site.call("POST", "api/v1/launches", json=body)
    return answer.status_code, answer.json().get("error", {})


async def settled(site: Running, image: str) -> None:
    """Return when nothing is being fetched for an image any more."""
    task = site.world.fetcher._tasks.get(image)
    if task is not None:
        await asyncio.wait([task])


async def test_a_missing_image_is_fetched_and_then_starts(site: Running) -> None:
    status, error = await launch(site, "torch")
    assert (status, error["code"], error["image"]) == (409, "image_missing", "torch")
    assert site.of_server("alice") is None, "nothing is reserved meanwhile"
    await asyncio.sleep(0.05)
    status, error = await launch(site, "torch")
    assert error["fetch"] == {"state": "fetching", "percent": 50, "step": "1 of 2 layers", "seconds_left": None}
    assert "50 %" in str(error["message"])
    images_of(site).go_on.set()
    await settled(site, "torch")
    assert (await launch(site, "torch"))[0] == 201
    assert images_of(site).pulled == [REFERENCE]


async def test_many_who_wait_are_one_job(site: Running) -> None:
    answers = await asyncio.gather(*(launch(site, "torch", f"s{number}") for number in range(20)))
    assert {status for status, _ in answers} == {409}
    images_of(site).go_on.set()
    await settled(site, "torch")
    assert images_of(site).pulled == [REFERENCE]


async def test_a_failure_is_told_in_words_and_tried_again_later(site: Running) -> None:
    images_of(site).registries[REFERENCE] = "no space left on device."
    images_of(site).go_on.set()
    await launch(site, "torch")
    await settled(site, "torch")
    status, error = await launch(site, "torch")
    assert (status, error["code"]) == (409, "image_not_fetched")
    assert "no space left on device" in str(error["message"])
    site.world.fetcher._ended["torch"] -= FAILED_S
    images_of(site).registries[REFERENCE] = ""
    assert (await launch(site, "torch"))[1]["code"] == "image_missing"
    await settled(site, "torch")
    assert (await launch(site, "torch"))[0] == 201


async def test_what_no_registry_and_no_recipe_has_is_said(site: Running) -> None:
    await launch(site, "nowhere")
    await settled(site, "nowhere")
    status, error = await launch(site, "nowhere")
    assert (status, error["code"]) == (409, "image_not_fetched")
    assert "names no registry, and no recipe makes it" in str(error["message"])
    assert images_of(site).pulled == []


async def test_a_spawn_by_the_hub_itself_gets_the_sentence(site: Running) -> None:
    with pytest.raises(Exception, match="The image torch is being fetched"):
        await site.spawn("alice", "", {"image": "torch"})
    images_of(site).go_on.set()
    await settled(site, "torch")
    await site.spawn("alice", "", {"image": "torch"})


async def test_an_engine_that_cannot_be_asked_stops_no_launch(site: Running) -> None:
    images_of(site).down = True
    assert (await launch(site, "torch"))[0] == 201


async def test_own_images_by_the_api(site: Running) -> None:
    save = "api/v1/servers/alice/_/save"
    assert (await site.call("POST", save, "bob", json={"name": "mine"})).status_code == 403
    saved = await site.call("POST", save, json={"name": "mine", "description": "as it is"})
    assert (saved.status_code, saved.json()["name"]) == (201, "saved/mine")
    listed = (await site.call("GET", "api/v1/images")).json()["images"]
    assert [one["name"] for one in listed] == ["base", "torch", "nowhere", "saved/mine"]
    assert [one["name"] for one in (await site.call("GET", "api/v1/images", "bob")).json()["images"]][-1] == "nowhere"
    assert (await site.call("GET", "api/v1/images?user=alice", "bob")).status_code == 403
    assert (await site.call("DELETE", "api/v1/images/mine", "bob")).status_code == 404
    assert (await site.call("DELETE", "api/v1/images/mine?user=alice", "admin")).status_code == 200
    assert (await site.call("DELETE", "api/v1/images/mine")).status_code == 404
    entries = (await site.call("GET", "api/v1/audit", "admin", params={"text": "image mine"})).json()["entries"]
    assert [(one["act"], one["actor"], one["user"], one["message"]) for one in entries] == [
        ("delete_image", "admin", "alice", "admin asked to delete the saved image mine"),
        ("save_image", "alice", "alice", "alice saved it as the image mine"),
    ]


async def test_an_image_whose_deletion_cannot_be_written_down_is_kept(
    site: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.call("POST", "api/v1/servers/alice/_/save", json={"name": "mine"})

    def away(records: object) -> None:
        raise LedgerUnavailable("it is away")

    monkeypatch.setattr(site.world.ledger, "commit", away)
    assert (await site.call("DELETE", "api/v1/images/mine?user=alice", "admin")).status_code == 503
    assert [one.name for one in await images_of(site).own("alice")] == ["mine"]


async def test_one_job_at_most_waits_for_each_of_many_names() -> None:
    images = ScriptedImages()
    fetcher = ImageFetcher(images, lambda: 0.0)
    wanted = [f"master0:5000/eflops/x:{number}" for number in range(100)]
    sentences = []
    for number, reference in enumerate(wanted):
        with pytest.raises(Exception, match=r"fetched") as caught:
            await fetcher.require(_Request(reference, f"user-{number}"))  # type: ignore[arg-type]
        sentences.append(isinstance(caught.value, ImageFetching))
    assert sentences == [True] * 20 + [False] * 80
    await fetcher.close()
    assert fetcher._tasks == {}


async def test_who_types_in_many_names_keeps_nobody_from_theirs() -> None:
    images = ScriptedImages()
    images.registries = dict.fromkeys([f"master0:5000/x:{number}" for number in range(10)], "")
    fetcher = ImageFetcher(images, lambda: 0.0)
    refused = 0
    for number in range(10):
        with pytest.raises(MLabError) as caught:
            await fetcher.require(_Request(f"master0:5000/x:{number}"))  # type: ignore[arg-type]
        refused += not isinstance(caught.value, ImageFetching)
    assert refused == 10 - MOST_TYPED
    with pytest.raises(ImageFetching):
        await fetcher.require(_Request("master0:5000/y:1", "bob"))  # type: ignore[arg-type]
    images.go_on.set()
    await asyncio.wait(fetcher._tasks.values())
    with pytest.raises(ImageFetching):
        await fetcher.require(_Request("master0:5000/z:1"))  # type: ignore[arg-type]
    await fetcher.close()
    assert fetcher._typed_by == {}


class _Request:
    """As much of a launch request as the fetcher looks at."""

    server_name, image_kind = "", "typed"

    def __init__(self, reference: str, user: str = "alice"):
        self.image = self.image_reference = reference
        self.user = user


async def test_no_password_of_an_address_is_told_by_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mlabhub"
    program.write_text(
        "#!/bin/sh\necho 'STEP 2/3: RUN curl https://lab:sesame@m.lab/x'\n"
        "echo 'mlabhub: https://lab:sesame@m.lab/x answers 404'\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    told: list[object] = []
    with pytest.raises(MLabError, match=r"^https://\*\*\*@m.lab/x answers 404") as caught:
        await build_image("base", lambda _, step: told.append(step))
    assert "sesame" not in "".join(map(str, [*told, caught.value.log_text]))


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("0:08  STEP 2/5: RUN apt-install patchelf", (2, 5)),
        ("STEP 1/4: FROM debian", (1, 4)),
        ("#7 [3/4] RUN true", (3, 4)),
        ("STEP 5/4: nonsense", None),
        ("STEP 0/0: nonsense", None),
        ("Collecting numpy", None),
        ("", None),
    ],
)
def test_steps_of_a_build(line: str, step: tuple[int, int] | None) -> None:
    assert read_step(line) == step


@pytest.mark.parametrize(
    ("reference", "recipe"),
    [
        ("localhost/mlabhub/pytorch:latest", "pytorch"),
        ("localhost/mlabhub/pytorch", "pytorch"),
        ("pytorch", None),
        ("localhost/mlabhub/pytorch:old", None),
        ("registry.lab/mlabhub/pytorch:latest", None),
    ],
)
def test_recipes_make_only_their_own_images(reference: str, recipe: str | None) -> None:
    assert recipe_of(reference) == recipe


def test_the_image_pages_ticket_is_for_one_form() -> None:
    from mlabhub.service.pages.fetching import digest, form_of

    sent = {"profile": "cpu", "image": "torch"}
    assert form_of({**sent, "ticket": "x", "wanted": "torch", "name": ""}) == sent
    assert len({digest("bob", sent), digest("alice", sent), digest("alice", {**sent, "cpu": "2"})}) == 3
    assert re.fullmatch(r"[0-9a-f]{64}", digest("alice", sent))
