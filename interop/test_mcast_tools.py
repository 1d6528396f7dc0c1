"""The tools for multicast against sockets of Python, tshark and ffmpeg."""

import datetime
import pathlib
import signal
import socket
import struct
import subprocess
import time

from support import (
    HOST,
    LENGTH,
    MOLD,
    PATIENCE,
    Case,
    free_port,
    group_sender,
    member,
    multicast_group,
    wait_for,
    wait_joined,
)

COMPACT = struct.Struct("<BBHII")


def compact(session, number, *messages):
    """A packet of the compact layout, as crates/feed/src/format/compact.rs describes it."""
    body = b"".join(struct.pack("<H", len(message)) + message for message in messages)
    return COMPACT.pack(0x54, 0, len(messages), session, number) + body


def mold(session, number, *messages):
    """A packet as MoldUDP64 has been published."""
    body = b"".join(LENGTH.pack(len(message)) + message for message in messages)
    return MOLD.pack(session.ljust(10), number, len(messages)) + body


def rtp(ssrc, number, payload):
    """A packet of RTP (RFC 3550 §5.1)."""
    return struct.pack(">BBHII", 0x80, 96, number % 65_536, 90 * number, ssrc) + payload


MALFORMED = "_ws.malformed || moldudp64.msglen.invalid || moldudp64.count.invalid"


def group_digits(group):
    """A group of IPv6 as the kernel lists it."""
    return socket.inet_pton(socket.AF_INET6, group).hex()


class Tools(Case):
    def setUp(self):
        super().setUp()
        self.group = multicast_group()
        self.port = free_port(socket.SOCK_DGRAM)

    def send(self, sock, *packets):
        for packet in packets:
            sock.sendto(packet, (self.group, self.port))


class Sockets(Tools):
    def test_what_python_sends_is_printed(self):
        """Proves that datagrams of another program are printed as they were sent, with the address
        of that program and a time of the kernel's within the test."""
        sender = self.keep(group_sender("127.0.0.3"))
        receiver = self.mcast("recv", self.group, self.port, "--json", "--count", 200)
        wait_joined(self.group)
        sent = [f"line {number} \u00e9\n" for number in range(200)]
        start = time.time()
        self.send(sender, *(text.encode() for text in sent))
        summary = self.summary_of(receiver)
        packets = receiver.reports()[:-1]
        self.assertEqual([packet["text"] for packet in packets], sent)
        host, port = sender.getsockname()
        self.assertTrue(all(packet["source"] == f"{host}:{port}" for packet in packets))
        times = [self.seconds(packet["time"]) for packet in packets]
        self.assertEqual(times, sorted(times))
        self.assertTrue(start - 1 <= times[0] and times[-1] <= time.time() + 1, times)
        self.assertEqual((summary["packets"], summary["dropped"]), (200, 0))

    def seconds(self, text):
        """Seconds since 1970 of a time with nine digits behind the point."""
        whole, digits = text.removesuffix("Z").split(".")
        self.assertEqual(len(digits), 9, text)
        moment = datetime.datetime.fromisoformat(whole + "+00:00")
        return moment.timestamp() + int(digits) / 1e9

    def test_python_hears_what_is_sent(self):
        """Proves that numbered packets reach another program, each in the layout as published,
        none missing, and that the end of the session names the next number."""
        listener = self.keep(member(self.group, self.port))
        options = ["--format", "moldudp64", "--session", "day1", "--rate", "20k", "--count", 500]
        sender = self.mcast("send", self.group, self.port, "--size", 100, "--json", *options)
        for number in range(1, 501):
            packet = listener.recv(2048)
            self.assertEqual(len(packet), 100)
            self.assertEqual(MOLD.unpack_from(packet), (b"day1".ljust(10), number, 1))
            self.assertEqual(LENGTH.unpack_from(packet, 20), (78,))
            self.assertEqual(packet[22:42], b"%020d" % number)
        self.assertEqual(MOLD.unpack(listener.recv(2048)), (b"day1".ljust(10), 501, 0xFFFF))
        self.assertEqual(self.summary_of(sender)["packets"], 500)

    def test_lines_reach_python(self):
        """Proves that lines of standard input are datagrams, each as it was typed."""
        listener = self.keep(member(self.group, self.port))
        with (self.folder / "lines").open("w+b") as lines:
            lines.write(b"first\n\n\xff\x00 third\nlast")
            lines.seek(0)
            sender = self.mcast("send", self.group, self.port, "--stdin", stdin=lines)
            got = [listener.recv(2048) for _ in range(4)]
        self.assertEqual(got, [b"first", b"", b"\xff\x00 third", b"last"])
        self.assertEqual(sender.wait(), 0, str(sender))

    def test_losses_of_three_formats_are_counted(self):
        """Proves that what another program leaves out, repeats and swaps is counted as that, in
        each format by itself, also where numbers wrap around, until Ctrl-C."""
        layouts = {
            "compact": lambda number: compact(7, (2**32 - 5 + number) % 2**32, b"message"),
            "moldudp64": lambda number: mold(b"day1", number, b"message"),
            "rtp": lambda number: rtp(0xABCD, 65_530 + number, b"picture"),
        }
        meter = self.mcast("rate", self.group, self.port, "--json", "--every", "0.05")
        wait_joined(self.group)
        for layout in layouts.values():
            sender = self.keep(group_sender())
            # 3 and 8 never come, 5 and 6 are swapped, 9 comes twice.
            self.send(sender, *map(layout, [1, 2, 4, 6, 5, 7, 9, 9, 10]))
        sources = lambda: meter.last_report().get("sources", [])
        wait_for("27 packets", lambda: sum(source["packets"] for source in sources()) == 27)
        summary = self.finish(meter, signal.SIGINT)
        self.assertEqual([source["format"] for source in summary["sources"]], list(layouts))
        for source in summary["sources"]:
            counts = [source[key] for key in ("received", "lost", "reordered", "duplicates")]
            self.assertEqual(counts, [8, 2, 1, 1], source)


