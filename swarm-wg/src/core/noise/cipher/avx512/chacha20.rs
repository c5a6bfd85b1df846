//! ChaCha20 (RFC 8439): the keystream of one message, eight, sixteen or twenty-four blocks at a
//! time. Word `i` of all these blocks is one register, a lane for each block.

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_permute2x128_si256, _mm256_rol_epi32,
    _mm256_set1_epi32, _mm256_setr_epi32, _mm256_setzero_si256, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
    _mm512_add_epi32, _mm512_rol_epi32, _mm512_set1_epi32, _mm512_setr_epi32, _mm512_setzero_si512,
    _mm512_shuffle_i32x4, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use bytemuck::must_cast;
use zeroize::Zeroizing;

/// Length of a block, in bytes.
pub(super) const BLOCK: usize = 64;

/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// What is the same in each block under one key: the constants and the key.
pub(super) struct State(Zeroizing<[u32; 12]>);

/// Twenty-four blocks.
pub(super) struct Stream {
    pub(super) early: [[u8; BLOCK]; 16],
    pub(super) late: [[u8; BLOCK]; 8],
}

/// The twenty rounds, on one state or on two in turn: a processor that waits for the result of
/// an instruction on one finds others to do on the other.
macro_rules! rounds {
    ($($state:ident: $add:ident $xor:ident $rol:ident),+) => {
        for _ in 0..10 {
            rounds!(@round [0 1 2 3] [4 5 6 7] [8 9 10 11] [12 13 14 15]; $($state $add $xor $rol)+);
            rounds!(@round [0 1 2 3] [5 6 7 4] [10 11 8 9] [15 12 13 14]; $($state $add $xor $rol)+);
        }
    };
    (@round $a:tt $b:tt $c:tt $d:tt; $($state:ident $add:ident $xor:ident $rol:ident)+) => {
        $(rounds!(@add $a $b; $state $add);)+
        $(rounds!(@mix $d $a; $state $xor $rol 16);)+
        $(rounds!(@add $c $d; $state $add);)+
        $(rounds!(@mix $b $c; $state $xor $rol 12);)+
        $(rounds!(@add $a $b; $state $add);)+
        $(rounds!(@mix $d $a; $state $xor $rol 8);)+
        $(rounds!(@add $c $d; $state $add);)+
        $(rounds!(@mix $b $c; $state $xor $rol 7);)+
    };
    (@add [$($a:literal)+] [$($b:literal)+]; $state:ident $add:ident) => {
        $($state[$a] = $add($state[$a], $state[$b]);)+
    };
    (@mix [$($a:literal)+] [$($b:literal)+]; $state:ident $xor:ident $rol:ident $bits:literal) => {
        $($state[$a] = $rol::<$bits>($xor($state[$a], $state[$b]));)+
    };
}

impl State {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let mut words = Zeroizing::new([0; 12]);
        let (constants, rest) = words.split_at_mut(4);
        constants.copy_from_slice(&CONSTANTS);
        for (word, bytes) in rest.iter_mut().zip(key.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Self(words)
    }

    /// The state of block `at`.
    fn words(&self, nonce: u64, at: u32) -> [u32; 16] {
        let mut words = [0; 16];
        words[..12].copy_from_slice(&self.0[..]);
        let [low, high] = must_cast(nonce.to_le());
        words[12..].copy_from_slice(&[at, 0, low, high]);
        words
    }

    /// Block `at` and the seven after it.
    #[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
    #[inline]
    pub(super) fn eight(&self, nonce: u64, at: u32) -> [[u8; BLOCK]; 8] {
        let words = self.words(nonce, at);
        let mut v = spread_over_eight(&words);
        rounds!(v: _mm256_add_epi32 _mm256_xor_si256 _mm256_rol_epi32);
        finish_eight(v, &words)
    }

    /// Block `at` and the fifteen after it.
    #[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
    #[inline]
    pub(super) fn sixteen(&self, nonce: u64, at: u32) -> [[u8; BLOCK]; 16] {
        let words = self.words(nonce, at);
        let mut v = spread_over_sixteen(&words);
        rounds!(v: _mm512_add_epi32 _mm512_xor_si512 _mm512_rol_epi32);
        finish_sixteen(v, &words)
    }

    /// Block `at` and the 23 after it: a packet of 1,420 bytes and the key of its tag.
    #[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
    #[inline]
    pub(super) fn twenty_four(&self, nonce: u64, at: u32) -> Stream {
        let (early, late) = (self.words(nonce, at), self.words(nonce, at + 16));
        let mut v = spread_over_sixteen(&early);
        let mut w = spread_over_eight(&late);
        rounds!(
            v: _mm512_add_epi32 _mm512_xor_si512 _mm512_rol_epi32,
            w: _mm256_add_epi32 _mm256_xor_si256 _mm256_rol_epi32
        );
        Stream {
            early: finish_sixteen(v, &early),
            late: finish_eight(w, &late),
        }
    }
}

