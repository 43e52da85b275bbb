"""Translate a launch plan into a container: a pure function, and the only place where it is decided what is in one.

Guarantees: what the plan says wins over what the hub says, and a user says nothing; GPUs are those of the plan and no
others; MKNOD and NET_RAW are never given; without sudo nobody in the container can gain a privilege.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlabhub.core.names import server_slug
from mlabhub.core.plan import LaunchPlan
from mlabhub.core.safe_mode import safe_arguments
from mlabhub.core.tools import TENSORBOARD
from mlabhub.engine import labels, runtime
from mlabhub.engine.cdi import cdi_name
from mlabhub.engine.spec import Bind, ContainerSpec
from mlabhub.site.inside import CA_INSIDE

GIB = 2**30
STOP_SECONDS = 10
PORT = 8888
OWN_NETWORK = {"MLABHUB_OWN_NETWORK": "1"}
"""Tells the tools inside that a port on the loopback device is reached by this server's processes alone."""
TENSORBOARD_COMMAND = ("python", "-m", "mlabhub_proxies.tensorboard.server")

ENTRY_CAPABILITIES = ("CHOWN", "KILL", "SETGID", "SETPCAP", "SETUID")
"""To become the user, and to pass signals on to them. The image's entry gives up all of them on the way."""

ROOT_CAPABILITIES = (
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
)
"""What apt, dpkg and sudo need, where the profile allows sudo."""


@dataclass(frozen=True)
class Surroundings:
    """What a plan does not know: this installation, and what was found or made for this start."""

    instance: str
    image: str
    """Id or reference of the image to start from: the catalogue's, or what was saved on top of it."""
    parent: str
    """Id of the catalogue's image that it grew from."""
    layers: int
    """Saved layers on top of the catalogue's image."""
    root_once: bool
    """Whether somebody was root in a container that the image grew from."""
    network: str
    gateway: str
    port: int
    """Of the public proxy."""
    tls_name: str
    """The name in the proxy's certificate, empty without TLS."""
    ca_file: str
    """With TLS or a company's CA: whom the server is to trust."""
    open_files: int
    processes: int
    sources: dict[str, str]
    """By target: where the engine finds what the plan mounts there, if not at the mount's own source."""
    user_namespace: bool = False
    """Whether the engine can give one container ids of its own."""
    site_environment: Mapping[str, str] = field(default_factory=dict)
    site_places: Mapping[str, str] = field(default_factory=dict)
    """What is mounted read-only of the site's settings: places inside, by their sources."""
    runtime: str = ""
    """The folder with what the image lacks; empty if it brings all."""
    image_environment: tuple[str, ...] = ()


def make_container(
    plan: LaunchPlan, around: Surroundings, *, command: tuple[str, ...], hub_environment: dict[str, str]
) -> ContainerSpec:
    """Return the container for a plan."""
    slug = server_slug(plan.user, plan.server_name)
    added = runtime.make_environment(around.image_environment) if around.runtime else {}
    return ContainerSpec(
        name=labels.container_name(around.instance, slug),
        image=around.image,
        command=make_command(plan, command, outside=bool(around.runtime)),
        environment={
            **added,
            **around.site_environment,
            **hub_environment,
            **OWN_NETWORK,
            **gpu_environment(plan),
            **plan.environment,
            **tls_environment(around),
        },
        labels=make_labels(plan, around),
        binds=make_binds(plan, around),
        network=around.network,
        cpu=plan.cpu,
        memory_bytes=round(plan.memory_gib * GIB),
        shm_bytes=round(plan.shm_gib * GIB),
        pids=plan.pids,
        open_files=around.open_files,
        processes=around.processes,
        capabilities=ROOT_CAPABILITIES if plan.sudo else ENTRY_CAPABILITIES,
        no_new_privileges=not plan.sudo,
        user_namespace=around.user_namespace and (plan.sudo or around.root_once),
        devices=tuple(cdi_name(uuid, around.instance) for uuid in plan.gpus),
        hosts=extra_hosts(around),
        hostname=slug,
        stop_seconds=STOP_SECONDS,
        entrypoint=runtime.ENTRYPOINT if around.runtime else (),
    )


def make_command(plan: LaunchPlan, usual: tuple[str, ...], *, outside: bool = False) -> tuple[str, ...]:
    """Return what runs in the container: the usual command, or what its kind of server is.

    In an ``outside`` image, terminals run a program of ours, which knows by itself what safe mode is.
    """
    if plan.kind == TENSORBOARD:
        return TENSORBOARD_COMMAND
    return (*usual, *jupyter_arguments(plan), *(safe_arguments() if plan.safe and not outside else ()))


def make_binds(plan: LaunchPlan, around: Surroundings) -> tuple[Bind, ...]:
    """Return the plan's folders, what the image lacks, the site's settings, and the authorities to trust."""
    folders = tuple(
        Bind(around.sources.get(mount.target, mount.source), mount.target, mount.read_only) for mount in plan.mounts
    )
    added = runtime.make_binds(around.runtime) if around.runtime else ()
    site = tuple(Bind(source, target, read_only=True) for source, target in around.site_places.items())
    authorities = (Bind(around.ca_file, CA_INSIDE, read_only=True),) if around.ca_file else ()
    return (*folders, *added, *site, *authorities)


def tls_environment(around: Surroundings) -> dict[str, str]:
    """Return what makes the server trust the hub's certificate, also one of a company's own authority."""
    return {"SSL_CERT_FILE": CA_INSIDE} if around.tls_name else {}


def jupyter_arguments(plan: LaunchPlan) -> tuple[str, ...]:
    """Return where JupyterLab begins: it shows all folders, and opens the user's own."""
    return (f"--ServerApp.root_dir={plan.workspace}", f"--ServerApp.preferred_dir={plan.environment['MLABHUB_HOME']}")


def gpu_environment(plan: LaunchPlan) -> dict[str, str]:
    """Return what the server is told about its GPUs.

    ``void`` keeps NVIDIA's own hook from giving an image that asks for ``all`` every GPU of the machine.
    """
    return {"NVIDIA_VISIBLE_DEVICES": "void", "MLABHUB_GPUS": ",".join(plan.gpus)}


def make_labels(plan: LaunchPlan, around: Surroundings) -> dict[str, str]:
    """Return the labels by which the reconciler knows the container, and its saved image is known later."""
    return {
        labels.INSTANCE: around.instance,
        labels.LAUNCH_ID: plan.launch_id,
        labels.USER: plan.user,
        labels.SERVER: plan.server_name,
        labels.GPUS: ",".join(plan.gpus),
        labels.KIND: plan.kind,
        labels.IMAGE: plan.image,
        labels.REFERENCE: plan.image_reference,
        labels.PARENT: around.parent,
        labels.LAYERS: str(around.layers),
        labels.OUTSIDE: around.runtime.rpartition("/")[2],
        labels.ROOT: "1" if plan.sudo or around.root_once else "0",
    }


def hub_url(around: Surroundings) -> str:
    """Return where the hub is for the container: this machine's end of its network, through the public proxy.

    With TLS it is the public name, so that the certificate fits; `extra_hosts` leads it to the same address.
    """
    if around.tls_name:
        return f"https://{around.tls_name}:{around.port}"
    return f"http://{around.gateway}:{around.port}"


def extra_hosts(around: Surroundings) -> tuple[tuple[str, str], ...]:
    """Return the entries of ``/etc/hosts`` that lead to this machine."""
    return ((around.tls_name, around.gateway),) if around.tls_name else ()
