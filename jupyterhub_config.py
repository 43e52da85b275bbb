"""JupyterHub's configuration. `mlabhub up` starts the hub with this file.

Profiles, images, quotas and storage are not here: see `spawner_profiles/`.
"""

from mlabhub.config import configure

c = get_config()  # noqa: F821 - JupyterHub defines it
configure(c)

# A site's own lines go below this one; they win over ours. For example:
#
# c.JupyterHub.logo_file = "/etc/mlabhub/logo.png"
# c.MLabAuthenticator.ask_email_on_signup = True
