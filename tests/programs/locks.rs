// locks_rust: as locks.c, the waits of Rust's library.
//
//     locks_rust [ROUNDS]
//
// Rust makes its locks of futexes by syscall(): each wait is one of kind "futex", and may be several until its time has come.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Barrier, Condvar, Mutex, Once, RwLock};
use std::thread;
use std::time::{Duration, Instant};

static MUTEX: Mutex<u64> = Mutex::new(0);
static RWLOCK: RwLock<u64> = RwLock::new(0);
static TOLD: Mutex<bool> = Mutex::new(false);
static CONDVAR: Condvar = Condvar::new();
static PARKED: AtomicBool = AtomicBool::new(false);
static WAITER_TID: AtomicU32 = AtomicU32::new(0);
static BEGUN: AtomicI64 = AtomicI64::new(0);

#[no_mangle]
#[inline(never)]
pub fn w_mutex() {
    *MUTEX.lock().unwrap() += 1;
}

#[no_mangle]
#[inline(never)]
pub fn w_read() {
    std::hint::black_box(*RWLOCK.read().unwrap());
}

#[no_mangle]
#[inline(never)]
pub fn w_write() {
    *RWLOCK.write().unwrap() += 1;
}

#[no_mangle]
#[inline(never)]
pub fn w_condvar() {
    let mut told = TOLD.lock().unwrap();

    while !*told {
        told = CONDVAR.wait(told).unwrap();
    }
    *told = false;
}

#[no_mangle]
#[inline(never)]
pub fn w_once(once: &Once) {
    once.call_once(|| ());
    std::hint::black_box(()); // no tail call
}

#[no_mangle]
#[inline(never)]
pub fn w_barrier(barrier: &Barrier) {
    std::hint::black_box(barrier.wait().is_leader());
}

#[no_mangle]
#[inline(never)]
pub fn w_park() {
    while !PARKED.swap(false, Ordering::AcqRel) {
        thread::park();
    }
}

#[no_mangle]
#[inline(never)]
pub fn w_channel(receiver: &Receiver<u32>) {
    receiver.recv().unwrap();
    std::hint::black_box(()); // no tail call
}

#[no_mangle]
#[inline(never)]
pub fn w_join(handle: thread::JoinHandle<()>) {
    handle.join().unwrap();
    std::hint::black_box(()); // no tail call
}

enum Job {
    Mutex,
    Read,
    Write,
    Condvar,
    Once(Arc<Once>),
    Barrier(Arc<Barrier>),
    Park,
    Channel,
    Join(thread::JoinHandle<()>),
    End,
}

const NAMES: [(&str, &str); 9] = [
    ("w_mutex", "futex"),
    ("w_read", "futex"),
    ("w_write", "futex"),
    ("w_condvar", "futex"),
    ("w_once", "futex"),
    ("w_barrier", "futex"),
    ("w_park", "futex"),
    ("w_channel", "futex"),
    ("w_join", "join"),
];

fn now_ns(origin: Instant) -> i64 {
    origin.elapsed().as_nanos() as i64 + 1
}

