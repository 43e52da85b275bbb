"""The site's settings: one file, read the same way by shell and Python, in every client's words."""