#[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
#[inline]
fn spread_over_sixteen(words: &[u32; 16]) -> [__m512i; 16] {
    let mut v = [_mm512_setzero_si512(); 16];
    for (v, word) in v.iter_mut().zip(words) {
        *v = _mm512_set1_epi32(word.cast_signed());
    }
    let numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    v[12] = _mm512_add_epi32(v[12], numbers);
    v
}

#[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
#[inline]
fn spread_over_eight(words: &[u32; 16]) -> [__m256i; 16] {
    let mut v = [_mm256_setzero_si256(); 16];
    for (v, word) in v.iter_mut().zip(words) {
        *v = _mm256_set1_epi32(word.cast_signed());
    }
    v[12] = _mm256_add_epi32(v[12], _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    v
}

/// Adds the first state, and turns words of blocks into blocks of words: first within 128 bits,
/// then those.
#[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
#[inline]
fn finish_sixteen(mut v: [__m512i; 16], words: &[u32; 16]) -> [[u8; BLOCK]; 16] {
    for (v, first) in v.iter_mut().zip(spread_over_sixteen(words)) {
        *v = _mm512_add_epi32(*v, first);
    }
    // quarters[k][g]: words 4g to 4g + 3 of blocks k, 4 + k, 8 + k and 12 + k
    let mut quarters = [[_mm512_setzero_si512(); 4]; 4];
    for (g, [a, b, c, d]) in v.as_chunks().0.iter().copied().enumerate() {
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        quarters[0][g] = _mm512_unpacklo_epi64(ab, cd);
        quarters[1][g] = _mm512_unpackhi_epi64(ab, cd);
        let (ab, cd) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        quarters[2][g] = _mm512_unpacklo_epi64(ab, cd);
        quarters[3][g] = _mm512_unpackhi_epi64(ab, cd);
    }
    let mut blocks = [[0; BLOCK]; 16];
    for (k, [a, b, c, d]) in quarters.into_iter().enumerate() {
        let (ab, cd) = (
            _mm512_shuffle_i32x4::<0x44>(a, b),
            _mm512_shuffle_i32x4::<0x44>(c, d),
        );
        blocks[k] = must_cast(_mm512_shuffle_i32x4::<0x88>(ab, cd));
        blocks[4 + k] = must_cast(_mm512_shuffle_i32x4::<0xdd>(ab, cd));
        let (ab, cd) = (
            _mm512_shuffle_i32x4::<0xee>(a, b),
            _mm512_shuffle_i32x4::<0xee>(c, d),
        );
        blocks[8 + k] = must_cast(_mm512_shuffle_i32x4::<0x88>(ab, cd));
        blocks[12 + k] = must_cast(_mm512_shuffle_i32x4::<0xdd>(ab, cd));
    }
    blocks
}

/// The same for eight blocks.
#[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
#[inline]
fn finish_eight(mut v: [__m256i; 16], words: &[u32; 16]) -> [[u8; BLOCK]; 8] {
    for (v, first) in v.iter_mut().zip(spread_over_eight(words)) {
        *v = _mm256_add_epi32(*v, first);
    }
    // quarters[k][g]: words 4g to 4g + 3 of blocks k and 4 + k
    let mut quarters = [[_mm256_setzero_si256(); 4]; 4];
    for (g, [a, b, c, d]) in v.as_chunks().0.iter().copied().enumerate() {
        let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
        quarters[0][g] = _mm256_unpacklo_epi64(ab, cd);
        quarters[1][g] = _mm256_unpackhi_epi64(ab, cd);
        let (ab, cd) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
        quarters[2][g] = _mm256_unpacklo_epi64(ab, cd);
        quarters[3][g] = _mm256_unpackhi_epi64(ab, cd);
    }
    let mut blocks = [[0; BLOCK]; 8];
    for (k, [a, b, c, d]) in quarters.into_iter().enumerate() {
        blocks[k] = must_cast([
            _mm256_permute2x128_si256::<0x20>(a, b),
            _mm256_permute2x128_si256::<0x20>(c, d),
        ]);
        blocks[4 + k] = must_cast([
            _mm256_permute2x128_si256::<0x31>(a, b),
            _mm256_permute2x128_si256::<0x31>(c, d),
        ]);
    }
    blocks
}

/// Mixes a keystream into a message, as much as there is of both.
#[target_feature(enable = "avx512ifma,avx512vl,bmi2")]
#[inline]
pub(super) fn xor(message: &mut [u8], stream: &[[u8; BLOCK]]) {
    let (blocks, rest) = message.as_chunks_mut::<BLOCK>();
    for (block, stream) in blocks.iter_mut().zip(stream) {
        *block = must_cast(_mm512_xor_si512(must_cast(*block), must_cast(*stream)));
    }
    if let Some(stream) = stream.get(blocks.len()) {
        for (byte, stream) in rest.iter_mut().zip(stream) {
            *byte ^= stream;
        }
    }
}
