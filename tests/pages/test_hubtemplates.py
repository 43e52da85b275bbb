"""The hub's own pages as we extend them, rendered as the hub renders them."""

from __future__ import annotations

import re
import sys
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from mlabhub import hubtemplates
from mlabhub.settings import Settings
from tests.pages.launcher import HOSTILE

HUB_TEMPLATES = Path(sys.prefix) / "share" / "jupyterhub" / "templates"
OURS = sorted(file.name for file in hubtemplates.FOLDER.glob("[!_]*.html"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A trial with simulated GPUs."""
    return Settings(
        instance="cafe0001",
        state_dir=tmp_path,
        config_dir=tmp_path,
        backend="process",
        public_url="http://127.0.0.1:8000/",
        hub_port=1,
        proxy_api_port=2,
        service_port=3,
        simulate_gpus="4xA100",
    )


class Hub:
    """Renders pages with the hub's own loader and namespace."""

    def __init__(self, settings: Settings) -> None:
        stock = FileSystemLoader([str(HUB_TEMPLATES)])
        ours = FileSystemLoader([str(hubtemplates.FOLDER), str(HUB_TEMPLATES)])
        self.environment = Environment(
            loader=ChoiceLoader([PrefixLoader({"templates": stock}, "/"), ours]),
            autoescape=True,
            enable_async=True,
            **hubtemplates.jinja_options(),
        )
        self.settings = settings

    def ask(self, uri: str = "/hub/home", **headers: str) -> hubtemplates.LanguageTransform:
        """Let a request come in, as tornado does before the handler runs."""
        (make,) = hubtemplates.transforms(self.settings)
        line = RequestStartLine("GET", uri, "HTTP/1.1")
        request = HTTPServerRequest(
            start_line=line, headers=HTTPHeaders({"Host": "hub", **headers}), connection=_Connection()
        )  # type: ignore[arg-type]
        transform = make(request)
        assert isinstance(transform, hubtemplates.LanguageTransform)
        return transform

    def render(self, template: str, *, name: str = "alice", **values: Any) -> str:
        """Return a page for somebody who is logged in."""
        user = SimpleNamespace(
            name=name,
            admin=True,
            json_escaped_name="alice",
            spawner=SimpleNamespace(options_form=""),
            all_spawners=lambda include_default: [_spawner(name)],
            server_url=lambda name: f"/user/alice/{name}",
        )
        variables = {
            key: value(user) if callable(value) else value
            for key, value in hubtemplates.template_vars(self.settings).items()
        }
        namespace = {
            "base_url": "/hub/",
            "prefix": "/",
            "user": user,
            "login_url": "/hub/login",
            "logout_url": "/hub/logout",
            "static_url": lambda path, include_version=True: f"/hub/static/{path}",
            "services": [SimpleNamespace(name="mlabhub", href="/services/mlabhub/")],
            "parsed_scopes": {"admin-ui": None},
            "xsrf": "token",
            "xsrf_token": "token",
            "default_server": SimpleNamespace(active=False),
            "authenticator": SimpleNamespace(request_otp=False),
            "users": [],
            "url": "/hub/spawn/alice",
            "for_user": user,
            "status_code": 404,
            "status_message": "Not Found",
            "user_name": name,
            "owner": user,
            "oauth_client": SimpleNamespace(description=name, redirect_uri=name),
            "scope_descriptions": [{"description": "Read names of users.", "filter": "only you"}],
            "api_tokens": [_token(name)],
            "oauth_clients": [_client(name)],
            **variables,
            **values,
        }
        return self.environment.get_template(template).render(**namespace)


def _token(note: str) -> SimpleNamespace:
    then = datetime(2026, 11, 22, 14, 2)
    return SimpleNamespace(
        api_id="a1", note=note, scopes=["self"], created=then, last_activity=None, expires_at=then + timedelta(days=1)
    )


def _client(description: str) -> dict[str, Any]:
    then = datetime(2026, 11, 22, 14, 2)
    tokens = [SimpleNamespace(scopes=["read:users:name!user"])]
    return {"token_id": "a2", "description": description, "tokens": tokens, "created": then, "last_activity": then}


def _spawner(name: str) -> SimpleNamespace:
    return SimpleNamespace(name="x", display_name=name, active=False, last_activity=None)


class _Connection:
    """What a request wants of its connection."""

    context = None
    no_keep_alive = True


@pytest.fixture
def hub(settings: Settings) -> Hub:
    """The hub in English."""
    hub = Hub(settings)
    hub.ask()
    return hub


@pytest.mark.parametrize("template", OURS)
def test_every_template_is_a_page_in_our_look(hub: Hub, template: str) -> None:
    text = hub.render(template)
    assert '<link rel="stylesheet" href="/services/mlabhub/static/mlabhub.css">' in text
    assert 'href="/services/mlabhub/launch"' in text
    assert "nothing is isolated" in text
    assert "are simulated" in text
    assert "/services/mlabhub/static/mlabhub.css" in text
    assert text.count("<h1") <= 2


@pytest.mark.parametrize("template", [name for name in OURS if name != "my_message.html"])
def test_every_template_speaks_chinese(hub: Hub, template: str) -> None:
    hub.ask(**{"Accept-Language": "zh-CN"})
    text = hub.render(template)
    assert "我的服务器" in text
    assert "My servers" not in text


def test_a_language_that_was_asked_for_is_remembered(hub: Hub) -> None:
    transform = hub.ask("/hub/login?next=%2Fhub%2F&lang=zh_CN")
    _, headers, _ = transform.transform_first_chunk(200, HTTPHeaders(), b"", True)
    assert headers["Set-Cookie"] == "mlabhub-language=zh_CN; Max-Age=31536000; Path=/; SameSite=Lax"
    text = hub.render("native-login.html", enable_signup=True, next="%2Fhub%2F")
    assert 'href="/hub/login?next=%2Fhub%2F&amp;lang=en"' in text


@pytest.mark.parametrize("uri", ["/hub/login?lang=xx", "/hub/login?lang=%0d%0aSet-Cookie:x", "/hub/login"])
def test_nothing_else_is_remembered(hub: Hub, uri: str) -> None:
    _, headers, _ = hub.ask(uri).transform_first_chunk(200, HTTPHeaders(), b"", True)
    assert list(headers) == []


def test_no_language_link_where_it_would_be_a_servers_option(hub: Hub) -> None:
    hub.ask("/hub/spawn/alice")
    assert "lang=" not in hub.render("spawn.html").replace("hreflang=", "").replace('<html lang="', "")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("/hub/spawn", "/services/mlabhub/launch?user=alice&server="),
        ("/hub/spawn/alice?_xsrf=1", "/services/mlabhub/launch?user=alice&server="),
        ("/hub/spawn/alice/exp?_xsrf=1", "/services/mlabhub/launch?user=alice&server=exp"),
    ],
)
def test_the_hubs_form_leads_to_the_launch_page(hub: Hub, url: str, target: str) -> None:
    text = hub.render("spawn.html", url=url, spawner_options_form="launch page")
    assert f'content="0; url={target}"' in unescape(text)
    assert "<form" not in text


