"""What a person is told while a pod starts, and when a start is given up, tried with what a real cluster told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from mlabhub.cluster.labels import LAUNCH, launch_label
from mlabhub.core.capacity import Placement
from mlabhub.core.identity import Identity
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.plan import make_plan
from mlabhub.core.storage import Storage
from mlabhub.errors import LaunchRefused, NotNow
from mlabhub.messages import Message
from mlabhub.spawners.kube.sayings import OTHER
from mlabhub.spawners.kube.watching import ANSWER_SECONDS, PULL_SECONDS, SCALE_SECONDS, SOON_SECONDS, StartWatch
from mlabhub.spawners.kube.words import say_pull
from tests.core.examples import LAUNCH_ID, make_request
from tests.spawners.kube_recorded import Json, Look, looks, names

SPEC = KubernetesSpec()
PLAN = make_plan(
    make_request(),
    launch_id=LAUNCH_ID,
    identity=Identity("alice", 200001, 200001),
    placement=Placement("node1"),
    storage=Storage().located("/srv/nas"),
)
UNTIL = 160.0


@dataclass
class Story:
    """What was told, and when and why the start was given up."""

    news: list[str] = field(default_factory=list)
    fault: str = ""
    code: str = ""
    at: float = -1.0
    log_of: str | None = None
    asked: bool = False
    node: str | None = None
    passes: bool = False


def watch(watcher: StartWatch, told: list[Look], until: float = UNTIL) -> Story:
    """Look at what was recorded twice a second, as a spawner would, until there is no hope left."""
    story, index = Story(), 0
    for half in range(int(2 * until)):
        now = half / 2
        while index + 1 < len(told) and told[index + 1].at <= now:
            index += 1
        sight = watcher.see(told[index].pod, told[index].events, now)
        story.news += [str(message) for message in sight.news]
        story.asked, story.node = story.asked or sight.short, sight.node
        if sight.fault is not None:
            assert isinstance(sight.fault, LaunchRefused)
            story.fault, story.code, story.at = str(sight.fault), str(sight.fault.data["code"]), now
            story.log_of, story.passes = sight.log_of, isinstance(sight.fault, NotNow)
            return story
    return story


def story_of(name: str, spec: KubernetesSpec = SPEC) -> Story:
    """Watch one recorded start from its beginning."""
    return watch(StartWatch(PLAN, spec, 0.0), list(looks(name)))


def made(*events: Json, node: str = "node1", waiting: Json | None = None, at: float = 0.0, **status: Any) -> Look:
    """Return a look at a pod that could not be made on the cluster for this, as its sources say that it looks."""
    containers = [{"name": "notebook", "state": {"waiting": waiting}, "restartCount": 0}] if waiting else []
    about = {"kind": "Pod", "name": "p", "uid": "u"}
    pod: Json = {
        "metadata": {"name": "p", "uid": "u"},
        "spec": {
            "nodeName": node,
            "volumes": [{"name": "v0", "persistentVolumeClaim": {"claimName": "home"}}],
            "containers": [{"name": "notebook", "image": "i", "volumeMounts": [{"name": "v0", "mountPath": "/nas/a"}]}],
        },
        "status": {"phase": "Pending", "containerStatuses": containers, **status},
    }
    return Look(at, pod, [{"involvedObject": about, "type": "Warning", **event} for event in events])


CREATING = {"reason": "ContainerCreating"}


@pytest.mark.parametrize(
    ("name", "passes"),
    [("no-gpu", True), ("no-cordon", True), ("gated", False), ("claim-missing", False), ("image-missing", False)],
)
def test_whether_it_passes_by_itself(name: str, passes: bool) -> None:
    assert story_of(name).passes == passes


@pytest.mark.parametrize(
    ("name", "code", "words", "from_", "until"),
    [
        ("no-gpu", "no_node", "too few GPUs are free (nvidia.com/gpu) (2 of 2)", 30, 31),
        ("no-cpu", "no_node", "too little CPU is free (2 of 2)", 30, 31),
        ("no-memory", "no_node", "too little memory is free (2 of 2)", 30, 31),
        ("no-resource", "no_node", "too few GPUs are free (amd.com/gpu)", 30, 31),
        ("no-selector", "no_node", "not of the kind it needs (2 of 2)", 30, 31),
        ("no-selector-and-gpu", "no_node", "(nvidia.com/gpu) (1 of 2); not of the kind it needs (1 of 2)", 30, 31),
        ("no-taint", "no_node", "kept for others (tainted)", 30, 31),
        ("no-cordon", "no_node", "takes no new servers (1 of 5)", 30, 31),
        ("no-pods", "no_node", "holds as many pods as it may (1 of 5)", 30, 31),
        ("volume-elsewhere", "no_node", "cannot reach one of its volumes (1 of 2)", 30, 31),
        ("gated", "gated", "lab/wait", 30, 31),
        ("claim-missing", "claim_missing", "The claim not-there does not exist, so /home/x cannot be mounted", 30, 31),
        ("claim-unbound", "claim_pending", "no storage class is set", 30, 31),
        ("claim-no-provisioner", "claim_pending", '"t-words-not-there" not found', 30, 31),
        ("claim-lost", "claim_pending", "the claim lost2 is not bound to a volume", 30, 31),
        ("image-missing", "image_missing", "127.0.0.1:5077/nothing:1 is not in its registry", 20, 40),
        ("image-unauthorised", "image_refused", "401 Unauthorized", 20, 45),
        ("image-bad-secret", "image_refused", "401 Unauthorized", 20, 45),
        ("image-no-secret", "image_refused", "pull secret pull-missing is not in the namespace", 20, 45),
        ("image-forbidden", "image_refused", "403 Forbidden", 20, 45),
        ("image-broken-registry", "registry_broken", "500 Internal Server Error", 20, 45),
        ("image-unreachable", "registry_unreachable", "connection refused", 20, 46),
        ("image-name-unknown", "registry_unreachable", "lookup harbor.not-there.example", 20, 80),
        ("image-other-machine", "image_other_machine", "not made for this kind of machine", 20, 46),
        ("image-never", "image_not_on_node", "localhost/never/there:1 is not on the node", 0, 6),
        ("image-bad-name", "image_bad_name", "repository name (/X) must be lowercase", 0, 4),
        ("init-image", "image_missing", "127.0.0.1:5077/nothing:1 is not in its registry", 20, 45),
        ("image-slow", "entry_missing", "has no program /none", 20, 26),
        ("config-secret-missing", "setting_missing", "The secret token does not exist", 10, 14),
        ("config-configmap-missing", "setting_missing", "The configmap settings does not exist", 10, 14),
        ("config-key-missing", "key_missing", "kube-root-ca.crt has no key nokey", 10, 14),
        ("config-root", "image_is_root", "wants to run as root", 0, 4),
        ("entry-missing", "entry_missing", "has no program /opt/mlabhub/entry", 0, 10),
        ("entry-missing-in-path", "entry_missing", "has no program jupyterhub-singleuser", 0, 10),
        ("entry-workdir", "not_run", "mkdir /proc/nothing: no such file or directory", 0, 10),
        ("crash", "ended_early", "a fault of its own (exit status 3)", 0, 10),
        ("crash-loop", "ended_early", "a fault of its own (exit status 4)", 0, 12),
        ("ended-well", "ended_early", "shut down from inside", 0, 10),
        ("oom", "ended_early", "more than the 32 MiB of memory", 0, 10),
        ("oom-always", "ended_early", "more than the 32 MiB of memory", 0, 12),
        ("startup-fails", "ended_early", "signal 9", 0, 15),
        ("mount-configmap", "object_missing", "The configmap not-there does not exist, so /home/x cannot", 45, 47),
        ("mount-secret", "object_missing", "The secret not-there does not exist, so /home/x cannot", 45, 47),
        ("mount-nfs", "mount_helper_missing", "/home/x cannot be mounted: the node has no program for it", 45, 47),
        ("mount-nfs-claim", "mount_helper_missing", "no program for it (file system nfs)", 45, 70),
        ("mount-hostpath", "folder_missing", "there is no folder /srv/nothing on the node", 45, 47),
        ("mount-csi", "driver_missing", "no driver nothing.example", 45, 47),
        ("mount-subpath-file", "subpath_failed", "The folder below /home/x cannot be opened", 10, 16),
        ("attach-csi", "mount_waits", "Nothing has begun on the node node1 in 45 seconds: /home/x cannot", 45, 55),
        ("init-fails", "preparing_failed", "(runtime) failed. It ended because of a fault of its own", 0, 8),
        ("init-oom", "preparing_failed", "(runtime) failed. It used more than the 32 MiB", 0, 12),
        ("preempted", "ended_early", "something of higher priority", 0, 12),
        ("evicted-api", "ended_early", "taken off its node node2", 10, 20),
        ("evicted-emptydir", "ended_early", "more than 1Mi into its folder /x", 10, 26),
        ("evicted-ephemeral", "ended_early", "more than 1Mi outside of its mounted folders", 10, 26),
        ("deleted", "deleted", "was deleted while it started, not by this hub", 10, 20),
        ("deadline", "ended_early", "longer than the cluster lets it", 5, 12),
        ("admission-gpu", "ended_early", "did not have the GPUs", 0, 1),
        ("admission-cpu", "ended_early", "no more room for it (cpu)", 0, 1),
        ("admission-affinity", "ended_early", "no longer of the kind that it needs", 0, 1),
        ("node-lost", "node_silent", "Nothing has begun on the node t-words-a", 45, 47),
    ],
)
def test_given_up_in_time(name: str, code: str, words: str, from_: float, until: float) -> None:
    story = story_of(name)
    assert words in story.fault, story
    assert story.code == code
    assert from_ <= story.at <= until, story
    assert story.fault.endswith(".")


@pytest.mark.parametrize("name", ["well", "not-ready"])
def test_not_given_up(name: str) -> None:
    story = story_of(name)
    assert not story.fault
    assert story.node == "node2"
    assert {"Its node is node2", "Its container has started"} <= set(story.news)


def test_the_health_check_is_told() -> None:
    assert any("Readiness probe failed" in said for said in story_of("not-ready").news)


def test_an_image_that_takes_its_time_is_told_with_size_and_time() -> None:
    assert story_of("image-slow").news == [
        "Its node is node1",
        "Fetching the image 127.0.0.1:5077/slow:1; the first time on a node that may take minutes",
        "The image is there: 0 MiB in 18 seconds",
    ]


@pytest.mark.parametrize("name", names())
def test_each_sentence_is_told_once_on_one_short_line(name: str) -> None:
    news = story_of(name).news
    assert news
    assert len(news) == len(set(news))
    assert all(said.isprintable() and len(said) < 600 for said in news)


def test_a_second_try_that_fails_with_other_words_is_not_told_anew() -> None:
    assert len([said for said in story_of("image-name-unknown").news if "cannot be reached" in said]) == 1


def test_trouble_comes_before_progress() -> None:
    assert story_of("mount-nfs").news == [
        "/home/x cannot be mounted: the node has no program for it (file system nfs)",
        "Its node is node1",
    ]


@pytest.mark.parametrize(
    ("name", "asked"), [("no-gpu", True), ("no-cpu", True), ("no-memory", True), ("no-selector", False)]
)
def test_the_service_is_asked_what_is_short(name: str, asked: bool) -> None:
    assert story_of(name).asked is asked


def test_the_services_answer_is_told_instead_of_the_schedulers_words() -> None:
    watcher = StartWatch(PLAN, SPEC, 0.0)
    first = next(looks("no-gpu"))
    assert watcher.see(first.pod, first.events, 0.0).short
    watcher.explain(Message("4 A100 wait: 3 are free (n1 3)."))
    story = watch(watcher, list(looks("no-gpu")))
    assert story.fault == (
        "No node took the server within 30 seconds. 4 A100 wait: 3 are free (n1 3). "
        "Try again later, or tell an administrator."
    )
    assert story.news == ["No node can take the server now: 4 A100 wait: 3 are free (n1 3)."]


def test_what_is_short_may_change() -> None:
    watcher = StartWatch(PLAN, SPEC, 0.0)
    first = next(looks("no-gpu"))
    told: list[str] = []
    for now, why in enumerate(("3 are free.", "3 are free.", "2 are free.")):
        watcher.explain(Message(why))
        told += [str(message) for message in watcher.see(first.pod, first.events, float(now)).news]
    assert [said.rpartition(": ")[2] for said in told] == ["3 are free.", "2 are free."]


def test_without_an_answer_the_schedulers_words_are_told() -> None:
    watcher = StartWatch(PLAN, SPEC, 0.0)
    first = next(looks("no-gpu"))
    assert watcher.see(first.pod, first.events, 0.0).news == ()
    (said,) = watcher.see(first.pod, first.events, float(ANSWER_SECONDS)).news
    assert "too few GPUs are free" in str(said)


def test_the_site_may_let_a_server_wait_longer() -> None:
    story = story_of("no-gpu", KubernetesSpec(unschedulable_seconds=90))
    assert 90 <= story.at <= 91
    assert "within 90 seconds" in story.fault


def test_a_node_that_is_being_added_is_waited_for() -> None:
    told = list(looks("no-gpu"))
    about = {"kind": "Pod", "name": "no-gpu"}
    scaling = {"reason": "TriggeredScaleUp", "message": "pod triggered scale-up: [{a 0->1}]", "involvedObject": about}
    story = watch(StartWatch(PLAN, SPEC, 0.0), [Look(0.0, told[0].pod, [*told[0].events, scaling])], until=700)
    assert SCALE_SECONDS <= story.at <= SCALE_SECONDS + 1
    assert "The cluster is adding a node for it; that may take minutes" in story.news


def test_a_scheduler_that_does_nothing_is_not_waited_for() -> None:
    story = watch(StartWatch(PLAN, SPEC, 0.0), [made(node="")])
    assert (story.code, story.at) == ("unscheduled", 30.0)


@pytest.mark.parametrize(
    ("event", "code", "words"),
    [
        (
            {
                "reason": "FailedAttachVolume",
                "message": 'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node '
                "and can't be attached to another",
            },
            "attached_elsewhere",
            "/nas/a cannot be mounted: the volume is in use on another node",
        ),
        (
            {
                "reason": "FailedMount",
                "message": "Unable to attach or mount volumes: unmounted volumes=[v0], unattached volumes=[v0]: timed "
                "out waiting for the condition",
            },
            "storage_unreachable",
            "/nas/a cannot be mounted: the storage does not answer",
        ),
        (
            {
                "reason": "FailedMount",
                "message": 'MountVolume.SetUp failed for volume "pvc-1" : mount failed: exit status 32\nMounting '
                "command: mount\nMounting arguments: -t nfs nas:/home /var/lib/kubelet/pods/1/volumes/x\nOutput: "
                "mount.nfs: access denied by server while mounting nas:/home\n",
            },
            "storage_refused",
            "/nas/a cannot be mounted: the storage refuses: mount.nfs: access denied by server",
        ),
        (
            {
                "reason": "FailedMount",
                "message": 'MountVolume.SetUp failed for volume "pvc-1" : mount failed: exit status 32\nMounting '
                "command: mount\nMounting arguments: -t nfs nas:/x /var/lib/kubelet/pods/1/volumes/x\nOutput: "
                "mount.nfs: mounting nas:/x failed, reason given by server: No such file or directory\n",
            },
            "export_missing",
            "the storage has no such folder",
        ),
        (
            {"reason": "FailedCreatePodSandBox", "message": "Failed to create pod sandbox: plugin is not ready"},
            "no_network",
            "plugin is not ready",
        ),
    ],
)
def test_what_the_shared_cluster_cannot_show(event: Json, code: str, words: str) -> None:
    story = watch(StartWatch(PLAN, SPEC, 0.0), [made(event, waiting=CREATING)])
    assert words in story.fault
    assert (story.code, story.at) == (code, 45.0)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('exec: "/opt/entry": permission denied: unknown', "entry_denied"),
        ("exec /opt/entry: exec format error", "entry_other_machine"),
        ("exec /opt/entry: no such file or directory", "entry_missing"),
    ],
)
def test_what_a_program_may_lack(text: str, code: str) -> None:
    ended = {"terminated": {"reason": "StartError", "exitCode": 128, "message": text}}
    status = {"phase": "Failed", "containerStatuses": [{"name": "notebook", "restartCount": 0, "state": ended}]}
    story = watch(StartWatch(PLAN, SPEC, 0.0), [made(**status)])
    assert (story.code, "/opt/entry" in story.fault) == (code, True)


def test_a_volume_that_was_mounted_after_all_is_no_trouble_while_the_image_is_fetched() -> None:
    failed = {"reason": "FailedMount", "message": 'MountVolume.SetUp failed for volume "v0" : device is busy'}
    pulling = {"reason": "Pulling", "message": 'Pulling image "i"'}
    told = [made(failed, waiting=CREATING), made(failed, pulling, waiting=CREATING, at=20)]
    story = watch(StartWatch(PLAN, SPEC, 0.0), told, until=300)
    assert not story.fault
    assert any("device is busy" in said for said in story.news)


def test_an_image_that_comes_at_the_second_try_is_no_fault() -> None:
    error = {"reason": "ErrImagePull", "message": "dial tcp 10.0.0.1:443: i/o timeout"}
    running = {
        "phase": "Running",
        "containerStatuses": [{"name": "notebook", "restartCount": 0, "state": {"running": {}}}],
    }
    told = [made(waiting=error), made(waiting=CREATING, at=15), made(at=20, **running)]
    assert not watch(StartWatch(PLAN, SPEC, 0.0), told, until=300).fault


def test_a_missing_setting_may_come_in_a_moment() -> None:
    missing = {"reason": "CreateContainerConfigError", "message": 'secret "token" not found'}
    told = [made(waiting=missing), made(waiting=CREATING, at=SOON_SECONDS - 1)]
    assert not watch(StartWatch(PLAN, SPEC, 0.0), told, until=40).fault


def test_a_pull_that_fails_without_events_is_given_up_too() -> None:
    error = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "i": ErrImagePull: i: not found'}
    story = watch(StartWatch(PLAN, SPEC, 0.0), [made(waiting=error)])
    assert (story.code, story.at) == ("image_missing", float(PULL_SECONDS))


def test_an_earlier_pod_of_the_same_server_is_waited_for() -> None:
    watcher = StartWatch(PLAN, SPEC, 0.0)
    label = {LAUNCH: launch_label("the-launch-before")}
    old = list(looks("deleted", labels=label))[-1]
    for now in range(100):
        sight = watcher.see(old.pod, old.events, float(now))
        assert sight.fault is None
        assert [str(said) for said in sight.news] == ["Waiting until the server's earlier pod has ended"][: now == 0]
    assert watcher.see(None, (), 100.0).fault is None
    mine = made(node="", waiting=None)
    assert watcher.see(mine.pod, (), 101.0).fault is None
    assert watcher.see(mine.pod, (), 130.0).fault is None
    assert watcher.see(mine.pod, (), 131.0).fault is not None


def test_a_pod_that_is_gone_was_deleted() -> None:
    watcher = StartWatch(PLAN, SPEC, 0.0)
    assert watcher.see(None, (), 0.0).fault is None
    first = next(looks("well"))
    watcher.see(first.pod, first.events, 1.0)
    fault = watcher.see(None, (), 2.0).fault
    assert fault is not None
    assert fault.data["code"] == "deleted"


@pytest.mark.parametrize(
    ("name", "what_to_do"),
    [
        ("image-missing", "is not in its registry. Choose another image, or tell an administrator."),
        ("entry-missing", "which starts the server. Choose another image, or tell an administrator."),
        ("deleted", "not by this hub. Start it again; if that comes again, tell an administrator."),
        ("node-lost", "it may not answer. Start it again; if that comes again, tell an administrator."),
        ("config-secret-missing", "and the server needs it. Tell an administrator."),
        ("mount-nfs", "(file system nfs). Tell an administrator."),
        ("claim-missing", "cannot be mounted. Try again later, or tell an administrator."),
        ("preempted", "Start it again when there is room."),
    ],
)
def test_the_last_sentence_says_what_to_do(name: str, what_to_do: str) -> None:
    assert story_of(name).fault.endswith(what_to_do)


def test_last_words_that_the_cluster_kept_are_told() -> None:
    ended = {
        "terminated": {"reason": "Error", "exitCode": 1, "message": "Traceback\n  File\nImportError: jupyterhub\n"}
    }
    status = {"phase": "Failed", "containerStatuses": [{"name": "notebook", "restartCount": 0, "state": ended}]}
    story = watch(StartWatch(PLAN, SPEC, 0.0), [made(**status)])
    assert story.fault.endswith("Its last words: Traceback\nFile\nImportError: jupyterhub.")
    assert story.log_of is None
    assert story_of("crash").log_of == "notebook"
    assert story_of("init-fails").log_of == "runtime"


@pytest.mark.parametrize(
    "hostile",
    ["{0.__class__}", "<script>alert(1)</script>", "a\x1b[31m\x00\nb\u202eevil", "x" * 100_000, "{", "}", "%s{text}"],
)
def test_the_clusters_texts_are_only_values(hostile: str) -> None:
    """Whatever an event says is shown as it is, in one short line, and nothing in it is a template."""
    for reason in (
        "SomethingNew",
        "FailedMount",
        "FailedScheduling",
        "Pulling",
        "Pulled",
        "Failed",
        "Unhealthy",
        hostile,
    ):
        told = [made({"reason": reason, "message": hostile}, waiting={"reason": "ErrImagePull", "message": hostile})]
        story = watch(StartWatch(PLAN, SPEC, 0.0), told, until=70)
        for said in (*story.news, story.fault):
            assert len(said) < 1000
            assert said.isprintable()
    watcher = StartWatch(PLAN, SPEC, 0.0)
    look = made({"reason": "SomethingNew", "message": hostile})
    (said,) = [one for one in watcher.see(look.pod, look.events, 0.0).news if "cluster says" in str(one)]
    assert said.template == OTHER.template


def test_an_unknown_event_is_shown() -> None:
    look = made({"reason": "VolumeResizeFailed", "message": "resize: no quota"})
    story = watch(StartWatch(PLAN, SPEC, 0.0), [look], until=2)
    assert "The cluster says: VolumeResizeFailed: resize: no quota" in story.news


def test_events_of_others_are_not_taken_for_its_own() -> None:
    look = made(
        {"reason": "FailedMount", "message": "no", "involvedObject": {"kind": "Pod", "name": "p", "uid": "earlier"}},
        {"reason": "FailedMount", "message": "no", "involvedObject": {"kind": "Pod", "name": "q"}},
        {"reason": "FailedBinding", "message": "no", "involvedObject": {"kind": "PersistentVolumeClaim", "name": "z"}},
        waiting=CREATING,
    )
    assert watch(StartWatch(PLAN, SPEC, 0.0), [look], until=2).news == ["Its node is node1"]


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"metadata": None, "spec": None, "status": None},
        {"metadata": [], "spec": {"containers": "x", "volumes": [1, None]}, "status": {"containerStatuses": {"a": 1}}},
        {"metadata": {"name": "p"}, "spec": {"containers": [{}]}, "status": {"conditions": [None, {"type": 1}]}},
    ],
)
def test_a_pod_that_is_not_as_it_should_be_does_no_harm(broken: Json) -> None:
    events: list[Json] = [{}, {"involvedObject": None}, {"reason": 1, "message": 2, "involvedObject": {"kind": "Pod"}}]
    make: Callable[[], StartWatch] = lambda: StartWatch(PLAN, SPEC, 0.0)  # noqa: E731 - typed
    assert make().see(broken, events, 1.0).fault is None


def test_an_image_of_no_registry_is_said_to_be_on_no_node() -> None:
    refused = 'failed to do request: Head "http://localhost/v2/mlabhub/pytorch": dial tcp 127.0.0.1:80: refused'
    said = say_pull("localhost/mlabhub/pytorch:latest", refused)
    assert said.saying.code == "image_not_loaded"
    assert "localhost/mlabhub/pytorch:latest is not on the node" in str(said.message)
    assert say_pull("lab.example/pytorch:latest", refused).saying.code == "registry_unreachable"
