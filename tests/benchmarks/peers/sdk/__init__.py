"""Cloudflare's SDKs for agents as one file for workerd: installed by npm into the cache, once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from facets.isolates.image import cache_folder
from tests.benchmarks.harness import Skip

HERE = Path(__file__).parent
FILES = ("package.json", "worker.js", "email.js")
BUNDLE = (
    "node_modules/.bin/esbuild", "worker.js", "--bundle", "--format=esm", "--target=es2022",
    "--platform=neutral", "--main-fields=module,main", "--minify-syntax", "--log-level=error",
    "--conditions=workerd,worker,browser,import", "--outfile=made/worker.js",
    "--alias:crypto=node:crypto", "--alias:async_hooks=node:async_hooks", "--alias:path=node:path",
    "--alias:cloudflare:email=./email.js", "--external:node:*", "--external:cloudflare:workers",
    "--external:cloudflare:sockets", "--external:cloudflare:workflows",
)  # fmt: skip


def built() -> Path:
    """The folder with the worker and the configuration for it; `Skip` says why there is none."""
    digest = hashlib.sha256(b"".join((HERE / one).read_bytes() for one in FILES)).hexdigest()[:16]
    folder = cache_folder() / f"agents-sdk-{digest}"
    made = folder / "made"
    if not (made / "workerd.capnp").exists():
        made.mkdir(parents=True, exist_ok=True)
        for one in FILES:
            shutil.copy(HERE / one, folder)
        _run(folder, ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"])
        _run(folder, list(BUNDLE))
        shutil.copy(HERE.parent / "workerd.capnp", made)
    return made


def _run(folder: Path, command: list[str]) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Skip(f"there is no {command[0]} to make the agents' SDK with") from None
    if done.returncode:
        last = (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
        raise Skip(f"{command[0]} could not make the agents' SDK: {last}")
