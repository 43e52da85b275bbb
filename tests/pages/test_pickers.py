"""Images, the very GPUs, and mounts: what the form offers, what it says of the rest, and what it sends."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import Any

import pytest

from mlabhub.core.capacity import Capacity
from mlabhub.core.images import ImageChoice
from mlabhub.i18n import get_translator
from mlabhub.messages import Message
from mlabhub.service.pages.pickers import gpu_rows, image_field, mounts_field, reference_text
from mlabhub.service.pages.words import image_note
from mlabhub.service.views import CatalogView, Person, SavedImageView
from tests.pages.conftest import Login
from tests.pages.helpers import field
from tests.pages.launcher import CATALOG, HOSTILE, MemoryLauncher

EN = get_translator("en")
ALL = CATALOG.profiles_by_slug["all"]
DIGEST = "sha256:" + "a" * 64


async def view_of(launcher: MemoryLauncher | None = None, user: str = "bob") -> CatalogView:
    return await (launcher or MemoryLauncher({"bob": ("vision", "nlp")})).catalog_for(Person(user))


class TestImages:
    async def test_they_are_grouped_by_framework(self) -> None:
        shown = image_field(ALL, await view_of(), {}, EN)
        assert {title: [one.label for one in options] for title, options in shown.groups} == {
            "Others": ["Base (Python 3.11)"],
            "PyTorch": ["PyTorch 2.9"],
            "TensorFlow": ["TensorFlow 2.20"],
            "Another image": ["Type in an image…"],
        }
        assert (shown.value, shown.allowed) == ("base", "master0:5000/eflops/*")

    async def test_few_need_no_titles(self) -> None:
        view = replace(await view_of(), images=CATALOG.images[:1])
        profile = ALL.model_copy(update={"typed_images": ()})
        assert [title for title, _ in image_field(profile, view, {}, EN).groups] == [""]

    @pytest.mark.parametrize("slug", ["old", "secret", "nope", HOSTILE])
    async def test_what_is_not_offered_is_shown_only_to_who_chose_it(self, slug: str) -> None:
        def values(arguments: dict[str, str]) -> list[str]:
            shown = image_field(ALL, view, arguments, EN)
            return [one.value for _, options in shown.groups for one in options]

        view = await view_of()
        assert slug not in values({})
        assert slug in values({"image": slug})

    async def test_a_server_keeps_its_retired_image(self) -> None:
        view = replace(await view_of(), kept_images={"exp": CATALOG.images_by_slug["old"]})
        shown = dict(image_field(ALL, view, {"server": "exp", "image": "old"}, EN).groups)
        assert [(one.label, one.selected) for one in shown["Only for this server"]] == [
            ("PyTorch 1.13 (retired)", True)
        ]
        assert "Only for this server" not in dict(image_field(ALL, view, {"server": "other"}, EN).groups)

    async def test_ones_own_have_a_group_of_their_own(self) -> None:
        saved = [SavedImageView("mine", "pytorch", "With my tools."), SavedImageView("bare", "", "")]
        view = await view_of()
        shown = dict(image_field(ALL, view, {"image": "saved/bare"}, EN, saved).groups)
        assert [(one.value, one.label, one.selected) for one in shown["Saved by you"]] == [
            ("saved/mine", "mine (pytorch)", False),
            ("saved/bare", "bare", True),
        ]
        assert "Saved by you" not in dict(image_field(CATALOG.profiles_by_slug["gpu"], view, {}, EN, saved).groups)

    @pytest.mark.parametrize(
        ("typed", "words"),
        [
            ("master0:5000/eflops/x:1", "registry master0:5000, image eflops/x, tag 1"),
            ("master0:5000/eflops/x", "registry master0:5000, image eflops/x, tag latest"),
            (f"master0:5000/eflops/x@{DIGEST}", f"registry master0:5000, image eflops/x, digest {DIGEST}"),
        ],
    )
    def test_how_a_typed_one_is_understood(self, typed: str, words: str) -> None:
        assert reference_text(typed, EN) == words


class TestGpus:
    @staticmethod
    def states(view: CatalogView, **arguments: str) -> list[tuple[str, str]]:
        return [(row.state, row.text) for row in gpu_rows(ALL, view, arguments, EN)]

    async def test_each_says_what_stands_against_it(self) -> None:
        launcher = MemoryLauncher({"bob": ("vision", "nlp"), "eve": ("other",)})
        wish = {"profile": "gpu", "gpus": 1, "gpu_type": "a100"}
        for user in ("bob", "eve"):
            await launcher.launch(Person(user), user=user, server_name="s", display_name="exp", user_options=wish)
        node = launcher.capacity.nodes[0]
        gpus = list(node.gpus)
        sick = Message("It has fallen off the bus.")
        gpus[2] = replace(gpus[2], healthy=False, health=(sick,))
        gpus[3] = replace(gpus[3], busy=True)
        gpus[4] = replace(gpus[4], busy=None)
        gpus[5] = replace(gpus[5], divided=True)
        launcher.capacity = Capacity((replace(node, gpus=tuple(gpus)),))
        view = await view_of(launcher)
        assert self.states(view) == [
            ("held", "held by bob (exp)"),
            ("held", "held by somebody"),
            ("sick", "not healthy: It has fallen off the bus."),
            ("busy", "used by something outside of this hub"),
            ("busy", "whether it is free cannot be told now"),
            ("free", "free"),
            ("free", "free"),
        ]
        closed = replace(view, see_nodes=lambda: tuple(replace(one, schedulable=False) for one in view.nodes))
        assert self.states(closed)[-1] == ("busy", "its machine takes no new servers")

    async def test_only_where_people_may_choose(self) -> None:
        view = await view_of()
        rows = gpu_rows(ALL, view, {"gpu_ids": "GPU-sim-t4-1,GPU-sim-t4-2"}, EN)
        assert [row.uuid for row in rows if row.chosen] == ["GPU-sim-t4-1", "GPU-sim-t4-2"]
        assert gpu_rows(ALL.model_copy(update={"choose_gpu": False}), view, {}, EN) == ()
        assert gpu_rows(CATALOG.profiles_by_slug["cpu"], view, {}, EN) == ()


class TestMounts:
    async def test_rows_that_were_filled_come_back_with_two_empty_ones(self) -> None:
        arguments = {"mount-3-share": "imagenet", "mount-3-read_only": "yes", "mount-0-target": "/data/x"}
        shown = mounts_field(ALL, await view_of(), {**arguments, "mount-7-read_only": "yes"}, EN)
        assert shown is not None
        assert [(row.share, row.target, row.read_only) for row in shown.rows] == [
            ("", "/data/x", False),
            ("imagenet", "", True),
            ("", "", False),
            ("", "", False),
        ]
        assert dict(shown.shares) == {
            "user": "/mnt/user/bob",
            "group:vision": "/mnt/share/vision",
            "group:nlp": "/mnt/share/nlp",
            "fast": "/mnt/fast (Fast disk; not protected against loss)",
            "imagenet": "/mnt/data/imagenet (ImageNet; read-only; not protected against loss)",
        }

    async def test_only_where_people_may_choose(self) -> None:
        view = await view_of()
        assert mounts_field(CATALOG.profiles_by_slug["gpu"], view, {}, EN) is None
        assert mounts_field(ALL, replace(view, mount_prefixes=()), {}, EN) is None


@pytest.mark.asyncio(loop_scope="session")
class TestTheForm:
    async def post(self, login: Login, **sent: Any) -> Any:
        client = await login("bob")
        token = field(await client.get("launch"), "_xsrf")
        return await client.post("launch", data={"_xsrf": token, "profile": "all", "group": "nlp", **sent})

    async def test_everything_that_can_be_chosen(self, login: Login, launcher: MemoryLauncher) -> None:
        page = await self.post(
            login,
            image_typed=f"master0:5000/eflops/x:1@{DIGEST}",
            image=":typed",
            gpu_ids=["GPU-sim-t4-1", "GPU-sim-t4-2"],
            gpu_type="t4",
            **{
                "option-workers": "8",
                "choice-precision": "bf16",
                "mount-0-share": "imagenet",
                "mount-0-subfolder": "train/small",
                "mount-0-target": "/data/x",
                "mount-1-share": "",
                "mount-1-target": "",
            },
        )
        assert page.status_code == 303, page.text
        assert launcher.calls[-1][-1] == {
            "profile": "all",
            "group": "nlp",
            "image": f"master0:5000/eflops/x:1@{DIGEST}",
            "gpu_ids": ["GPU-sim-t4-1", "GPU-sim-t4-2"],
            "gpus": 2,
            "gpu_type": "t4",
            "mounts": [{"share": "imagenet", "subfolder": "train/small", "target": "/data/x"}],
            "options": {"workers": 8, "precision": "bf16"},
        }

    @pytest.mark.parametrize(
        ("sent", "place", "words"),
        [
            pytest.param({"image_typed": "docker.io/evil:1"}, "error-image", "may not be typed in", id="registry"),
            pytest.param({"image_typed": "X" * 10_000}, "error-image", "cannot be chosen", id="endless name"),
            pytest.param({"image": "old"}, "error-image", "is retired", id="retired"),
            pytest.param({"option-workers": "17"}, "error-option-workers", "workers cannot be 17", id="number"),
            pytest.param({"choice-precision": HOSTILE}, "error-choice-precision", "cannot be chosen", id="list"),
            pytest.param(
                {"mount-0-share": "user", "mount-0-target": "/etc"}, "error-mounts", "Nothing can be mounted", id="path"
            ),
            pytest.param({"mount-0-target": "/data/x"}, "error-mounts", "", id="no share"),
            pytest.param({"gpu_ids": "GPU-1,GPU-2,GPU-3"}, "error-gpus", "gpus cannot be 3", id="number of GPUs"),
        ],
    )
    async def test_a_refusal_stands_where_it_belongs(
        self, login: Login, launcher: MemoryLauncher, sent: dict[str, str], place: str, words: str
    ) -> None:
        page = await self.post(login, **sent)
        assert page.status_code in (403, 422)
        found = re.search(rf'id="{place}"[^>]*>(.*?)</', page.text, re.DOTALL)
        assert found, f"nothing at {place}"
        assert words in unescape(found[1])
        assert "<img src=x" not in page.text
        assert launcher.views == {}

    async def test_a_saved_image(self, login: Login, launcher: MemoryLauncher) -> None:
        launcher.saved["bob"] = [SavedImageView("mine", "pytorch", HOSTILE)]
        page = await (await login("bob")).get("launch?profile=all&group=nlp")
        assert '<option value="saved/mine" >mine (pytorch)</option>' in page.text
        page = await self.post(login, image="saved/mine", gpu_type="t4")
        assert page.status_code == 303
        assert launcher.calls[-1][-1]["image"] == "saved/mine"

    async def test_a_retired_image_is_followed_by_its_successor_in_one_click(
        self, login: Login, launcher: MemoryLauncher
    ) -> None:
        page = await (await login("bob")).get("launch?profile=all&image=old&group=nlp")
        assert "It has no security fixes any more." in page.text
        offer = re.search(r'name="take" value="([^"]*)"[^>]*>([^<]*)<', page.text)
        assert offer
        assert offer.groups() == ("image=pytorch", "Start with PyTorch 2.9 now")
        page = await self.post(login, image="old", take=offer[1])
        assert page.status_code == 303
        assert launcher.calls[-1][-1]["image"] == "pytorch"


@pytest.mark.parametrize(
    ("allowed", "said"),
    [(None, "You can open: JupyterLab, VS Code, ssh."), (("vscode", "desktop"), "You can open: VS Code."), ((), "")],
)
def test_an_image_says_what_the_profile_opens_in_it(allowed: tuple[str, ...] | None, said: str) -> None:
    image = ImageChoice(slug="x", display_name="X", reference="localhost/x", tools=("lab", "vscode", "ssh"))
    assert image_note(EN, image, allowed) == said
