"""An admission-control reverse proxy for Python services."""

__version__ = "0.1.0"
