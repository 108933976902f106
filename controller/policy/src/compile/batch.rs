//! Looking up many things at once.

use std::collections::BTreeMap;
use std::iter;

/// Of a map with this many times as many entries as are looked up, each is looked up by itself.
const SPARSE: usize = 8;

/// The entries of sorted keys. Where these are many the map is walked beside them: a walk compares each name once or twice, a
/// look-up in a map of 100,000 names some twenty times.
pub(super) fn each<'m, K: Ord, V>(
    map: &'m BTreeMap<K, V>,
    keys: &'m [K],
) -> impl Iterator<Item = (&'m K, Option<&'m V>)> {
    let is_dense = keys.len().saturating_mul(SPARSE) > map.len();
    let mut walk = keys
        .first()
        .filter(|_| is_dense)
        .map(|first| map.range(first..).peekable());
    let mut keys = keys.iter();
    iter::from_fn(move || {
        let key = keys.next()?;
        let Some(walk) = &mut walk else {
            return Some((key, map.get(key)));
        };
        while walk.next_if(|(known, _)| *known < key).is_some() {}
        Some((
            key,
            walk.next_if(|(known, _)| *known == key).map(|(_, value)| value),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_finds_what_look_ups_find() {
        let map: BTreeMap<u32, u32> = (0..100)
            .filter(|number| number % 3 > 0)
            .map(|number| (number, number * 2))
            .collect();
        for step in [1, 2, 7, 40] {
            let keys: Vec<u32> = (5..120).step_by(step).collect();
            let found: Vec<_> = each(&map, &keys).collect();
            let expected: Vec<_> = keys.iter().map(|key| (key, map.get(key))).collect();
            assert_eq!(found, expected, "{} keys", keys.len());
        }
    }
}
