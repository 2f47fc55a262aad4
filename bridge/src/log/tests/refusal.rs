//! What a disk refuses is not acknowledged, leaves nothing behind, and is reported until there is room again.

use std::{fs, sync::atomic::AtomicUsize};

use super::*;

/// A disk with room for writes of so many bytes.
#[derive(Debug)]
struct Room(AtomicUsize);

impl Faults for Room {
    fn at(&self, step: Step, length: usize) -> Option<(usize, io::Error)> {
        let full = step == Step::Write && length > self.0.load(Relaxed);
        full.then(|| (0, io::Error::from_raw_os_error(no_space())))
    }
}

#[tokio::test]
async fn without_an_interval_what_the_disk_did_not_take_is_not_acknowledged() {
    let place = Place::new();
    // The first batch, with its file and the file's name, is taken.
    let script = Script::new(Step::Sync, io_error(), 0, 2..7);
    let settings = Settings {
        sync_interval: Duration::ZERO,
        ..place.settings(Disk::with_faults(Arc::new(script)))
    };
    let (log, _reader) = Log::start(&settings, BOOT, Position(0)).unwrap();
    let mut taken = Vec::new();
    for n in 0..8 {
        let text = format!("batch {n}");
        let answer = log.append(text.as_bytes(), batch(0)).await;
        let trouble = log.health().trouble;
        assert_eq!(answer.is_err(), trouble == Some("io_error"), "{text}");
        if answer.is_ok() {
            taken.push(text);
        }
    }
    assert_eq!(taken.len(), 3, "{taken:?}");
    assert_eq!(log.health().syncs_failed, 5);
    assert_eq!(place.texts(), taken);
}

#[tokio::test]
async fn syncs_that_fail_again_and_again_begin_no_segment() {
    let place = Place::new();
    let script = Script::new(Step::Sync, io_error(), 0, 0..1_000);
    let mut settings = place.settings(Disk::with_faults(Arc::new(script)));
    settings.sync_interval = Duration::from_millis(1);
    settings.bounds.segment_bytes = u64::MAX;
    let (log, _reader) = Log::start(&settings, BOOT, Position(0)).unwrap();
    let deadline = std::time::Instant::now() + DEADLINE;
    while log.health().syncs_failed < 5 {
        assert!(std::time::Instant::now() < deadline, "no sync");
        log.append(b"batch", batch(0)).await.unwrap();
    }
    assert_eq!(place.segments().firsts().unwrap(), [Position(0)]);
}

#[tokio::test]
async fn a_full_disk_is_full_until_it_has_room_for_what_it_refused() {
    let place = Place::new();
    let room = Arc::new(Room(AtomicUsize::new(usize::MAX)));
    let mut settings = place.settings(Disk::with_faults(Arc::clone(&room) as _));
    settings.bounds.segment_bytes = u64::MAX;
    let (log, _reader) = Log::start(&settings, BOOT, Position(0)).unwrap();
    log.append(b"small", batch(0)).await.unwrap();
    room.0.store(100, Relaxed);
    let large = [b'x'; 500];
    for _ in 0..3 {
        let refused = log.append(&large, batch(0)).await;
        assert_eq!(refused, Err(AppendError::Failed));
        log.append(b"small", batch(0)).await.unwrap();
        assert_eq!(log.health().trouble, Some("disk_full"));
    }
    room.0.store(usize::MAX, Relaxed);
    log.append(b"small", batch(0)).await.unwrap();
    assert_eq!(log.health().trouble, None, "nobody had to try a large one");
    assert_eq!(place.texts(), ["small"; 5]);
}

#[test]
fn a_file_that_is_not_written_to_its_end_goes_at_once_or_at_the_next_start() {
    for step in [Step::Write, Step::Sync, Step::Rename] {
        let place = Place::new();
        let disk = Disk::with_faults(Arc::new(Script::new(step, no_space(), 3, 0..1)));
        let path = place.segments().state(Position(7));
        disk.write_whole(&path, b"state").unwrap_err();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "{step:?}");
    }
    let place = Place::new();
    fs::write(place.path().join("00000000000000000007.half"), "st").unwrap();
    place.segments().mend(&Disk::default()).unwrap();
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}
