//! Mutations of valid files: bits, ranges, splices, numbers at their extremes, JSON values, nesting.

use std::ops::Range;

/// A stream of random numbers, determined by its seed (splitmix64).
pub struct MutationRng(pub u64);

impl MutationRng {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, or 0 if `n` is 0.
    fn below(&mut self, n: usize) -> usize {
        (self.bits() % n.max(1) as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }

    /// A range within `len`, usually short.
    fn range(&mut self, len: usize) -> Range<usize> {
        let start = self.below(len);
        let longest = [4, 64, 4096][self.below(3)];
        start..len.min(start + 1 + self.below(longest))
    }
}

/// Numbers as text, at and beyond the edges of what parsers expect.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775808",
    "18446744073709551615",
    "99999999999999999999",
    "1e999",
    "-0.0",
    "0.5",
];

/// JSON values of every type.
const VALUES: [&str; 12] = [
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "[[]]",
    "[0,0]",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "-1",
    "1e308",
    "18446744073709551616",
];

/// Extreme eight-byte words, little-endian.
const WORDS: [u64; 8] = [0, 1, 0x7f, 0xff, 0xffff, u32::MAX as u64, i64::MAX as u64, u64::MAX];

/// One of the valid files after a few edits, with its checksums repaired three times in four.
pub fn mutate(random: &mut MutationRng, seeds: &[Vec<u8>], repair: fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..1 + random.below(4) {
        edit(random, &mut bytes, seeds);
    }
    if random.below(4) > 0 {
        repair(&mut bytes);
    }
    bytes
}

fn edit(random: &mut MutationRng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let len = bytes.len();
    match random.below(10) {
        0 if len > 0 => bytes[random.below(len)] ^= 1 << random.below(8),
        1 if len > 0 => bytes[random.below(len)] = random.bits() as u8,
        2 => drop(bytes.drain(random.range(len))),
        3 => {
            let range = random.range(len);
            let times = [1, 2, 1000][random.below(3)];
            let part = bytes[range.clone()].repeat(if range.len() < 64 { times } else { 1 });
            insert(bytes, range.end, &part);
        }
        4 => {
            let other = &seeds[random.below(seeds.len())];
            let part = other[random.range(other.len())].to_vec();
            let at = random.below(len + 1);
            insert(bytes, at, &part);
        }
        5 => bytes.truncate(random.below(len)),
        6 => replace_number(random, bytes),
        7 => {
            let word = WORDS[random.below(WORDS.len())].to_le_bytes();
            let (start, width) = (random.below(len) & !3, [2, 4, 8][random.below(3)]);
            let end = len.min(start + width);
            let start = start.min(end);
            bytes[start..end].copy_from_slice(&word[..end - start]);
        }
        8 => {
            let nested =
                random.pick(&["[", "{\"a\":", "[{\"b\":"]).repeat(1 + random.below(20_000));
            let at = random.below(len + 1);
            insert(bytes, at, nested.as_bytes());
        }
        _ => replace_value(random, bytes),
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    bytes.splice(at..at, part.iter().copied());
}

/// Replaces the digits after a random position by an extreme number.
fn replace_number(random: &mut MutationRng, bytes: &mut Vec<u8>) {
    let from = random.below(bytes.len());
    let Some(skipped) = bytes[from..].iter().position(u8::is_ascii_digit) else { return };
    let start = from + skipped;
    let n_digits = bytes[start..].iter().take_while(|b| b.is_ascii_digit()).count();
    bytes.splice(start..start + n_digits, random.pick(&NUMBERS).bytes());
}

/// Replaces the value after the colon or comma that follows a random position by another JSON value.
fn replace_value(random: &mut MutationRng, bytes: &mut Vec<u8>) {
    let from = random.below(bytes.len());
    let is_before = |b: &u8| matches!(b, b':' | b',' | b'[');
    let Some(skipped) = bytes[from..].iter().position(is_before) else { return };
    let start = from + skipped + 1;
    let is_after = |b: &u8| matches!(b, b',' | b'}' | b']' | b'\n');
    let n_bytes = bytes[start..].iter().position(is_after).unwrap_or(0);
    bytes.splice(start..start + n_bytes, random.pick(&VALUES).bytes());
}
