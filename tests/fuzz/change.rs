//! Changes to true bytes for the bounded runs of every build: the same in every run, so that a failure can be repeated.
//! cargo-fuzz, which finds its own changes, goes further.

/// xorshift: the same numbers in every run.
pub struct Dice(u64);

impl Dice {
    /// Other numbers for each parser.
    pub fn of(number: usize) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1))
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % sides.max(1)
    }
}

/// A few changes of the kinds that break parsers: bits, extreme numbers, cuts, copies of other places.
pub fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.roll(6) {
        if bytes.is_empty() {
            return;
        }
        let at = dice.roll(bytes.len());
        let end = (at + 1 + dice.roll(8)).min(bytes.len());
        match dice.roll(6) {
            0 => bytes[at] ^= 1 << dice.roll(8),
            1 => bytes[at..end].fill([0, 0xff, 0x7f, 0x80][dice.roll(4)]),
            2 => bytes.truncate(at),
            3 => {
                let from = dice.roll(bytes.len() - (end - at) + 1);
                bytes.copy_within(from..from + (end - at), at);
            }
            4 => drop(bytes.drain(at..end)),
            _ => bytes[at] = u8::try_from(dice.roll(256)).unwrap(),
        }
    }
}
