//! The names of one directory, sorted as an object store sorts keys, in little memory: one block of bytes and
//! eight bytes a name, so that a directory of a million entries takes some tens of megabytes.

/// Names in key order: a directory's name carries its `/`, so that plain byte order is key order.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    sorted: Vec<Name>,
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Name {
    at: u32,
    len: u16,
}

/// A directory whose names do not fit into 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyNames;

impl Names {
    /// Adds a file's name, or a directory's, without `/`.
    pub(super) fn push(&mut self, name: &[u8], is_directory: bool) -> Result<(), TooManyNames> {
        let at = u32::try_from(self.bytes.len()).map_err(|_| TooManyNames)?;
        self.bytes.extend_from_slice(name);
        if is_directory {
            self.bytes.push(b'/');
        }
        let len = u16::try_from(name.len() + usize::from(is_directory)).map_err(|_| TooManyNames)?;
        self.sorted.push(Name { at, len });
        Ok(())
    }

    /// Once, after the last `push`.
    pub(super) fn sort(&mut self) {
        let Names { bytes, sorted, .. } = self;
        sorted.sort_unstable_by(|a, b| a.of(bytes).cmp(b.of(bytes)));
        sorted.shrink_to_fit();
    }

    /// The next name in order; a directory's ends in `/`.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let name = self.sorted.get(self.next)?;
        self.next += 1;
        Some(name.of(&self.bytes))
    }
}

impl Name {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let at = self.at as usize;
        bytes.get(at..at + usize::from(self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn names_come_in_the_order_of_the_keys_behind_them(
            names in prop::collection::btree_map("[-a./0]{1,4}", any::<bool>(), 0..20)
        ) {
            let mut sorted = Names::default();
            let mut keys = Vec::new();
            for (name, is_directory) in &names {
                let name = name.replace('/', "_");
                sorted.push(name.as_bytes(), *is_directory).unwrap();
                keys.push(if *is_directory { format!("{name}/") } else { name });
            }
            sorted.sort();
            keys.sort();
            for key in keys {
                prop_assert_eq!(sorted.next(), Some(key.as_bytes()));
            }
            prop_assert_eq!(sorted.next(), None);
        }
    }
}
