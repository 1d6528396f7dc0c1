"""Started, asked to end, killed, started again, started twice."""

import signal
import socket
import time

from support import HOST, Case, connect, dial, free_port, packets_of, read_packet, read_to_end
from support import udp_socket, wait_bound, wait_for, wait_listening, wait_refused

SOURCE = "demo:?rate=1000&size=200"


class Signals(Case):
    def test_sigint_and_sigterm_drain_and_close_cleanly(self):
        """Proves that both signals end with exit code 0, a summary, and for the subscriber an
        orderly end behind a whole packet."""
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number.name):
                port = free_port()
                relay = self.relay(SOURCE, f"tcp-listen://{HOST}:{port}")
                wait_listening(port)
                with connect(port) as subscriber:
                    first = read_packet(subscriber)
                    summary = self.finish(relay, number)
                    packets = [first, *packets_of(read_to_end(subscriber))]
                self.assert_consecutive(packets)
                self.assertEqual(summary["endpoints"][1]["packets"], len(packets))

    def test_sigusr1_lists_the_fibers(self):
        """Proves that SIGUSR1 has the fibers and their stacks listed on standard error, as often
        as it comes, and ends nothing."""
        port = free_port()
        relay = self.relay(SOURCE, f"tcp-listen://{HOST}:{port}")
        wait_listening(port)
        for times in (1, 2):
            relay.signal(signal.SIGUSR1)
            wait_for("a list", lambda: relay.errors().count(" fibers\n") == times)
        self.assertIn("small stacks of", relay.errors())
        self.assertTrue(relay.is_running(), str(relay))
        self.finish(relay)

    def assert_consecutive(self, packets):
        numbers = [int.from_bytes(packet[8:16], "big") for packet in packets]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))))

    def test_a_second_signal_ends_the_drain(self):
        """Proves that a drain goes on as long as a slow subscriber reads, that a second signal ends
        it at once, in order, and that what was still queued is counted as lost."""
        port = free_port()
        options = "queue=100000,64MiB&buffer=16KiB"
        relay = self.relay(
            "demo:?rate=20k&size=1000", f"tcp-listen://{HOST}:{port}?{options}"
        )
        wait_listening(port)
        slow = self.keep(dial(port, receive_buffer=16 << 10))
        wait_for("a long queue", lambda: relay.endpoint(1).get("queued", 0) > 5_000)
        relay.signal(signal.SIGINT)
        # Longer than a drain in which nothing moves is given.
        for _ in range(40):
            time.sleep(0.1)
            self.assertTrue(slow.recv(4_096))
            self.assertTrue(relay.is_running(), str(relay))
        before, after = relay.reports()[-2:]
        self.assertEqual(before["endpoints"][0]["packets"], after["endpoints"][0]["packets"])
        queued = after["endpoints"][1]["queued"]
        self.assertGreater(queued, 4_000)
        # Sooner than the drain itself would be given up.
        relay.signal(signal.SIGINT)
        self.assertEqual(relay.wait(10), 0, str(relay))
        summary = relay.last_report()
        self.assertEqual(summary["kind"], "summary")
        self.assertGreater(summary["endpoints"][1]["drops"]["lost"], queued // 2)

    def test_it_ends_by_itself_after_its_time(self):
        """Proves that `--for` ends a relay with exit code 0 and a summary."""
        receiver = self.keep(udp_socket())
        destination = f"udp://{HOST}:{receiver.getsockname()[1]}"
        relay = self.relay(SOURCE, destination, arguments=["--for", "1s"])
        self.assertEqual(relay.wait(), 0, str(relay))
        summary = relay.last_report()
        self.assertEqual(summary["kind"], "summary")
        self.assertGreater(summary["endpoints"][1]["packets"], 500)


class Restart(Case):
    def test_killed_and_started_again_on_the_same_port(self):
        """Proves that a relay killed in mid-stream can be started again at once on the same
        ports, three times in a row, with subscribers still connected to the dead one."""
        source, port = free_port(socket.SOCK_DGRAM), free_port()
        sender = self.keep(udp_socket())
        for number in range(3):
            relay = self.relay(f"udp://{HOST}:{source}", f"tcp-listen://{HOST}:{port}")
            wait_bound(source)
            wait_listening(port)
            subscriber = self.keep(connect(port))
            wait_for("the subscriber", lambda: relay.endpoint(1).get("peers") == 1)
            sender.sendto(b"round %d" % number, (HOST, source))
            self.assertEqual(read_packet(subscriber), b"round %d" % number)
            relay.kill()
            # The kernel lets go of a dead ring's listener a little after the process.
            wait_refused(port)
        self.assertEqual(relay.child.returncode, -signal.SIGKILL)

    def test_two_at_once_on_one_port(self):
        """Proves that the second relay on a port is refused by name, and that the first does not
        notice."""
        port = free_port()
        first = self.relay(SOURCE, f"tcp-listen://{HOST}:{port}")
        wait_listening(port)
        subscriber = self.keep(connect(port))
        before = read_packet(subscriber)
        second = self.relay(SOURCE, f"tcp-listen://{HOST}:{port}")
        self.assert_refused(second, 1, port)
        for _ in range(100):
            after = read_packet(subscriber)
            self.assertEqual(after[8:16], (int.from_bytes(before[8:16], "big") + 1).to_bytes(8, "big"))
            before = after
        self.finish(first)
