"""What the Zero to JupyterHub chart makes of our values, as far as these are about it: hub, service and proxy as pods.

The chart itself is not at hand where these tests run (`make test-helm CHART=DIR` is for that), so this makes the same
objects of the same values: one deployment for the hub with our container beside it, one for the proxy, their services,
and the hub's network policy. Guarantees: pure.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]
Values = Mapping[str, Any]

CONFIG = Path(__file__).with_name("hub_config.py")
FOLDER = "/usr/local/etc/jupyterhub"
CLOSED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
POD_SECURITY = {"runAsNonRoot": True, "fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}}


def get_release_manifests(values: Values, *, namespace: str, release: str, proxy_image: str) -> tuple[Manifest, ...]:
    """Return all objects of a release, but for what is applied beside the chart."""

    def make(kind: str, name: str, version: str = "v1", **more: Any) -> Manifest:
        return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **more}

    def labels(component: str) -> dict[str, str]:
        modern = {"app.kubernetes.io/component": component, "app.kubernetes.io/instance": release}
        return {"app": "jupyterhub", "release": release, "component": component, **modern}

    def deployment(name: str, more_labels: Mapping[str, str], spec: Manifest) -> Manifest:
        template = {"metadata": {"labels": {**labels(name), **more_labels}}, "spec": spec}
        selector = {"matchLabels": labels(name)}
        strategy = {"type": "Recreate"}
        whole = {"replicas": 1, "strategy": strategy, "selector": selector, "template": template}
        return make("Deployment", name, "apps/v1", spec=whole)

    def service(name: str, component: str, ports: Iterable[Manifest]) -> Manifest:
        return make("Service", name, spec={"selector": labels(component), "ports": list(ports)})

    hub = values["hub"]
    names = {name: name for name in ("hub", "proxy-api", "proxy-public")}
    to_proxy = {f"hub.jupyter.org/network-access-proxy-{part}": "true" for part in ("api", "http")}
    return (
        make("ServiceAccount", "hub"),
        make("Secret", "hub", stringData=_secrets(values, namespace, release)),
        make("ConfigMap", "hub", data={**names, "jupyterhub_config.py": CONFIG.read_text()}),
        make("PersistentVolumeClaim", "hub-db-dir", spec=_claim(hub)),
        service("hub", "hub", [{"name": "hub", "port": 8081, "targetPort": "http"}, *hub["service"]["extraPorts"]]),
        service("proxy-api", "proxy", [{"port": 8001, "targetPort": "api"}]),
        service("proxy-public", "proxy", [{"name": "http", "port": 80, "targetPort": "http"}]),
        make("NetworkPolicy", "hub", "networking.k8s.io/v1", spec=_hub_policy(hub, labels("hub"))),
        deployment("hub", to_proxy, _hub_pod(hub, release)),
        deployment("proxy", {"hub.jupyter.org/network-access-hub": "true"}, _proxy_pod(proxy_image)),
    )


def _secrets(values: Values, namespace: str, release: str) -> dict[str, str]:
    """Return the chart's Secret: the values themselves, and what it makes up."""
    whole = {**values, "Release": {"Name": release, "Namespace": namespace}}
    made = {f"hub.services.{name}.apiToken": secrets.token_hex(32) for name in values["hub"]["services"]}
    return {
        "values.yaml": json.dumps(whole),
        **made,
        "hub.config.ConfigurableHTTPProxy.auth_token": secrets.token_hex(32),
        "hub.config.JupyterHub.cookie_secret": secrets.token_hex(32),
    }


def _claim(hub: Values) -> Manifest:
    size = hub["db"]["pvc"]["storage"]
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}


def _hub_policy(hub: Values, labels: Mapping[str, str]) -> Manifest:
    marked = {"podSelector": {"matchLabels": {"hub.jupyter.org/network-access-hub": "true"}}}
    ingress = [{"ports": [{"port": "http"}], "from": [marked]}, *hub["networkPolicy"]["ingress"]]
    return {"podSelector": {"matchLabels": dict(labels)}, "policyTypes": ["Ingress"], "ingress": ingress}


def _token() -> Manifest:
    key = {"name": "hub", "key": "hub.config.ConfigurableHTTPProxy.auth_token"}
    return {"name": "CONFIGPROXY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": key}}


def _hub_pod(hub: Values, release: str) -> Manifest:
    namespace = {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    more = [{"name": name, "value": value} for name, value in hub["extraEnv"].items()]
    container = {
        "name": "hub",
        "image": f"{hub['image']['name']}:{hub['image']['tag']}",
        "imagePullPolicy": hub["image"]["pullPolicy"],
        "args": ["jupyterhub", "--config", f"{FOLDER}/jupyterhub_config.py", "--upgrade-db"],
        "env": [{"name": "HELM_RELEASE_NAME", "value": release}, namespace, _token(), *more],
        "ports": [{"name": "http", "containerPort": 8081}],
        "readinessProbe": {"httpGet": {"path": "/hub/health", "port": "http"}, "periodSeconds": 2},
        "securityContext": hub["containerSecurityContext"],
        "volumeMounts": [
            {"mountPath": f"{FOLDER}/jupyterhub_config.py", "subPath": "jupyterhub_config.py", "name": "config"},
            {"mountPath": f"{FOLDER}/config/", "name": "config"},
            {"mountPath": f"{FOLDER}/secret/", "name": "secret"},
            {"mountPath": "/srv/jupyterhub", "name": "pvc"},
            *hub["extraVolumeMounts"],
        ],
    }
    return {
        "serviceAccountName": "hub",
        "securityContext": POD_SECURITY,
        "containers": [container, *hub["extraContainers"]],
        "volumes": [
            {"name": "config", "configMap": {"name": "hub"}},
            {"name": "secret", "secret": {"secretName": "hub"}},
            {"name": "pvc", "persistentVolumeClaim": {"claimName": "hub-db-dir"}},
            *hub["extraVolumes"],
        ],
    }


def _proxy_pod(image: str) -> Manifest:
    container = {
        "name": "chp",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["configurable-http-proxy"],
        "args": [
            "--ip=",
            "--api-ip=",
            "--api-port=8001",
            "--default-target=http://hub:8081",
            "--error-target=http://hub:8081/hub/error",
            "--port=8000",
        ],
        "env": [_token()],
        "ports": [{"name": "http", "containerPort": 8000}, {"name": "api", "containerPort": 8001}],
        "securityContext": {**CLOSED, "runAsUser": 65534, "runAsGroup": 65534},
    }
    return {"securityContext": {k: v for k, v in POD_SECURITY.items() if k != "fsGroup"}, "containers": [container]}
