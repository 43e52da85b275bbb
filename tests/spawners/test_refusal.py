"""Refusals, as JupyterHub shows them."""

from __future__ import annotations

import pytest
from jupyterhub.utils import format_exception

from mlabhub.errors import EngineUnavailable, InvalidLaunch, LaunchRefused, MLabError, Unavailable
from mlabhub.spawners.refusal import make_refusal


@pytest.mark.parametrize(
    ("error", "status"),
    [(InvalidLaunch, 422), (LaunchRefused, 409), (Unavailable, 503), (EngineUnavailable, 503), (MLabError, 500)],
)
def test_the_sentence_is_shown_and_the_logs_text_is_not(error: type[MLabError], status: int) -> None:
    refusal = make_refusal(error("Not <b>now</b> {}.", log_text="the secret reason"))
    assert refusal.status_code == status
    assert format_exception(refusal) == ("Not <b>now</b> {}.", "<p>Not &lt;b&gt;now&lt;/b&gt; {}.</p>")
    assert "the secret reason" in str(refusal)
