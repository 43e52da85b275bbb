"""Collect all sentences and take the catalogues along: ``python -m mlabhub.locale``."""

from mlabhub.locale import update

update()
