//! Poly1305 (RFC 8439) over a message and its length: eight blocks of the message at a time,
//! with the 52-bit multiplication of AVX-512.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_and_si512, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64,
    _mm512_mask_set1_epi64, _mm512_maskz_permutexvar_epi64, _mm512_or_si512,
    _mm512_permutex2var_epi64, _mm512_permutexvar_epi64, _mm512_reduce_add_epi64,
    _mm512_set1_epi64, _mm512_setr_epi64, _mm512_setzero_si512, _mm512_slli_epi64,
    _mm512_srli_epi64, _mm512_sub_epi64,
};

use bytemuck::must_cast;

use super::TAG_LEN;
use super::chacha20::BLOCK as STREAM_BLOCK;

/// Length of a block, in bytes.
const BLOCK: usize = 16;
/// The bit that is added after a whole block, as the third limb has it.
const AFTER: u64 = 1 << (128 - 88);
/// From this length on, eight blocks at a time are worth the powers that they need.
const WIDE: usize = 320;

const LOW_44: u64 = (1 << 44) - 1;
const LOW_42: u64 = (1 << 42) - 1;

/// The tag of a message, whose key is the first half of a block of keystream.
#[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
pub(super) fn tag(key: &[u8; STREAM_BLOCK], message: &[u8]) -> [u8; TAG_LEN] {
    const CLAMP: u128 = 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
    let [r, s, ..]: [u128; 4] = must_cast(*key);
    let r = Number::new(u128::from_le(r) & CLAMP, 0);
    let (blocks, rest) = message.as_chunks::<BLOCK>();
    let mut sum = match blocks.first_chunk::<8>() {
        Some(first) if message.len() >= WIDE => sum_eight_at_a_time(first, blocks, r),
        _ => blocks.iter().fold(Number([0; 3]), |sum, block| {
            sum.plus(u128::from_le_bytes(*block)).times(r)
        }),
    };
    if !rest.is_empty() {
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        sum = sum.plus(u128::from_le_bytes(block)).times(r);
    }
    // the lengths of the additional data and of the message, 64 bits each
    sum = sum.plus((message.len() as u128) << 64).times(r);
    sum.reduced().wrapping_add(u128::from_le(s)).to_le_bytes()
}

/// A number modulo 2^130 - 5, in limbs of 44, 44 and 42 bits, each of which may be a little
/// over.
#[derive(Clone, Copy)]
struct Number([u64; 3]);

impl Number {
    /// The lower 128 bits, and what is above them.
    #[expect(clippy::cast_possible_truncation, reason = "into limbs")]
    fn new(bits: u128, above: u64) -> Self {
        Self([
            bits as u64 & LOW_44,
            (bits >> 44) as u64 & LOW_44,
            (bits >> 88) as u64 | above,
        ])
    }

    fn plus(self, block: u128) -> Self {
        let ([a, b, c], [x, y, z]) = (self.0, Self::new(block, AFTER).0);
        Self([a + x, b + y, c + z])
    }

    #[expect(clippy::cast_possible_truncation, reason = "into limbs")]
    fn times(self, by: Self) -> Self {
        let [a0, a1, a2] = self.0.map(u128::from);
        let [b0, b1, b2] = by.0.map(u128::from);
        // 2^132, where the limbs end, is 4 times 2^130, and so 4 times 5
        let (c1, c2) = (b1 * 20, b2 * 20);
        let d0 = a0 * b0 + a1 * c2 + a2 * c1;
        let d1 = a0 * b1 + a1 * b0 + a2 * c2 + (d0 >> 44);
        let d2 = a0 * b2 + a1 * b1 + a2 * b0 + (d1 >> 44);
        let h0 = (d0 as u64 & LOW_44) + (d2 >> 42) as u64 * 5;
        let h1 = (d1 as u64 & LOW_44) + (h0 >> 44);
        Self([h0 & LOW_44, h1, d2 as u64 & LOW_42])
    }

    /// Its only name below 2^130 - 5, of that the lower 128 bits; of a product, whose first limb
    /// and third are not over and whose second is by one bit at most.
    fn reduced(self) -> u128 {
        let [h0, h1, h2] = self.0;
        let h2 = h2 + (h1 >> 44);
        let h0 = h0 + (h2 >> 42) * 5;
        let (h1, h2) = ((h1 & LOW_44) + (h0 >> 44), h2 & LOW_42);
        let h0 = h0 & LOW_44;
        // less 2^130 - 5 when that is no less than zero: then g, which is 5 more, has bit 130
        let g0 = h0 + 5;
        let g1 = h1 + (g0 >> 44);
        let g2 = h2 + (g1 >> 44);
        let take = 0u64.wrapping_sub(g2 >> 42);
        let pick = |h: u64, g: u64| u128::from((h & !take) | (g & take));
        pick(h0, g0 & LOW_44)
            .wrapping_add(pick(h1, g1 & LOW_44) << 44)
            .wrapping_add(pick(h2, g2 & LOW_42) << 88)
    }
}

