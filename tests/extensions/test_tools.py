"""A tool from the first click to the end, in a real server."""

from __future__ import annotations

from tests.extensions.server import NAVIGATION, JupyterServer


def test_what_there_is(server: JupyterServer) -> None:
    with server.client() as client:
        tools = client.get("mlabhub/api/tools").json()["tools"]
        tiles = client.get("server-proxy/servers-info").json()["server_processes"]
    # The product's own come first.
    assert tools[0]["slug"] == "lab"
    assert [tool["slug"] for tool in tools][-6:] == ["echo", "first", "again", "dies", "hurt", "raw"]
    assert [tile["name"] for tile in tiles][-6:] == ["echo", "first", "again", "dies", "hurt", "raw"]
    assert tiles[-6]["launcher_entry"] | {"icon_url": ""} == {
        "enabled": True,
        "title": "Echo",
        "path_info": "echo/",
        "category": "Tools",
        "icon_url": "",
    }


def test_a_browser_gets_a_page_that_goes_on_and_others_wait(server: JupyterServer) -> None:
    with server.client(headers=NAVIGATION) as browser, server.client() as program:
        page = browser.get("first/some/page?a=1")
        assert page.status_code == 202
        assert "First is starting." in page.text
        assert "Usually ready in 1 s." in page.text
        asked = program.get("first/some/page?a=1").json()
        assert asked["uri"] == "/some/page?a=1"
        assert browser.get("first/some/page?a=1").json()["uri"] == "/some/page?a=1"
    assert server.state("first")["state"] == "ready"


def test_one_that_dies_says_why_and_is_tried_again_only_when_asked(server: JupyterServer) -> None:
    with server.client(headers=NAVIGATION) as browser, server.client() as program:
        answer = program.get("dies/")
        assert answer.status_code == 503
        assert answer.json()["error"]["message"] == "Dies has ended with status 3."
        since = server.state("dies")["since"]
        page = browser.get("dies/")
        assert page.status_code == 502
        assert "Out of luck &lt;b&gt;today&lt;/b&gt;" in page.text
        assert "Look into the log, then try again." in page.text
        assert server.state("dies")["since"] == since
        again = browser.post("mlabhub/start/dies", data={"back": "https://elsewhere.example/"})
        assert again.status_code == 303
        assert again.headers["location"] == "/user/alice/dies/"
        assert server.wait_for("dies", "failed")["since"] > since


def test_one_that_is_not_in_the_image(server: JupyterServer) -> None:
    with server.client(headers=NAVIGATION) as browser:
        page = browser.get("absent/")
    assert page.status_code == 404
    assert "The image of this server does not have Absent." in page.text


def test_stop_leaves_nothing_and_stays_until_a_person_wants_it_again(server: JupyterServer) -> None:
    with server.client(headers=NAVIGATION) as browser, server.client() as program:
        assert program.get("again/").status_code == 200
        before = len(server.tool_processes())
        assert program.post("mlabhub/api/tools/again", json={"action": "stop"}).json()["state"] == "stopped"
        assert len(server.tool_processes()) == before - 2
        assert program.get("again/").json()["error"] == {"code": "tool_stopped", "message": "Again was stopped."}
        assert browser.get("again/").status_code == 202
        assert server.wait_for("again", "ready")
