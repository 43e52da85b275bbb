"""The service: admission, launches, API and pages, and the reconciler, in one process beside the hub."""
