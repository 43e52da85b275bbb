"""mlabhub: one address in the browser for a lab's GPUs."""

__version__ = "0.1.0"
