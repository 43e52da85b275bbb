"""What the cluster says of a pod, said to the person whose server it is to be.

Guarantees: pure, whatever the cluster writes: its texts are values of our sentences, one line each and short, never
templates or HTML. An event that is not known is shown as the cluster says it.
"""

from __future__ import annotations

import re

from mlabhub.core.quote import plain
from mlabhub.core.units import format_bytes, format_number
from mlabhub.messages import Message
from mlabhub.spawners.kube import sayings as say
from mlabhub.spawners.kube.pods import Container, Json, PodView, at
from mlabhub.spawners.kube.sayings import Said, Saying
from mlabhub.spawners.kube.scheduling import read_scheduling
from mlabhub.spawners.kube.texts import clean, gist

IMAGE_MOST = 160
MOST_READ = 4000
"""How much of a text is looked at; the cluster itself cuts an event's at 1024."""

_NOISE = frozenset(
    {
        "BackOff",
        "Created",
        "DeadlineExceeded",
        "ErrImageNeverPull",
        "Evicted",
        "ExternalProvisioning",
        "InspectFailed",
        "Killing",
        "Preempted",
        "ProvisioningSucceeded",
        "SandboxChanged",
        "Started",
        "TaintManagerEviction",
        "WaitForFirstConsumer",
        "WaitForPodScheduled",
    }
)
"""Reasons of events that tell nothing, or what the pod's own status tells as well."""
_ENDINGS = re.compile(r"OutOf\S+|UnexpectedAdmissionError|NodeAffinity|NodeShutdown|\w*TopologyAffinityError")

_NO_REGISTRY = "localhost/"
"""How engines call images that came from no registry. A node looks for one on itself, where there is none either."""

_PULL: tuple[tuple[str, Saying], ...] = (
    (r"no match(?:ing manifest)? for|does not match the specified platform|no child with platform", say.OTHER_MACHINE),
    (r"no space left on device|disk quota exceeded", say.NODE_FULL),
    (r"40[13] (?:Unauthorized|Forbidden)|unauthorized|authorization failed|access denied|denied:", say.NOT_ALLOWED),
    (r"certificate|x509|server gave HTTP response to HTTPS client", say.BAD_CERTIFICATE),
    (
        r"dial tcp|no such host|connection re(?:fused|set)|i/o timeout|TLS handshake|no route to host|deadline exceeded"
        r"|network is unreachable|EOF$|server misbehaving",
        say.NO_REGISTRY,
    ),
    (r"(?:status code|unexpected status).*\b5\d\d\b|toomanyrequests|429 Too Many", say.REGISTRY_BROKEN),
    (r"not found$|manifest unknown|name unknown|does not exist", say.NO_IMAGE),
)

_MOUNT: tuple[tuple[str, Saying], ...] = (
    (r'(?P<kind>configmap|secret) "(?P<name>[^"]*)" not found', say.NO_OBJECT),
    (r"hostPath type check failed: (?P<path>\S+) is not", say.NO_FOLDER),
    (r"driver name (?P<driver>\S+) not found in the list of registered CSI drivers", say.NO_DRIVER),
    (r"CSINode \S+ does not contain driver (?P<driver>\S+)", say.NO_DRIVER),
    (r"Multi-Attach error|already exclusively attached|is being used|still being used|exclusive lock", say.ELSEWHERE),
    (r"unknown filesystem type '(?P<type>[^']*)'", say.NO_MOUNT_HELPER),
    (r"might need a /sbin/mount\.(?P<type>\w+) helper", say.NO_MOUNT_HELPER),
    (r"access denied|permission denied|operation not permitted|not allowed", say.STORAGE_REFUSED),
    (r"[Nn]o such file or directory|does not exist|ENOENT", say.NO_EXPORT),
    (
        r"timed? ?out|context deadline exceeded|connection refused|no route to host|unreachable|DeadlineExceeded"
        r"|Failed to resolve server|Name or service not known",
        say.NO_STORAGE,
    ),
)

