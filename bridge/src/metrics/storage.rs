//! The state of log and database, read at each scrape.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

use crate::{log::Log, view::SharedView};

/// Reads both at each scrape.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) view: SharedView,
    pub(super) log: Arc<Log>,
}

impl Collector for Storage {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let log = self.log.health();
        let gauges = [
            (
                "log_failing",
                "Whether nothing can be appended to the log at present.",
                u64::from(log.trouble.is_some()),
            ),
            ("log_bytes", "Bytes of the log's files.", log.held_bytes),
            (
                "log_batches_missing",
                "Batches that are not in the log any more, because a file was damaged or removed.",
                log.left.missing,
            ),
            (
                "log_batches_unreadable",
                "Batches in the log that this version of the bridge cannot read.",
                log.left.unreadable,
            ),
            (
                "log_torn_bytes",
                "Bytes that were cut off the end of the log at the start, behind its last whole batch.",
                log.left.torn_bytes,
            ),
            (
                "log_rebuilding",
                "Whether what an earlier run left in the log is still being folded.",
                u64::from(!self.view.is_rebuilt()),
            ),
        ];
        let counters = [
            (
                "log_written_bytes",
                "Bytes appended to the log.",
                log.written_bytes,
            ),
            (
                "log_groups_refused",
                "Groups of batches that were refused because the disk did.",
                log.refused_groups,
            ),
            (
                "log_syncs_failed",
                "Times that the disk refused to sync what was written: a loss of power may cost it.",
                log.syncs_failed,
            ),
            (
                "log_segments_cut",
                "Segments of the log that were removed.",
                log.segments_cut,
            ),
        ];
        write(&mut encoder, &gauges, &counters)?;
        let Some(database) = self.view.database_status() else {
            return Ok(());
        };
        let hole = self.view.hole();
        let gauges = [
            (
                "database_failing",
                "Whether nothing can be stored at present.",
                u64::from(database.trouble.is_some()),
            ),
            (
                "database_rebuilding",
                "Whether records are being rebuilt from the log.",
                u64::from(hole.is_some()),
            ),
            (
                "database_records_awaited",
                "Settled records that answers leave out until they are rebuilt from the log.",
                hole.map_or(0, |hole| hole.records),
            ),
            (
                "database_bytes",
                "Bytes of the database's files.",
                database.bytes,
            ),
        ];
        let counters = [
            (
                "database_records_lost",
                "Records that are neither in memory nor in the log any more.",
                database.lost,
            ),
            (
                "database_chunks_cut",
                "Chunks given up because they were old or too many.",
                database.chunks_cut,
            ),
            (
                "database_chunks_damaged",
                "Chunks given up because they were damaged.",
                database.chunks_damaged,
            ),
        ];
        write(&mut encoder, &gauges, &counters)
    }
}

/// Writes metrics of a name, a help and a value each.
pub(super) fn write(
    encoder: &mut DescriptorEncoder<'_>,
    gauges: &[(&str, &str, u64)],
    counters: &[(&str, &str, u64)],
) -> Result<(), fmt::Error> {
    for &(name, help, value) in gauges {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
        gauge.encode(metric)?;
    }
    for &(name, help, value) in counters {
        let counter = ConstCounter::new(value);
        let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
        counter.encode(metric)?;
    }
    Ok(())
}
