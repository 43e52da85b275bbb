"""Tests on a real Kubernetes; `conftest` says what they need of it."""
