//! Merkle proofs against the known roots of the Certificate Transparency test data and against the recursive
//! definitions of RFC 6962 written out naively here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use chasqui_trust::Digest;
use chasqui_trust::merkle::{
    consistency_proof, inclusion_proof, leaf_hash, log_root, proof, root, verify,
    verify_consistency,
};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

const ENTRIES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

#[test]
fn roots_are_those_of_the_known_test_data() {
    let leaves: Vec<Digest> = ENTRIES
        .iter()
        .map(|e| leaf_hash(&hex::decode(e).unwrap()))
        .collect();
    for (n, expected) in ROOTS.iter().enumerate() {
        assert_eq!(log_root(&leaves, n + 1).unwrap().to_hex(), *expected);
    }
    assert_eq!(
        root(&[]).to_hex(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
}

/// MTH of RFC 6962, section 2.1.
fn mth(d: &[[u8; 32]]) -> [u8; 32] {
    if d.len() == 1 {
        return d[0];
    }
    let mut k = 1;
    while k * 2 < d.len() {
        k *= 2;
    }
    let mut bytes = vec![1u8];
    bytes.extend(mth(&d[..k]));
    bytes.extend(mth(&d[k..]));
    Sha256::digest(bytes).into()
}

/// SUBPROOF of RFC 6962, section 2.1.2.
fn subproof(m: usize, d: &[[u8; 32]], b: bool) -> Vec<[u8; 32]> {
    if m == d.len() {
        return if b { vec![] } else { vec![mth(d)] };
    }
    let mut k = 1;
    while k * 2 < d.len() {
        k *= 2;
    }
    if m <= k {
        let mut p = subproof(m, &d[..k], b);
        p.push(mth(&d[k..]));
        p
    } else {
        let mut p = subproof(m - k, &d[k..], false);
        p.push(mth(&d[..k]));
        p
    }
}

fn leaves(count: usize) -> Vec<Digest> {
    (0..count)
        .map(|i| leaf_hash(&(i as u64).to_be_bytes()))
        .collect()
}

#[test]
fn every_consistency_proof_up_to_40_entries_is_that_of_the_rfc_and_verifies() {
    let all = leaves(40);
    let raw: Vec<[u8; 32]> = all.iter().map(|d| d.0).collect();
    for new in 1..=40usize {
        for old in 1..=new {
            let made = consistency_proof(&all, old, new).unwrap();
            let expected: Vec<Digest> = subproof(old, &raw[..new], true)
                .into_iter()
                .map(Digest)
                .collect();
            assert_eq!(made, expected, "{old} {new}");
            let (a, b) = (log_root(&all, old).unwrap(), log_root(&all, new).unwrap());
            assert!(verify_consistency(old as u64, new as u64, &a, &b, &made));
            if old < new {
                assert!(!verify_consistency(old as u64, new as u64, &b, &b, &made));
                assert!(!verify_consistency(old as u64, new as u64, &a, &a, &made));
            }
        }
    }
}

proptest! {
    #[test]
    fn a_proof_proves_its_leaf_at_its_place_and_nothing_else(
        count in 1usize..200,
        pick in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        bit in 0usize..256,
    ) {
        let all = leaves(count);
        let raw: Vec<[u8; 32]> = all.iter().map(|d| d.0).collect();
        let top = root(&all);
        prop_assert_eq!(top.0, mth(&raw));
        let i = pick.index(count);
        let path = proof(&all, i).unwrap();
        let (at, n) = (i as u64, count as u64);
        prop_assert!(verify(&all[i], at, n, &path, &top));
        let j = other.index(count);
        if j != i {
            prop_assert!(!verify(&all[j], at, n, &path, &top));
            prop_assert!(!verify(&all[i], j as u64, n, &path, &top));
        }
        prop_assert!(!verify(&all[i], n, n, &path, &top));
        let mut longer = path.clone();
        longer.push(top);
        prop_assert!(!verify(&all[i], at, n, &longer, &top));
        if !path.is_empty() {
            prop_assert!(!verify(&all[i], at, n, &path[1..], &top));
            let mut bent = path.clone();
            let k = bit % bent.len();
            bent[k].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify(&all[i], at, n, &bent, &top));
        }
        let size = i + 1;
        let path = inclusion_proof(&all, i, size).unwrap();
        prop_assert!(verify(&all[i], at, size as u64, &path, &log_root(&all, size).unwrap()));
    }

    #[test]
    fn a_consistency_proof_shows_a_changed_entry(
        new in 2usize..120,
        old in any::<prop::sample::Index>(),
        changed in any::<prop::sample::Index>(),
    ) {
        let all = leaves(new);
        let old = 1 + old.index(new - 1);
        let before = log_root(&all, old).unwrap();
        let mut forged = all.clone();
        forged[changed.index(old)] = leaf_hash(b"forged");
        let after = root(&forged);
        let path = consistency_proof(&forged, old, new).unwrap();
        prop_assert!(!verify_consistency(old as u64, new as u64, &before, &after, &path));
    }
}

#[test]
fn there_is_no_proof_beyond_the_end() {
    let all = leaves(5);
    assert_eq!(proof(&all, 5), None);
    assert_eq!(log_root(&all, 6), None);
    assert_eq!(inclusion_proof(&all, 3, 3), None);
    assert_eq!(consistency_proof(&all, 4, 3), None);
    assert_eq!(consistency_proof(&all, 0, 3), Some(vec![]));
    assert!(!verify(&all[0], 0, 0, &[], &all[0]));
    assert!(!verify_consistency(3, 2, &all[0], &all[0], &[]));
}
