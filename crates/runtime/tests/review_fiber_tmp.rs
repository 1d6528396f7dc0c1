#![allow(unused)]
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use tautline_runtime::fiber::{self, *};
use tautline_runtime::{Config, Runtime, Descriptor};

fn rt() -> Runtime { Runtime::new(Config::default()).unwrap() }

// S1: result's Drop spawns into its scope while the scope drains results.
#[test]
fn s1_spawn_in_result_drop() {
    struct Res<'s, 'e> { scope: &'s Scope<'s, 'e>, }
    impl Drop for Res<'_, '_> {
        fn drop(&mut self) {
            // outlives nothing: runs while the scope drains
            std::mem::forget(self.scope.spawn(Stack::Small, || { let _ = fiber::yield_now(); println!("late child runs"); }).unwrap());
        }
    }
    let runtime = rt();
    runtime.run_fiber(Stack::Small, || {
        let data = vec![1u8; 64];
        fiber::scope(|scope| {
            let h = scope.spawn(Stack::Small, move || Res { scope }).unwrap();
            std::mem::forget(h);
        }).unwrap();
        println!("scope is over");
        drop(data);
        for _ in 0..5 { fiber::yield_now().unwrap(); }
        println!("{:?}", fiber::list());
    }).unwrap();
}

// S2: handle inside its own result.
#[test]
fn s2_handle_in_own_result() {
    struct Res<'s> { cell: Rc<RefCell<Option<ScopedJoinHandle<'s, Res<'s>>>>>, text: String }
    let runtime = rt();
    runtime.run_fiber(Stack::Small, || {
        fiber::scope(|scope| {
            let cell = Rc::new(RefCell::new(None));
            let theirs = cell.clone();
            let h = scope.spawn(Stack::Small, move || Res { cell: theirs, text: "x".repeat(1000) }).unwrap();
            *cell.borrow_mut() = Some(h);
        }).unwrap();
    }).unwrap();
}

// join in undivided
#[test]
fn u1_join_in_undivided() {
    let runtime = rt();
    let r = runtime.run_fiber(Stack::Small, || {
        let h = fiber::spawn(Stack::Small, || println!("other runs")).unwrap();
        let r = catch_unwind(AssertUnwindSafe(|| fiber::undivided(|| h.join().unwrap())));
        match &r { Ok(_) => println!("JOIN WAITED IN UNDIVIDED"), Err(p) => println!("panic: {:?} {:?}", p.downcast_ref::<String>(), p.downcast_ref::<&str>()) }
        // state is still Parked: cancelling oneself enqueues the fiber that runs
        fiber::current().unwrap().cancel();
        println!("{:?}", fiber::list().unwrap().iter().map(|i| (i.number, i.state)).collect::<Vec<_>>());
    });
    println!("{r:?}");
    runtime.poll().unwrap();
}

// scope drop of a result in undivided? select two on one handle
#[test]
fn l1_two_selects_on_one_handle() {
    let runtime = rt();
    runtime.run_fiber(Stack::Small, || {
        let target = Rc::new(fiber::spawn(Stack::Small, || fiber::sleep(Duration::from_millis(20))).unwrap());
        let t = target.clone();
        let first = fiber::spawn(Stack::Small, move || fiber::select([&t], None)).unwrap();
        fiber::yield_now().unwrap();
        let t = target.clone();
        let second = fiber::spawn(Stack::Small, move || fiber::select([&t], None)).unwrap();
        println!("second: {:?}", second.join());
        fiber::sleep(Duration::from_millis(60)).unwrap();
        println!("target finished {}, first select finished: {}", target.is_finished(), first.is_finished());
    }).unwrap();
}

// baton stolen post
#[test]
fn l2_baton_registration_lost() {
    let runtime = rt();
    runtime.run_fiber(Stack::Small, || {
        let baton = Rc::new(Baton::new());
        let b = baton.clone();
        let a = fiber::spawn(Stack::Small, move || b.wait()).unwrap();
        fiber::yield_now().unwrap();
        baton.post();
        assert!(baton.try_wait());
        let b = baton.clone();
        let c = Builder::new(Stack::Small).band(Band::High).spawn(move || b.wait()).unwrap();
        for _ in 0..3 { fiber::yield_now().unwrap(); }
        for _ in 0..4 { baton.post(); for _ in 0..3 { fiber::yield_now().unwrap(); } println!("posted now {}", baton.is_posted()); }
        println!("a {} c {}", a.is_finished(), c.is_finished());
    }).unwrap();
}

// nested wait loses wake of the outer
#[test]
fn l3_nested_wait_panics() {
    let runtime = rt();
    let r = runtime.run_fiber(Stack::Small, || {
        let (tx, rx) = fiber::channel::<u8>(1);
        let go = Rc::new(Baton::new());
        let g = go.clone();
        fiber::spawn(Stack::Small, move || { g.wait().unwrap(); tx.try_send(7).unwrap(); fiber::park() }).unwrap().detach();
        let mut once = false;
        let mut fut = Box::pin(rx.recv_async());
        let me = fiber::current().unwrap();
        let out = fiber::spawn(Stack::Small, { move || { fiber::sleep(Duration::from_millis(300)); me.cancel(); }}).unwrap();
        let r = fiber::wait(std::future::poll_fn(|cx| {
            use std::future::Future;
            if let std::task::Poll::Ready(v) = fut.as_mut().poll(cx) { return std::task::Poll::Ready(v.unwrap()); }
            if !once {
                once = true;
                let mut n = 0;
                let r = catch_unwind(AssertUnwindSafe(|| fiber::wait(std::future::poll_fn::<(), _>(|cx| {
                    n += 1;
                    if n == 1 { go.post(); return std::task::Poll::Pending; }
                    panic!("inner");
                }))));
                println!("inner ended {}", r.is_err());
            }
            std::task::Poll::Pending
        }));
        println!("outer: {r:?}");
    });
    println!("{r:?}");
}

// polled operation then wait
#[test]
fn o1_polled_then_wait() {
    let runtime = rt();
    let (a, b) = Descriptor::pair().unwrap();
    let r = catch_unwind(AssertUnwindSafe(|| runtime.run_fiber(Stack::Small, move || {
        use std::future::Future;
        let mut op = b.read(vec![0u8; 8]);
        let w = std::task::Waker::noop();
        let p = std::pin::Pin::new(&mut op).poll(&mut std::task::Context::from_waker(w));
        println!("polled pending: {}", p.is_pending());
        drop(p);
        let r = op.wait();
        println!("{r:?}");
    })));
    println!("o1: {}", r.is_err());
}

// cancellation swallowed by the guard around a result's drop
#[test]
fn c1_cancel_in_dropped_result() {
    struct Waits;
    impl Drop for Waits { fn drop(&mut self) { let r = fiber::sleep(Duration::from_secs(5)); println!("slept {r:?}"); } }
    let runtime = Runtime::new(Config { panics: tautline_runtime::Panics::Raise, ..Config::default() }).unwrap();
    let h = fiber::spawn(Stack::Small, || {
        let other = fiber::spawn(Stack::Small, || Waits).unwrap();
        fiber::yield_now().unwrap();
        drop(other); // result is dropped here
        println!("went on after its cancellation");
        let r = fiber::sleep(Duration::from_secs(5));
        println!("then: {r:?}");
        5
    }).unwrap();
    runtime.poll().unwrap();
    h.cancel();
    println!("poll: {:?}", runtime.poll());
    println!("poll: {:?} metrics.panics {}", runtime.poll(), runtime.metrics().panics);
    println!("fin {}", h.is_finished());
    let r = runtime.block_on(h);
    println!("{r:?}");
}

// -1 in a thread local
thread_local! { static MINUS: Cell<usize> = const { Cell::new(0) }; }
#[test]
fn p1_max_in_tls() {
    MINUS.set(usize::MAX);
    std::thread::spawn(|| { MINUS.set(usize::MAX); let r = catch_unwind(|| rt()); println!("p1 runtime: {}", r.is_ok()); std::mem::forget(r)}).join().unwrap();
}

// hook that waits
#[test]
fn p2_hook_waits() {
    let runtime = rt();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| { let _ = fiber::yield_now(); eprintln!("hook after yield"); }));
    let a = fiber::spawn(Stack::Small, || { panic!("a") }).unwrap();
    let b = fiber::spawn(Stack::Small, || { panic!("b") }).unwrap();
    runtime.poll().unwrap();
    println!("{:?} {:?}", a.is_finished(), b.is_finished());
}

