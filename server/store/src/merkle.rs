//! The Merkle tree of RFC 6962 (section 2.1) over stored full subtrees. Pure but for the node source it is given.

use sha2::{Digest, Sha256};

/// One hash.
pub type Hash = [u8; 32];

/// Hash of a leaf: SHA-256 over 0x00 and the bytes.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(bytes);
    hash.finalize().into()
}

/// Hash of an inner node: SHA-256 over 0x01 and both children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// Root of the empty tree.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// A tree that grows at its right end, held as the roots of its full subtrees.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    /// Full subtrees from left to right, each with its level; levels fall strictly.
    peaks: Vec<(u32, Hash)>,
    size: u64,
}

impl Frontier {
    /// A tree of `size` leaves from the hashes of its full subtrees, left to right; nothing when their number is not
    /// the number of ones in `size`.
    pub fn from_peaks(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        let levels = peak_levels(size);
        (levels.len() == hashes.len()).then(|| Self {
            peaks: levels.into_iter().zip(hashes).collect(),
            size,
        })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    ///
    /// # Returns
    /// Every node that became complete: (level, index, hash), the leaf itself first.
    pub fn push(&mut self, leaf: Hash) -> Vec<(u32, u64, Hash)> {
        let mut complete = vec![(0, self.size, leaf)];
        let (mut level, mut index, mut hash) = (0, self.size, leaf);
        while let Some((_, left)) = self.peaks.pop_if(|(peak, _)| *peak == level) {
            hash = node_hash(&left, &hash);
            level += 1;
            index /= 2;
            complete.push((level, index, hash));
        }
        self.peaks.push((level, hash));
        self.size += 1;
        complete
    }

    /// The root of the tree as it stands.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = peaks.next() else {
            return empty_root();
        };
        peaks.fold(last, |right, left| node_hash(&left, &right))
    }
}

/// Levels of the full subtrees of a tree, left to right.
pub fn peak_levels(size: u64) -> Vec<u32> {
    (0..u64::BITS)
        .rev()
        .filter(|level| size >> level & 1 == 1)
        .collect()
}

/// Places (level, index) of the full subtrees of a tree, left to right.
pub fn peak_places(size: u64) -> Vec<(u32, u64)> {
    let mut start = 0_u64;
    let mut places = Vec::new();
    for level in peak_levels(size) {
        places.push((level, start >> level));
        start += 1 << level;
    }
    places
}

/// The inclusion proof of leaf `index` in the tree of `size` leaves, from its sibling upwards (RFC 6962, 2.1.1).
/// `node` answers the hash of a full subtree by level and index.
///
/// # Errors
/// Those of `node`. An `index` outside the tree gives an empty proof.
pub fn inclusion<E>(
    index: u64,
    size: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    if index >= size {
        return Ok(Vec::new());
    }
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while high - low > 1 {
        let split = low + largest_power_below(high - low);
        if index < split {
            path.push(range_root(split, high, node)?);
            high = split;
        } else {
            path.push(range_root(low, split, node)?);
            low = split;
        }
    }
    path.reverse();
    Ok(path)
}

/// The root that a leaf and its proof lead to; nothing when the proof has the wrong length.
pub fn root_of_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Root over the leaves `low..high`, where `low` starts a subtree at least as large.
fn range_root<E>(
    low: u64,
    high: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let count = high - low;
    if count.is_power_of_two() {
        let level = count.trailing_zeros();
        return node(level, low >> level);
    }
    let split = low + largest_power_below(count);
    let left = range_root(low, split, node)?;
    let right = range_root(split, high, node)?;
    Ok(node_hash(&left, &right))
}

fn largest_power_below(count: u64) -> u64 {
    count.div_ceil(2).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// The definition of RFC 6962, written as it reads there.
    fn oracle(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            many => {
                let mut k = 1;
                while k * 2 < many.len() {
                    k *= 2;
                }
                node_hash(&oracle(&many[..k]), &oracle(&many[k..]))
            }
        }
    }

    #[test]
    fn published_roots_of_the_transparency_project_hold() {
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut tree = Frontier::default();
        for input in inputs {
            tree.push(leaf_hash(input));
        }
        assert_eq!(
            hex::encode(empty_root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            hex::encode(tree.root()),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_leaf_of_any_tree_is_proved(size in 1_u64..200) {
            let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
            let mut tree = Frontier::default();
            let mut nodes = HashMap::new();
            for leaf in &leaves {
                for (level, index, hash) in tree.push(*leaf) {
                    nodes.insert((level, index), hash);
                }
            }
            prop_assert_eq!(tree.root(), oracle(&leaves));
            let peaks = peak_places(size).into_iter().map(|place| nodes[&place]).collect();
            prop_assert_eq!(Frontier::from_peaks(size, peaks).unwrap().root(), tree.root());
            for index in 0..size {
                let mut node = |level, index| Ok::<_, ()>(nodes[&(level, index)]);
                let proof = inclusion(index, size, &mut node).unwrap();
                let leaf = leaves[usize::try_from(index).unwrap()];
                prop_assert_eq!(root_of_inclusion(leaf, index, size, &proof), Some(tree.root()));
                let other = (index + 1) % size;
                if other != index {
                    prop_assert_ne!(root_of_inclusion(leaf, other, size, &proof), Some(tree.root()));
                }
            }
        }
    }
}
