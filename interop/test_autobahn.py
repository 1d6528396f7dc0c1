"""Autobahn's suite as the judge, in both roles, plain and over TLS.

Every case that was asked for has to have a result, and every result has to be OK or informational:
the suite itself always ends with 0.
"""

import json
import os
import sys
import unittest

import peers
from support import HOST, Case, free_port, wait_for, wait_listening

LONG = bool(os.environ.get("LONG"))
# How many cases each group has: fewer would not be noticed otherwise.
GROUPS = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "10": 1}
if LONG:
    # Limits and speed, and compression.
    GROUPS |= {"9": 54, "12": 90, "13": 126}
CASES = [f"{group}.*" for group in GROUPS]
# Those over TLS: what is sent in pieces, and how it ends. The rest knows nothing of what is below.
CASES_OF_TLS = CASES if LONG else ["1.*", "5.*", "7.*"]
GOOD = {"OK", "INFORMATIONAL"}
AGENT = "tautline"
# Seconds; a run of the usual cases takes half a minute.
PATIENCE = 3600 if LONG else 300

EXAMPLE = peers.TARGET / "release/examples/autobahn"

RUNNER = """
import sys
sys.path.insert(0, {site!r})
sys.argv[0] = "wstest"
from autobahntestsuite.wstest import run
run()
"""


def expected(cases):
    """How many results these cases have."""
    return sum(GROUPS[case.split(".")[0]] for case in cases)


class Autobahn(Case):
    """Autobahn's suite against the program, and against the client of the library."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not EXAMPLE.is_file():
            raise AssertionError(
                f"{EXAMPLE} is missing: cargo build --release -p tautline-websocket --example autobahn"
            )

    def setUp(self):
        super().setUp()
        try:
            self.site, self.python = peers.autobahn(), peers.python27()
        except peers.Missing as missing:
            peers.skip(self, str(missing))

    def suite(self, mode, arguments=(), **spec):
        """Starts the suite, in a folder of its own: it would take any file there for a module."""
        place = self.folder / "suite"
        place.mkdir()
        (place / "runner.py").write_text(RUNNER.format(site=str(self.site)))
        spec |= {"outdir": str(place / "results"), "exclude-cases": [], "exclude-agent-cases": {}}
        (place / "spec.json").write_text(json.dumps(spec))
        options = ["-m", mode, "-s", place / "spec.json", *arguments]
        return self.start(self.python, place / "runner.py", *options)

    def results(self):
        """What the suite has written down of us."""
        index = self.folder / "suite/results/index.json"
        self.assertTrue(index.is_file(), "the suite has written no results")
        return json.loads(index.read_text())[AGENT]

    def judge(self, cases):
        """Looks at each result."""
        results = self.results()
        self.assertEqual(len(results), expected(cases), "the suite has not played every case")
        bad = {
            case: (result["behavior"], result["behaviorClose"])
            for case, result in results.items()
            if not {result["behavior"], result["behaviorClose"]} <= GOOD
        }
        self.assertEqual(bad, {}, f"{len(bad)} of {len(results)} cases")
        print(f"{len(results)} cases", end=" ", file=sys.stderr, flush=True)

    def play_server(self, cases, scheme="ws", arguments=()):
        """Has the suite ask our echo server."""
        port = free_port()
        server = self.tautline("ws", "echo", "--listen", f"{HOST}:{port}", *arguments)
        wait_listening(port)
        url = f"{scheme}://{HOST}:{port}"
        servers = [{"agent": AGENT, "url": url, "options": {"version": 18}}]
        suite = self.suite("fuzzingclient", servers=servers, cases=cases)
        self.assertEqual(suite.wait(PATIENCE), 0, str(suite))
        self.assertTrue(server.is_running(), str(server))
        self.judge(cases)

    def play_client(self, cases, scheme="ws", **spec):
        """Has our client ask the suite for each of its cases."""
        port = free_port()
        url = f"{scheme}://localhost:{port}"
        suite = self.suite("fuzzingserver", ["-w", "0"], url=url, cases=cases, **spec)
        wait_for(f"the suite listens: {suite}", lambda: _listens(port) or not suite.is_running())
        client = self.start(EXAMPLE, "client", url, AGENT)
        self.assertEqual(client.wait(PATIENCE), 0, f"{client}\n{suite}")
        self.judge(cases)

    def test_server(self):
        """Proves that the server does what the suite demands of one."""
        self.play_server(CASES)

    def test_client(self):
        """Proves that the client does what the suite demands of one."""
        self.play_client(CASES)

    def test_server_over_tls(self):
        """Proves the same of the server over TLS."""
        cert, key = peers.certificate(self.folder)
        self.play_server(CASES_OF_TLS, "wss", ["--tls", "--cert", cert, "--key", key])

    def test_client_over_tls(self):
        """Proves the same of the client over TLS."""
        cert, key = peers.certificate(self.folder)
        # The client trusts the authorities of the system, which are those of this file.
        os.environ["SSL_CERT_FILE"] = str(cert)
        self.addCleanup(os.environ.pop, "SSL_CERT_FILE")
        self.play_client(CASES_OF_TLS, "wss", key=str(key), cert=str(cert))


def _listens(port):
    """Whether anybody listens on this port: the suite does so on every address."""
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}", encoding="ascii") as lines:
            fields = [line.split() for line in lines][1:]
        if any(int(f[1].rsplit(":", 1)[1], 16) == port and f[3] == "0A" for f in fields):
            return True
    return False


if __name__ == "__main__":
    unittest.main()
