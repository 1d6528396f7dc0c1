"""The relay's WebSocket endpoints against Python's `websockets`, in both roles."""

import asyncio
import json
import pathlib
import ssl
import subprocess
import sys
import tempfile
import unittest

import peers
from support import HOST, PATIENCE, PROGRAM, free_port, wait_for, wait_listening

sys.path.insert(0, str(peers.needed(peers.websockets)))
from websockets.asyncio.client import connect  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402

# A venue: takes subscriptions, tells each what it has subscribed to, then counts.
VENUE = """
import asyncio, pathlib, ssl, sys
sys.path.insert(0, sys.argv[1])
from websockets.asyncio.server import serve
async def venue(peer):
    wanted = [await peer.recv(), await peer.recv()]
    await peer.send(" ".join([peer.request.path, *wanted]))
    for number in range(1 << 20):
        await peer.send(number.to_bytes(4, "big"))
        await asyncio.sleep(0.01)
async def main():
    context = None
    if len(sys.argv) > 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[3], sys.argv[4])
    async with serve(venue, "127.0.0.1", int(sys.argv[2]), ssl=context):
        await asyncio.Future()
asyncio.run(main())
"""


class RelayOverWebSockets(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, *command):
        """A process that is killed at the end of the test, if it still runs."""
        process = subprocess.Popen(
            [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def venue(self, port, *tls):
        process = self.start(sys.executable, "-c", VENUE, peers.websockets(), port, *tls)
        wait_listening(port)
        return process

    def relay(self, source, *to):
        words = [word for url in to for word in ("--to", url)]
        return self.start(PROGRAM, "relay", "--json", "--from", source, *words)

    def summary(self, relay):
        relay.terminate()
        out, err = relay.communicate(timeout=PATIENCE)
        self.assertEqual(relay.returncode, 0, err)
        return json.loads(out.splitlines()[-1])

    async def restarts(self, scheme, port, options, tls):
        """A venue is killed twice; a subscriber of the relay sees each subscription answered."""
        out = free_port()
        source = f"{scheme}://localhost:{port}/ws%3Fv=2?send=%7B%22op%22:1%7D&send=b{options}"
        relay = self.relay(source, f"ws-listen://{HOST}:{out}")
        wait_listening(out)
        async with asyncio.timeout(PATIENCE), connect(f"ws://{HOST}:{out}") as subscriber:
            for _ in range(3):
                venue = self.venue(port, *tls)
                while (message := await subscriber.recv()) != '/ws?v=2 {"op":1} b':
                    self.assertIsInstance(message, bytes, message)
                for number in range(20):
                    self.assertEqual(await subscriber.recv(), number.to_bytes(4, "big"))
                venue.kill()
                venue.communicate()
            end = self.summary(relay)
            with self.assertRaises(ConnectionClosed) as closed:
                while True:
                    await subscriber.recv()
            self.assertEqual(closed.exception.rcvd.code, 1001)
        self.assertGreaterEqual(end["endpoints"][0]["packets"], 63)

    def test_a_venue_that_is_killed_and_comes_back(self):
        asyncio.run(self.restarts("ws", free_port(), "", ()))

    def test_a_venue_that_is_killed_and_comes_back_over_tls(self):
        cert, key = peers.certificate(self.folder)
        asyncio.run(self.restarts("wss", free_port(), f"&ca={cert}", (cert, key)))

    async def through(self, scheme, options, context):
        """Publishers and subscribers that connect to the relay."""
        into, out = free_port(), free_port()
        relay = self.relay(
            f"{scheme}-listen://{HOST}:{into}?{options}",
            f"{scheme}-listen://{HOST}:{out}?policy=wait&{options}",
        )
        wait_listening(into)
        wait_listening(out)
        tls = {"ssl": context} if context else {}
        plain = scheme == "ws"
        address = HOST if plain else "localhost"
        async with (
            asyncio.timeout(PATIENCE),
            connect(f"{scheme}://{address}:{out}/any?path", **tls) as subscriber,
            connect(f"{scheme}://{address}:{into}", **tls) as publisher,
        ):
            sent = ["grüß", b"\xff\x00", b"", "", bytes(65_535), *(str(n) for n in range(1_000))]

            async def publish():
                for message in sent:
                    await publisher.send(message)
                await publisher.send(["in ", "three ", "fragments"])

            publishing = asyncio.create_task(publish())
            for message in [*sent, "in three fragments"]:
                self.assertEqual(await subscriber.recv(), message)
            await publishing
            await (await subscriber.ping())
            end = self.summary(relay)
        self.assertEqual(end["endpoints"][0]["packets"], len(sent) + 1)

    def test_publishers_and_subscribers(self):
        asyncio.run(self.through("ws", "", None))

    def test_publishers_and_subscribers_over_tls(self):
        cert, key = peers.certificate(self.folder)
        context = ssl.create_default_context(cafile=cert)
        asyncio.run(self.through("wss", f"cert={cert}&key={key}", context))

    def test_who_is_not_trusted_is_named(self):
        cert, key = peers.certificate(self.folder)
        port = free_port()
        self.venue(port, cert, key)
        relay = self.relay(f"wss://localhost:{port}?send=a&send=b", "stdout:")
        line = wait_for("a report with an error", lambda: self.error_of(relay))
        self.assertIn("certificate", line)

    def error_of(self, relay):
        line = relay.stderr.readline()
        return json.loads(line)["endpoints"][0].get("error") if line.startswith("{") else None

    def test_wrong_urls_end_with_2_and_the_remedy(self):
        for url, remedy in [
            ("ws://", "write ws://host/path"),
            ("wss-listen://0.0.0.0:1", "needs the option cert"),
            (f"ws-listen://{HOST}:1?path=x", "known are"),
        ]:
            command = [str(PROGRAM), "relay", "--from", url, "--to", "stdout:"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(remedy, done.stderr)

    def test_two_at_once_on_one_port(self):
        port = free_port()
        self.relay("demo:", f"ws-listen://{HOST}:{port}")
        wait_listening(port)
        second = self.relay("demo:", f"ws-listen://{HOST}:{port}")
        _, err = second.communicate(timeout=PATIENCE)
        self.assertEqual(second.returncode, 1, err)
        self.assertIn("choose another", err)


if __name__ == "__main__":
    unittest.main()
