"""Images as others make them, from Debian's packages: none of them knows anything of us."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlabhub.images.parents import CA, make_command, read_ca
from mlabhub.images.program import Program, run_reporting
from mlabhub.images.site import read_apt
from mlabhub.site import apt, load_site

PREFIX = "localhost/mlabhub-test-outside"

HOSTILE = """
FROM {parent}
RUN mkdir -p /opt/conda/bin && mv /usr/lib/python3 /usr/lib/python3.9 /opt/conda/ 2>/dev/null; \\
    mkdir -p /opt/conda/lib && mv /opt/conda/python3.9 /opt/conda/lib/ \\
    && mv /opt/conda/python3/dist-packages /opt/conda/lib/python3.9/site-packages \\
    && mv /usr/bin/python3.9 /opt/conda/bin/ && rm -f /usr/bin/python3* \\
    && ln -s python3.9 /opt/conda/bin/python3 && echo 'answer = 42' >/opt/conda/lib/python3.9/ownpackage.py \\
    && echo /opt/conda/lib/preloaded.so >/etc/ld.so.preload && echo junk >/opt/conda/lib/preloaded.so \\
    && mkdir -p /opt/conda/share/jupyter/kernels/other \\
    && echo '{{"argv": ["/bin/cat"], "display_name": "Other", "language": "other"}}' \\
        >/opt/conda/share/jupyter/kernels/other/kernel.json \\
    && mkdir -p /etc/jupyter && echo 'raise SystemExit("the image broke the server")' \\
        >/etc/jupyter/jupyter_server_config.py \\
    && useradd --uid 12345 --create-home jovyan
ENV PATH=/opt/conda/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/opt/conda/lib/python3.9/site-packages \\
    LD_LIBRARY_PATH=/opt/conda/lib LD_PRELOAD=/opt/conda/lib/preloaded.so PYTHONHOME=/opt/conda JUPYTER_PORT=1234 \\
    MLABHUB_SUDO=1 MLABHUB_UID=0 NVIDIA_VISIBLE_DEVICES=all
LABEL mlabhub.instance={instance} mlabhub.launch-id=01ARZ3NDEKTSV4RRFFQ69G5FAV mlabhub.user=alice mlabhub.server= \\
    mlabhub.parent=feed mlabhub.image=base mlabhub.own=1 mlabhub.root=0
USER jovyan
WORKDIR /home/jovyan
VOLUME /mnt /etc /opt/mlabhub
HEALTHCHECK CMD false
STOPSIGNAL SIGKILL
ENTRYPOINT ["/bin/sh", "-c", "echo the image started itself; exit 9"]
"""
"""Another Python in a prefix of its own, and everything that an image can do to get in the way."""


def make_debian(program: Program, name: str, release: str, packages: str = "") -> str:
    """Make a minimal Debian of a release with some packages."""
    reference = f"{PREFIX}/{name}:latest"
    if program.inspect(reference):
        return reference
    ours = load_site()
    site = read_apt(ours)
    assert site is not None, "these tests need a Debian or a child of it"
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        archive = Path(folder) / "root.tar"
        Path(folder).chmod(0o711)
        Path(folder, CA).write_bytes(read_ca(os.environ, company=ours.ca_file))
        sources = apt.for_release(site.sources, site.release, release)
        command = make_command(release, sources, site.settings, Path(folder), archive)
        wanted = ",".join(filter(None, ("ca-certificates", packages)))
        command = [f"--include={wanted}" if part.startswith("--include=") else part for part in command]
        run_reporting([part for part in command if not part.startswith("--customize-hook=")])
        program.run("import", "--change", 'CMD ["bash"]', str(archive), reference)
    return reference


def make_hostile(program: Program, parent: str, instance: str) -> str:
    """Make an image that does all it can to get in the way."""
    reference = f"{PREFIX}/hostile:latest"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Containerfile").write_text(HOSTILE.format(parent=parent, instance=instance))
        program.run("build", "--pull=never", "--format=docker", f"--tag={reference}", folder)
    return reference


def make_busybox(program: Program) -> str:
    """Make an image that has one static program and nothing else: no libc, no Python, no passwd."""
    reference = f"{PREFIX}/busybox:latest"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "-qq", "download", "busybox-static"], cwd=folder, check=True, capture_output=True)
        [package] = Path(folder).glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        program.run("import", _tar({"bin/busybox": next(Path(folder).glob("*bin/busybox"))}, Path(folder)), reference)
    return reference


def _tar(files: Mapping[str, Path], folder: Path) -> str:
    packed = folder / "root.tar"
    with tarfile.open(packed, "w") as archive:
        for name, file in files.items():
            archive.add(file.resolve(), name)
            for applet in ("sh", "ls", "cat", "id"):
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(link, io.BytesIO())
    return str(packed)


@contextmanager
def removed_afterwards(program: Program) -> Iterator[None]:
    """Remove every image made here."""
    try:
        yield
    finally:
        for name in (program.ask("images", "--format", "{{.Repository}}:{{.Tag}}") or "").split():
            if name.startswith(f"{PREFIX}/"):
                program.ask("rmi", "--force", name)
