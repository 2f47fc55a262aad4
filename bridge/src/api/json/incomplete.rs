//! What an answer leaves out, as JSON.

use serde::Serialize;
use utoipa::ToSchema;

use super::time;
use crate::store::Hole;

/// Settled records that answers leave out until they are rebuilt from the log.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Incomplete {
    /// How many, of both kinds.
    records: u64,
    /// When the first of them began; `null` if that is not known.
    #[schema(format = DateTime)]
    from: Option<String>,
    /// When the last of them began; `null` if that is not known.
    #[schema(format = DateTime)]
    to: Option<String>,
    /// `memory_full`: more settled than memory holds before it was stored. `rebuilding`: a restart or a
    /// lost file left them to be rebuilt.
    why: &'static str,
}

impl From<Hole> for Incomplete {
    fn from(Hole { records, span }: Hole) -> Self {
        Self {
            records,
            from: span.map(|(from, _)| time(from)),
            to: span.map(|(_, to)| time(to)),
            why: if span.is_some() {
                "memory_full"
            } else {
                "rebuilding"
            },
        }
    }
}
