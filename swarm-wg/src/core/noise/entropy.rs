//! Secret randomness from one seed: a ratchet that cannot be turned back, so that what is in
//! memory today tells nothing of the keys of yesterday.

use super::primitives::{Secret, kdf2};
use zeroize::Zeroizing;

/// Secret randomness, from a seed that the caller draws.
pub(crate) struct Entropy(Secret);

impl Entropy {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(Zeroizing::new(seed))
    }

    /// Draws 32 bytes.
    pub(crate) fn draw(&mut self) -> Secret {
        let (next, drawn) = kdf2(&self.0, b"swarm-wg entropy");
        self.0 = next;
        drawn
    }

    /// Draws a number.
    pub(crate) fn draw_u32(&mut self) -> u32 {
        let drawn = self.draw();
        u32::from_le_bytes([drawn[0], drawn[1], drawn[2], drawn[3]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_differs_and_follows_from_the_seed() {
        let (mut a, mut b) = (Entropy::new([1; 32]), Entropy::new([1; 32]));
        let first = a.draw();
        assert_eq!(*first, *b.draw());
        assert_ne!(*first, *a.draw());
        assert_ne!(*first, *Entropy::new([2; 32]).draw());
    }
}
