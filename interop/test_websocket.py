"""The tools for WebSockets against Python's `websockets` and Node's `ws`, in both roles."""

import asyncio
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import unittest

import peers
from support import HOST, PATIENCE, PROGRAM, Case, dial, free_port, listener, read_exactly, wait_for
from support import wait_listening

LONG = bool(os.environ.get("LONG"))
KIB, MIB = 1 << 10, 1 << 20
SIZES = [0, 1, 125, 126, 65535, 65536, MIB, 16 * MIB] + ([64 * MIB] if LONG else [])

sys.path.insert(0, str(peers.needed(peers.websockets)))
from websockets.asyncio.client import connect as async_connect  # noqa: E402
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402
from websockets.sync.client import connect  # noqa: E402
from websockets.sync.server import serve  # noqa: E402

# These servers answer a farewell before all that came before it.
ONE = ["--count", "1"]


def payload(size):
    """So many letters, which differ from place to place."""
    block = "".join(hashlib.sha256(str(at).encode()).hexdigest() for at in range(64))
    return (block * (size // len(block) + 1))[:size]


OPENING = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

# A server that sends everything back, and a client that checks what comes back.
NODE_SERVER = """
const { WebSocketServer } = require('ws'), https = require('https'), fs = require('fs');
const [port, cert, key] = process.argv.slice(2);
const options = { perMessageDeflate: false, maxPayload: 1 << 27,
  handleProtocols: offered => offered.has('v2') ? 'v2' : false };
const server = cert && https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) });
const wss = new WebSocketServer(server ? { ...options, server } : { ...options, host: '127.0.0.1', port: +port });
if (server) server.listen(+port, '127.0.0.1');
wss.on('connection', (ws, request) => ws.on('message', (data, isBinary) => {
  if (!isBinary && String(data) === 'headers') ws.send(request.headers['x-test'] + ' ' + ws.protocol);
  else if (!isBinary && String(data).startsWith('close ')) ws.close(+String(data).slice(6), 'as asked');
  else ws.send(data, { binary: isBinary });
}));
"""

NODE_CLIENT = """
const WebSocket = require('ws'), fs = require('fs');
const [url, ca, ...sizes] = process.argv.slice(2);
const ws = new WebSocket(url, ['v1', 'v2'], { perMessageDeflate: false, maxPayload: 1 << 27,
  ...(ca === '-' ? {} : { ca: fs.readFileSync(ca) }) });
const want = [];
const fail = why => { console.log(why); process.exit(1); };
ws.on('open', () => {
  if (ws.protocol !== 'v2') fail('protocol ' + ws.protocol);
  for (const size of sizes) for (const binary of [false, true]) {
    const data = Buffer.alloc(+size, 'abcdefghijklmnopqrstuvwxyz0123456789');
    want.push([data, binary]);
    if (size > 10) { // in three fragments, with a ping between
      ws.send(data.subarray(0, 5), { binary, fin: false });
      ws.ping('between');
      ws.send(data.subarray(5, 7), { binary, fin: false });
      ws.send(data.subarray(7), { binary, fin: true });
    } else ws.send(data, { binary });
  }
});
let pongs = 0;
ws.on('pong', data => { if (String(data) === 'between') pongs++; });
ws.on('message', (data, isBinary) => {
  const [wanted, binary] = want.shift();
  if (isBinary !== binary || !wanted.equals(data)) fail('a wrong answer of ' + data.length);
  if (want.length === 0) ws.close(4321, 'enough');
});
ws.on('error', error => fail(String(error)));
ws.on('close', (code, reason) => {
  if (code !== 4321 || want.length) fail(`closed with ${code} ${reason}, ${want.length} to come`);
  console.log('all right, pongs ' + pongs);
});
"""


class Interop(Case):
    """What all have."""

    def tls(self):
        """A certificate and its key."""
        return peers.certificate(self.folder)

    def echo(self, *options):
        """Our echo server, and its port."""
        port = free_port()
        server = self.tautline("ws", "echo", "--listen", f"{HOST}:{port}", *options)
        wait_listening(port)
        return server, port

    def node(self, script, *arguments):
        """Starts a program of Node."""
        try:
            modules = peers.node_ws()
        except peers.Missing as missing:
            peers.skip(self, str(missing))
        file = self.folder / f"{hashlib.sha256(script.encode()).hexdigest()[:8]}.js"
        file.write_text(script)
        return self.start("env", f"NODE_PATH={modules}", "node", file, *arguments)

    def client(self, url, *options, lines=b""):
        """Our client, to its end: exit code, what it printed, what it said on standard error."""
        done = subprocess.run(
            [str(part) for part in (PROGRAM, "ws", "connect", url, *options)],
            input=lines,
            capture_output=True,
            timeout=4 * PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr.decode()

    def python_server(self, handler, **options):
        """A server of Python's, in a thread; its port."""
        server = serve(handler, HOST, 0, compression=None, max_size=1 << 27, **options)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join, PATIENCE)
        self.addCleanup(server.shutdown)
        return server.socket.getsockname()[1]

    def check_lines(self, url, *options):
        """Our client sends lines of every size, and gets them back."""
        for mode in ([], ["--binary"]):
            lines = "".join(payload(size) + "\n" for size in SIZES).encode()
            asked = [*options, *mode, "--count", len(SIZES)]
            code, out, errors = self.client(url, *asked, lines=lines)
            self.assertEqual((code, errors), (0, ""))
            self.assertTrue(out == lines, f"{len(out)} of {len(lines)} bytes came back as sent")


def echo(connection):
    """Sends everything back."""
    for message in connection:
        connection.send(message)


class OurServer(Interop):
    """Other clients against `tautline ws echo`."""

    def check_python(self, url, **options):
        """Every size as text and bytes, whole and in fragments, a ping, and the farewell."""
        asyncio.run(self.check_by_tasks(url, **options))

    async def check_by_tasks(self, url, **options):
        """By one thread: the client of two threads reads and writes one TLS object at a time, and now
        and then its request is never sent when a session ticket arrives at that moment."""
        async with async_connect(url, compression=None, max_size=1 << 27, **options) as client:
            for size in SIZES:
                text = payload(size)
                for message in (text, text.encode()):
                    await client.send(message)
                    came = await asyncio.wait_for(client.recv(), PATIENCE)
                    self.assertTrue(came == message, f"{size} B")
            text = payload(70_000)
            await client.send([text[at : at + 9_999] for at in range(0, len(text), 9_999)])
            self.assertEqual(await asyncio.wait_for(client.recv(), PATIENCE), text)
            await asyncio.wait_for(await client.ping(b"here"), PATIENCE)
            await client.close(4000, "seen enough")
            self.assertEqual(client.close_code, 4000)

    def test_python(self):
        """Proves that Python's client gets back what it sends."""
        _, port = self.echo()
        self.check_python(f"ws://{HOST}:{port}/")

    def test_python_over_tls(self):
        """Proves the same over TLS."""
        cert, key = self.tls()
        _, port = self.echo("--tls", "--cert", cert, "--key", key)
        context = ssl.create_default_context(cafile=cert)
        self.check_python(f"wss://localhost:{port}/", ssl=context)

    def check_node(self, url, ca="-"):
        """Node's client checks by itself."""
        node = self.node(NODE_CLIENT, url, ca, *SIZES)
        self.assertEqual(node.wait(2 * PATIENCE), 0, node.output() + node.errors())
        pongs = 2 * sum(size > 10 for size in SIZES)
        self.assertIn(f"all right, pongs {pongs}", node.output())

    def test_node(self):
        """Proves that Node's client gets back what it sends, in fragments, with pings in between."""
        _, port = self.echo("--protocol", "v2")
        self.check_node(f"ws://{HOST}:{port}/")

    def test_node_over_tls(self):
        """Proves the same over TLS."""
        cert, key = self.tls()
        _, port = self.echo("--protocol", "v2", "--tls", "--cert", cert, "--key", key)
        self.check_node(f"wss://localhost:{port}/", cert)

    def test_protocols_and_origins(self):
        """Proves that a subprotocol is agreed on, and that foreign pages are refused with 403."""
        _, port = self.echo("--protocol", "a", "--protocol", "b", "--origin", "https://app.example")
        url = f"ws://{HOST}:{port}/"
        with connect(url, subprotocols=["c", "b", "a"], origin="https://app.example") as client:
            self.assertEqual(client.subprotocol, "b")
        with self.assertRaises(InvalidStatus) as refused:
            connect(url, origin="https://evil.example")
        self.assertEqual(refused.exception.response.status_code, 403)

    def test_the_end_is_a_farewell(self):
        """Proves that everybody is told 1001 when the server is asked to end, and that it ends."""
        server, port = self.echo("--json")
        clients = [connect(f"ws://{HOST}:{port}/") for _ in range(5)]
        server.signal(signal.SIGTERM)
        for client in clients:
            with self.assertRaises(ConnectionClosed):
                client.recv(PATIENCE)
            self.assertEqual(client.close_code, 1001)
        self.assertEqual(self.summary_of(server)["connections"], 5)

    def test_a_slow_reader_needs_bounded_memory(self):
        """Proves that a peer that sends and does not read is not read from, in bounded memory, that
        others are served meanwhile, and that nothing is lost when it reads on."""
        server, port = self.echo()
        message = payload(MIB - 100).encode()
        # By hand: a client of Python's cannot receive while it waits to send.
        slow = self.keep(dial(port))
        slow.sendall(OPENING)
        while not read_exactly(slow, 1) + slow.recv(3, socket.MSG_PEEK) == b"\r\n\r\n":
            pass
        read_exactly(slow, 3)
        # Of a client, with a mask that changes nothing; and as the server sends it back.
        frame = b"\x82\xff" + struct.pack(">QI", len(message), 0) + message
        answer = b"\x82\x7f" + struct.pack(">Q", len(message)) + message
        sent, stop = [], threading.Event()

        def push():
            while not stop.is_set() and len(sent) < 400:
                slow.sendall(frame)
                sent.append(1)

        slow.settimeout(4 * PATIENCE)
        pusher = threading.Thread(target=push, daemon=True)
        pusher.start()
        stand = [-1, time.monotonic()]

        def stands():
            if stand[0] != len(sent):
                stand[:] = [len(sent), time.monotonic()]
            return time.monotonic() - stand[1] > 1

        wait_for("the server stops reading", stands)
        self.assertLess(len(sent), 100, "the server reads on, whatever waits")
        self.assertLess(resident(server), 128 * MIB)
        with connect(f"ws://{HOST}:{port}/") as other:
            other.send("here")
            self.assertEqual(other.recv(PATIENCE), "here")
        stop.set()
        # The one that waits to be sent is the last.
        for number in range(len(sent) + 1):
            self.assertTrue(read_exactly(slow, len(answer)) == answer, f"message {number}")
        pusher.join(PATIENCE)
        self.assertFalse(pusher.is_alive())


def resident(process):
    """Bytes of memory that a process has."""
    status = pathlib.Path(f"/proc/{process.child.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * KIB


class OurClient(Interop):
    """`tautline ws connect` against other servers."""

    def test_python(self):
        """Proves that lines come back from Python's server, of every size."""
        self.check_lines(f"ws://{HOST}:{self.python_server(echo)}/")

    def test_python_over_tls(self):
        """Proves the same over TLS, and that a server that is not trusted is refused."""
        cert, key = self.tls()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        url = f"wss://localhost:{self.python_server(echo, ssl=context)}/"
        self.check_lines(url, "--ca", cert)
        self.assertEqual(self.client(url, "--insecure", *ONE, lines=b"a\n")[:2], (0, b"a\n"))
        code, _, errors = self.client(url, lines=b"a\n")
        self.assertEqual(code, 1)
        self.assertIn("ertificate", errors)

    def check_node(self, scheme, tls, *options):
        """Lines, a header, a subprotocol and close codes."""
        port = free_port()
        self.node(NODE_SERVER, port, *tls)
        wait_listening(port)
        url = f"{scheme}://localhost:{port}/"
        self.check_lines(url, *options)
        asked = ["--header", "X-Test: yes", "--protocol", "v2", "--count", "1"]
        self.assertEqual(self.client(url, *options, *asked, lines=b"headers\n")[:2], (0, b"yes v2\n"))
        for close, wanted in ((1000, 0), (1001, 0), (1011, 1), (4000, 1)):
            said = ["--json", "--send", f"close {close}"]
            code, out, errors = self.client(url, *options, *said)
            self.assertEqual(code, wanted, errors)
            summary = json.loads(out.splitlines()[-1])
            self.assertEqual((summary["code"], summary["reason"]), (close, "as asked"))
            if wanted:
                self.assertIn(f'{close}: "as asked"', errors)

    def test_node(self):
        """Proves that lines come back from Node's server, and how it ends is told."""
        self.check_node("ws", [])

    def test_node_over_tls(self):
        """Proves the same over TLS."""
        cert, key = self.tls()
        self.check_node("wss", [cert, key], "--ca", cert)

    def test_fragments_and_pings(self):
        """Proves that fragments are printed as one message, and that both ends' pings are answered."""
        answered = []

        def handler(connection):
            answered.append(connection.ping(b"there?").wait(PATIENCE))
            connection.send(["a", "b", "", "c"])
            for _ in connection:
                pass

        url = f"ws://{HOST}:{self.python_server(handler)}/"
        code, out, _ = self.client(url, "--json", "--ping", "--close-after", "0.5")
        objects = [json.loads(line) for line in out.splitlines()]
        self.assertEqual((code, answered), (0, [True]))
        self.assertEqual([one["text"] for one in objects if one["kind"] == "message"], ["abc"])
        self.assertIn("pong", [one["kind"] for one in objects])

    def redirecting(self, location, times):
        """A server that sends whoever comes elsewhere, so often; its port."""
        sock = self.keep(listener())

        def answer():
            for _ in range(times):
                peer, _ = sock.accept()
                with peer:
                    while b"\r\n\r\n" not in (peer.recv(65536) or b"\r\n\r\n"):
                        pass
                    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
                    peer.sendall(head.encode())

        threading.Thread(target=answer, daemon=True).start()
        return sock.getsockname()[1]

    def test_redirects_are_followed(self):
        """Proves that the client goes where it is sent, and no further than it may."""
        there = f"ws://{HOST}:{self.python_server(echo)}/there"
        url = f"ws://{HOST}:{self.redirecting(there, 2)}/"
        self.assertEqual(self.client(url, *ONE, lines=b"a\n")[:2], (0, b"a\n"))
        code, _, errors = self.client(url, "--redirects", "0", lines=b"a\n")
        self.assertEqual(code, 1)
        self.assertIn("redirect", errors)

    def test_proxies_are_passed(self):
        """Proves that the client asks a proxy to connect, says who it is, and speaks through it."""
        port, asked = self.python_server(echo), []
        proxy = self.keep(listener())

        def pump(source, sink):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

        def pass_on():
            client, _ = proxy.accept()
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            asked.append(head.decode())
            server = socket.create_connection((HOST, port))
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(server, client), daemon=True)
            back.start()
            pump(client, server)
            back.join(PATIENCE)
            client.close()
            server.close()

        threading.Thread(target=pass_on, daemon=True).start()
        by = f"http://user:secret@{HOST}:{proxy.getsockname()[1]}"
        url = "ws://only.the.proxy.knows.example/"
        self.assertEqual(self.client(url, "--proxy", by, *ONE, lines=b"a\n")[:2], (0, b"a\n"))
        self.assertTrue(asked[0].startswith("CONNECT only.the.proxy.knows.example:80 HTTP/1.1\r\n"))
        self.assertIn("Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=", asked[0])

    def test_a_server_that_is_killed_is_named(self):
        """Proves that the client says that its server has died, and ends with 1."""
        port = free_port()
        server = self.node(NODE_SERVER, port)
        wait_listening(port)
        url = f"ws://{HOST}:{port}/"
        client = self.tautline("ws", "connect", url, "--send", "here")
        wait_for("the answer", lambda: client.output() == "here\n")
        server.signal(signal.SIGKILL)
        self.assert_refused(client, 1, url, "the connection broke")


if __name__ == "__main__":
    unittest.main()