/// Eight numbers, a lane each.
#[derive(Clone, Copy)]
struct Eight([__m512i; 3]);

/// What eight numbers are multiplied by: the limbs, and twenty times the second and the third.
#[derive(Clone, Copy)]
struct Factor([__m512i; 3], [__m512i; 2]);

/// Eight products or sums of them, whose limbs were not carried yet: their lower 52 bits, and
/// those above.
#[derive(Clone, Copy)]
struct Product([__m512i; 3], [__m512i; 3]);

impl Factor {
    #[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
    #[inline]
    fn new(limbs: [__m512i; 3]) -> Self {
        let twenty = |v| _mm512_add_epi64(_mm512_slli_epi64::<4>(v), _mm512_slli_epi64::<2>(v));
        Self(limbs, [twenty(limbs[1]), twenty(limbs[2])])
    }
}

impl Product {
    #[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
    #[inline]
    fn zero() -> Self {
        Self([_mm512_setzero_si512(); 3], [_mm512_setzero_si512(); 3])
    }

    #[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
    #[inline]
    fn plus(self, numbers: Eight, by: &Factor) -> Self {
        let Eight([a0, a1, a2]) = numbers;
        let Factor([b0, b1, b2], [c1, c2]) = *by;
        let terms = [
            [(a2, c1), (a1, c2), (a0, b0)],
            [(a2, c2), (a0, b1), (a1, b0)],
            [(a0, b2), (a1, b1), (a2, b0)],
        ];
        let Self(mut low, mut high) = self;
        for (limb, terms) in terms.into_iter().enumerate() {
            for (a, b) in terms {
                low[limb] = _mm512_madd52lo_epu64(low[limb], a, b);
                high[limb] = _mm512_madd52hi_epu64(high[limb], a, b);
            }
        }
        Self(low, high)
    }

    /// The numbers. What is above a limb's 52 bits is above its 44 by 8, or above its 42 by 10.
    #[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
    #[inline]
    fn carried(self) -> Eight {
        let Self([l0, l1, l2], [u0, u1, u2]) = self;
        let add = |a, b| _mm512_add_epi64(a, b);
        let low_44 = _mm512_set1_epi64(LOW_44.cast_signed());
        let low_42 = _mm512_set1_epi64(LOW_42.cast_signed());
        let l1 = add(
            add(l1, _mm512_slli_epi64::<8>(u0)),
            _mm512_srli_epi64::<44>(l0),
        );
        let l2 = add(
            add(l2, _mm512_slli_epi64::<8>(u1)),
            _mm512_srli_epi64::<44>(l1),
        );
        let over = add(_mm512_slli_epi64::<10>(u2), _mm512_srli_epi64::<42>(l2));
        let five_over = add(over, _mm512_slli_epi64::<2>(over));
        let l0 = add(_mm512_and_si512(l0, low_44), five_over);
        Eight([
            _mm512_and_si512(l0, low_44),
            add(_mm512_and_si512(l1, low_44), _mm512_srli_epi64::<44>(l0)),
            _mm512_and_si512(l2, low_42),
        ])
    }
}

impl Eight {
    #[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
    #[inline]
    fn new(blocks: &[[u8; BLOCK]; 8]) -> Self {
        let [a, b]: [__m512i; 2] = must_cast(*blocks);
        let (even, odd) = (
            _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14),
            _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15),
        );
        let low = _mm512_permutex2var_epi64(a, even, b);
        let high = _mm512_permutex2var_epi64(a, odd, b);
        let low_44 = _mm512_set1_epi64(LOW_44.cast_signed());
        let middle = _mm512_or_si512(_mm512_srli_epi64::<44>(low), _mm512_slli_epi64::<20>(high));
        Self([
            _mm512_and_si512(low, low_44),
            _mm512_and_si512(middle, low_44),
            _mm512_or_si512(
                _mm512_srli_epi64::<24>(high),
                _mm512_set1_epi64(AFTER.cast_signed()),
            ),
        ])
    }

    /// The lanes moved up by so many, and zeros in the lowest.
    #[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
    #[inline]
    fn moved_up(self, by: u8) -> Self {
        let from = _mm512_sub_epi64(
            _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7),
            _mm512_set1_epi64(by.into()),
        );
        let [a, b, c] = self.0;
        Self([
            _mm512_maskz_permutexvar_epi64(0xff << by, from, a),
            _mm512_maskz_permutexvar_epi64(0xff << by, from, b),
            _mm512_maskz_permutexvar_epi64(0xff << by, from, c),
        ])
    }

    #[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
    #[inline]
    fn plus(self, other: Self) -> Self {
        let ([a, b, c], [x, y, z]) = (self.0, other.0);
        Self([
            _mm512_add_epi64(a, x),
            _mm512_add_epi64(b, y),
            _mm512_add_epi64(c, z),
        ])
    }

    #[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
    #[inline]
    fn times(self, by: &Factor) -> Self {
        Product::zero().plus(self, by).carried()
    }

    /// The sum of the lanes.
    #[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
    #[inline]
    fn summed(self) -> Number {
        let [a, b, c] = self.0;
        let h0 = _mm512_reduce_add_epi64(a).cast_unsigned();
        let h1 = _mm512_reduce_add_epi64(b).cast_unsigned() + (h0 >> 44);
        let h2 = _mm512_reduce_add_epi64(c).cast_unsigned() + (h1 >> 44);
        Number([(h0 & LOW_44) + (h2 >> 42) * 5, h1 & LOW_44, h2 & LOW_42])
    }
}

