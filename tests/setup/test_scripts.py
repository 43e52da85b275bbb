"""The set-up's shell: every script is clean, steps show what they do, and a failure is one sentence with a way out."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SETUP = CHECKOUT / "setup"


def scripts() -> list[Path]:
    """Return every shell script of ours."""
    candidates = [*SETUP.rglob("*"), *(CHECKOUT / "images").rglob("*"), CHECKOUT / ".ci" / "run"]
    files = [file for file in candidates if file.is_file()]
    return sorted(
        file
        for file in files
        if file.suffix == ".sh" or file.read_bytes().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash"))
    )


def program(folder: Path, body: str) -> list[str]:
    """Write a script that has the step display, and return the command that runs it."""
    script = folder / "script"
    script.write_text(
        f"set -euo pipefail\nCACHE={folder}/cache LOG=$CACHE/log\n. {SETUP}/lib/progress.sh\n"
        f"needed() {{ return 1; }}\nthere() {{ return 0; }}\nbegin 2\n{body}\n"
    )
    return ["bash", str(script)]


def run(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(program(folder, body), capture_output=True, text=True, check=False, timeout=30)


def test_scripts_are_clean():
    found = scripts()
    assert len(found) >= 10
    shellcheck = shutil.which("shellcheck")
    assert shellcheck, "make test installs shellcheck"
    answer = subprocess.run(
        [shellcheck, "--external-sources", *map(str, found)], capture_output=True, text=True, cwd=CHECKOUT, check=False
    )
    assert answer.stdout == ""


def test_what_is_there_is_not_done_again(tmp_path: Path):
    answer = run(tmp_path, 'step "one" there false\nstep "two" there false')
    assert answer.returncode == 0
    assert answer.stdout == "[1/2] one  there already\n[2/2] two  there already\n"


def test_steps_show_their_time_and_keep_their_words_in_the_log(tmp_path: Path):
    answer = run(tmp_path, 'work() { echo many words; sleep 0.3; }\nstep "one" needed work\ntotal')
    lines = answer.stdout.splitlines()
    assert lines[0] == "[1/2] one ..."
    assert lines[1].startswith("[1/2] one  0.")
    assert lines[2].startswith("set up in 0.")
    assert "many words" not in answer.stdout
    assert "many words" in (tmp_path / "cache" / "log").read_text()


def test_a_terminal_sees_the_last_words_live(tmp_path: Path):
    command = program(tmp_path, 'work() { echo busy with it; sleep 1; }\nstep "one" needed work')
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "60"}) as process:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 4096):
                seen += chunk
        except OSError:
            pass  # a terminal that nobody writes to any more
        os.close(ours)
    assert process.returncode == 0
    assert b"[1/2] one  0." in seen
    assert b"busy with it" in seen


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("write: No space left on device", "The disk is full"),
        ("E: Could not get lock /var/lib/dpkg/lock-frontend", "Another program is installing packages"),
        ("Temporary failure resolving 'mirror.lab'", "The network does not answer"),
        ("npm error code ENOTFOUND", "The network does not answer"),
        ("ModuleNotFoundError: No module named 'x'", "This step did not succeed"),
        (
            "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
            "A package is not the one that was locked",
        ),
        ("SSL: CERTIFICATE_VERIFY_FAILED certificate verify failed", "A certificate is not trusted"),
    ],
)
def test_a_failure_is_one_sentence_with_the_way_out(tmp_path: Path, said: str, sentence: str):
    (tmp_path / "said").write_text(said)
    body = 'fine() { echo could not resolve, of an earlier step; }\nstep "one" needed fine\n'
    body += f"work() {{ cat {tmp_path}/said; false; echo on; }}\n"
    answer = run(tmp_path, body + 'step "two" needed work\necho went on')
    assert answer.returncode == 1
    assert "went on" not in answer.stdout
    assert said in answer.stderr
    assert "earlier step" not in answer.stderr
    assert answer.stderr.splitlines()[-1].startswith(sentence)
    assert "run the same command again" in answer.stderr


def test_an_interrupt_ends_the_work_too(tmp_path: Path):
    body = f'work() {{ echo $BASHPID >{tmp_path}/pid; sleep 60; }}\nstep "one" needed work'
    with subprocess.Popen(
        program(tmp_path, body), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        worker = wait_for(tmp_path / "pid")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "it goes on where it stopped" in said
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_a_second_run_waits_for_the_work_of_a_killed_one(tmp_path: Path):
    body = f'work() {{ echo $BASHPID >{tmp_path}/pid; sleep 2; touch {tmp_path}/done; }}\nstep "one" needed work'
    with subprocess.Popen(program(tmp_path, body), stdout=subprocess.DEVNULL) as process:
        wait_for(tmp_path / "pid")
        process.kill()
    answer = run(tmp_path, f"test -e {tmp_path}/done && echo after it")
    assert answer.stdout.splitlines() == ["Another set-up runs in this checkout; waiting for its end.", "after it"]


def wait_for(file: Path) -> int:
    """Return the process id that a script writes."""
    deadline = time.monotonic() + 10
    while not (file.exists() and file.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int(file.read_text())


def test_lock_files_name_no_place():
    locks = [*CHECKOUT.glob("requirements/*.lock"), *(CHECKOUT / "images").rglob("*.lock")]
    assert len(locks) >= 4
    for lock in locks:
        assert "://" not in lock.read_text(), lock
        assert "--index" not in lock.read_text(), lock
    of_npm = [SETUP / "proxy", CHECKOUT / "extensions" / "proxies", *(CHECKOUT / "images/base").glob("code-server/**")]
    for lock in (folder / "package-lock.json" for folder in of_npm if (folder / "package-lock.json").exists()):
        assert '"resolved"' not in lock.read_text(), lock


def test_locks_hold_everything_that_is_asked_for():
    main = (CHECKOUT / "requirements" / "main.lock").read_text()
    test = (CHECKOUT / "requirements" / "test.lock").read_text()
    assert "\njupyterhub==" in main
    assert "\npytest==" in test
    pins = {line.split(" ")[0] for line in main.splitlines() if "==" in line and not line.startswith(" ")}
    assert pins <= {line.split(" ")[0] for line in test.splitlines()}


def test_make_says_what_there_is():
    answer = subprocess.run(["make", "help"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    for target in ("up", "test", "test-long", "lock", "clean"):
        assert f"make {target}" in answer.stdout


def shared_for(checkout: Path) -> str:
    """Return where continuous integration finds a file of the folder `shared` for a checkout."""
    text = (CHECKOUT / ".ci" / "run").read_text()
    function = text[text.index("find_shared() {") : text.index("\n}\n") + 2]
    script = f"set -euo pipefail\n{function}\nfound=$(find_shared cluster/cluster)\necho $found"
    answer = subprocess.run(["bash", "-c", script], cwd=checkout, capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def test_what_is_shared_is_found_around_a_checkout_and_around_what_it_was_cloned_from(tmp_path: Path):
    checkout, clone = tmp_path / "lab" / "team" / "checkout", tmp_path / "build" / "clone"
    subprocess.run(["git", "init", "-q", checkout], check=True)
    subprocess.run(["git", "clone", "-q", checkout, clone], check=True, stderr=subprocess.DEVNULL)
    assert shared_for(checkout) == shared_for(clone) == ""
    for folder in (tmp_path / "lab", checkout.parent, checkout):
        tool = folder / "shared" / "cluster" / "cluster"
        tool.parent.mkdir(parents=True)
        tool.touch()
        assert shared_for(checkout) == shared_for(clone) == str(tool), "the nearest"
    own = clone / "shared" / "cluster" / "cluster"
    own.parent.mkdir(parents=True)
    own.touch()
    assert shared_for(clone) == str(own)
