//! Merkle trees of RFC 6962 (<https://www.rfc-editor.org/rfc/rfc6962#section-2.1>): leaf hashes begin with byte 0, inner
//! nodes with byte 1. The same tree holds the targets of an order and the sealed event log of a coordinator. Hashes only:
//! what a leaf means is the caller's business.

use crate::digest::Digest;

/// Most hashes in a proof: enough for 2^63 leaves.
pub const MAX_PROOF: usize = 64;

/// Hash of a leaf's bytes.
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    Digest::of_parts(&[&[0], bytes])
}

/// Hash of two children.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(&[&[1], &left.0, &right.0])
}

/// Root over leaf hashes; SHA-256 of nothing for no leaves.
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(&[]),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(split(many.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// Proof that leaf `index` is in the tree, nearest sibling first. None when there is no such leaf.
pub fn proof(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    let mut rest = leaves;
    let mut at = index;
    while rest.len() > 1 {
        let k = split(rest.len());
        let (left, right) = rest.split_at(k);
        if at < k {
            path.push(root(right));
            rest = left;
        } else {
            path.push(root(left));
            rest = right;
            at -= k;
        }
    }
    path.reverse();
    Some(path)
}

/// True if the proof leads from this leaf hash at `index` of `count` leaves to `expected`.
pub fn verify(leaf: &Digest, index: u64, count: u64, proof: &[Digest], expected: &Digest) -> bool {
    // RFC 9162, section 2.1.3.2.
    if index >= count || proof.len() > MAX_PROOF {
        return false;
    }
    let (mut at, mut last) = (index, count - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *expected
}

/// Root of the first `size` entries of a log; None when the log is shorter.
pub fn log_root(leaves: &[Digest], size: usize) -> Option<Digest> {
    leaves.get(..size).map(root)
}

/// Proof that entry `index` is among the first `size` entries of a log.
pub fn inclusion_proof(leaves: &[Digest], index: usize, size: usize) -> Option<Vec<Digest>> {
    proof(leaves.get(..size)?, index)
}

/// Proof that the log of `new` entries begins with the log of `old` entries. Empty when both are equal or `old` is 0.
/// None when `old > new` or the log is shorter than `new`.
pub fn consistency_proof(leaves: &[Digest], old: usize, new: usize) -> Option<Vec<Digest>> {
    let leaves = leaves.get(..new)?;
    if old > new {
        return None;
    }
    if old == 0 || old == new {
        return Some(Vec::new());
    }
    let mut path = Vec::new();
    let mut rest = leaves;
    let mut m = old;
    // True while `rest` still begins where the old tree's complete subtree does (RFC 6962, 2.1.2, `b`).
    let mut whole = true;
    while m != rest.len() {
        let k = split(rest.len());
        let (left, right) = rest.split_at(k);
        if m <= k {
            path.push(root(right));
            rest = left;
        } else {
            path.push(root(left));
            rest = right;
            m -= k;
            whole = false;
        }
    }
    if !whole {
        path.push(root(rest));
    }
    path.reverse();
    Some(path)
}

/// True if the proof shows that the tree `new_root` of `new` entries begins with the tree `old_root` of `old` entries.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Digest,
    new_root: &Digest,
    proof: &[Digest],
) -> bool {
    // RFC 9162, section 2.1.4.2.
    if old > new || proof.len() > MAX_PROOF + 1 {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == Digest::of(&[]);
    }
    let mut hashes = proof.iter();
    let first = if old.is_power_of_two() {
        *old_root
    } else {
        match hashes.next() {
            Some(hash) => *hash,
            None => return false,
        }
    };
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut from_old, mut from_new) = (first, first);
    for sibling in hashes {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            from_old = node_hash(sibling, &from_old);
            from_new = node_hash(sibling, &from_new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            from_new = node_hash(&from_new, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && from_old == *old_root && from_new == *new_root
}

/// The largest power of two below `n`, for `n > 1`.
fn split(n: usize) -> usize {
    match n.checked_sub(1) {
        None | Some(0) => 0,
        Some(below) => 1 << below.ilog2(),
    }
}
