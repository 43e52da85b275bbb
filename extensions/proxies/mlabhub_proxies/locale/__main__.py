"""Collect all sentences and take the catalogues along: ``python -m mlabhub_proxies.locale``."""

from mlabhub_proxies.locale import update

update()
