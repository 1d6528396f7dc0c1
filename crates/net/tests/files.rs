//! Files, redirected standard streams, blocking work and names.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::rc::Rc;
use std::time::Duration;

use common::{block, everywhere, run, until};
use futures::{AsyncReadExt, AsyncWriteExt};
use tautline_net::{Conn, Error, File, OpenOptions, Stdin, Stdout, resolve};
use tautline_runtime::offload;

/// What was written at offsets is read back there, many operations at a time.
#[test]
fn offsets_are_read_and_written_at_the_same_time() {
    run(async || {
        let folder = tempfile::tempdir()?;
        let options = OpenOptions::new().read(true).write(true).create_new(true);
        let file = options.open(folder.path().join("data")).await?;
        let pieces = 0..40u64;
        let writes = pieces.clone().map(|n| file.write_at(vec![n as u8; 5000], n * 5000));
        for (written, _) in futures::future::join_all(writes).await {
            assert_eq!(written?, 5000);
        }
        file.sync(false).await?;
        assert_eq!(file.len()?, 200_000);
        let reads = pieces.map(|n| file.read_at(vec![0; 5000], n * 5000));
        for (n, (read, buf)) in futures::future::join_all(reads).await.into_iter().enumerate() {
            assert_eq!((read?, buf), (5000, vec![n as u8; 5000]));
        }
        file.set_len(10).await?;
        assert_eq!(file.read_at(vec![0; 100], 0).await.0?, 10);
        assert_eq!(file.read_at(vec![0; 100], 10).await.0?, 0);
        Ok(())
    });
}