fn own_tid() -> u32 {
    std::fs::read_link("/proc/thread-self").unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// Until the waiter sleeps on a futex, as the kernel says; where it does not, for a while.
fn until_asleep() {
    let path = format!("/proc/self/task/{}/syscall", WAITER_TID.load(Ordering::Acquire));
    let number = if cfg!(target_arch = "x86_64") { "202 " } else { "98 " };

    while BEGUN.load(Ordering::Acquire) == 0 {
        thread::yield_now();
    }
    loop {
        let mut text = String::new();

        match std::fs::File::open(&path).and_then(|mut f| f.read_to_string(&mut text)) {
            Ok(_) if text.starts_with(number) => return,
            Ok(_) => thread::sleep(Duration::from_micros(300)),
            Err(_) => return thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn pause(ms: u64) {
    until_asleep();
    thread::sleep(Duration::from_millis(ms));
}

fn main() {
    let rounds: u64 = std::env::args().nth(1).map_or(5, |s| s.parse().unwrap());
    let origin = Instant::now();
    // pipes would be simpler to tell apart from what is measured, but are not in the library: the waiter asks by spinning
    let job: Arc<Mutex<Option<Job>>> = Arc::new(Mutex::new(None));
    let result = Arc::new(AtomicI64::new(-1));
    let (sender, receiver): (Sender<u32>, Receiver<u32>) = channel();
    let waiter = {
        let (job, result) = (job.clone(), result.clone());

        thread::Builder::new()
            .name("waiter".to_string())
            .spawn(move || {
                WAITER_TID.store(own_tid(), Ordering::Release);
                loop {
                    let next = match job.try_lock() {
                        Ok(mut slot) => slot.take(),
                        Err(_) => None,
                    };
                    let begun = now_ns(origin);

                    if next.is_some() {
                        BEGUN.store(begun, Ordering::Release);
                    }
                    match next {
                        None => {
                            thread::sleep(Duration::from_micros(200));
                            continue;
                        }
                        Some(Job::Mutex) => w_mutex(),
                        Some(Job::Read) => w_read(),
                        Some(Job::Write) => w_write(),
                        Some(Job::Condvar) => w_condvar(),
                        Some(Job::Once(once)) => w_once(&once),
                        Some(Job::Barrier(barrier)) => w_barrier(&barrier),
                        Some(Job::Park) => w_park(),
                        Some(Job::Channel) => w_channel(&receiver),
                        Some(Job::Join(handle)) => w_join(handle),
                        Some(Job::End) => return,
                    }
                    result.store(now_ns(origin) - begun, Ordering::Release);
                }
            })
            .unwrap()
    };
    let mut total = [0i64; 9];
    let give = |next: Job| {
        BEGUN.store(0, Ordering::Release);
        loop {
            if let Ok(mut slot) = job.try_lock() {
                *slot = Some(next);
                return;
            }
            thread::yield_now();
        }
    };

    while WAITER_TID.load(Ordering::Acquire) == 0 {
        thread::yield_now();
    }
    for round in 0..rounds {
        for kind in 0..9 {
            let ms = 10 + (round * 7 + kind as u64) % 11;

            result.store(-1, Ordering::Release);
            match kind {
                0 => {
                    let held = MUTEX.lock().unwrap();
                    give(Job::Mutex);
                    pause(ms);
                    drop(held);
                }
                1 | 2 => {
                    let held = RWLOCK.write().unwrap();
                    give(if kind == 1 { Job::Read } else { Job::Write });
                    pause(ms);
                    drop(held);
                }
                3 => {
                    give(Job::Condvar);
                    pause(ms);
                    *TOLD.lock().unwrap() = true;
                    CONDVAR.notify_one();
                }
                4 => {
                    let once = Arc::new(Once::new());
                    let other = once.clone();
                    once.call_once(|| {
                        give(Job::Once(other));
                        pause(ms);
                    });
                }
                5 => {
                    let barrier = Arc::new(Barrier::new(2));
                    give(Job::Barrier(barrier.clone()));
                    pause(ms);
                    barrier.wait();
                }
                6 => {
                    give(Job::Park);
                    pause(ms);
                    PARKED.store(true, Ordering::Release);
                    waiter.thread().unpark();
                }
                7 => {
                    give(Job::Channel);
                    pause(ms);
                    sender.send(1).unwrap();
                }
                _ => {
                    let may_end = Arc::new(AtomicBool::new(false));
                    let told = may_end.clone();
                    give(Job::Join(thread::spawn(move || {
                        while !told.load(Ordering::Acquire) {
                            thread::sleep(Duration::from_millis(1));
                        }
                    })));
                    pause(ms);
                    may_end.store(true, Ordering::Release);
                }
            }
            while result.load(Ordering::Acquire) < 0 {
                thread::sleep(Duration::from_micros(200));
            }
            total[kind] += result.load(Ordering::Acquire);
        }
    }
    give(Job::End);
    waiter.join().unwrap();
    let sites: Vec<String> = NAMES
        .iter()
        .zip(total.iter())
        .map(|((name, kind), ns)| {
            format!(
                "\"{}\": {{\"kind\": \"{}\", \"lock\": \"\", \"holder\": \"\", \"at_least\": {}, \"ns\": {}, \"wrong\": 0}}",
                name, kind, rounds, ns
            )
        })
        .collect();

    writeln!(std::io::stdout(), "{{\"sites\": {{{}}}}}", sites.join(", ")).unwrap();
}
