//! What the audit finds in joins, answers, connections and incidents.

mod answers;
mod connections;
mod incidents;
mod joins;