// budgets below 8
#[test]
fn f1_small_budget_starves() {
    let mut config = Config::default();
    config.budgets.fibers = 7;
    let runtime = Runtime::new(config).unwrap();
    let stop = Rc::new(Cell::new(false));
    for _ in 0..2 { let s = stop.clone(); Builder::new(Stack::Small).band(Band::High).spawn(move || while !s.get() { fiber::yield_now().unwrap() }).unwrap().detach(); }
    let ran = Rc::new(Cell::new(false)); let r = ran.clone();
    Builder::new(Stack::Small).band(Band::Low).spawn(move || r.set(true)).unwrap().detach();
    for _ in 0..1000 { runtime.poll_once().unwrap(); }
    println!("low ran: {}", ran.get());
    // 8: normal starves between busy high and busy low
    stop.set(true); drop(runtime);
    let mut config = Config::default(); config.budgets.fibers = 8;
    let runtime = Runtime::new(config).unwrap();
    for band in [Band::High, Band::Low] { Builder::new(Stack::Small).band(band).spawn(move || loop { if fiber::yield_now().is_err() { break } }).unwrap().detach(); }
    let ran = Rc::new(Cell::new(false)); let r = ran.clone();
    Builder::new(Stack::Small).band(Band::Normal).spawn(move || r.set(true)).unwrap().detach();
    for _ in 0..1000 { runtime.poll_once().unwrap(); }
    println!("normal ran: {}", ran.get());
    // 512: how much does low get when normal is busy
    drop(runtime);
    let runtime = rt();
    let n = Rc::new(Cell::new(0u64)); let m = n.clone();
    for band in [Band::High, Band::Normal] { Builder::new(Stack::Small).band(band).spawn(move || loop { if fiber::yield_now().is_err() { break } }).unwrap().detach(); }
    Builder::new(Stack::Small).band(Band::Low).spawn(move || loop { m.set(m.get()+1); if fiber::yield_now().is_err() { break } }).unwrap().detach();
    for _ in 0..1000 { runtime.poll_once().unwrap(); }
    println!("low switches per turn: {}", n.get() as f64 / 1000.0);
}

