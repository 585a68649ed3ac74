// As many numbers at a time as a register has, by GCC's and Clang's vector types. Wider ones would be lowered to single
// numbers.

#pragma once

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
typedef float Lanes __attribute__((vector_size(kLanes * 4)));
typedef int32_t IntLanes __attribute__((vector_size(kLanes * 4)));
typedef uint16_t HalfLanes __attribute__((vector_size(kLanes * 2)));

inline Lanes load(const float *from) {
    Lanes lanes;
    std::memcpy(&lanes, from, sizeof lanes);
    return lanes;
}

inline Lanes load(const uint16_t *bf16) {
    HalfLanes half;
    std::memcpy(&half, bf16, sizeof half);
    IntLanes wide = __builtin_convertvector(half, IntLanes) << 16;
    Lanes lanes;
    std::memcpy(&lanes, &wide, sizeof lanes);
    return lanes;
}

inline float from_half(uint16_t half) { // exact for every fp16 number, in every instruction set
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, rest = static_cast<uint32_t>(half & 0x7fff) << 13;
    const bool is_number = rest < 0x0f800000;
    const uint32_t bits = is_number ? rest : rest | 0x7f800000;
    float value;
    std::memcpy(&value, &bits, 4);
    value *= is_number ? 0x1p112f : 1.f; // from fp16's exponents to fp32's
    return sign ? -value : value;
}

inline uint16_t to_half(float value) { // rounds to nearest even; NaN stays NaN
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
    if (size >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00); // beyond the largest: infinite
    if (size >= 0x38800000) return static_cast<uint16_t>(sign | (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13);
    const float shifted = std::fabs(value) + 0.5f; // whose last bit is worth as much as the smallest fp16 number
    std::memcpy(&bits, &shifted, 4);
    return static_cast<uint16_t>(sign | (bits - 0x3f000000));
}

inline Lanes load_halves(const uint16_t *fp16) {
#if defined(__AVX512F__)
    return reinterpret_cast<Lanes>(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(fp16))));
#elif defined(__F16C__)
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(fp16)));
#elif defined(__ARM_FEATURE_DOTPROD)
    return reinterpret_cast<Lanes>(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(fp16))));
#else
    Lanes lanes;
    for (int i = 0; i < kLanes; i++) lanes[i] = from_half(fp16[i]);
    return lanes;
#endif
}

inline IntLanes load(const int32_t *from) {
    IntLanes lanes;
    std::memcpy(&lanes, from, sizeof lanes);
    return lanes;
}

inline void store(float *to, Lanes lanes) { std::memcpy(to, &lanes, sizeof lanes); }

constexpr float kMagic = 12582912.f; // 1.5 · 2^23: adding it rounds to an integer in the low bits

// The low bytes of floats that kMagic was added to: their whole part, with the bits of `flip` turned over
// (of -128: 128 is added).
inline void put_bytes(int8_t *to, Lanes rounded, int8_t flip = 0) {
    IntLanes bits;
    std::memcpy(&bits, &rounded, sizeof bits);
    for (int i = 0; i < kLanes; i++) to[i] = static_cast<int8_t>((bits[i] & 0xff) ^ flip);
}

// a · b + c. Compilers may not fuse products and sums by themselves (setup.py): they would do it in
// one copy of a loop and not in another, and a token's result would depend on its batch.
inline Lanes fused(Lanes a, Lanes b, Lanes c) {
#if defined(__AVX512F__)
    return reinterpret_cast<Lanes>(_mm512_fmadd_ps(
        reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
#elif defined(__FMA__)
    return _mm256_fmadd_ps(a, b, c);
#elif defined(__ARM_FEATURE_DOTPROD)
    return reinterpret_cast<Lanes>(vfmaq_f32(reinterpret_cast<float32x4_t>(c), reinterpret_cast<float32x4_t>(a),
                                             reinterpret_cast<float32x4_t>(b)));
#else
    return a * b + c;
#endif
}

inline Lanes all(float value) {
    Lanes zero = {};
    return zero + value;
}

inline void put(float *to, float value) { *to = value; }

inline void put(uint16_t *to, float value) { // round to nearest even; NaN stays NaN
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if (std::isnan(value)) *to = 0x7fc0;
    else *to = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline void put(float *to, Lanes lanes) { store(to, lanes); }

inline void put(uint16_t *to, Lanes lanes) {
    IntLanes bits, quiet = IntLanes{} + 0x7fc0;
    std::memcpy(&bits, &lanes, sizeof bits);
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const HalfLanes half = __builtin_convertvector(lanes == lanes ? bits : quiet, HalfLanes);
    std::memcpy(to, &half, sizeof half);
}

inline void add(float *to, float value) { *to += value; }
inline void add(float *to, Lanes lanes) { store(to, load(to) + lanes); }

inline float sum(Lanes lanes) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps(reinterpret_cast<__m512>(lanes));
#else
    float parts[kLanes];
    store(parts, lanes);
    for (int half = kLanes / 2; half; half /= 2)
        for (int i = 0; i < half; i++) parts[i] += parts[i + half];
    return parts[0];
#endif
}

// exp by 2^n · p(f), |relative error| < 2e-7; below -87 it is 0 rather than a denormal.
inline Lanes exponential(Lanes x) {
    Lanes low = {}, high = {};
    low -= 87.f, high += 88.f;
    IntLanes too_small = x < low;
    x = x < low ? low : x > high ? high : x;
    Lanes shifted = x * 1.44269504f + kMagic, n = shifted - kMagic;
    Lanes f = fused(n, all(2.12194440e-4f), fused(n, all(-0.693359375f), x));
    Lanes p = fused(f, all(1.9875691500e-4f), all(1.3981999507e-3f));
    for (float next : {8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
        p = fused(p, f, all(next));
    p = fused(p, f * f, f + 1.f);
    IntLanes bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23;
    Lanes power;
    std::memcpy(&power, &bits, sizeof power);
    Lanes zero = {};
    return too_small ? zero : p * power;
}

inline Lanes gelu(Lanes x) { // the tanh approximation: x · sigmoid(2u)
    Lanes u = x * (0.7978845608f + 0.0356774081f * x * x);
    return x / (1.f + exponential(-2.f * u));
}

inline Lanes silu(Lanes x) { return x / (1.f + exponential(-x)); }

inline float widened(uint16_t bf16) {
    const uint32_t bits = static_cast<uint32_t>(bf16) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// The largest |x| of K, at least 1e-8; a NaN is passed over.
float largest(const float *x, size_t K) {
    Lanes found = {};
    for (size_t k = 0; k < K; k += kLanes) {
        Lanes value = load(x + k), negative = -value;
        Lanes size = value > negative ? value : negative;
        found = size > found ? size : found;
    }
    float parts[kLanes], most = 1e-8f;
    store(parts, found);
    for (float part : parts) most = part > most ? part : most;
    return most;
}

// NaN where one of K numbers is NaN or infinite, else 0: added to a scale, it keeps them so.
float not_numbers(const float *x, size_t K) {
    Lanes check = {};
    for (size_t k = 0; k < K; k += kLanes) check += load(x + k) * 0.f;
    return sum(check);
}

} // namespace