_CONTAINER: tuple[tuple[str, Saying], ...] = (
    (r"has runAsNonRoot and image will run as root|runAsUser breaks non-root policy", say.IS_ROOT),
    (r"has runAsNonRoot and image has non-numeric user \((?P<text>[^)]*)\)", say.NAMED_USER),
    (r"couldn't find key (?P<key>\S+) in (?P<kind>ConfigMap|Secret) (?:[^\s/]*/)?(?P<name>\S+)", say.NO_KEY),
    (r'(?P<kind>configmap|secret) "(?P<name>[^"]*)" not found', say.NO_SETTING),
    (r"subPath", say.NO_SUBPATH),
    (r'exec: "(?P<program>[^"]*)": permission denied|exec (?P<other>/\S+): permission denied', say.NO_RIGHT),
    (r'exec: "(?P<program>[^"]*)": .*(?:no such file or directory|not found)', say.NO_ENTRY),
    (r"exec (?P<program>/[^\s:]+): (?:no such file or directory|not found)", say.NO_ENTRY),
    (r'(?:exec: "|exec )(?P<program>/?[^\s":]+)"?: exec format error', say.OTHER_PROGRAM),
    (r"no space left on device", say.NODE_FULL),
)

_PULLED = re.compile(r"Successfully pulled image .* in (?P<time>\S+) \((?P<all>\S+) including waiting\)(?P<rest>.*)")
_SIZE = re.compile(r"Image size: (\d+) bytes")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?")
_IMAGE = re.compile(r'image "([^"]+)"')
_VOLUME = re.compile(r'(?:for volume|of volume) "([^"]+)"')


def say_event(pod: PodView, event: Json) -> Said | None:
    """Return what an event of the pod, or of one of its claims, tells; None if it tells nothing of its own."""
    reason, text = str(event.get("reason") or "")[:MOST_READ], str(event.get("message") or "")[:MOST_READ]
    if at(event, "involvedObject", "kind") == "PersistentVolumeClaim":
        return _say_claim(str(at(event, "involvedObject", "name") or ""), reason, text)
    if reason in _NOISE or _ENDINGS.fullmatch(reason):
        return None
    known = _say_known(pod, reason, text)
    if known is not None or reason in ("Scheduled", "Pulled", "Failed"):
        return known
    label = clean(reason, 60)
    return say.OTHER.of(text=f"{label}: {clean(text)}" if label else clean(text))


def _say_known(pod: PodView, reason: str, text: str) -> Said | None:
    if reason == "FailedScheduling":
        return read_scheduling(text, pod.claims, pod.places()).said
    if reason in ("FailedMount", "FailedAttachVolume", "FailedMapVolume"):
        return say_mount(pod, reason, text)
    if reason in ("FailedCreatePodSandBox", "NetworkNotReady"):
        return say.NO_SANDBOX.of(text=gist(text))
    if reason in ("NodeNotReady", "NodeLost"):
        return say.NODE_SILENT.of(node=plain(pod.node))
    if reason == "Failed":
        return _say_failed(text)
    if reason == "Pulled":
        return _say_pulled(text)
    image = _IMAGE.search(text)
    simple = {
        "Pulling": say.PULLING.of(image=clean(image[1] if image else "-", IMAGE_MOST)),
        "SuccessfulAttachVolume": say.ATTACHED.of(places=_places(pod, text)),
        "TriggeredScaleUp": say.SCALING.of(),
        "NotTriggerScaleUp": say.NOT_SCALING.of(text=clean(text.partition(": ")[2] or text)),
        "Unhealthy": say.UNHEALTHY.of(text=gist(text)),
        "FailedToRetrieveImagePullSecret": say.SECRET_NOT_THERE.of(secrets=_secrets(text)),
    }
    return simple.get(reason)


def say_waiting(pod: PodView, container: Container) -> Said | None:
    """Return what holds a container back, as its own status tells it; None if nothing does."""
    waiting = container.waiting
    reason, text = str(at(waiting, "reason") or ""), str(at(waiting, "message") or "")[:MOST_READ]
    image = clean(container.image, IMAGE_MOST)
    if reason in ("", "ContainerCreating", "PodInitializing", "CrashLoopBackOff"):
        return None
    if reason == "ErrImageNeverPull":
        return say.NEVER_PULLED.of(image=image)
    if reason == "InvalidImageName":
        return say.BAD_NAME.of(image=image, text=gist(text.rpartition(": ")[2]))
    if reason in ("ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable"):
        return say_pull(image, text)
    volume = re.search(r'volumeMount "([^"]+)"', text)
    return say_container(text or reason, image, pod.places(volume=volume[1]) if volume else "-")