class Captures(Tools):
    def setUp(self):
        super().setUp()
        self.need_tshark()

    def captured(self, count):
        """The file of a tool that writes so many packets, and the tool."""
        file = self.folder / "a.pcap"
        tool = self.mcast("recv", self.group, self.port, "--count", count, "--write", file)
        wait_joined(self.group)
        return file, tool

    def assert_sound(self, file):
        """No packet is malformed, and every checksum is right."""
        warnings = "_ws.malformed || _ws.expert.severity >= 0x600000"
        self.assertEqual(self.tshark(file, "-Y", warnings), [])
        for ip, udp in self.fields(file, "ip.checksum.status", "udp.checksum.status"):
            self.assertEqual((ip, udp), ("1", "1"))

    def test_tshark_reads_what_was_captured(self):
        """Proves that a capture has each packet as it was sent, from whom and to whom, with the
        hops it had left, at times that do not go back, with sound headers."""
        file, tool = self.captured(60)
        senders = [self.keep(group_sender(f"127.0.0.{1 + at}")) for at in range(3)]
        for hops, sender in enumerate(senders, 1):
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hops)
        sent = [bytes([number]) * (number * 20) for number in range(20)]
        for payload in sent:
            for sender in senders:
                self.send(sender, payload)
        self.assertEqual(tool.wait(), 0, str(tool))
        self.assert_sound(file)
        names = ["ip.src", "udp.srcport", "ip.dst", "udp.dstport", "data", "frame.time_epoch", "ip.ttl"]
        rows = self.fields(file, *names, options=["-d", f"udp.port=={self.port},data"])
        self.assertEqual(len(rows), 60)
        times = [float(row[5]) for row in rows]
        self.assertEqual(times, sorted(times))
        for at, sender in enumerate(senders):
            host, port = sender.getsockname()
            own = [row for row in rows if row[:2] == [host, str(port)]]
            self.assertTrue(all(row[2:4] == [self.group, str(self.port)] for row in own))
            self.assertEqual({row[6] for row in own}, {str(at + 1)})
            self.assertEqual([bytes.fromhex(row[4]) for row in own], sent, f"sender {at}")

    def test_feeds_are_dissected(self):
        """Proves that packets sent as MoldUDP64 are that to a judge that has no part in it:
        sessions, numbers, counts and lengths are right, and none is malformed."""
        file, tool = self.captured(101)
        options = ["--format", "moldudp64", "--session", "day1", "--rate", "10k", "--count", 100]
        sender = self.mcast("send", self.group, self.port, "--size", 80, *options)
        self.assertEqual((sender.wait(), tool.wait()), (0, 0), f"{sender}\n{tool}")
        self.assert_sound(file)
        as_feed = ["-d", f"udp.port=={self.port},moldudp64"]
        self.assertEqual(self.tshark(file, *as_feed, "-Y", MALFORMED), [])
        names = ["session", "sequence", "count", "msglen", "msgseq", "msgdata"]
        rows = self.fields(file, *(f"moldudp64.{name}" for name in names), options=as_feed)
        self.assertEqual(len(rows), 101)
        for number, (session, sequence, count, length, first, data) in enumerate(rows[:100], 1):
            self.assertEqual((session.strip(), sequence, first), ("day1", str(number), str(number)))
            self.assertEqual((count, length), ("1", "58"))
            self.assertTrue(bytes.fromhex(data).startswith(b"%020d" % number))
        self.assertEqual([field.strip() for field in rows[100][:3]], ["day1", "101", "65535"])

    def test_the_judge_notices_what_is_malformed(self):
        """Proves that the judge would have seen it: of three packets those two are told whose counts
        and lengths are wrong."""
        file, tool = self.captured(3)
        sound = mold(b"day1", 1, b"message")
        short, many = sound[:-1], sound[:19] + b"\x02" + sound[20:]
        self.send(self.keep(group_sender()), short, sound, many)
        self.assertEqual(tool.wait(), 0, str(tool))
        as_feed = ["-d", f"udp.port=={self.port},moldudp64"]
        rows = self.fields(file, "frame.number", options=[*as_feed, "-Y", MALFORMED])
        self.assertEqual(rows, [["1"], ["3"]])

    def test_groups_of_ipv6_are_captured(self):
        """Proves that datagrams to a group of IPv6 are written with sound headers too, and printed
        with their interface."""
        name = self.interface_of_ipv6()
        group, file = "ff12::7:7", self.folder / "a.pcap"
        both = (f"[{group}]:{self.port}", "--iface", name)
        tool = self.tautline("mcast", "recv", *both, "--count", 20, "--json", "--write", file)
        listed = pathlib.Path("/proc/net/igmp6")
        wait_for("a member", lambda: group_digits(group) in listed.read_text())
        options = ["--hops", 0, "--count", 20, "--rate", "10k", "--size", 200]
        sender = self.tautline("mcast", "send", *both, *options)
        self.assertEqual(sender.wait(), 0, str(sender))
        self.assertEqual(self.summary_of(tool)["lost"], 0)
        self.assertEqual({it["interface"] for it in tool.reports()[:-1]}, {name})
        rows = self.fields(file, "ipv6.dst", "udp.dstport", "udp.checksum.status", "udp.length")
        self.assertEqual(rows, [[group, str(self.port), "1", "208"]] * 20)

    def interface_of_ipv6(self):
        """An interface by which groups of IPv6 can be sent to, which the loopback seldom is."""
        for index, name in socket.if_nameindex():
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 0)
                try:
                    sock.sendto(b"", ("ff12::7:8", 9))
                    return name
                except OSError:
                    continue
        return self.skipTest("no interface has a route to groups of IPv6")

    def test_what_tshark_writes_is_read(self):
        """Proves that a capture which another program has written anew, in the newer format, is
        printed as the first one was, and that it can be sent again."""
        file, tool = self.captured(30)
        self.send(self.keep(group_sender()), *(mold(b"day1", n, b"x" * n) for n in range(1, 31)))
        self.assertEqual(tool.wait(), 0, str(tool))
        newer = self.folder / "b.pcapng"
        self.tshark(file, "-F", "pcapng", "-w", newer)
        self.assertEqual(newer.read_bytes()[:4], b"\x0a\x0d\x0d\x0a")
        dumps = [self.tautline("mcast", "dump", "--json", "--hex", each) for each in (file, newer)]
        self.assertEqual([self.summary_of(dump)["packets"] for dump in dumps], [30, 30])
        first, second = ([self.without_origin(it) for it in dump.reports()] for dump in dumps)
        self.assertEqual(first, second)
        self.assertEqual([packet["feed"]["number"] for packet in first[:-1]], list(range(1, 31)))
        again = multicast_group()
        listener = self.keep(member(again, self.port))
        player = self.mcast("send", again, self.port, "--read", newer, "--speed", "max")
        for number in range(1, 31):
            self.assertEqual(listener.recv(2048), mold(b"day1", number, b"x" * number))
        self.assertEqual(player.wait(), 0, str(player))

    def test_captures_go_through_pipes(self):
        """Proves that `--write -` prints a capture and nothing else, and that both formats are read as
        another program writes them into a pipe."""
        tool = self.mcast("recv", self.group, self.port, "--count", 5, "--write", "-")
        wait_joined(self.group)
        self.send(self.keep(group_sender()), *(mold(b"day1", n, b"x" * n) for n in range(1, 6)))
        self.assertEqual(tool.wait(), 0, str(tool))
        self.assertIn(" 5 packets, ", tool.errors())
        self.assert_sound(tool.out)
        for form in ("nsecpcap", "pcapng"):
            command = ["tshark", "-r", tool.out, "-F", form, "-w", "-"]
            pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            with subprocess.Popen(command, **pipe) as judge:
                dump = self.tautline("mcast", "dump", "-", "--json", stdin=judge.stdout)
                self.assertEqual(self.summary_of(dump)["packets"], 5, form)
            numbers = [report["feed"]["number"] for report in dump.reports()[:-1]]
            self.assertEqual(numbers, [1, 2, 3, 4, 5], form)

    @staticmethod
    def without_origin(report):
        """The newer format names interfaces, the older one cannot."""
        return {key: value for key, value in report.items() if key != "interface"}


