"""Connections by kubeconfigs of which the token does not last."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asyncio.client import Configuration

from mlabhub.cluster import client
from mlabhub.cluster.client import connect


def write_kubeconfig(file: Path, user: dict[str, Any]) -> Path:
    """Write a kubeconfig with this user, and return it."""
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    users = [{"name": "u", "user": user}]
    content = {"clusters": [cluster], "contexts": [context], "users": users, "current-context": "c"}
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **content}))
    return file


def by_program(folder: Path) -> dict[str, Any]:
    """Return a user whose tokens come from a program: ``t1``, ``t2`` and so on."""
    version = "client.authentication.k8s.io/v1"
    program = folder / "get-token"
    credential = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": "t$(wc -l < calls)"}}
    text = json.dumps(credential).replace('"', '\\"')
    program.write_text(f'#!/bin/sh\ncd "{folder}" && echo >> calls && echo "{text}"\n')
    program.chmod(0o755)
    return {"exec": {"apiVersion": version, "command": str(program)}}


async def tokens(configuration: Any, times: int) -> list[str]:
    """Return what that many requests at once would send."""
    return list(await asyncio.gather(*(configuration.get_api_key_with_prefix("BearerToken") for _ in range(times))))


async def test_a_clouds_program_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = await connect(write_kubeconfig(tmp_path / "kubeconfig", by_program(tmp_path)), "")
    await api.close()
    Configuration.set_default(api.configuration)
    of_spawners = Configuration.get_default_copy()
    Configuration.set_default(None)
    assert await tokens(api.configuration, 3) == ["Bearer t1"] * 3
    monkeypatch.setattr(client, "RENEW_SECONDS", 0.0)
    [renewed] = await tokens(of_spawners, 1)
    assert renewed == "Bearer t2"
    monkeypatch.setattr(client, "RENEW_SECONDS", 60.0)
    assert await tokens(api.configuration, 20) == ["Bearer t2"] * 20, "all requests share one answer"


async def test_a_program_that_fails_leaves_the_last_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = await connect(write_kubeconfig(tmp_path / "kubeconfig", by_program(tmp_path)), "")
    await api.close()
    (tmp_path / "get-token").write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setattr(client, "RENEW_SECONDS", 0.0)
    assert await tokens(api.configuration, 1) == ["Bearer t1"]


async def test_a_kubeconfig_that_somebody_renews_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_kubeconfig(tmp_path / "kubeconfig", {"token": "first"})
    api = await connect(file, "")
    await api.close()
    write_kubeconfig(file, {"token": "second"})
    monkeypatch.setattr(client, "RENEW_SECONDS", 0.0)
    assert await tokens(api.configuration, 1) == ["Bearer second"]
