"""How a refusal reaches the person: with its sentence, without a traceback, and not as a failure of the hub."""

from __future__ import annotations

from html import escape

from jupyterhub.spawner import SpawnException

from mlabhub.errors import MLabError


def make_refusal(error: MLabError) -> SpawnException:
    """Return the exception that JupyterHub shows as this error's sentence.

    JupyterHub 6.1 reads two attributes that its own class does not set; without them the log's text is shown.
    """
    sentence = str(error.message)
    html = f"<p>{escape(sentence)}</p>"
    reason = str(error.data.get("code", error.code))
    refusal = SpawnException(
        sentence, reason=reason, log_message=error.log_text, message_html=html, status_code=error.status
    )
    refusal.jupyterhub_message = sentence  # type: ignore[attr-defined]
    refusal.jupyterhub_html_message = html  # type: ignore[attr-defined]
    return refusal
