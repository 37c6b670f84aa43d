// timetable_rust: threads of Rust's library that compute and wait by a known plan.
//
//     timetable_rust SECONDS
//
// "sleeper" computes 20 % and sleeps for the rest; "owner" holds a Mutex two thirds of the time, "locker" waits for it,
// after a Condvar told it to; "channel" waits for a message until the end. The main thread joins them. Prints, by their own
// clocks, what each of them did: {"threads": {"sleeper": {"life_ns": …, "waits": [{"state": …, "function": …, "ns": …}]}}}

use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

struct Phase {
    state: &'static str,
    function: &'static str,
    ns: u128,
    count: u32,
}

struct Timed {
    name: &'static str,
    begun: Instant,
    life_ns: u128,
    phases: Vec<Phase>,
}

impl Timed {
    fn new(name: &'static str) -> Timed {
        Timed { name, begun: Instant::now(), life_ns: 0, phases: Vec::new() }
    }

    fn phase<R>(&mut self, state: &'static str, function: &'static str, what: impl FnOnce() -> R) -> R {
        let begun = Instant::now();
        let result = what();
        let ns = begun.elapsed().as_nanos();

        match self.phases.iter_mut().find(|p| p.state == state && p.function == function) {
            Some(p) => {
                p.ns += ns;
                p.count += 1;
            }
            None => self.phases.push(Phase { state, function, ns, count: 1 }),
        }
        result
    }

    fn end(mut self) -> Timed {
        self.life_ns = self.begun.elapsed().as_nanos();
        self
    }

    fn json(&self) -> String {
        let running: u128 = self.phases.iter().filter(|p| p.state == "running").map(|p| p.ns).sum();
        let waits: Vec<String> = self
            .phases
            .iter()
            .filter(|p| p.state != "running")
            .map(|p| {
                format!(
                    "{{\"state\": \"{}\", \"function\": \"{}\", \"ns\": {}, \"late_ns\": 0, \"count\": {}}}",
                    p.state, p.function, p.ns, p.count
                )
            })
            .collect();

        format!(
            "\"{}\": {{\"life_ns\": {}, \"running_ns\": {}, \"runnable_ns\": 0, \"interrupted\": 0, \"waits\": [{}]}}",
            self.name,
            self.life_ns,
            running,
            waits.join(", ")
        )
    }
}

struct Shared {
    mutex: Mutex<u64>,
    turns: Mutex<(u64, bool)>,
    told: Condvar,
}

#[inline(never)]
fn rust_compute(until: Instant) -> u64 {
    let mut x: u64 = 1;

    while Instant::now() < until {
        for _ in 0..20000 {
            x = std::hint::black_box(x.wrapping_mul(6364136223846793005).wrapping_add(1));
        }
    }
    x
}

#[inline(never)]
fn rust_sleep(d: Duration) {
    std::thread::sleep(std::hint::black_box(d));
    std::hint::black_box(());
}

#[inline(never)]
fn hold(shared: &Shared) {
    let mut value = shared.mutex.lock().unwrap();

    tell(shared, false);
    rust_sleep(Duration::from_millis(80));
    *value += 1;
}

#[inline(never)]
fn tell(shared: &Shared, is_over: bool) {
    let mut turns = shared.turns.lock().unwrap();

    turns.0 += 1;
    turns.1 = is_over;
    shared.told.notify_one();
}

#[inline(never)]
fn wait_for_turn(shared: &Shared) -> bool {
    let mut turns = shared.turns.lock().unwrap();

    while turns.0 == 0 {
        turns = shared.told.wait(turns).unwrap();
    }
    turns.0 -= 1;
    !turns.1
}

#[inline(never)]
fn wait_for_lock(shared: &Shared) {
    *shared.mutex.lock().unwrap() += 1;
}

#[inline(never)]
fn wait_for_message(receiver: &Receiver<u64>) -> u64 {
    receiver.recv().unwrap_or(0) + 1
}

#[inline(never)]
fn join(handle: JoinHandle<Timed>) -> Timed {
    handle.join().unwrap()
}

fn start(name: &'static str, what: impl FnOnce(&mut Timed) + Send + 'static) -> JoinHandle<Timed> {
    Builder::new()
        .name(name.to_string())
        .spawn(move || {
            let mut timed = Timed::new(name);
            what(&mut timed);
            timed.end()
        })
        .unwrap()
}

fn main() {
    let seconds: f64 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1.0);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let shared = Arc::new(Shared { mutex: Mutex::new(0), turns: Mutex::new((0, false)), told: Condvar::new() });
    let (sender, receiver) = channel();
    let (owners, lockers) = (shared.clone(), shared);

    let handles = vec![
        start("sleeper", move |t| {
            let mut i = 0;

            while Instant::now() < end {
                let cycle = Duration::from_millis(80 + i * 27 % 80);
                let at = Instant::now() + cycle;
                let computes_until = Instant::now() + cycle / 5;

                i += 1;
                t.phase("running", "rust_compute", || std::hint::black_box(rust_compute(computes_until)));
                t.phase("sleep", "rust_sleep", || rust_sleep(at.saturating_duration_since(Instant::now())));
            }
        }),
        start("owner", move |t| {
            while Instant::now() < end {
                t.phase("sleep", "hold", || hold(&owners));
                t.phase("sleep", "rust_sleep", || rust_sleep(Duration::from_millis(40)));
            }
            tell(&owners, true);
        }),
        start("locker", move |t| {
            while t.phase("futex", "wait_for_turn", || wait_for_turn(&lockers)) {
                t.phase("futex", "wait_for_lock", || wait_for_lock(&lockers));
            }
        }),
        start("channel", move |t| {
            t.phase("futex", "wait_for_message", || std::hint::black_box(wait_for_message(&receiver)));
        }),
    ];
    let mut texts = Vec::new();
    let mut timed = Timed::new("main");
    let mut sender = Some(sender);

    for handle in handles {
        texts.push(timed.phase("join", "join", || join(handle)).json());
        sender.take(); /* which ends the channel */
    }
    texts.push(timed.end().json());
    println!("{{\"threads\": {{{}}}, \"is_right\": true}}", texts.join(", "));
}