def say_pull(image: str, text: str) -> Said:
    """Return why an image could not be fetched."""
    reason = gist(text.partition("ErrImagePull: ")[2] or text)
    if reason in ("", "ErrImagePull", "ImagePullBackOff"):
        return say.NOT_PULLED.of(image=image, text=reason or "-")
    if image.startswith(_NO_REGISTRY):
        return say.NOT_LOADED.of(image=image)
    for pattern, saying in _PULL:
        if re.search(pattern, reason):
            return saying.of(image=image, text=reason)
    return say.NOT_PULLED.of(image=image, text=reason)


def say_container(text: str, image: str, places: Message | str = "-") -> Said:
    """Return why a container cannot be made or run."""
    for pattern, saying in _CONTAINER:
        found = re.search(pattern, text)
        if found is not None:
            values = {name: clean(value, 120) for name, value in found.groupdict().items() if value is not None}
            if "other" in values:
                values["program"] = values.pop("other")
            return saying.of({"image": image, "places": places, "text": gist(text), **values})
    if "container process" in text or "RunContainerError" in text:
        return say.NOT_RUN.of(text=gist(text))
    return say.BAD_SETTING.of(text=gist(text))


def say_mount(pod: PodView, reason: str, text: str) -> Said:
    """Return why a volume is not mounted, with the places in the server that it is for."""
    places = _places(pod, text)
    words = gist(text.partition(" : ")[2] or text)
    for pattern, saying in _MOUNT:
        found = re.search(pattern, text)
        if found is not None:
            values = {name: clean(value, 120) for name, value in found.groupdict().items()}
            return saying.of({"places": places, "text": words, **values})
    if "timed out waiting for" in text or "unmounted volumes" in text:
        return say.ATTACH_WAITS.of(places=places, text=words)
    return (say.NOT_ATTACHED if reason == "FailedAttachVolume" else say.NOT_MOUNTED).of(places=places, text=words)


def _say_failed(text: str) -> Said | None:
    """Return what an event of reason Failed tells; most of them the containers' own status tells better."""
    if text.startswith("Failed to pull image"):
        image = _IMAGE.search(text)
        return say_pull(clean(image[1] if image else "-", IMAGE_MOST), text.partition('": ')[2])
    return None


def _say_pulled(text: str) -> Said | None:
    found = _PULLED.search(text)
    if found is None:
        return None
    size = _SIZE.search(found["rest"])
    return say.PULLED.of(
        size=format_bytes(int(size[1])) if size else "-", seconds=format_number(round(_seconds(found["all"]), 1))
    )


def _say_claim(claim: str, reason: str, text: str) -> Said | None:
    name = clean(claim, 80)
    if reason == "ProvisioningFailed":
        return say.NOT_PROVISIONED.of(claim=name, text=gist(text))
    if reason == "FailedBinding":
        return say.NO_VOLUME.of(claim=name, text=gist(text))
    if reason == "ClaimLost":
        return say.CLAIM_LOST.of(claims=name, places=name)
    if reason == "Provisioning":
        return say.BINDING.of(claim=name)
    if reason in _NOISE:
        return None
    return say.OTHER.of(text=f"{clean(reason, 60)} ({name}): {clean(text)}")


def _seconds(duration: str) -> float:
    """Return how many seconds a duration has as Go writes it: ``1m2.5s``."""
    found = _DURATION.match(duration)
    hours, minutes, seconds, thousandths = (float(one or 0) for one in found.groups()) if found else (0.0,) * 4
    return hours * 3600 + minutes * 60 + seconds + thousandths / 1000


def _places(pod: PodView, text: str) -> Message | str:
    found = _VOLUME.search(text)
    return pod.places(volume=found[1] if found else None)


def _secrets(text: str) -> str:
    found = re.search(r"\(([^)]*)\)", text)
    return clean(found[1] if found else text, 120)
