"""``python -m gateway`` is the same as ``gateway``."""

from __future__ import annotations

from gateway.cli.app import main

if __name__ == "__main__":
    main()