/// Calls without an offset go on where the last one ended, through either face.
#[test]
fn a_file_is_read_in_sequence() {
    run(async || {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("data");
        let mut file = File::create(&path).await?;
        file.write("owned ").await.0?;
        AsyncWriteExt::write_all(&mut file, b"borrowed ").await?;
        AsyncWriteExt::write_all(&mut file, b"again").await?;
        AsyncWriteExt::close(&mut file).await?;
        assert_eq!(file.position(), 20);
        let mut file = File::open(&path).await?;
        let (read, buf) = file.read(vec![0; 6]).await;
        assert_eq!((read?, buf.as_slice()), (6, &b"owned "[..]));
        let mut rest = String::new();
        AsyncReadExt::read_to_string(&mut file, &mut rest).await?;
        assert_eq!(rest, "borrowed again");
        assert_eq!(file.seek(SeekFrom::End(-5))?, 15);
        let (read, buf) = file.read(vec![0; 9]).await;
        assert_eq!(&buf[..read?], b"again");
        assert_eq!(file.seek(SeekFrom::Current(-30)).unwrap_err().kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

/// Writes by either face go behind each other and none is lost, though the one before is
/// still on its way; a call that seeks in between, or asks for the position, sees them all.
#[test]
fn writes_by_either_face_go_behind_each_other() {
    run(async || {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("data");
        let mut file = File::create(&path).await?;
        AsyncWriteExt::write_all(&mut file, b"abc").await?;
        assert_eq!(file.position(), 3);
        file.write("def").await.0?;
        AsyncWriteExt::write_all(&mut file, b"ghi").await?;
        assert_eq!(file.seek(SeekFrom::End(0))?, 9);
        file.write("jkl").await.0?;
        AsyncWriteExt::write_all(&mut file, b"mno").await?;
        assert_eq!(file.seek(SeekFrom::Current(-3))?, 12);
        AsyncWriteExt::write_all(&mut file, b"MNO").await?;
        AsyncWriteExt::flush(&mut file).await?;
        assert!(futures::poll!(std::pin::pin!(file.write("pqr"))).is_pending());
        file.write("stu").await.0?;
        AsyncWriteExt::close(&mut file).await?;
        let whole = async || {
            while std::fs::metadata(&path)?.len() < 21 || std::fs::read(&path)?.contains(&0) {
                tautline_runtime::task::yield_now().await;
            }
            std::fs::read_to_string(&path)
        };
        assert_eq!(whole().await?, "abcdefghijklMNOpqrstu");
        Ok(())
    });
}

/// What a poll-based read has read ahead is neither skipped nor returned twice when the
/// other face reads, writes or goes elsewhere.
#[test]
fn reads_by_either_face_go_on_where_the_last_one_ended() {
    run(async || {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("data");
        std::fs::write(&path, "0123456789")?;
        let mut file = OpenOptions::new().read(true).write(true).open(&path).await?;
        let mut two = [0; 2];
        for (first, second) in [(b"01", b"23"), (b"45", b"67")] {
            AsyncReadExt::read_exact(&mut file, &mut two).await?;
            assert_eq!(&two, first);
            assert_eq!(file.read(vec![0; 2]).await.1, second);
        }
        file.seek(SeekFrom::Start(0))?;
        AsyncReadExt::read_exact(&mut file, &mut two).await?;
        file.write("ab").await.0?;
        AsyncReadExt::read_exact(&mut file, &mut two).await?;
        assert_eq!(&two, b"45");
        AsyncWriteExt::write_all(&mut file, b"cd").await?;
        file.seek(SeekFrom::Start(2))?;
        assert_eq!(file.read(vec![0; 6]).await.1, b"ab45cd");
        Ok(())
    });
}

/// A write that fails leaves the position where it was, and the next call says so if
/// nobody waited for it.
#[test]
fn a_failed_write_is_told_by_the_next_call() {
    run(async || {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("data");
        std::fs::write(&path, "0123456789")?;
        let mut file = File::open(&path).await?;
        assert_eq!(
            file.write("no").await.0.unwrap_err().raw_os_error(),
            Some(rustix::io::Errno::BADF.raw_os_error())
        );
        assert_eq!(file.position(), 0);
        if AsyncWriteExt::write(&mut file, b"no").await.is_ok() {
            let (told, buf) = file.read(vec![7; 2]).await;
            assert_eq!(
                (told.unwrap_err().raw_os_error(), buf),
                (Some(rustix::io::Errno::BADF.raw_os_error()), vec![7; 2])
            );
        }
        file.seek(SeekFrom::Start(0))?;
        assert_eq!(file.read(vec![0; 2]).await.1, b"01");
        Ok(())
    });
}

/// Callbacks write and read in sequence: each gets the file back, for the next call.
#[test]
fn callbacks_get_the_file_back_for_the_next_call() {
    everywhere(|runtime| {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions::new().read(true).write(true).create(true);
        let mut file = block(runtime, options.open(folder.path().join("data")));
        block(runtime, AsyncWriteExt::write_all(&mut file, b"one "));
        let seen = Rc::new(RefCell::new(None));
        let log = seen.clone();
        let written = move |(file, written, _): (File, std::io::Result<usize>, &'static str)| {
            assert_eq!((written.unwrap(), file.position()), (3, 7));
            let again = move |(mut file, written, _): (File, std::io::Result<usize>, &str)| {
                assert_eq!(written.unwrap(), 6);
                file.seek(SeekFrom::Start(4)).unwrap();
                file.read_then(vec![0; 64], move |read| *log.borrow_mut() = Some(read)).unwrap();
            };
            file.write_then(" three", again).unwrap();
        };
        file.write_then("two", written).unwrap();
        until(runtime, || seen.borrow().is_some());
        let (file, read, buf) = seen.take().unwrap();
        assert_eq!((&buf[..read.unwrap()], file.position()), (&b"two three"[..], 13));
    });
}

/// A handler gets a file's bytes from its position to its end, and then hears of the end;
/// its error stops that and reaches the close handler.
#[test]
fn a_handler_reads_a_file_to_its_end() {
    everywhere(|runtime| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        for limit in [usize::MAX, 100_000] {
            let mut file = block(runtime, File::open(&path));
            block(runtime, AsyncReadExt::read_exact(&mut file, &mut [0; 1000]));
            let (text, ended) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(None)));
            let (into, end) = (text.clone(), ended.clone());
            let handler = move |_: &Conn, bytes: &[u8]| {
                into.borrow_mut().extend_from_slice(bytes);
                match into.borrow().len() {
                    n if n < limit => Ok(()),
                    _ => Err(std::io::Error::from(ErrorKind::QuotaExceeded)),
                }
            };
            let conn = file.on_data(handler).unwrap();
            conn.on_close(move |_, result| end.set(Some(result.map_err(|error| error.kind()))));
            until(runtime, || ended.get().is_some());
            let text = text.borrow();
            assert!(bytes[1000..].starts_with(&text));
            let refused = Err(ErrorKind::QuotaExceeded);
            let whole = limit == usize::MAX;
            assert_eq!(ended.get(), Some(if whole { Ok(()) } else { refused }));
            assert_eq!(text.len() == 299_000, whole);
        }
    });
}

/// A paused file is not read to its handler: it goes on where it was when it is resumed, and
/// not at all when it is closed meanwhile.
#[test]
fn a_paused_file_waits() {
    everywhere(|runtime| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; 1_000_000]).unwrap();
        file.rewind().unwrap();
        let (pieces, taken) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (counted, ended) = (pieces.clone(), Rc::new(Cell::new(false)));
        let (summed, end) = (taken.clone(), ended.clone());
        let handler = move |conn: &Conn, bytes: &[u8]| {
            counted.set(counted.get() + 1);
            summed.set(summed.get() + bytes.len());
            if counted.get() % 2 == 1 {
                conn.pause();
            }
        };
        let conn = Stdin::from_fd(&file).unwrap().on_data(handler).unwrap();
        conn.on_close(move |_, result| end.set(result.is_ok()));
        for odd in [1, 3, 5] {
            until(runtime, || pieces.get() >= odd);
            runtime.run_for(Duration::from_millis(5)).unwrap();
            assert_eq!(pieces.get(), odd, "paused");
            conn.resume().unwrap();
        }
        while !ended.get() {
            conn.resume().unwrap();
            runtime.run_for(Duration::from_millis(1)).unwrap();
        }
        assert_eq!(taken.get(), 1_000_000);

        file.rewind().unwrap();
        let pieces = Rc::new(Cell::new(0));
        let counted = pieces.clone();
        let stdin = Stdin::from_fd(&file).unwrap();
        let conn = stdin.on_data(move |_, _| counted.set(counted.get() + 1)).unwrap();
        conn.pause();
        runtime.run_for(Duration::from_millis(5)).unwrap();
        conn.close();
        runtime.run_pending().unwrap();
        assert_eq!(pieces.get(), 0);
    });
}

