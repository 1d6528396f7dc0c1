"""The page of `tautline serve`: in a browser, for Prometheus, and against pages of other sites."""

import asyncio
import base64
import http.client
import json
import os
import signal
import stat
import sys
import urllib.request

import peers
from support import HOST, PATIENCE, Case, free_port, wait_for, wait_listening

sys.path.insert(0, str(peers.needed(peers.websockets)))
sys.path.insert(0, str(peers.needed(peers.prometheus)))
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402
from websockets.asyncio.client import connect  # noqa: E402
from websockets.exceptions import InvalidStatus  # noqa: E402

CHROMIUM = peers.needed(peers.chromium)
# As root, without a network, and without anything that a browser asks for by itself.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    "--window-size=1100,900",
]
SCREENSHOT = peers.TARGET / "artefacts" / "serve.png"


class Served(Case):
    """A relay with a page."""

    def serve(self, *arguments):
        self.port = free_port()
        self.token = self.folder / "secrets" / "token"
        self.process = self.tautline(
            *("serve", "--json", "--listen", f"{HOST}:{self.port}"),
            *("--token-file", self.token, *arguments),
        )
        wait_listening(self.port)
        wait_for("a report", lambda: self.ask("/healthz")[0] == 200)

    def ask(self, path, method="GET", **headers):
        """Status, headers and body of an answer."""
        conn = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE)
        try:
            conn.request(method, path, headers=headers)
            answer = conn.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            conn.close()

    def open(self, **headers):
        return connect(
            f"ws://{HOST}:{self.port}/live",
            additional_headers=headers,
            open_timeout=PATIENCE,
            compression=None,
        )


class Page(Served):
    """What anybody who may ask is told."""

    def test_metrics_are_what_prometheus_reads(self):
        """All that is said is understood, and is what the relay's own report says."""
        sink = free_port()
        self.serve("--from", "demo:?rate=500", "--to", f"udp://{HOST}:{sink}")
        wait_for("packets", lambda: json.loads(self.ask("/api/relay")[2])["endpoints"][0]["packets"] > 500)
        status, headers, text = self.ask("/metrics")
        self.assertEqual(status, 200)
        self.assertIn("version=0.0.4", headers["content-type"])
        families = {family.name: family for family in text_string_to_metric_families(text)}
        packets = {s.labels["url"]: s.value for s in families["tautline_packets"].samples}
        self.assertEqual(set(packets), {"demo:?rate=500", f"udp://{HOST}:{sink}"})
        self.assertGreater(min(packets.values()), 500)
        buckets = [s for s in families["tautline_latency_seconds"].samples if s.name.endswith("_bucket")]
        self.assertEqual(buckets[-1].labels["le"], "+Inf")
        self.assertEqual([s.value for s in buckets], sorted(s.value for s in buckets))
        self.assertGreater(buckets[-1].value, 400)
        self.assertEqual(self.ask("/metrics", "POST")[0], 405)
        self.assertEqual(self.ask("/elsewhere")[0], 404)

    def test_reports_and_arrivals_come_over_a_websocket(self):
        """Reports are those of the relay, the tap is none of its endpoints, and packets are told singly."""

        async def look():
            reports, arrivals = [], []
            async with self.open() as socket:
                while len(reports) < 3 or len(arrivals) < 500:
                    said = await asyncio.wait_for(socket.recv(), PATIENCE)
                    if isinstance(said, str):
                        reports.append(json.loads(said))
                    else:
                        self.assertEqual(len(said) % 8, 4)
                        self.assertEqual(said[:4], bytes(4), "nothing is left out at this rate")
                        words = memoryview(said[4:]).cast("I")
                        arrivals += list(zip(words[::2], words[1::2]))
            return reports, arrivals

        self.serve("--from", "demo:?rate=1000&size=700")
        reports, arrivals = asyncio.run(look())
        self.assertEqual([len(report["endpoints"]) for report in reports], [1] * len(reports))
        self.assertEqual({size for _, size in arrivals}, {700})
        self.assertLess(max(micros for micros, _ in arrivals), 20_000_000)
        self.process.signal(signal.SIGINT)
        summary = self.summary_of(self.process)
        self.assertEqual([endpoint["url"] for endpoint in summary["endpoints"]], ["demo:?rate=1000&size=700"])

    def test_a_browser_shows_the_feed(self):
        """Chromium draws what comes; a screenshot is kept. With the token the page ends the relay."""
        self.serve("--from", "demo:?rate=800", "--to", f"udp://{HOST}:{free_port()}")
        profile = self.folder / "profile"
        browser = self.start(CHROMIUM, *FLAGS, f"--user-data-dir={profile}", f"http://{HOST}:{self.port}/")
        place = profile / "DevToolsActivePort"
        wait_for("the browser", lambda: place.is_file() and place.read_text().count("\n") == 1)
        tools = f"http://{HOST}:{place.read_text().split()[0]}/json/list"

        def target():
            with urllib.request.urlopen(tools, timeout=PATIENCE) as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            return next((page for page in pages if str(self.port) in page["url"]), None)

        url = wait_for("the page", target)["webSocketDebuggerUrl"]
        asyncio.run(self.look_at_page(url))
        self.assertEqual(self.process.wait(), 0, str(self.process))
        browser.kill()

    async def look_at_page(self, url):
        async with connect(url, max_size=None) as tools:
            numbers = iter(range(1, 1 << 30))

            async def call(method, **parameters):
                number = next(numbers)
                await tools.send(json.dumps({"id": number, "method": method, "params": parameters}))
                while True:
                    said = json.loads(await asyncio.wait_for(tools.recv(), PATIENCE))
                    if said.get("id") == number:
                        self.assertNotIn("error", said)
                        return said["result"]

            async def value(script):
                return (await call("Runtime.evaluate", expression=script, awaitPromise=True))["result"].get("value")

            async def until(what, script):
                for _ in range(int(PATIENCE * 10)):
                    if await value(script):
                        return
                    await asyncio.sleep(0.1)
                raise AssertionError(f"{what}: {await value('document.body.innerText')}")

            await until("endpoints", "document.querySelectorAll('#endpoints tr').length === 2")
            await until("packets drawn", "parseFloat(document.getElementById('arrived').textContent) > 300"
                        " || document.getElementById('arrived').textContent.includes('K')")
            await until("latency", "document.getElementById('points').textContent.includes('p99')")
            drawn = "(id => { const c = document.getElementById(id); return c.getContext('2d')" \
                ".getImageData(0, 0, c.width, c.height).data.some(byte => byte > 0); })"
            for canvas in ("arrivals", "rates", "latency"):
                await until(f"{canvas} is drawn", f"{drawn}('{canvas}')")
            shot = await call("Page.captureScreenshot", format="png")
            SCREENSHOT.parent.mkdir(parents=True, exist_ok=True)
            SCREENSHOT.write_bytes(base64.b64decode(shot["data"]))
            submit = "document.getElementById('token').value = {!r}; document.querySelector('#stop button').click()"
            await value(submit.format("wrong"))
            await until("a refusal", "document.getElementById('answer').textContent.includes('token')")
            await value(submit.format(self.token.read_text().strip()))
            await until("the end", "document.getElementById('answer').textContent.includes('ends')")


