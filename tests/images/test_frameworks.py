"""PyTorch and TensorFlow as they are built for this machine: a training step inside each, and what is said about it.

Long: some gigabytes are fetched. PyTorch with CUDA's libraries, 7 GB, is more than continuous integration should carry;
there it is built only where the machine has an NVIDIA driver, or `MLABHUB_TEST_PYTORCH` asks for it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mlabhub.images import build_images, load_recipes
from mlabhub.images.accelerator import choose_accelerator, has_nvidia
from mlabhub.images.build import CUDA_LABEL, make_build_command
from mlabhub.images.program import Program
from mlabhub.images.recipes import Recipe, make_version
from tests.images.conftest import Containers

TENSORFLOW = """
import tensorflow as tf
model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
model.compile(optimizer=tf.keras.optimizers.SGD(0.1), loss="mse")
x = tf.constant([[1.0], [2.0]]); y = 3 * x
losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
print(tf.__version__, losses[-1] < losses[0] / 10)
"""
PYTORCH = """
import torch, torchvision
model = torch.nn.Linear(1, 1); step = torch.optim.SGD(model.parameters(), 0.1)
x = torch.tensor([[1.0], [2.0]]); losses = []
for _ in range(50):
    loss = ((model(x) - 3 * x) ** 2).mean(); step.zero_grad(); loss.backward(); step.step(); losses.append(loss.item())
print(torch.__version__.split("+")[0], losses[-1] < losses[0] / 10)
"""
PIP = """#!/bin/sh
printf '%s\\n' "$*" >>"$0.log"
for one; do case $one in *.lock) cat "$one" >>"$0.log" ;; esac; done
"""
WANTED = {"tensorflow": TENSORFLOW}
if has_nvidia() or os.environ.get("MLABHUB_TEST_PYTORCH"):
    WANTED["pytorch"] = PYTORCH


@pytest.mark.long
@pytest.mark.engine
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", WANTED)
def test_a_training_step(containers: Containers, program: Program, name: str) -> None:
    [*_, built] = build_images([name], no_cache=False, report=lambda _: None)
    labels = program.labels(built.reference)
    said = containers.run("python", "-c", WANTED[name], image=built.reference, USER="alice", UID="12345", HOME="/tmp")
    assert f"{labels['org.mlabhub.release']} True" in said.splitlines()  # its library talks besides
    assert labels[CUDA_LABEL] in {"", load_recipes()[name].cuda}
    check = containers.run("python", "-m", "pip", "check", image=built.reference)
    assert "No broken requirements" in check


@pytest.mark.parametrize(
    ("name", "package", "lock"),
    [
        ("pytorch", "torch", "requirements.lock"),
        ("tensorflow", "tensorflow-cpu", "requirements-cpu.lock"),
        ("tensorflow", "tensorflow", "requirements-cuda.lock"),
    ],
)
def test_the_label_says_the_locked_release(name: str, package: str, lock: str) -> None:
    folder = load_recipes()[name].folder
    release = (folder / "Containerfile").read_text().split("org.mlabhub.release=")[1].split()[0]
    assert f"\n{package}=={release} " in "\n" + (folder / lock).read_text()


@pytest.mark.parametrize(
    ("cuda", "wanted", "chosen"),
    [("", None, None), ("", "cpu", None), ("13.2", "cpu", "cpu"), ("13.2", "cuda", "cuda")],
)
def test_what_is_asked_for_is_built(tmp_path: Path, cuda: str, wanted: str | None, chosen: str | None) -> None:
    assert choose_accelerator(Recipe("x", "base", tmp_path, cuda), wanted) == chosen  # type: ignore[arg-type]


def test_without_its_index_the_cpu_is_served_by_the_build_with_cuda(tmp_path: Path) -> None:
    nowhere = Recipe("x", "base", tmp_path, "13.2", "http://127.0.0.1:9/whl/cpu")
    assert choose_accelerator(nowhere, None) == "cuda"
    assert choose_accelerator(nowhere, "cpu") == "cpu"


def test_the_driver_is_seen(tmp_path: Path) -> None:
    assert not has_nvidia([tmp_path / "no"])
    assert has_nvidia([tmp_path / "no", tmp_path])


def test_the_build_is_told(program: Program, tmp_path: Path) -> None:
    recipe = Recipe("x", "base", tmp_path, "13.2", "https://index/cpu")
    for accelerator, cuda in (("cpu", ""), ("cuda", "13.2")):
        command = make_build_command(program, recipe, "p", tmp_path, "v", accelerator)  # type: ignore[arg-type]
        assert f"--build-arg=ACCELERATOR={accelerator}" in command
        assert f"--label={CUDA_LABEL}={cuda}" in command
        assert "--build-arg=CPU_INDEX=https://index/cpu" in command
    versions = {make_version(recipe, {}, one) for one in (None, "cpu", "cuda")}
    assert len(versions) == 3


@pytest.mark.parametrize("accelerator", ["cpu", "cuda"])
def test_pytorch_for_the_cpu_leaves_cuda_out(tmp_path: Path, accelerator: str) -> None:
    """Run the image's own script with a pip that only writes down what it is asked for."""
    folder = load_recipes()["pytorch"].folder
    script = (folder / "install").read_text()
    pip, lock = tmp_path / "pip", folder / "requirements.lock"
    pip.write_text(PIP)
    pip.chmod(0o755)
    script = script.replace("/opt/mlabhub/build/pip-install", str(pip)).replace(
        "/opt/mlabhub/pytorch/requirements.lock", str(lock)
    )
    mine = tmp_path / "install"
    mine.write_text(script.replace("/tmp/without-cuda.lock", str(tmp_path / "without.lock")))
    subprocess.run(["sh", str(mine), accelerator, "https://index/cpu"], check=True)
    log = (tmp_path / "pip.log").read_text()
    has_cuda = "\nnvidia-cublas==" in log
    assert has_cuda is (accelerator == "cuda")
    last = log.splitlines()[-1]
    if accelerator == "cpu":
        assert last.startswith("--no-deps --index-url https://index/cpu torch==")
        assert "+cpu torchvision==" in last
        assert "\nsympy==" in log
