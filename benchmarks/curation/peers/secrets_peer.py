"""A secret scanner over a list of texts; run by the interpreter of that scanner's own environment.

    python secrets_peer.py detect-secrets|credsweeper < {"texts": [[name, text], …]}

Writes {"found": [[value, …], …], "seconds", "version"}.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

logging.disable(logging.CRITICAL)


def detect_secrets() -> Callable[[str, str], list[str]]:
    """Its default plug-ins and filters on files, as `detect-secrets scan` looks at them."""
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import default_settings

    settings = default_settings()  # a context manager that would close itself if nothing held it
    settings.__enter__()
    folder = Path(tempfile.mkdtemp())

    def scan(name: str, text: str) -> list[str]:
        assert settings
        path = folder / name
        path.write_text(text, encoding="utf-8")
        return [s.secret_value or "" for s in scan_file(str(path))]

    return scan


def credsweeper() -> Callable[[str, str], list[str]]:
    """Its default rules, filters and machine-learning validation, one text as one file."""
    from credsweeper.app import CredSweeper
    from credsweeper.file_handler.string_content_provider import StringContentProvider

    sweeper = CredSweeper()

    def scan(name: str, text: str) -> list[str]:
        provider = StringContentProvider(text.splitlines(), file_path=name, file_type="." + name.rsplit(".", 1)[-1])
        sweeper.credential_manager.candidates.clear()
        sweeper.credential_manager.set_credentials(sweeper.file_scan(provider))
        sweeper.post_processing(None)
        return [d.value for c in sweeper.credential_manager.get_credentials() for d in c.line_data_list]

    return scan


def main() -> None:
    """Scan every text; the first fifty once more beforehand, to warm up."""
    peer = sys.argv[1]
    texts = json.load(sys.stdin)["texts"]
    scan = {"detect-secrets": detect_secrets, "credsweeper": credsweeper}[peer]()
    for name, text in texts[:50]:
        scan(name, text)
    began = time.process_time()
    found = [scan(name, text) for name, text in texts]
    seconds = time.process_time() - began
    json.dump(
        {"found": found, "seconds": seconds, "version": f"{peer} {importlib.metadata.version(peer)}"}, sys.stdout
    )


if __name__ == "__main__":
    main()
