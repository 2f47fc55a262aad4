//! What is damaged in a file is skipped, counted, and left where it is.

use std::{fs, io::ErrorKind, ops::ControlFlow, path::PathBuf};

use super::{
    super::{frame, segments::Extent},
    *,
};

/// Entries of a log of one segment.
const ENTRIES: u64 = 40;

#[tokio::test]
async fn a_damaged_byte_in_the_last_segment_costs_its_entry_only_and_nothing_is_cut_off() {
    let place = Place::new();
    let path = fill(&place, u64::MAX).await;
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mended = place.segments().mend(&Disk::default()).unwrap();
    let expected = Mended {
        next: Position(ENTRIES),
        torn_bytes: 0,
    };
    assert_eq!(mended, expected);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let (extent, found) = read(&place);
    assert_eq!((extent.missing, found), (1, ENTRIES - 1));
    assert_eq!(extent.next, Position(ENTRIES));
}

#[tokio::test]
async fn whatever_part_is_zeros_those_behind_it_are_read_and_those_in_it_are_counted() {
    let place = Place::new();
    let path = fill(&place, u64::MAX).await;
    let whole = fs::read(&path).unwrap();
    let entry = entry_bytes(2);
    for from in (frame::HEAD_LEN..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        let until = (from + 100).min(bytes.len());
        bytes[from..until].fill(0);
        fs::write(&path, &bytes).unwrap();
        let mended = place.segments().mend(&Disk::default()).unwrap();
        let (extent, found) = read(&place);
        let first = (from - frame::HEAD_LEN) / entry;
        let end = (until - frame::HEAD_LEN).div_ceil(entry);
        let hit = (end - first) as u64;
        assert_eq!(found, ENTRIES - hit, "{from}");
        // What nothing follows was torn, as far as anybody can say.
        let is_torn = mended.torn_bytes > 0;
        assert_eq!(is_torn, mended.next < Position(ENTRIES), "{from}");
        let missing = mended.next.0 - found;
        assert_eq!(extent.missing, missing, "{from}");
        assert_eq!(missing == hit, !is_torn, "{from}");
    }
}

#[tokio::test]
async fn of_a_segment_without_a_head_all_entries_are_missing_and_none_is_written_over() {
    let place = Place::new();
    let path = fill(&place, u64::MAX).await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[9] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mended = place.segments().mend(&Disk::default()).unwrap();
    assert_eq!(mended.next, Position(ENTRIES));
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let (extent, found) = read(&place);
    assert_eq!((extent.missing, found), (ENTRIES, 0));
    assert_eq!(extent.torn_bytes, bytes.len() as u64);
}

#[tokio::test]
async fn a_damaged_entry_of_an_earlier_segment_is_missing_alone() {
    let place = Place::new();
    fill(&place, 200).await;
    let firsts = place.segments().firsts().unwrap();
    for first in &firsts[..3] {
        let path = place.segments().segment(*first);
        let mut bytes = fs::read(&path).unwrap();
        bytes[frame::HEAD_LEN + 2] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let (extent, found) = read(&place);
    assert_eq!((extent.missing, found), (3, ENTRIES - 3));
    assert_eq!(extent.torn_bytes, 3 * entry_bytes(2) as u64);
}

#[tokio::test]
async fn a_log_of_a_newer_layout_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let path = fill(&place, u64::MAX).await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] = 3;
    let end = frame::HEAD_LEN - 4;
    let checksum = crc32fast::hash(&bytes[..end]).to_le_bytes();
    bytes[end..frame::HEAD_LEN].copy_from_slice(&checksum);
    fs::write(&path, &bytes).unwrap();
    let refused = place.segments().mend(&Disk::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidData);
    assert!(refused.to_string().contains("layout 3"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn a_log_of_layout_1_is_read_and_gone_on_with_behind_what_cannot_be_read_in_it() {
    let mut head = frame::head(frame::Head {
        boot: BOOT,
        first: Position(0),
    });
    head[7] = 1;
    let end = frame::HEAD_LEN - 4;
    let checksum = crc32fast::hash(&head[..end]).to_le_bytes();
    head[end..].copy_from_slice(&checksum);
    let mut whole = head;
    for batch in [b"00", b"01"] {
        let said = [&7_u64.to_le_bytes()[..], batch].concat();
        whole.extend_from_slice(&2_u32.to_le_bytes());
        whole.extend_from_slice(&crc32fast::hash(&said).to_le_bytes());
        whole.extend_from_slice(&said);
    }
    for (damaged, next) in [(false, 2), (true, 1)] {
        let place = Place::new();
        let path = place.segments().segment(Position(0));
        if damaged {
            whole[frame::HEAD_LEN + 16] ^= 1;
        }
        fs::write(&path, &whole).unwrap();
        let mended = place.segments().mend(&Disk::default()).unwrap();
        assert_eq!(mended.next, Position(next));
        assert_eq!(fs::read(&path).unwrap(), whole);
        let settings = place.settings(Disk::default());
        let (log, reader) = Log::start(&settings, BOOT, mended.next).unwrap();
        let text = format!("{next:02}");
        log.append(text.as_bytes(), batch(0)).await.unwrap();
        close(&log, reader).await;
        let (extent, found) = read(&place);
        let expected = if damaged { (1, 1) } else { (0, 3) };
        assert_eq!((extent.missing, found), expected);
    }
}

#[tokio::test]
async fn a_segment_that_is_removed_while_it_is_written_to_is_noticed_and_what_was_in_it_counted() {
    let place = Place::new();
    let (log, _reader) = place.start(Disk::default());
    for text in ["one", "two"] {
        log.append(text.as_bytes(), batch(0)).await.unwrap();
    }
    fs::remove_file(place.segments().segment(Position(0))).unwrap();
    log.append(b"three", batch(0)).await.unwrap();
    assert_eq!(log.health().left.missing, 2);
    assert_eq!(place.texts(), ["three"]);
    fs::remove_dir_all(place.path()).unwrap();
    let refused = log.append(b"four", batch(0)).await;
    assert_eq!(refused, Err(AppendError::Failed));
    assert!(log.health().trouble.is_some());
    assert_eq!(log.health().left.missing, 3);
}

/// Fills a log with entries of two bytes each, and returns the path of its first segment.
async fn fill(place: &Place, segment_bytes: u64) -> PathBuf {
    let mut settings = place.settings(Disk::default());
    settings.bounds.segment_bytes = segment_bytes;
    let (log, reader) = Log::start(&settings, BOOT, Position(0)).unwrap();
    for n in 0..ENTRIES {
        let text = format!("{n:02}");
        log.append(text.as_bytes(), batch(0)).await.unwrap();
    }
    close(&log, reader).await;
    place.segments().segment(Position(0))
}

/// Reads everything, and returns how many entries that were; each is where it says.
fn read(place: &Place) -> (Extent, u64) {
    let mut count = 0;
    let extent = place.segments().read(Position(0), |stored| {
        assert_eq!(stored.batch, format!("{:02}", stored.position.0).as_bytes());
        count += 1;
        ControlFlow::Continue(())
    });
    (extent.unwrap(), count)
}