/// A file of a megabyte survives `copy` of the `futures` crate.
#[test]
fn a_file_is_copied() {
    run(async || {
        let folder = tempfile::tempdir()?;
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let bytes: Vec<u8> = (0..1_000_000u32).map(|n| (n % 253) as u8).collect();
        std::fs::write(&from, &bytes)?;
        let (source, mut sink) = (File::open(&from).await?, File::create(&to).await?);
        assert_eq!(futures::io::copy(source, &mut sink).await?, 1_000_000);
        drop(sink);
        assert!(std::fs::read(&to)? == bytes);
        Ok(())
    });
}

/// A file that is not there is named; a callback hears the same.
#[test]
fn a_missing_file_is_named() {
    everywhere(|runtime| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent");
        let error = runtime.block_on(File::open(&path)).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(Error::of(&error).unwrap().to_string().contains("absent"), "{error}");
        let heard = Rc::new(Cell::new(None));
        let seen = heard.clone();
        let done = move |result: std::io::Result<File>| seen.set(Some(result.unwrap_err().kind()));
        File::open(&path).then(done).unwrap();
        until(runtime, || heard.get().is_some());
        assert_eq!(heard.get(), Some(ErrorKind::NotFound));
    });
}

/// Standard input that comes from a file is read from the position that it was left at,
/// by tasks and by handlers, and leaves it where it stopped.
#[test]
fn redirected_input_is_read_on() {
    everywhere(|runtime| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"taken;rest of it").unwrap();
        file.seek(SeekFrom::Start(6)).unwrap();
        block(runtime, async {
            let mut stdin = Stdin::from_fd(&file)?;
            let (read, buf) = stdin.read(vec![0; 4]).await;
            assert_eq!((read?, buf.as_slice()), (4, &b"rest"[..]));
            Ok(())
        });
        assert_eq!(file.stream_position().unwrap(), 10);
        let (text, ended) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(false)));
        let (into, end) = (text.clone(), ended.clone());
        let stdin = Stdin::from_fd(&file).unwrap();
        let conn =
            stdin.on_data(move |_, bytes| into.borrow_mut().extend_from_slice(bytes)).unwrap();
        conn.on_close(move |_, result| end.set(result.is_ok()));
        until(runtime, || ended.get());
        assert_eq!(*text.borrow(), b" of it");
        let mut nothing = Vec::new();
        file.read_to_end(&mut nothing).unwrap();
        assert!(nothing.is_empty());
    });
}

