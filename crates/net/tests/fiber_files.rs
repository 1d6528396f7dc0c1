//! Files and the standard streams for fibers.

mod common;
mod fiber_support;

use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};

use common::{block, everywhere};
use fiber_support::{finish, joined, not_in_fiber, pair, pattern, run};
use tautline_net::fiber::{File, OpenOptions, Stdin, Stdout, pipe};
use tautline_runtime::fiber::{Stack, scope, spawn};

/// A file is written, read, sought, cut and asked for its length, and holds what it should.
#[test]
fn a_file_keeps_its_position() {
    run(|| {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("notes");
        let options = OpenOptions::new().read(true).write(true).create_new(true);
        let mut file = File::open_with(&options, &path)?;
        assert!(file.is_empty()?);
        file.write_all(b"0123456789")?;
        assert_eq!((file.position(), file.len()?), (10, 10));
        assert_eq!(file.seek(SeekFrom::Current(-6))?, 4);
        let mut buf = [0; 3];
        file.read_exact(&mut buf)?;
        assert_eq!((&buf, file.position()), (b"456", 7));
        assert_eq!(file.write(b"abc")?, 3);
        assert_eq!(file.seek(SeekFrom::Start(0))?, 0);
        assert_eq!(io::read_to_string(&mut file)?, "0123456abc");
        assert_eq!(file.read(&mut buf)?, 0);
        file.set_len(4)?;
        file.sync(false)?;
        assert_eq!(file.seek(SeekFrom::End(-1))?, 3);
        assert_eq!(file.read_exact(&mut buf).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(file.seek(SeekFrom::End(-5)).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(fs::read(&path)?, b"0123");
        Ok(())
    });
}

/// Fibers read and write one file at offsets of their own, at a time.
#[test]
fn fibers_share_a_file() {
    run(|| {
        let folder = tempfile::tempdir()?;
        let options = OpenOptions::new().read(true).write(true).create(true);
        let file = File::open_with(&options, folder.path().join("blocks"))?;
        scope(|scope| {
            for n in 0..16u8 {
                let file = &file;
                let write = move || file.write_at(&[n; 5000], 5000 * u64::from(n)).unwrap();
                let _ = scope.spawn(Stack::Small, write).unwrap();
            }
        })?;
        let mut buf = [0; 10];
        for n in 1..16u8 {
            assert_eq!(file.read_at(&mut buf, 5000 * u64::from(n) - 5)?, 10);
            assert_eq!(buf, [n - 1, n - 1, n - 1, n - 1, n - 1, n, n, n, n, n]);
        }
        assert_eq!((file.position(), file.len()?), (0, 80_000));
        Ok(())
    });
}

/// `copy` moves a large file through a socket into another, and the two are equal.
#[test]
fn a_file_is_copied_through_a_socket() {
    run(|| {
        let folder = tempfile::tempdir()?;
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let bytes = pattern(5_000_000);
        fs::write(&from, &bytes)?;
        let (mut near, mut far) = pair()?;
        let sender = spawn(Stack::Small, move || io::copy(&mut File::open(from)?, &mut near))?;
        let mut file = File::create(&to)?;
        assert_eq!(io::copy(&mut far, &mut file)?, 5_000_000);
        assert_eq!(joined(sender)?, 5_000_000);
        assert!(fs::read(&to)? == bytes);
        Ok(())
    });
}

/// Buffered readers and writers of `std` work over a file, seeking included.
#[test]
fn files_are_buffered_by_std() {
    run(|| {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("lines");
        let mut out = BufWriter::new(File::create(&path)?);
        (0..5000).try_for_each(|n| writeln!(out, "line {n}"))?;
        out.into_inner()?.sync(true)?;
        let mut lines = BufReader::new(File::open(&path)?);
        assert_eq!(lines.by_ref().lines().count(), 5000);
        lines.rewind()?;
        let mut first = String::new();
        lines.read_line(&mut first)?;
        assert_eq!(first, "line 0\n");
        Ok(())
    });
}

/// A fiber goes on where a task has stopped, also when that has left a write under way.
#[test]
fn views_share_the_position() {
    everywhere(|runtime| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("both");
        let file = block(runtime, async {
            let mut file = tautline_net::File::create(&path).await?;
            file.write("owned, ").await.0?;
            // It is accepted, and may be on its way still.
            futures::AsyncWriteExt::write_all(&mut file, b"polled, ").await?;
            Ok(file)
        });
        let writing = spawn(Stack::Small, move || {
            let mut file = File::from(file);
            file.write_all(b"fiber, ").map(|()| file.into_inner())
        });
        let mut file = finish(runtime, writing.unwrap()).unwrap();
        assert_eq!(file.position(), 22);
        block(runtime, async { file.write("task").await.0 });
        assert_eq!(fs::read(&path).unwrap(), b"owned, polled, fiber, task");
    });
}

/// What cannot be opened is named; outside a fiber nothing is read.
#[test]
fn files_that_fail_say_so() {
    run(|| {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("none");
        let missing = File::open(&path).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().contains(&path.display().to_string()), "{missing}");
        let file = File::create(&path)?;
        assert!(file.read_at(&mut [0; 8], 0).is_err());
        let mut file = File::from_std(fs::File::open(&path)?)?;
        assert!(file.write_all(b"no").is_err());
        assert_eq!(file.position(), 0);
        Ok(())
    });
    everywhere(|_| {
        let mut file = File::from_std(tempfile::tempfile().unwrap()).unwrap();
        assert!(not_in_fiber(file.read(&mut [0; 8])));
        assert!(not_in_fiber(file.write_all(b"no")));
        assert!(not_in_fiber(file.flush()));
    });
}

/// Standard input is read by lines, whatever it is; standard output goes where it was sent.
#[test]
fn standard_streams_are_read_and_written() {
    run(|| {
        let (reader, writer) = std::io::pipe()?;
        let (mut out, input) = (Stdout::from_fd(&writer)?, Stdin::from_fd(&reader)?);
        drop(writer);
        assert!(!out.is_file());
        let sender = spawn(Stack::Small, move || {
            (0..20_000).try_for_each(|n| writeln!(out, "line {n}"))?;
            out.flush()
        })?;
        assert_eq!(BufReader::new(input).lines().count(), 20_000);
        joined(sender)?;

        let mut shared = tempfile::tempfile()?;
        let mut out = Stdout::from_fd(&shared)?;
        assert!(out.is_file());
        out.write_all(b"first\n")?;
        out.flush()?;
        shared.write_all(b"of another\n")?;
        out.write_all(b"last")?;
        out.flush()?;
        shared.rewind()?;
        let mut input = Stdin::from_fd(&shared)?;
        let mut first = [0; 6];
        input.read_exact(&mut first)?;
        assert_eq!(&first, b"first\n");
        let rest: Vec<String> = BufReader::new(input).lines().collect::<Result<_, _>>()?;
        assert_eq!(rest, ["of another", "last"]);
        Ok(())
    });
}

/// A pipe's reader sees the end when its writer is dropped, and a writer that its reader has
/// gone.
#[test]
fn pipes_end() {
    run(|| {
        let (reader, writer) = pipe()?;
        writer.write_all(b"all of it")?;
        drop(writer);
        assert_eq!(io::read_to_string(reader)?, "all of it");
        let (reader, writer) = pipe()?;
        drop(reader);
        writer.write_all(b"nobody reads it")?;
        assert_eq!(writer.flush().unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
}