// A local's payload that panics in its own drop escapes the fiber
#[test]
fn p3_payload_drop_panics_in_local() {
    struct Bomb; impl Drop for Bomb { fn drop(&mut self) { if !std::thread::panicking() { panic!("payload's drop") } } }
    struct L; impl Drop for L { fn drop(&mut self) { std::panic::panic_any(Bomb) } }
    tautline_runtime::fiber_local! { static LOCAL: L = L; }
    let runtime = rt();
    let h = fiber::spawn(Stack::Small, || LOCAL.with(|_| ()).unwrap()).unwrap();
    let r = catch_unwind(AssertUnwindSafe(|| runtime.poll().is_ok()));
    println!("poll unwound: {} finished {}", r.is_err(), h.is_finished());
    println!("{:?}", fiber::list().unwrap().iter().map(|i| i.state).collect::<Vec<_>>());
    drop(h);
}

// cancellation in a local's destructor is logged as a panic
#[test]
fn c2_locals() {
    struct L; impl Drop for L { fn drop(&mut self) { let r = fiber::sleep(Duration::from_secs(9)); println!("local's sleep: {r:?}"); } }
    tautline_runtime::fiber_local! { static LOCAL: L = L; }
    let runtime = rt();
    let h = fiber::spawn(Stack::Small, || LOCAL.with(|_| ()).unwrap()).unwrap();
    runtime.poll().unwrap();
    h.cancel();
    runtime.poll().unwrap();
    println!("finished {} {:?}", h.is_finished(), runtime.block_on(h).unwrap());
}
