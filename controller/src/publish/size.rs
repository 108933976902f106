//! How much objects say, and when that is too much.
//!
//! Everything is published in slices of a bounded size, except for a policy alone that has thousands of entries. An object that is
//! larger all the same takes an API server long to write and every node of it long to read, and etcd takes none above 1.5 MB:
//! so it is counted and told of while it can still be written.

use serde::Serialize;

/// An object that says more bytes than this is large. Slices are a third of it at the most, and it is a fifteenth of what
/// etcd takes.
pub(super) const LARGE: usize = 100_000;

/// Bytes of the JSON of what an object says.
pub(super) fn bytes(said: &impl Serialize) -> usize {
    let mut count = Count(0);
    // Neither a map with keys that are no strings nor a failing writer exists here; what was written so far was counted.
    match serde_json::to_writer(&mut count, said) {
        Ok(()) | Err(_) => count.0,
    }
}

/// Counts what is written.
struct Count(usize);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_json() {
        let said = serde_json::json!({ "a": ["b", 1, null], "c": { "d": "é" } });
        assert_eq!(bytes(&said), serde_json::to_vec(&said).unwrap().len());
    }
}
