//! Looks a record up by its id; only if it is not settled does that wait for the fold.

use std::sync::Arc;

use super::{SharedView, page::Kind};
use crate::store::{Hole, ReadError, names::Key};

/// Returns the record, wherever it is.
pub(super) fn by_id<R: Kind>(view: &SharedView, id: R::Id) -> Result<Option<Arc<R>>, ReadError> {
    // What was stored long ago needs neither the fold's lock nor the memory's.
    if !view.0.present.may_have(Key::of_id::<R>(&id))
        && let Some(database) = view.database()
        && let Some(found) = database.get(id)?
    {
        return Ok(Some(found));
    }
    if let (Some(found), _) = settled(view, id)? {
        return Ok(Some(found));
    }
    if let Some(found) = R::live_one(view, id) {
        return Ok(Some(Arc::new(found)));
    }
    // It may have settled meanwhile.
    match settled(view, id)? {
        (None, Some(hole)) => Err(ReadError::Hole(hole)),
        (found, _) => Ok(found),
    }
}

/// Returns the record if it has settled, and where else it may be.
fn settled<R: Kind>(
    view: &SharedView,
    id: R::Id,
) -> Result<(Option<Arc<R>>, Option<Hole>), ReadError> {
    let (recent, seam) = {
        let recent = view.recent();
        (R::recent(&recent).get(id).cloned(), recent.seam())
    };
    match view.database() {
        Some(database) if recent.is_none() => {
            // First: all that is stored by now is looked at.
            let hole = seam.hole(database.stored());
            Ok((database.get(id)?, hole))
        }
        Some(_) | None => Ok((recent, None)),
    }
}
