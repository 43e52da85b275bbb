"""Logs as JSON: what a line says, what it never says, and that hub and service write it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import datetime

import pytest

from mlabhub.errors import InvalidConfiguration
from mlabhub.logs import JsonFormatter, about, hide_secrets, log_format

HUB = """
import logging
from jupyterhub.app import JupyterHub
from traitlets.config import Config
from mlabhub.logs import about, configure_logs
c = Config()
configure_logs(c)
hub = JupyterHub(config=c)
hub.init_logging()
with about(user="alice", server=""):
    hub.log.info("It says %s", "好")
    logging.getLogger("tornado.access").warning("GET /?token=0123456789abcdef")
"""


def line(message: str, *arguments: object, exc_info: object = None) -> dict[str, str]:
    record = logging.LogRecord("mlabhub.x", logging.WARNING, "", 1, message, arguments, exc_info)  # type: ignore[arg-type]
    text = JsonFormatter().format(record)
    assert "\n" not in text
    parsed: dict[str, str] = json.loads(text)
    return parsed


def test_a_line_says_when_how_bad_who_and_what():
    said = line("Not done: %s", 'a "quoted"\nname')
    assert abs(datetime.fromisoformat(said.pop("time")).timestamp() - datetime.now().timestamp()) < 60
    assert said == {"level": "warning", "logger": "mlabhub.x", "message": 'Not done: a "quoted"\nname'}


def test_a_line_about_a_server_says_which():
    with about(user="alice", server="", launch_id="01X"):
        with about(server="train"):
            inner = line("x")
        outer = line("x")
    assert {key: inner.get(key) for key in ("user", "server", "launch_id")} == {
        "user": "alice",
        "server": "train",
        "launch_id": "01X",
    }
    assert "server" not in outer
    assert "user" not in line("x")


def test_a_fault_is_in_its_line():
    try:
        raise ValueError("token=0123456789abcdef")
    except ValueError:
        said = line("x", exc_info=sys.exc_info())
    assert "ValueError: token=[hidden]" in said["exception"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /user/alice/?token=0123456789abcdef&x=1", "GET /user/alice/?token=[hidden]&x=1"),
        ("Authorization: token 0123456789abcdef", "Authorization: token [hidden]"),
        ("{'Authorization': 'Bearer 0123456789abcdef'}", "{'Authorization': 'Bearer [hidden]'}"),
        ("JUPYTERHUB_API_TOKEN=0123456789abcdef", "JUPYTERHUB_API_TOKEN=[hidden]"),
        ('{"password": "hunter22", "name": "a"}', '{"password": "[hidden]", "name": "a"}'),
        ("postgresql://mlabhub:hunter22@db/x", "postgresql://mlabhub:[hidden]@db/x"),
        ("GET /hub/oauth?code=abcdefgh&state=zyxwvuts", "GET /hub/oauth?code=[hidden]&state=[hidden]"),
        ("404 GET /hub/api/users/alice/tokens (::1)", "404 GET /hub/api/users/alice/tokens (::1)"),
        (
            "alice's server, state: pending, error code: notfound",
            "alice's server, state: pending, error code: notfound",
        ),
    ],
)
def test_secrets_are_hidden_and_nothing_else(text: str, shown: str):
    assert hide_secrets(text) == shown


def test_a_format_that_there_is_not_is_said():
    assert [log_format({}), log_format({"MLABHUB_LOG": "json"}), log_format({"MLABHUB_LOG": ""})] == [
        "text",
        "json",
        "text",
    ]
    with pytest.raises(InvalidConfiguration, match="MLABHUB_LOG is xml; it can be: text, json"):
        log_format({"MLABHUB_LOG": "xml"})


def test_the_hub_writes_such_lines():
    answer = subprocess.run(
        [sys.executable, "-c", HUB],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MLABHUB_LOG": "json"},
    )
    said = [json.loads(one) for one in answer.stderr.splitlines()]
    assert [(one["level"], one["message"], one["user"]) for one in said] == [
        ("info", "It says 好", "alice"),
        ("warning", "GET /?token=[hidden]", "alice"),
    ]
