//! A ring that is too small for all: less is reported, but every failure, and it is said how much.

use syntrace_proto::{Connection, Opening, Outcome};

use crate::{cgroup::Cgroup, client::Client, probe::Start, receiver::Receiver, say, turn};

#[test]
fn what_ends_well_is_sampled_and_failures_are_not() {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let run = Start::run(&cgroup, &receiver).with(&["--ring-bytes", "1048576"]);
    let mut probe = run.until("Attached");
    let script = "
import threading, time
l, port = listen(128)
def accept():
    while True:
        l.accept()[0].close()
threading.Thread(target=accept, daemon=True).start()
began = time.monotonic()
good = bad = 0
while time.monotonic() < began + 4:
    s, error = connect(port)
    assert error == 0
    assert s.recv(1) == b''
    s.close()
    good += 1
    if good % 20 == 0:
        s, error = connect(9)
        s.close()
        bad += 1
tell(good)
tell(bad)
step()
";
    let mut client = Client::start(&cgroup, None, script);
    let (good, bad): (f64, u64) = (client.told(), client.told());
    assert!(probe.stop().success());
    // A reader that gets no processor for long loses some, even so; then it says how many.
    let lost = receiver.lost();
    let ends = receiver.connections();
    let n_refused = ends
        .iter()
        .filter(|end| end.outcome() == Outcome::Refused)
        .count() as u64;
    assert!(
        n_refused <= bad && n_refused + lost >= bad,
        "{n_refused} of {bad}"
    );
    let closed = |end: &&Connection| {
        end.outcome() == Outcome::Closed && end.opening() == Opening::Active && end.closed_at_ns > 0
    };
    let closed: Vec<f64> = ends
        .iter()
        .filter(closed)
        .map(|end| f64::from(end.one_in.max(1)))
        .collect();
    let counted: f64 = closed.iter().sum();
    say(&format!(
        "of {good} connections {} were reported, which stand for {counted}; {lost} were lost",
        closed.len()
    ));
    assert!(closed.iter().any(|one_in| *one_in > 1.0));
    assert!((closed.len() as f64) < good);
    assert!(lost > 0 || (counted / good - 1.0).abs() < 0.3, "{counted}");
    let samplings = receiver.samplings();
    let first = samplings.first().expect("a change was told");
    assert!(first.one_in > 1, "{samplings:?}");
    // Of the smaller sample is nothing that began before it was told.
    let mut sampled = ends.iter().filter(|end| end.one_in > 1);
    assert!(
        sampled.all(|end| end.established_at_ns >= first.boot_ns),
        "{first:?}"
    );
}