/// The sum over whole blocks, times `r` for each. Every lane sums up every eighth block, times
/// r^8 for each; at the end a lane takes the power by which its last block is before the end.
/// So that the blocks come out even, the first of the lanes begin with nothing.
#[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
#[inline]
fn sum_eight_at_a_time(first: &[[u8; BLOCK]; 8], blocks: &[[u8; BLOCK]], r: Number) -> Number {
    let powers = Powers::new(r);
    let missing = blocks.len().wrapping_neg() % 8;
    #[expect(clippy::cast_possible_truncation, reason = "less than eight")]
    let mut sum = Eight::new(first).moved_up(missing as u8);
    let (eights, _) = blocks[8 - missing..].as_chunks::<8>();
    let (odd, pairs) = eights.split_at(eights.len() % 2);
    for eight in odd {
        sum = sum.times(&powers.eighth).plus(Eight::new(eight));
    }
    // Two at a time: the first of them waits for nothing, and both are carried once.
    for [a, b] in pairs.as_chunks::<2>().0 {
        let product = Product::zero().plus(Eight::new(a), &powers.eighth);
        let product = product.plus(sum, &powers.sixteenth);
        sum = product.carried().plus(Eight::new(b));
    }
    sum.times(&powers.downward).summed()
}

/// Powers of `r`.
struct Powers {
    /// r^8, r^7, … r.
    downward: Factor,
    /// r^8 in every lane.
    eighth: Factor,
    /// r^16 in every lane.
    sixteenth: Factor,
}

impl Powers {
    #[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
    #[inline]
    fn new(r: Number) -> Self {
        let square = r.times(r);
        let (cube, fourth) = (square.times(r), square.times(square));
        // r^4 … r twice, the first of them times r^4, the second times one
        let (mut low, mut by) = ([_mm512_setzero_si512(); 3], [_mm512_setzero_si512(); 3]);
        for limb in 0..3 {
            let [a, b, c, d] = [fourth, cube, square, r].map(|power| power.0[limb].cast_signed());
            low[limb] = _mm512_setr_epi64(a, b, c, d, a, b, c, d);
            let one = _mm512_set1_epi64((limb == 0).into());
            by[limb] = _mm512_mask_set1_epi64(one, 0b0000_1111, a);
        }
        let downward = Eight(low).times(&Factor::new(by)).0;
        let first = |limb| _mm512_permutexvar_epi64(_mm512_setzero_si512(), limb);
        let [a, b, c] = downward;
        let eighth = [first(a), first(b), first(c)];
        let by_eighth = Factor::new(eighth);
        Self {
            downward: Factor::new(downward),
            eighth: by_eighth,
            sixteenth: Factor::new(Eight(eighth).times(&by_eighth).0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The remainder of a number of limbs, bit by bit: what is above 2^130 counts five times.
    fn remainder([h0, h1, h2]: [u64; 3]) -> u128 {
        let low = [h0.into(), u128::from(h1) << 44, u128::from(h2) << 88];
        let (mut low, mut high) = low
            .into_iter()
            .fold((0u128, h2 >> 40), |(sum, high), limb| {
                let (sum, carried) = sum.overflowing_add(limb);
                (sum, high + u64::from(carried))
            });
        while high > 3 || (high == 3 && low >= u128::MAX - 4) {
            let (sum, carried) = low.overflowing_add(5);
            (low, high) = (sum, high + u64::from(carried) - 4);
        }
        low
    }

    #[test]
    fn products_are_reduced_where_limbs_are_full_or_over() {
        let (full, above) = (LOW_44, LOW_44 + 1);
        for h0 in [0, 1, 4, 5, full - 5, full - 4, full - 1, full] {
            for h1 in [0, 1, full - 1, full, above, above + 1] {
                for h2 in [0, 1, LOW_42 - 1, LOW_42] {
                    let limbs = [h0, h1, h2];
                    assert_eq!(Number(limbs).reduced(), remainder(limbs), "{limbs:x?}");
                }
            }
        }
    }
}