class Media(Tools):
    SDP = (
        "v=0\no=- 0 0 IN IP4 {host}\ns=tautline interop\nc=IN IP4 {group}/1\nt=0 0\n"
        "m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1\n"
    )
    FRAMES = 100

    def ffmpeg(self, *arguments):
        """Starts ffmpeg."""
        quiet = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y"]
        return self.start(*quiet, *map(str, arguments))

    def test_pictures_pass_from_group_to_group(self):
        """Proves that RTP of a real encoder passes from one group to another: the numbers at both
        are whole and alike, and a real receiver decodes every frame behind the relay."""
        port = free_port(socket.SOCK_DGRAM, span=2)
        behind = multicast_group()
        relay = self.relay(
            f"mcast://{self.group}:{port}?iface=lo", f"mcast://{behind}:{port}?iface=lo&hops=0"
        )
        meters = [
            self.mcast("rate", group, port, "--json", "--format", "rtp")
            for group in (self.group, behind)
        ]
        wait_joined(self.group, 2)
        wait_joined(behind, 1)
        sdp = self.folder / "behind.sdp"
        sdp.write_text(self.SDP.format(host=HOST, group=behind, port=port))
        receiver = self.ffmpeg(
            *["-protocol_whitelist", "file,rtp,udp", "-localaddr", HOST],
            *["-buffer_size", 1 << 21, "-i", sdp],
            *["-vsync", "passthrough", "-frames:v", self.FRAMES, "-f", "framemd5", "-"],
        )
        wait_joined(behind, 3)
        pattern = f"testsrc=size=640x360:rate=50:duration={self.FRAMES / 50 + 1}"
        sender = self.ffmpeg(
            *["-re", "-f", "lavfi", "-i", pattern, "-c:v", "libx264", "-preset", "veryfast"],
            *["-tune", "zerolatency", "-g", 25, "-pix_fmt", "yuv420p", "-f", "rtp"],
            f"rtp://{self.group}:{port}?pkt_size=1200&ttl=0&localaddr={HOST}",
        )
        self.assertEqual(sender.wait(), 0, str(sender))
        self.assertEqual(receiver.wait(), 0, str(receiver))
        frames = [line for line in receiver.output().splitlines() if not line.startswith("#")]
        self.assertEqual(len(frames), self.FRAMES)
        summaries = [self.finish(meter, signal.SIGINT) for meter in meters]
        for summary in summaries:
            self.assertEqual(len(summary["sources"]), 1, summary)
            self.assertEqual((summary["lost"], summary["dropped"], summary["duplicates"]), (0, 0, 0))
        self.assertEqual(*(summary["packets"] for summary in summaries))
        self.assertGreater(summaries[0]["packets"], self.FRAMES)
        relayed = self.finish(relay)["endpoints"]
        self.assertEqual({end["packets"] for end in relayed}, {summaries[0]["packets"]})
