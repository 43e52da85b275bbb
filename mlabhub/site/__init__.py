"""What a site asks of package clients: mirrors, HTTP proxy, company CA. Set once, in one file, `site.conf`.

Guarantees: the file is parsed and never executed; a value is made of characters that mean nothing to a shell or to any
client's configuration, and is quoted all the same; credentials in addresses are never shown or logged.
"""

from mlabhub.site.file import InvalidSite, SiteFault, SiteFile, find_site_file, load_site, read_site_file
from mlabhub.site.keys import Site, shown

__all__ = [
    "InvalidSite",
    "Site",
    "SiteFault",
    "SiteFile",
    "find_site_file",
    "load_site",
    "read_site_file",
    "shown",
]