/// Standard output that goes to a file stays in order with what others write there; one
/// that goes to a pipe leaves the pipe's mode as it is.
#[test]
fn redirected_output_stays_in_order() {
    run(async || {
        let mut file = tempfile::tempfile()?;
        let mut stdout = Stdout::from_fd(&file)?;
        stdout.write_all("ours ").await.0?;
        file.write_all(b"theirs ")?;
        AsyncWriteExt::write_all(&mut stdout, b"ours again").await?;
        AsyncWriteExt::flush(&mut stdout).await?;
        file.rewind()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        assert_eq!(text, "ours theirs ours again");

        let (reader, writer) = std::io::pipe()?;
        let mut stdout = Stdout::from_fd(&writer)?;
        stdout.write_all("piped").await.0?;
        let mut stdin = Stdin::from_fd(&reader)?;
        assert_eq!(stdin.read(vec![0; 16]).await.0?, 5);
        assert_eq!(stdin.try_read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        for fd in [std::os::fd::AsFd::as_fd(&reader), std::os::fd::AsFd::as_fd(&writer)] {
            assert!(!rustix::fs::fcntl_getfl(fd)?.contains(rustix::fs::OFlags::NONBLOCK));
        }
        Ok(())
    });
}

/// Blocking work comes back as a result, by either face; its panic is an error that
/// carries the message.
#[test]
fn blocking_work_comes_back() {
    everywhere(|runtime| {
        let thread = std::thread::current().id();
        let elsewhere = runtime.block_on(offload(move || std::thread::current().id() != thread));
        assert!(elsewhere.unwrap().unwrap());
        let error =
            runtime.block_on(offload(|| -> u8 { panic!("on purpose") })).unwrap().unwrap_err();
        assert!(error.to_string().contains("on purpose"), "{error}");
        let sum = Rc::new(Cell::new(0));
        for n in 1..=100 {
            let into = sum.clone();
            offload(move || n).then(move |n| into.set(into.get() + n.unwrap())).unwrap();
        }
        until(runtime, || sum.get() == 5050);
    });
}

/// More work than the pool has room for is refused with the limit; what was taken is done.
#[test]
fn too_much_blocking_work_is_refused() {
    let config =
        tautline_runtime::Config { offload_threads: 1, offload_queue: 2, ..common::small() };
    let runtime = tautline_runtime::Runtime::new(config).unwrap();
    let results = block(&runtime, async {
        let nap = || offload(|| std::thread::sleep(Duration::from_millis(20)));
        Ok(futures::future::join_all((0..10).map(|_| nap())).await)
    });
    let refused = results.iter().filter(|result| result.is_err()).count();
    assert!((7..=8).contains(&refused), "{refused}");
    let text = results.into_iter().find_map(Result::err).unwrap().to_string();
    assert!(text.contains("offload_queue"), "{text}");
}

/// A known name has addresses; a bad one is named in the error.
#[test]
fn names_are_resolved_or_named() {
    run(async || {
        let found = resolve("localhost", 81, common::PATIENCE).await?;
        assert!(!found.is_empty());
        assert!(found.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 81));
        let error = resolve("no-such-host.invalid", 80, common::PATIENCE).await.unwrap_err();
        assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
        Ok(())
    });
}

/// A name is waited for no longer than told. Here its answer cannot come: the only thread
/// that could ask for it is busy until the deadline is over.
#[test]
fn a_name_that_takes_too_long_is_given_up() {
    let config = tautline_runtime::Config { offload_threads: 1, ..common::small() };
    let runtime = tautline_runtime::Runtime::new(config).unwrap();
    block(&runtime, async {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let busy = offload(move || held.recv().is_err());
        let late = resolve("localhost", 80, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert!(late.to_string().contains("localhost"), "{late}");
        drop(release);
        assert!(busy.await?);
        Ok(())
    });
}
