"""ffmpeg sends, the relay forwards, two ffmpeg receivers decode every frame."""

import socket
import subprocess

from support import HOST, PATIENCE, Case, free_port, udp_socket, wait_bound, wait_for

FRAMES = 250
RATE = 50

SDP = """v=0
o=- 0 0 IN IP4 {host}
s=tautline interop
c=IN IP4 {host}
t=0 0
m=video {port} RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
"""

RTCP_SENDER_REPORT = 200
RTCP_BYE = 203


def rtcp_types(packet):
    """The packet types of a compound RTCP packet (RFC 3550 §6.1)."""
    types, at = [], 0
    while at + 4 <= len(packet):
        types.append(packet[at + 1])
        at += 4 * (1 + int.from_bytes(packet[at + 2 : at + 4], "big"))
    return types


def packets_sent(report):
    """The sender's packet count in a sender report (RFC 3550 §6.4.1)."""
    assert report[1] == RTCP_SENDER_REPORT, report
    return int.from_bytes(report[20:24], "big")


def hashes(text):
    """The hash of each frame, in the order of a framemd5 file."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [line.rsplit(",", 1)[1].strip() for line in lines]


class Media(Case):
    def encode(self):
        """An H.264 test pattern with a keyframe every 25 frames, and the hash of each frame."""
        file = self.folder / "pattern.mp4"
        pattern = f"testsrc=size=640x360:rate={RATE}"
        codec = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", "25"]
        codec += ["-pix_fmt", "yuv420p", "-frames:v", str(FRAMES)]
        self.ffmpeg("-f", "lavfi", "-i", pattern, *codec, file)
        return file, hashes(self.ffmpeg("-i", file, "-f", "framemd5", "-"))

    def ffmpeg(self, *arguments):
        """Runs ffmpeg to its end and returns what it printed."""
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def receiver(self, port):
        """An ffmpeg that waits for RTP on `port`, and prints the hash of each decoded frame."""
        sdp = self.folder / f"{port}.sdp"
        sdp.write_text(SDP.format(host=HOST, port=port))
        receiver = self.start(
            *["ffmpeg", "-nostdin", "-loglevel", "error", "-protocol_whitelist", "file,rtp,udp"],
            *["-buffer_size", 1 << 21, "-i", sdp, "-vsync", "passthrough", "-f", "framemd5", "-"],
        )
        wait_bound(port)
        wait_bound(port + 1)
        return receiver

    def send(self, file, port):
        """Sends at the pattern's own rate, with parameter sets before each keyframe."""
        self.ffmpeg(
            *["-re", "-i", file, "-c", "copy", "-bsf:v", "h264_mp4toannexb,dump_extra=freq=k"],
            *["-f", "rtp", "-rtpflags", "send_bye", f"rtp://{HOST}:{port}?pkt_size=1200"],
        )

    def test_two_receivers_decode_every_frame_sent(self):
        """Proves that every RTP packet of a real encoder passes in order: both receivers decode
        each frame bit by bit as the sender's file holds it, and the sender's own packet count
        equals the relay's."""
        file, sent = self.encode()
        self.assertEqual(len(sent), FRAMES)
        source = free_port(socket.SOCK_DGRAM, span=2)
        ports = [free_port(socket.SOCK_DGRAM, span=2) for _ in range(2)]
        relay = self.relay(f"udp://{HOST}:{source}", *(f"udp://{HOST}:{p}" for p in ports))
        wait_bound(source)
        receivers = [self.receiver(port) for port in ports]
        control = self.keep(udp_socket(source + 1))
        self.send(file, source)

        report = self.goodbye(control)
        packets = packets_sent(report)
        wait_for("the relay's counts", lambda: relay.endpoint(0).get("packets") == packets)
        # The goodbye takes another way than the packets: it must not overtake them.
        for port in ports:
            control.sendto(report, (HOST, port + 1))
        for receiver in receivers:
            self.assertEqual(receiver.wait(), 0, str(receiver))
            self.assertEqual(hashes(receiver.output()), sent)
        self.assert_counts(self.finish(relay), packets)

    def goodbye(self, control):
        """The sender's last control packet: its count and its goodbye."""
        while True:
            packet = control.recv(2048)
            if RTCP_BYE in rtcp_types(packet):
                return packet

    def assert_counts(self, summary, packets):
        for endpoint in summary["endpoints"]:
            self.assertEqual(endpoint["packets"], packets, endpoint)
            self.assertEqual(sum(endpoint["drops"].values()), 0, endpoint)
