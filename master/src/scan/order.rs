//! Is a listing in order? Keys must rise strictly, page after page.

use proto::ObjectKey;
use proto::manifest::Entry;

/// The check of one listing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order {
    last: Option<ObjectKey>,
    duplicates: u64,
}

/// A key that came after a larger one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} came after {before}")]
pub(crate) struct OutOfOrder {
    before: ObjectKey,
    key: ObjectKey,
}

// === impl Order ===

impl Order {
    /// Of a listing that was asked for what is after `last`.
    pub(crate) fn after(last: Option<ObjectKey>) -> Self {
        Order { last, duplicates: 0 }
    }

    /// Lets a page through if it rises; keys that are the same as the one before are dropped and counted.
    /// The very key that was asked to start after is dropped as well: some services repeat it.
    pub(crate) fn admit(&mut self, entries: &mut Vec<Entry>) -> Result<(), OutOfOrder> {
        let mut before = self.last.as_ref();
        let mut doubles = 0;
        for Entry { key, .. } in &*entries {
            match before {
                Some(before) if key < before => {
                    return Err(OutOfOrder { before: before.clone(), key: key.clone() });
                }
                Some(before) if key == before => doubles += 1,
                _ => {}
            }
            before = Some(key);
        }
        if doubles > 0 {
            self.duplicates += doubles;
            let last = self.last.take();
            entries.retain(|entry| Some(&entry.key) != last.as_ref());
            entries.dedup_by(|a, b| a.key == b.key);
            self.last = last;
        }
        if let Some(entry) = entries.last() {
            self.last = Some(entry.key.clone());
        }
        Ok(())
    }

    /// Dropped so far.
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str]) -> Vec<Entry> {
        keys.iter().map(|key| Entry { key: ObjectKey::from(*key), ..Entry::default() }).collect()
    }

    #[test]
    fn rising_keys_pass_and_repeated_ones_are_dropped() {
        let mut order = Order::after(Some(ObjectKey::from("a")));
        let mut entries = page(&["a", "b", "b", "c"]);
        order.admit(&mut entries).unwrap();
        assert_eq!(entries, page(&["b", "c"]));
        let mut entries = page(&["c", "d"]);
        order.admit(&mut entries).unwrap();
        assert_eq!(entries, page(&["d"]));
        assert_eq!(order.duplicates(), 3);
    }

    #[test]
    fn a_key_that_goes_back_is_out_of_order_inside_a_page_and_between_pages() {
        let mut order = Order::after(Some(ObjectKey::from("m")));
        assert!(order.clone().admit(&mut page(&["a"])).is_err());
        order.admit(&mut page(&["n", "x"])).unwrap();
        assert_eq!(
            order.clone().admit(&mut page(&["y", "z", "y"])).unwrap_err().to_string(),
            "y came after z"
        );
        assert!(order.admit(&mut page(&["o"])).is_err());
    }
}
