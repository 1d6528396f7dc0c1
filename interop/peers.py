"""Peers that no package of the system brings: installed once, into the folder of the build."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from support import ROOT

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
PEERS = TARGET / "peers"

# What they are, exactly: a newer one is tried on purpose, not by chance.
AUTOBAHN = "autobahntestsuite==25.10.1"
WEBSOCKETS = "websockets==15.0.1"
WS = "ws@8.18.3"
PROMETHEUS = "prometheus_client==0.23.1"

# Seconds; packages may come over a slow network, and some are built.
LONG_ENOUGH = 600


class Missing(Exception):
    """This machine has no such peer, and it cannot be installed."""


def run(*command, **options):
    """Runs a command that has to succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=LONG_ENOUGH,
        check=False,
        **options,
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def _once(pin, install):
    """The folder of a peer of that version, which `install` fills if it is not there: whole, or not at all."""
    name = pin.replace("==", "-").replace("@", "-")
    folder = PEERS / name
    if folder.is_dir():
        return folder
    PEERS.mkdir(parents=True, exist_ok=True)
    fresh = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=PEERS))
    try:
        install(fresh)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _tell_skip(why):
    """Has the summary of the lane say so; with CI set nothing is skipped."""
    if os.environ.get("CI"):
        raise AssertionError(why)
    skips = os.environ.get("TAUTLINE_SKIPS")
    if skips:
        with open(skips, "a", encoding="utf-8") as file:
            file.write(f"{why}\n")


def skip(case, why):
    """Skips a test; with CI set it fails."""
    _tell_skip(why)
    case.skipTest(why)


def needed(peer):
    """A peer without which a file has no tests: they are all skipped; with CI set they fail."""
    try:
        return peer()
    except Missing as missing:
        _tell_skip(str(missing))
        raise unittest.SkipTest(str(missing)) from None


def _runs(python):
    try:
        done = subprocess.run([python, "-c", "import pip"], capture_output=True, timeout=60, check=False)
    except OSError:
        return False
    return done.returncode == 0


def python27():
    """CPython 2.7 with its pip, from the path or from where pyenv keeps its versions."""
    versions = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv")) / "versions"
    found = sorted(versions.glob("2.7*/bin/python2.7"), reverse=True)
    if (on_path := shutil.which("python2.7")) is not None:
        found.append(pathlib.Path(on_path))
    for python in found:
        if _runs(python):
            return python
    raise Missing("there is no CPython 2.7 with pip, which Autobahn's suite needs (pyenv install 2.7.18)")


def autobahn():
    """Where Autobahn's suite lies."""
    python = python27()

    def install(folder):
        run(python, "-m", "pip", "install", "-q", "--target", folder, AUTOBAHN, cwd=folder)
        # A part of a name that others share: without this Python 2.7 does not look into it.
        (folder / "zope/__init__.py").touch()

    return _once(AUTOBAHN, install)


def _package(pin):
    """Where a package of Python lies."""
    if not _runs(sys.executable):
        raise Missing(f"there is no pip, with which {pin} is installed (package python3-pip)")

    def install(folder):
        run(sys.executable, "-m", "pip", "install", "-q", "--target", folder, pin)

    return _once(pin, install)


def websockets():
    """Where Python's `websockets` lies."""
    return _package(WEBSOCKETS)


def prometheus():
    """Where Python's client of Prometheus lies, which reads what is to be collected."""
    return _package(PROMETHEUS)


def chromium():
    """A browser."""
    found = shutil.which("chromium")
    if found is None:
        raise Missing("there is no chromium, in which the page is looked at (package chromium)")
    return found


def node_ws():
    """Where Node's `ws` lies, as NODE_PATH has it."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise Missing("there is no node with npm, with which ws is tested (packages nodejs and npm)")

    def install(folder):
        (folder / "package.json").write_text(json.dumps({"private": True}))
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", WS, cwd=folder)

    return _once(WS, install) / "node_modules"


CERTIFICATE = """
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = localhost
[extensions]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost, IP:127.0.0.1
"""


def certificate(folder):
    """A certificate for this machine and its key, which nobody trusts who is not told to."""
    folder = pathlib.Path(folder)
    config, cert, key = (folder / name for name in ("req.cnf", "cert.pem", "key.pem"))
    config.write_text(CERTIFICATE)
    made = ["-keyout", key, "-out", cert, "-config", config]
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *made)
    return cert, key