@pytest.mark.parametrize(
    "values",
    [
        {"error_message": HOSTILE},
        {"html_error_message": f"<p>refused: {HOSTILE.replace('<', '&lt;')}</p>"},
        {"html_error_message": f"<p>refused: {HOSTILE}</p>"},
    ],
    ids=["text", "html", "html that is not escaped"],
)
def test_a_refusal_is_shown_as_text_and_stays(hub: Hub, values: dict[str, str]) -> None:
    text = hub.render("spawn.html", **values)
    assert "The server was not started" in text
    assert 'http-equiv="refresh"' not in text
    assert "<img src=x" not in text
    assert "<script>alert" not in text


@pytest.mark.parametrize("template", OURS)
def test_names_are_text(hub: Hub, template: str) -> None:
    account = SimpleNamespace(username=HOSTILE, is_authorized=False, has_2fa=False, email=HOSTILE)
    text = hub.render(
        template,
        name=HOSTILE,
        users=[account],
        username=HOSTILE,
        login_error=HOSTILE,
        result_message=HOSTILE,
        alert="alert-danger",
        failed=True,
        failed_message=HOSTILE,
        message=HOSTILE,
        server_name=HOSTILE,
    )
    assert "<img src=x" not in text
    assert "<script>alert" not in text


def test_acts_on_accounts_are_buttons_with_a_token(hub: Hub) -> None:
    accounts = [
        SimpleNamespace(username="dora", is_authorized=False, has_2fa=False, email=None),
        SimpleNamespace(username="eve/x y", is_authorized=True, has_2fa=False, email=None),
    ]
    text = hub.render("authorization-area.html", users=accounts)
    forms = re.findall(
        r'<form method="post" action="([^"]+)">\s*<input type="hidden" name="_xsrf" value="token">', text
    )
    assert forms == ["/hub/authorize/dora", "/hub/discard/dora", "/hub/authorize/eve%2Fx%20y"]
    assert re.findall(r'href="/hub/(?:authorize|discard)/', text) == []


def test_the_pending_page_has_no_button_that_stops_another_server(hub: Hub) -> None:
    assert 'id="stop-server-btn"' not in hub.render("spawn_pending.html", progress_url="/hub/api/progress")