class Guarded(Served):
    """Whoever may not ask gets nothing."""

    def test_other_sites_are_refused(self):
        """A foreign host or origin gets 403, by HTTP on every path, and by WebSocket."""
        self.serve()
        own = f"{HOST}:{self.port}"
        foreign = [
            {"Host": f"evil.example:{self.port}"},
            {"Host": own, "Origin": "http://evil.example"},
            {"Host": own, "Origin": f"https://{own}"},
            {"Host": own, "Origin": "null"},
        ]
        for headers in foreign:
            for path in ("/", "/metrics", "/healthz", "/api/relay", "/live", "/nowhere"):
                self.assertEqual(self.ask(path, **headers)[0], 403, (path, headers))
            token = {"Authorization": f"Bearer {self.token.read_text().strip()}"}
            self.assertEqual(self.ask("/api/stop", "POST", **headers, **token)[0], 403)

        async def refused(**headers):
            with self.assertRaises(InvalidStatus) as caught:
                async with self.open(**headers):
                    pass
            return caught.exception.response.status_code

        self.assertEqual(asyncio.run(refused(Origin="http://evil.example")), 403)
        self.assertEqual(self.ask("/", Origin=f"http://localhost:{self.port}")[0], 200)
        self.assertTrue(self.process.is_running())

    def test_changes_need_the_token(self):
        """The token's file is its owner's alone; without the token nothing ends."""
        self.serve()
        self.assertEqual(stat.S_IMODE(os.stat(self.token).st_mode), 0o600)
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer " + "0" * 64}):
            status, answer, _ = self.ask("/api/stop", "POST", **headers)
            self.assertEqual((status, answer["www-authenticate"]), (401, "Bearer"))
        self.assertEqual(self.ask("/api/stop", "GET")[0], 405)
        self.assertEqual(self.ask("/healthz")[0], 200)
        token = {"Authorization": f"Bearer {self.token.read_text().strip()}"}
        self.assertEqual(self.ask("/api/stop", "POST", **token)[0], 202)
        self.assertEqual(self.process.wait(), 0, str(self.process))

    def test_what_cannot_be_is_named(self):
        """A port that is taken, a token that others can read, and a name that is none."""
        self.serve()
        again = ("serve", "--listen", f"{HOST}:{self.port}", "--token-file", self.token)
        taken = self.tautline(*again)
        self.assertEqual(taken.wait(), 1)
        self.assertIn(f"--listen {HOST}:{self.port}", taken.errors())
        self.token.chmod(0o644)
        known = self.tautline(*again)
        self.assertEqual(known.wait(), 1)
        self.assertIn("chmod 600", known.errors())
        wrong = self.tautline("serve", "--host", "http://a.example/")
        self.assertEqual(wrong.wait(), 2)
        self.assertIn("without scheme", wrong.errors())
