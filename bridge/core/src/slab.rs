//! Values that stay where they are, named by small numbers.
//!
//! Chunks of a fixed size: growing moves nothing, so no fact waits for a large copy, and the memory is what the
//! values take. Numbers are reused; whoever stores one must drop it before its value is removed.

/// The number of a value.
pub(crate) type Slot = u32;

/// Values in one chunk.
const CHUNK: usize = 1024;

/// Values by number.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<Slot>,
    len: usize,
}

// === impl Slab ===

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Slab<T> {
    /// Keeps a value; returns its number.
    pub(crate) fn insert(&mut self, value: T) -> Slot {
        self.len += 1;
        if let Some(slot) = self.free.pop() {
            if let Some(place) = self.place(slot) {
                *place = Some(value);
            }
            return slot;
        }
        let room = self.chunks.last_mut().filter(|last| last.len() < CHUNK);
        match room {
            Some(chunk) => chunk.push(Some(value)),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(Some(value));
                self.chunks.push(chunk);
            }
        }
        // Every number is in use: the last one is one less than there are values.
        (self.len - 1) as Slot
    }

    /// Returns a value.
    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        let (chunk, place) = split(slot);
        self.chunks.get(chunk)?.get(place)?.as_ref()
    }

    /// Returns a value to change.
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        self.place(slot)?.as_mut()
    }

    /// Removes a value; its number may be given to another.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<T> {
        // Moved once, from its place to where the caller wants it.
        let value = self.place(slot)?.take();
        if value.is_some() {
            self.free.push(slot);
            self.len -= 1;
        }
        value
    }

    /// Returns all values, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        let all = (0..).zip(self.chunks.iter().flatten());
        all.filter_map(|(slot, place)| Some((slot, place.as_ref()?)))
    }

    /// Returns how many there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    fn place(&mut self, slot: Slot) -> Option<&mut Option<T>> {
        let (chunk, place) = split(slot);
        self.chunks.get_mut(chunk)?.get_mut(place)
    }
}

const fn split(slot: Slot) -> (usize, usize) {
    let slot = slot as usize;
    (slot / CHUNK, slot % CHUNK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_its_value_until_that_is_gone() {
        let mut slab = Slab::default();
        let n = 3 * CHUNK as u32 + 1;
        let slots: Vec<_> = (0..n).map(|value| slab.insert(value)).collect();
        assert_eq!(slots, (0..n).collect::<Vec<_>>());
        assert_eq!(slab.get(2 * CHUNK as u32), Some(&(2 * CHUNK as u32)));
        assert_eq!(slab.remove(5), Some(5));
        assert!(slab.get(5).is_none() && slab.remove(5).is_none());
        assert_eq!(slab.len(), n as usize - 1);
        assert_eq!(slab.insert(77), 5);
        assert_eq!(slab.insert(78), n);
        assert_eq!(slab.iter().count(), n as usize + 1);
    }
}
