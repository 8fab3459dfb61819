//! PostgreSQL's hashes of text, which applications make keys of advisory locks of; after hash_bytes and hash_bytes_extended
//! in PostgreSQL's src/common/hashfn.c (Bob Jenkins' lookup3), and exactly their values.

use super::call::dsl::*;

pub(super) const FUNCTIONS: &[Function] = &[
    f("hashtext", &[TEXT], T::Int4, |_, args| {
        let [_, _, c] = hashed(text(args[0]).as_bytes(), 0);
        Ok(Datum::Int4(c.cast_signed()))
    }),
    f("hashtextextended", &[TEXT, INT8], T::Int8, |_, args| {
        let [_, b, c] = hashed(text(args[0]).as_bytes(), int(args[1]).cast_unsigned());
        let hash = u64::from(b) << 32 | u64::from(c);
        Ok(Datum::Int8(hash.cast_signed()))
    }),
];

fn hashed(bytes: &[u8], seed: u64) -> [u32; 3] {
    // Lengths of values are below 2^32.
    let begin = 0x9e37_79b9_u32
        .wrapping_add(bytes.len() as u32)
        .wrapping_add(3_923_095);
    let mut state = [begin; 3];
    if seed != 0 {
        state[0] = state[0].wrapping_add((seed >> 32) as u32);
        state[1] = state[1].wrapping_add(seed as u32);
        mix(&mut state);
    }
    let mut parts = bytes.chunks_exact(12);
    for part in parts.by_ref() {
        add(&mut state, part.try_into().expect("a part has 12 bytes"));
        mix(&mut state);
    }
    let rest = parts.remainder();
    let mut last = [0; 12];
    // The lowest byte of the last word is the length's.
    let (low, high) = rest.split_at(rest.len().min(8));
    last[..low.len()].copy_from_slice(low);
    last[9..9 + high.len()].copy_from_slice(high);
    add(&mut state, &last);
    finish(&mut state);
    state
}

fn add(state: &mut [u32; 3], part: &[u8; 12]) {
    for (word, bytes) in state.iter_mut().zip(part.chunks_exact(4)) {
        let bytes = bytes.try_into().expect("a word has 4 bytes");
        *word = word.wrapping_add(u32::from_le_bytes(bytes));
    }
}

fn mix([a, b, c]: &mut [u32; 3]) {
    let step = |x: &mut u32, y: &mut u32, z: &u32, bits: u32| {
        // x -= y; x ^= rot(y, bits); y += z
        *x = x.wrapping_sub(*y) ^ y.rotate_left(bits);
        *y = y.wrapping_add(*z);
    };
    step(a, c, b, 4);
    step(b, a, c, 6);
    step(c, b, a, 8);
    step(a, c, b, 16);
    step(b, a, c, 19);
    step(c, b, a, 4);
}

fn finish([a, b, c]: &mut [u32; 3]) {
    let step = |x: &mut u32, y: &u32, bits: u32| {
        *x = (*x ^ *y).wrapping_sub(y.rotate_left(bits));
    };
    step(c, b, 14);
    step(a, c, 11);
    step(b, a, 25);
    step(c, b, 16);
    step(a, c, 4);
    step(b, a, 14);
    step(c, b, 24);
}
