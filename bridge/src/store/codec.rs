//! Records as bytes: compact, without names, in one version at a time.
//!
//! What is written here is derived from the log and can be derived again. So there is no migration: another layout
//! has another [`crate::store::FORMAT`], and what was written before is rebuilt.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use prost::encoding::{decode_varint, encode_varint};
use smallvec::{Array, SmallVec};

/// What can be written, and read again to an equal value.
pub(crate) trait Code: Sized {
    /// Appends the value.
    fn put(&self, to: &mut Vec<u8>);

    /// Takes the value off the front; `None` if the bytes are no such value.
    fn take(from: &mut &[u8]) -> Option<Self>;
}

/// Returns a value as bytes.
pub(crate) fn encode(value: &impl Code) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    value.put(&mut bytes);
    bytes
}

/// Reads a value that fills `bytes`; `None` if they are anything else.
pub(crate) fn decode<T: Code>(mut bytes: &[u8]) -> Option<T> {
    let value = T::take(&mut bytes)?;
    bytes.is_empty().then_some(value)
}

/// Writes structures field by field; a field that is not listed does not compile.
macro_rules! fields {
    ($($type:path { $($field:ident),* $(,)? })*) => {$(
        impl Code for $type {
            fn put(&self, to: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.put(to);)*
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: Code::take(from)?),* })
            }
        }
    )*};
}

/// Writes enumerations without values by the place of the variant in the list.
macro_rules! variants {
    ($($type:path { $($variant:ident),* $(,)? })*) => {$(
        impl Code for $type {
            fn put(&self, to: &mut Vec<u8>) {
                const LISTED: &[$type] = &[$(<$type>::$variant),*];
                // Does not compile without every variant.
                match self { $(Self::$variant)|* => {} }
                let place = LISTED.iter().position(|listed| listed == self);
                place.unwrap_or(LISTED.len()).put(to);
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                const LISTED: &[$type] = &[$(<$type>::$variant),*];
                LISTED.get(usize::take(from)?).copied()
            }
        }
    )*};
}

/// Writes types around one value.
macro_rules! wrappers {
    ($($type:path)*) => {$(
        impl Code for $type {
            fn put(&self, to: &mut Vec<u8>) {
                self.0.put(to);
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                Code::take(from).map($type)
            }
        }
    )*};
}

pub(crate) use {fields, variants, wrappers};

impl Code for u64 {
    #[inline]
    fn put(&self, to: &mut Vec<u8>) {
        // Most are lengths, places in lists, and small counts.
        match u8::try_from(*self) {
            Ok(byte @ ..0x80) => to.push(byte),
            Ok(_) | Err(_) => encode_varint(*self, to),
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        decode_varint(from).ok()
    }
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Code for $type {
            #[inline]
            fn put(&self, to: &mut Vec<u8>) {
                (*self as u64).put(to);
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                u64::take(from)?.try_into().ok()
            }
        }
    )*};
}

integers!(u8 u16 u32 usize);

impl Code for bool {
    #[inline]
    fn put(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        match from.split_off_first()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<const N: usize> Code for [u8; N] {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        from.split_off(..N)?.try_into().ok()
    }
}

impl Code for Box<str> {
    fn put(&self, to: &mut Vec<u8>) {
        self.len().put(to);
        to.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let length = usize::take(from)?;
        let text = from.split_off(..length)?;
        str::from_utf8(text).ok().map(Self::from)
    }
}

impl Code for Arc<str> {
    fn put(&self, to: &mut Vec<u8>) {
        self.len().put(to);
        to.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Box::<str>::take(from).map(Self::from)
    }
}

impl<T: Code> Code for Option<T> {
    #[inline]
    fn put(&self, to: &mut Vec<u8>) {
        self.is_some().put(to);
        if let Some(value) = self {
            value.put(to);
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(from)? {
            Some(T::take(from)?)
        } else {
            None
        })
    }
}

impl<T: Code> Code for Vec<T> {
    fn put(&self, to: &mut Vec<u8>) {
        self.len().put(to);
        self.iter().for_each(|value| value.put(to));
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let length = usize::take(from)?;
        // Each value takes a byte at least, so that no length asks for more than there can be.
        let mut values = Self::with_capacity(length.min(from.len()));
        for _ in 0..length {
            values.push(T::take(from)?);
        }
        Some(values)
    }
}

impl<A: Array<Item: Code>> Code for SmallVec<A> {
    fn put(&self, to: &mut Vec<u8>) {
        self.len().put(to);
        self.iter().for_each(|value| value.put(to));
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let length = usize::take(from)?;
        (0..length).map(|_| Code::take(from)).collect()
    }
}

impl<T: Code> Code for Arc<T> {
    fn put(&self, to: &mut Vec<u8>) {
        T::put(self, to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        T::take(from).map(Self::new)
    }
}

impl<A: Code, B: Code> Code for (A, B) {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
        self.1.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some((A::take(from)?, B::take(from)?))
    }
}

impl<A: Code, B: Code, C: Code> Code for (A, B, C) {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
        self.1.put(to);
        self.2.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some((A::take(from)?, B::take(from)?, C::take(from)?))
    }
}

impl<K: Code + Ord, V: Code> Code for BTreeMap<K, V> {
    fn put(&self, to: &mut Vec<u8>) {
        self.len().put(to);
        for (key, value) in self {
            key.put(to);
            value.put(to);
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let pairs: Vec<(K, V)> = Code::take(from)?;
        Some(pairs.into_iter().collect())
    }
}

impl Code for IpAddr {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::V4(address) => {
                false.put(to);
                address.octets().put(to);
            }
            Self::V6(address) => {
                true.put(to);
                address.octets().put(to);
            }
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(from)? {
            Ipv6Addr::from(<[u8; 16]>::take(from)?).into()
        } else {
            Ipv4Addr::from(<[u8; 4]>::take(from)?).into()
        })
    }
}

/// A word of the program's own, such as the name of a contradiction.
impl Code for &'static str {
    fn put(&self, to: &mut Vec<u8>) {
        self.len().put(to);
        to.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let length = usize::take(from)?;
        let word = str::from_utf8(from.split_off(..length)?).ok()?;
        known_word(word)
    }
}

/// Words that can be read; more are damage.
const WORDS_MAX: usize = 1_024;

/// Returns the word as one that lives as long as the program; each is kept once.
fn known_word(word: &str) -> Option<&'static str> {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(word) {
        return Some(known);
    }
    if known.len() >= WORDS_MAX || word.len() > 64 {
        return None;
    }
    let kept: &'static str = Box::leak(Box::from(word));
    known.insert(kept);
    Some(kept)
}
