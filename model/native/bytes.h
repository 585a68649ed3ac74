// Products of bytes, a register of them at a time, in every instruction set.

#pragma once

#include "interface.h"
#include "numbers.h"

namespace {

// Of `dot`, the first bytes are unsigned, the second ones signed. kOffset is added to signed activations to make
// them so; sums of the weights take it back. kRows: rows of activations multiplied with a panel at once, an even
// number, as many as there are registers for. `shifted` moves bits between neighbouring bytes, too.
#if defined(__AVX512VNNI__)
constexpr int kOffset = 128, kRows = 8;
typedef __m512i Bytes;
typedef __m512i Sums;
inline Bytes bytes(const void *from) { return _mm512_loadu_si512(from); }
inline Bytes four(int32_t bytes) { return _mm512_set1_epi32(bytes); }
inline Sums all_sums(int32_t sum) { return _mm512_set1_epi32(sum); }
template <int Left>
inline Bytes shifted(Bytes bytes) {
    return Left < 0 ? _mm512_srli_epi16(bytes, Left < 0 ? -Left : 0) : _mm512_slli_epi16(bytes, Left < 0 ? 0 : Left);
}
inline Bytes masked(Bytes bytes, int mask) { return _mm512_and_si512(bytes, _mm512_set1_epi8(static_cast<char>(mask))); }
inline Bytes joined(Bytes a, Bytes b) { return _mm512_or_si512(a, b); }
inline Sums dot(Sums sums, Bytes x, Bytes w) { // of the intrinsic, GCC 12 copies the sums twice
    asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(x), "v"(w));
    return sums;
}
#elif defined(__AVX2__)
constexpr int kRows = 2;
typedef __m256i Bytes;
typedef __m256i Sums;
inline Bytes bytes(const void *from) { return _mm256_loadu_si256(static_cast<const __m256i *>(from)); }
inline Bytes four(int32_t bytes) { return _mm256_set1_epi32(bytes); }
inline Sums all_sums(int32_t sum) { return _mm256_set1_epi32(sum); }
template <int Left>
inline Bytes shifted(Bytes bytes) {
    return Left < 0 ? _mm256_srli_epi16(bytes, Left < 0 ? -Left : 0) : _mm256_slli_epi16(bytes, Left < 0 ? 0 : Left);
}
inline Bytes masked(Bytes bytes, int mask) { return _mm256_and_si256(bytes, _mm256_set1_epi8(static_cast<char>(mask))); }
inline Bytes joined(Bytes a, Bytes b) { return _mm256_or_si256(a, b); }
#if defined(__AVXVNNI__)
constexpr int kOffset = 128;
inline Sums dot(Sums sums, Bytes x, Bytes w) { return _mm256_dpbusd_avx_epi32(sums, x, w); }
#else
constexpr int kOffset = 0;
inline Sums dot(Sums sums, Bytes x, Bytes w) { // |x| · (w with x's sign): pairs stay within 16 bits
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(w, x));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#endif
#elif defined(__ARM_FEATURE_DOTPROD)
constexpr int kOffset = 0, kRows = 2;
typedef int8x16_t Bytes;
typedef int32x4_t Sums;
inline Bytes bytes(const void *from) { return vld1q_s8(static_cast<const int8_t *>(from)); }
inline Bytes four(int32_t bytes) { return vreinterpretq_s8_s32(vdupq_n_s32(bytes)); }
inline Sums all_sums(int32_t sum) { return vdupq_n_s32(sum); }
template <int Left>
inline Bytes shifted(Bytes bytes) { // by a negative number to the right
    return vreinterpretq_s8_u16(vshlq_u16(vreinterpretq_u16_s8(bytes), vdupq_n_s16(Left)));
}
inline Bytes masked(Bytes bytes, int mask) { return vandq_s8(bytes, vdupq_n_s8(static_cast<int8_t>(mask))); }
inline Bytes joined(Bytes a, Bytes b) { return vorrq_s8(a, b); }
inline Sums dot(Sums sums, Bytes x, Bytes w) { return vdotq_s32(sums, x, w); }
#else
constexpr int kOffset = 0, kRows = 2;
typedef int8_t Bytes __attribute__((vector_size(16)));
typedef int16_t Pairs __attribute__((vector_size(16)));
typedef int32_t Sums __attribute__((vector_size(16)));
inline Bytes bytes(const void *from) {
    Bytes bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return bytes;
}
inline Bytes four(int32_t bytes) {
    const Sums all = Sums{} + bytes;
    return reinterpret_cast<Bytes>(all);
}
inline Sums all_sums(int32_t sum) { return Sums{} + sum; }
template <int Left>
inline Bytes shifted(Bytes bytes) { return Left < 0 ? bytes >> (Left < 0 ? -Left : 0) : bytes << (Left < 0 ? 0 : Left); }
inline Bytes masked(Bytes bytes, int mask) { return bytes & static_cast<int8_t>(mask); }
inline Bytes joined(Bytes a, Bytes b) { return a | b; }
inline Sums dot(Sums sums, Bytes x, Bytes w) { // |products| <= 127²: two fit 16 bits, of an odd and an even place
    const Pairs x_odd = reinterpret_cast<Pairs>(x) >> 8, w_odd = reinterpret_cast<Pairs>(w) >> 8;
    const Pairs x_even = reinterpret_cast<Pairs>(x) << 8 >> 8, w_even = reinterpret_cast<Pairs>(w) << 8 >> 8;
    const Pairs pairs = x_odd * w_odd + x_even * w_even;
    return sums + (reinterpret_cast<Sums>(pairs) >> 16) + (reinterpret_cast<Sums>(pairs) << 16 >> 16);
}
#endif

constexpr int kWide = kPanel / kLanes; // registers of four bytes, or of one number, of each output of a panel
static_assert(sizeof(Bytes) == kLanes * 4 && sizeof(Sums) == kLanes * 4);

inline Bytes four(const int8_t *from) {
    int32_t bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return four(bytes);
}

inline Lanes in_floats(Sums sums) { return __builtin_convertvector(reinterpret_cast<IntLanes>(sums), Lanes); }

} // namespace
