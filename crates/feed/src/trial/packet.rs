//! Packets: read, and written again.

use arbitrary::Unstructured;

use super::Narrow;
use crate::format::{Builder, Compact, Format, Kind, Lie, MoldUdp64, Packet, holds, without_first};

/// Takes the bytes for a packet of each format, and what is in it for messages of another packet.
///
/// # Panics
/// If what was read is not what is written, or the other way round.
pub fn packet(bytes: &[u8]) {
    each::<Compact>(bytes);
    each::<MoldUdp64>(bytes);
    each::<Narrow>(bytes);
}

fn each<F: Format>(bytes: &[u8]) {
    let Ok(packet) = F::parse(bytes) else { return };
    assert_eq!(F::WIDTH.cut(packet.number), packet.number);
    match packet.kind {
        Kind::Messages(count) => messages::<F>(bytes, packet, count),
        Kind::Heartbeat | Kind::End => comes_back::<F>(packet),
    }
    written_and_read::<F>(packet.body, packet);
}

/// A packet with messages.
fn messages<F: Format>(bytes: &[u8], packet: Packet<'_>, count: u16) {
    assert!(count > 0 && count <= F::MOST);
    let mut rest = packet.body;
    let mut all = Vec::new();
    for _ in 0..count {
        let Some((message, behind)) = F::split(rest) else { break };
        all.push(message);
        rest = behind;
    }
    let is_whole = all.len() == usize::from(count) && rest.is_empty();
    let Some(lie) = holds::<F>(packet.body, count) else { return assert!(!is_whole) };
    assert!(is_whole, "{packet:?}");
    if let Lie::Even(each) = lie {
        assert_eq!(each * usize::from(count), packet.body.len());
    }
    for (at, message) in all.iter().enumerate() {
        let rest = without_first::<F>(packet.body, at as u64);
        assert_eq!(F::split(rest).map(|(read, _)| read), Some(*message));
        assert!(!matches!(lie, Lie::Even(each) if (packet.body.len() - rest.len()) != at * each));
    }
    let mut room = vec![0; bytes.len()];
    let written = write::<F>(&mut room, packet, all.into_iter());
    // What a narrow number does not use is written as zero.
    assert!(F::parse(written) == Ok(packet) && written.len() == bytes.len());
}

/// A packet without messages, which may have anything behind its header.
fn comes_back<F: Format>(packet: Packet<'_>) {
    let mut room = vec![0; F::HEADER];
    let builder = Builder::<F>::new(&mut room, packet.session, packet.number);
    let builder = builder.expect("there is room for a header");
    let written = match packet.kind {
        Kind::End => builder.finish_session(),
        _ => builder.finish(),
    };
    assert_eq!(F::parse(written), Ok(Packet { body: &[], ..packet }));
}

/// Bytes are cut into messages, written, and read.
fn written_and_read<F: Format>(bytes: &[u8], packet: Packet<'_>) {
    let mut bytes = Unstructured::new(bytes);
    let mut all: Vec<&[u8]> = Vec::new();
    while let (false, Ok(len)) = (bytes.is_empty(), bytes.arbitrary::<u8>()) {
        let len = usize::from(len % 64).min(bytes.len());
        all.push(bytes.bytes(len).unwrap_or_default());
    }
    let mut room = vec![0; F::HEADER + all.iter().map(|message| 2 + message.len()).sum::<usize>()];
    let written = write::<F>(&mut room, packet, all.iter().copied());
    let read = F::parse(written).expect("it was written as a packet");
    assert_eq!((read.session, read.number), (packet.session, packet.number));
    let mut rest = read.body;
    for message in &all {
        let (read, behind) = F::split(rest).expect("it was written");
        assert_eq!(read, *message);
        rest = behind;
    }
    assert!(rest.is_empty());
    let count = all.len() as u16;
    assert!(count == 0 || holds::<F>(read.body, count).is_some());
}

fn write<'r, 'm, F: Format>(
    room: &'r mut [u8],
    packet: Packet<'_>,
    mut messages: impl Iterator<Item = &'m [u8]>,
) -> &'r [u8] {
    let builder = Builder::<F>::new(room, packet.session, packet.number);
    let mut builder = builder.expect("there is room for a header");
    messages.try_for_each(|message| builder.push(message)).expect("there is room for the messages");
    builder.finish()
}
