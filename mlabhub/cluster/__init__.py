"""Kubernetes as we speak to it: connections, labels, and the manifests that are not a server's own pod.

Guarantees: `get_*_manifest` are pure; nothing is loaded or asked when this is imported.
"""
