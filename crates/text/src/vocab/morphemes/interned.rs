//! Interned values, numbered in the order of first use.

use rustc_hash::FxHashMap;
use std::borrow::Borrow;
use std::hash::Hash;

/// A list of distinct values with the index of each.
#[derive(Clone, Debug)]
pub(super) struct Interned<T> {
    values: Vec<T>,
    ids: FxHashMap<T, u32>,
}

impl<T> Default for Interned<T> {
    fn default() -> Interned<T> {
        Interned { values: Vec::new(), ids: FxHashMap::default() }
    }
}

impl<T: Clone + Eq + Hash> Interned<T> {
    /// The number of `value`, which is added if it is new.
    pub(super) fn id(&mut self, value: T) -> u32 {
        if let Some(&id) = self.ids.get(&value) {
            return id;
        }
        let id = self.values.len() as u32;
        self.values.push(value.clone());
        self.ids.insert(value, id);
        id
    }

    /// The number of `value`, if known.
    pub(super) fn find<Q: Eq + Hash + ?Sized>(&self, value: &Q) -> Option<u32>
    where
        T: Borrow<Q>,
    {
        self.ids.get(value).copied()
    }

    /// The value numbered `id`.
    pub(super) fn get(&self, id: u32) -> &T {
        &self.values[id as usize]
    }

    /// All values by number.
    pub(super) fn values(&self) -> &[T] {
        &self.values
    }

    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

impl<T: Clone + Eq + Hash> FromIterator<T> for Interned<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Interned<T> {
        let mut interned = Interned::default();
        values.into_iter().for_each(|value| {
            interned.id(value);
        });
        interned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_number() {
        let mut interned: Interned<Box<str>> = ["b", "a", "b"].map(Box::from).into_iter().collect();
        assert_eq!((interned.len(), interned.id("a".into()), interned.id("c".into())), (2, 1, 2));
        assert_eq!((interned.find("c"), interned.find("d")), (Some(2), None));
        assert_eq!(&**interned.get(0), "b");
    }
}
