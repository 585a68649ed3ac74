// Quantised linear layers, and a whole decode step of a multi-query GPTBigCode model, on the CPU.
//
// One OpenMP region runs over all layers: on a small model the dispatch of operators costs as much
// as the arithmetic, and on a large one a step then reads each weight once at memory speed. This
// file is compiled once for each instruction set (model/native/library.py picks one at load);
// model.quantize and model.transformer are the reference it is tested against.
//
// Numbers: activations are quantised by token to int8, symmetric; int8 weights have a scale a row,
// int4 weights a scale and a minimum for each group of 64 inputs. Integer sums are exact, so every
// instruction set has the same ones, and a token's result does not depend on its batch.
//
// Letters: M tokens of a step, D hidden width, F feed-forward width, H query heads, C head width,
// L tokens of a context, O output and K input features of a linear layer, G = K / 64 groups.

#include <omp.h>
#include <sched.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

namespace {

constexpr int kHeads = 4, kKeys = 4; // heads of one token, and cached tokens, attended to at a time
constexpr int kGroup = 64;       // int4 weights that share a scale; K is a multiple of it
constexpr int kMaxTokens = 4096; // of one call; far above what the engine asks for
constexpr size_t kMany = 32;     // tokens from which on work is prepared once for all of them
constexpr int kLanes = 16;
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
#elif defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    for (int i = 0; i < kLanes; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
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

// ---- Integer products: kStep bytes at a time. ----

#if defined(__AVX512VNNI__)
constexpr int kStep = 64, kRows = 4, kTokens = 4;
constexpr int kOffset = 128; // the operator wants one side unsigned: x + 128, taken back by row sums
typedef __m512i Bytes;
typedef __m512i Sums;
inline Sums none() { return _mm512_setzero_si512(); }
inline Bytes bytes(const int8_t *from) { return _mm512_loadu_si512(from); }
inline Sums dot(Sums sums, Bytes x, Bytes w) { // of the intrinsic, GCC 12 copies the sums twice
    asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(x), "v"(w));
    return sums;
}
inline int32_t total(Sums sums) { return _mm512_reduce_add_epi32(sums); }
#elif defined(__AVX2__)
constexpr int kStep = 32, kRows = 4, kTokens = 2;
typedef __m256i Bytes;
typedef __m256i Sums;
inline Sums none() { return _mm256_setzero_si256(); }
inline Bytes bytes(const int8_t *from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)); }
#if defined(__AVXVNNI__)
constexpr int kOffset = 128;
inline Sums dot(Sums sums, Bytes x, Bytes w) { return _mm256_dpbusd_avx_epi32(sums, x, w); }
#else
constexpr int kOffset = 0;
inline Sums dot(Sums sums, Bytes x, Bytes w) { // |x| · (w with x's sign): pairs stay within 16 bits
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(w, x));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#endif
inline int32_t total(Sums sums) {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}
#elif defined(__ARM_FEATURE_DOTPROD)
constexpr int kStep = 16, kRows = 4, kTokens = 4, kOffset = 0;
typedef int8x16_t Bytes;
typedef int32x4_t Sums;
inline Sums none() { return vdupq_n_s32(0); }
inline Bytes bytes(const int8_t *from) { return vld1q_s8(from); }
inline Sums dot(Sums sums, Bytes x, Bytes w) { return vdotq_s32(sums, x, w); }
inline int32_t total(Sums sums) { return vaddvq_s32(sums); }
#else
constexpr int kStep = 16, kRows = 2, kTokens = 2, kOffset = 0;
struct Bytes { int8_t v[kStep]; };
typedef int32_t Sums;
inline Sums none() { return 0; }
inline Bytes bytes(const int8_t *from) { Bytes b; std::memcpy(b.v, from, kStep); return b; }
inline Sums dot(Sums sums, Bytes x, Bytes w) {
    for (int i = 0; i < kStep; i++) sums += static_cast<int32_t>(x.v[i]) * w.v[i];
    return sums;
}
inline int32_t total(Sums sums) { return sums; }
#endif

// The products of R weight rows with T tokens, each of K bytes.
template <int R, int T>
inline void tile(const int8_t *w, const int8_t *x, size_t K, int32_t *out) {
    Sums sums[T][R];
    for (int t = 0; t < T; t++)
        for (int r = 0; r < R; r++) sums[t][r] = none();
    for (size_t k = 0; k < K; k += kStep) {
        Bytes row[R];
        for (int r = 0; r < R; r++) row[r] = bytes(w + r * K + k);
        for (int t = 0; t < T; t++) {
            Bytes token = bytes(x + t * K + k);
            for (int r = 0; r < R; r++) sums[t][r] = dot(sums[t][r], token, row[r]);
        }
    }
    for (int t = 0; t < T; t++)
        for (int r = 0; r < R; r++) out[t * R + r] = total(sums[t][r]);
}

inline float widened(uint16_t bf16) {
    const uint32_t bits = static_cast<uint32_t>(bf16) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// One row of int4 weights and T tokens: the sum over groups of scale · Σ code · x.
// A group's 32 bytes hold inputs 0…31 in the low halves and 32…63 in the high ones.
template <int T>
inline void row_int4(const uint8_t *w, const uint16_t *scale, const int8_t *x, size_t K, float *out) {
#if defined(__AVX512VNNI__)
    __m512 sums[T];
    for (int t = 0; t < T; t++) sums[t] = _mm512_setzero_ps();
    for (size_t g = 0; g < K / kGroup; g++) {
        const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(w + g * 32));
        const __m512i both =
            _mm512_inserti64x4(_mm512_castsi256_si512(packed), _mm256_srli_epi16(packed, 4), 1);
        const __m512i codes = _mm512_and_si512(both, _mm512_set1_epi8(15));
        const __m512 factor = _mm512_set1_ps(widened(scale[g]));
        for (int t = 0; t < T; t++) {
            const __m512i products = _mm512_dpbusd_epi32(_mm512_setzero_si512(), codes,
                                                         _mm512_loadu_si512(x + t * K + g * kGroup));
            sums[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), factor, sums[t]);
        }
    }
    for (int t = 0; t < T; t++) out[t] = _mm512_reduce_add_ps(sums[t]);
#elif defined(__AVX2__)
    __m256 sums[T];
    for (int t = 0; t < T; t++) sums[t] = _mm256_setzero_ps();
    const __m256i mask = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    for (size_t g = 0; g < K / kGroup; g++) {
        const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(w + g * 32));
        const __m256i low = _mm256_and_si256(packed, mask);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(packed, 4), mask);
        const __m256 factor = _mm256_set1_ps(widened(scale[g]));
        for (int t = 0; t < T; t++) {
            const __m256i *inputs = reinterpret_cast<const __m256i *>(x + t * K + g * kGroup);
            const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(low, _mm256_loadu_si256(inputs)),
                                                   _mm256_maddubs_epi16(high, _mm256_loadu_si256(inputs + 1)));
            const __m256 products = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, ones));
            sums[t] = _mm256_fmadd_ps(products, factor, sums[t]);
        }
    }
    for (int t = 0; t < T; t++) {
        float parts[8];
        _mm256_storeu_ps(parts, sums[t]);
        out[t] = ((parts[0] + parts[4]) + (parts[2] + parts[6])) + ((parts[1] + parts[5]) + (parts[3] + parts[7]));
    }
#else
    for (int t = 0; t < T; t++) out[t] = 0;
    for (size_t g = 0; g < K / kGroup; g++)
        for (int t = 0; t < T; t++) {
            const int8_t *inputs = x + t * K + g * kGroup;
            int32_t products = 0;
            for (int i = 0; i < 32; i++) {
                products += (w[g * 32 + i] & 15) * inputs[i];
                products += (w[g * 32 + i] >> 4) * inputs[32 + i];
            }
            out[t] += widened(scale[g]) * static_cast<float>(products);
        }
#endif
}

inline float dot_bf16(const uint16_t *a, const float *b, size_t n) {
    float result = 0;
    size_t i = 0;
    if (n >= kLanes) {
        Lanes sums = {};
        for (; i + kLanes <= n; i += kLanes) sums = fused(load(a + i), load(b + i), sums);
        result = sum(sums);
    }
    for (; i < n; i++) result += widened(a[i]) * b[i];
    return result;
}

} // namespace

// ---- What Python hands over (model/native/library.py has the same fields). ----

struct Linear {
    int64_t n_out, n_in;
    int64_t bits;           // 8 or 4
    int64_t fine;           // int8: activations in twice as many bits
    const void *weight;     // int8 [O, K], or packed codes [O, K / 2]
    const float *scale;     // int8: [O]
    const int32_t *sums;    // int8: Σ of each row [O]
    const uint16_t *scales; // int4: bf16 [O, G]
    const uint16_t *minima; // int4: bf16 [O, G]
    const float *bias;      // [O] or null
};

struct Layer {
    const float *ln_1_weight, *ln_1_bias, *ln_2_weight, *ln_2_bias; // [D] each
    Linear qkv, proj, fc, out;
};

struct Model {
    int64_t n_layer, width, n_head, head_dim, inner;
    double epsilon;
    const Layer *layers;
    const float *ln_f_weight, *ln_f_bias; // [D]
};

struct Step {
    int64_t n_tokens, n_sequences, n_slots, is_bf16, threads;
    const float *embedded;          // [M, D]
    const int64_t *new_slots;       // [M]
    const int64_t *n_new;           // [sequences]: they sum to M
    const int64_t *context_bounds;  // [sequences + 1] into context_slots
    const int64_t *context_slots;   // a sequence's context, its new tokens last
    void *cache;                    // [layers, slots, 2, C]
    float *hidden;                  // [M, D], written
};

namespace {

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

enum Error { kOk = 0, kShape = 1, kSlot = 2, kMemory = 3 };

constexpr float kRest = 254.f;

// Activations of M tokens in int8; where that is too coarse, in twice eight bits.
struct Quantised {
    std::vector<int8_t> codes;    // [M, K]; for int8 weights plus kOffset
    std::vector<int8_t> rests;    // [M, K], likewise: what rounding left, in steps of 1 / kRest
    std::vector<float> scale;     // [M]
    std::vector<float> group_sum; // [M, G], times the scale

    void reserve(size_t tokens, size_t widest) {
        codes.resize(std::max(codes.size(), tokens * widest));
        rests.resize(codes.size());
        scale.resize(std::max(scale.size(), tokens));
        group_sum.resize(std::max(group_sum.size(), tokens * (widest / kGroup)));
    }

    void take(const float *x, size_t token, const Linear &linear) {
        const size_t K = linear.n_in;
        const float most = largest(x, K);
        scale[token] = most / 127.f + not_numbers(x, K);
        int8_t *to = codes.data() + token * K, *rest = rests.data() + token * K;
        float *sums = group_sum.data() + token * (K / kGroup);
        const float inverse = 127.f / most;
        const int8_t offset = linear.bits == 8 ? static_cast<int8_t>(kOffset) : 0;
        for (size_t g = 0; g < K / kGroup; g++) {
            int32_t group = 0;
            for (size_t k = g * kGroup; k < (g + 1) * kGroup; k += kLanes) {
                const Lanes wanted = load(x + k) * inverse, rounded = wanted + kMagic;
                put_bytes(to + k, rounded, offset);
                if (linear.fine) put_bytes(rest + k, (wanted - (rounded - kMagic)) * kRest + kMagic, offset);
                if (linear.bits == 4)
                    for (int i = 0; i < kLanes; i++) group += to[k + i];
            }
            sums[g] = static_cast<float>(group);
        }
    }
};

// An output of int8 weights from its integer sums: of the codes, and of the rests where there are some.
inline float finished(const Linear &linear, const Quantised &x, size_t n, size_t m, int32_t whole, const int32_t *rest) {
    const int32_t offset = kOffset * linear.sums[n];
    float product = static_cast<float>(whole - offset);
    if (rest) product += static_cast<float>(*rest - offset) * (1.f / kRest);
    return product * (linear.scale[n] * x.scale[m]) + (linear.bias ? linear.bias[n] : 0.f);
}

// The same for as many outputs from n on as there are lanes.
inline Lanes finished_lanes(const Linear &linear, const Quantised &x, size_t n, size_t m, const int32_t *whole,
                            const int32_t *rest) {
    const IntLanes offset = kOffset * load(linear.sums + n);
    Lanes product = __builtin_convertvector(load(whole) - offset, Lanes);
    if (rest) product += __builtin_convertvector(load(rest) - offset, Lanes) * (1.f / kRest);
    return product * (load(linear.scale + n) * x.scale[m]) + (linear.bias ? load(linear.bias + n) : Lanes{});
}

// The outputs of R rows from n on for T tokens from m on.
template <int R, int T, typename Give>
inline void give_tile(const Linear &linear, const Quantised &x, size_t n, size_t m, Give give) {
    const size_t K = linear.n_in;
    const int8_t *w = static_cast<const int8_t *>(linear.weight) + n * K;
    int32_t whole[T * R], rest[T * R];
    tile<R, T>(w, x.codes.data() + m * K, K, whole);
    if (linear.fine) tile<R, T>(w, x.rests.data() + m * K, K, rest);
    for (int t = 0; t < T; t++)
        for (int r = 0; r < R; r++) {
            const int i = t * R + r;
            give(m + t, n + r, finished(linear, x, n + r, m + t, whole[i], linear.fine ? rest + i : nullptr));
        }
}

// ---- Products of many tokens: rows are laid side by side first, four bytes of each in turn, so that every
// lane of a register sums up an output of its own and nothing is to be added up in the end. Where registers
// are shorter that did not pay. ----

#if defined(__AVX512VNNI__)
constexpr int kAcross = kStep / 4;       // outputs of a register
constexpr int kPanel = 2 * kAcross;      // outputs of a panel
constexpr size_t kPanelInputs = 512;     // as many of their inputs as stay in the first-level cache
constexpr int kPanelTokens = 8;

inline Sums sums_at(const int32_t *from) {
    Sums sums;
    std::memcpy(&sums, from, sizeof sums);
    return sums;
}

inline void put(int32_t *to, Sums sums) { std::memcpy(to, &sums, sizeof sums); }

// Sixteen rows of sixteen numbers become columns: blocks of 1, 2, 4 and 8 change places across the diagonal.
inline void transpose(IntLanes *rows) {
    for (int half = 1; half < kLanes; half *= 2) {
        IntLanes upper, lower;
        for (int i = 0; i < kLanes; i++) {
            upper[i] = i & half ? kLanes + i - half : i;
            lower[i] = i & half ? kLanes + i : i + half;
        }
        for (int i = 0; i < kLanes; i++) {
            if (i & half) continue;
            const IntLanes first = rows[i], second = rows[i + half];
            rows[i] = __builtin_shuffle(first, second, upper);
            rows[i + half] = __builtin_shuffle(first, second, lower);
        }
    }
}

// kPanel rows [K] from w on -> panel [K / 4, kPanel, 4].
inline void lay_out(const int8_t *w, size_t K, int8_t *panel) {
    for (int r = 0; r < kPanel; r += kLanes)
        for (size_t k = 0; k < K; k += kLanes * 4) {
            IntLanes rows[kLanes];
            for (int j = 0; j < kLanes; j++) std::memcpy(rows + j, w + (r + j) * K + k, sizeof *rows);
            transpose(rows);
            for (int j = 0; j < kLanes; j++)
                std::memcpy(panel + ((k / 4 + j) * kPanel + r) * 4, rows + j, sizeof *rows);
        }
}

// Add the products of a panel of n inputs with T tokens to sums [T, kPanel].
template <int T>
inline void panel_products(const int8_t *panel, const int8_t *x, size_t K, size_t n, int32_t *sums) {
    Sums low[T], high[T]; // unrolled by order: left to itself, GCC keeps them in memory
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) low[t] = sums_at(sums + t * kPanel), high[t] = sums_at(sums + t * kPanel + kAcross);
    for (size_t i = 0; i < n; i += 4) {
        const Bytes w_low = bytes(panel + i * kPanel), w_high = bytes(panel + i * kPanel + kStep);
#pragma GCC unroll 16
        for (int t = 0; t < T; t++) {
            int32_t four;
            std::memcpy(&four, x + t * K + i, 4);
            const Bytes token = _mm512_set1_epi32(four);
            low[t] = dot(low[t], token, w_low);
            high[t] = dot(high[t], token, w_high);
        }
    }
#pragma GCC unroll 16
    for (int t = 0; t < T; t++) put(sums + t * kPanel, low[t]), put(sums + t * kPanel + kAcross, high[t]);
}

// What laying out panels needs: of each thread its own.
struct PanelRoom {
    std::vector<int8_t> panel;        // [K / 4, kPanel, 4]
    std::vector<int32_t> whole, rest; // [M, kPanel]

    void reserve(size_t tokens, size_t widest) {
        panel.resize(std::max(panel.size(), kPanel * widest));
        for (auto *sums : {&whole, &rest}) sums->resize(std::max(sums->size(), tokens * kPanel));
    }
};

// `multiply` for many tokens, int8 weights; returns the output that it stopped before.
template <typename Give>
inline size_t multiply_panels(const Linear &linear, const Quantised &x, size_t M, size_t first, size_t last,
                              PanelRoom &room, Give give) {
    const size_t K = linear.n_in;
    int8_t *panel = room.panel.data();
    size_t n = first;
    for (; n + kPanel <= last; n += kPanel) {
        const int8_t *w = static_cast<const int8_t *>(linear.weight) + n * K;
        int32_t *whole = room.whole.data(), *rest = linear.fine ? room.rest.data() : nullptr;
        std::fill_n(whole, M * kPanel, 0);
        if (rest) std::fill_n(rest, M * kPanel, 0);
        lay_out(w, K, panel);
        for (size_t k = 0; k < K; k += kPanelInputs) {
            const size_t inputs = std::min(kPanelInputs, K - k);
            const int8_t *part = panel + k * kPanel;
            auto add = [&](const int8_t *codes, int32_t *sums) {
                size_t m = 0;
                for (; m + kPanelTokens <= M; m += kPanelTokens)
                    panel_products<kPanelTokens>(part, codes + m * K + k, K, inputs, sums + m * kPanel);
                for (; m + 4 <= M; m += 4) panel_products<4>(part, codes + m * K + k, K, inputs, sums + m * kPanel);
                for (; m < M; m++) panel_products<1>(part, codes + m * K + k, K, inputs, sums + m * kPanel);
            };
            add(x.codes.data(), whole);
            if (rest) add(x.rests.data(), rest);
        }
        for (size_t m = 0; m < M; m++)
            for (int r = 0; r < kPanel; r += kLanes) {
                const size_t i = m * kPanel + r;
                give(m, n + r, finished_lanes(linear, x, n + r, m, whole + i, rest ? rest + i : nullptr));
            }
    }
    return n;
}

#else
struct PanelRoom {
    void reserve(size_t, size_t) {}
};

template <typename Give>
size_t multiply_panels(const Linear &, const Quantised &, size_t, size_t first, size_t, PanelRoom &, Give) {
    return first;
}
#endif

// Call give(token, output, value) for the outputs [first, last) of every token.
template <typename Give>
inline void multiply(const Linear &linear, const Quantised &x, size_t M, size_t first, size_t last, PanelRoom &room,
                     Give give) {
    const size_t K = linear.n_in, G = K / kGroup;
    if (linear.bits == 4) {
        const uint8_t *w = static_cast<const uint8_t *>(linear.weight);
        for (size_t n = first; n < last; n++) {
            float products[4];
            auto finish = [&](size_t m, float value) {
                value += dot_bf16(linear.minima + n * G, x.group_sum.data() + m * G, G);
                give(m, n, value * x.scale[m] + (linear.bias ? linear.bias[n] : 0.f));
            };
            size_t m = 0;
            for (; m + 4 <= M; m += 4) {
                row_int4<4>(w + n * (K / 2), linear.scales + n * G, x.codes.data() + m * K, K, products);
                for (int t = 0; t < 4; t++) finish(m + t, products[t]);
            }
            for (; m + 2 <= M; m += 2) {
                row_int4<2>(w + n * (K / 2), linear.scales + n * G, x.codes.data() + m * K, K, products);
                for (int t = 0; t < 2; t++) finish(m + t, products[t]);
            }
            for (; m < M; m++) {
                row_int4<1>(w + n * (K / 2), linear.scales + n * G, x.codes.data() + m * K, K, products);
                finish(m, products[0]);
            }
        }
        return;
    }
    if (M >= kMany) first = multiply_panels(linear, x, M, first, last, room, give);
    // So many tokens that their codes stay in the second-level cache while all rows pass by.
    const size_t block = std::max<size_t>(kTokens, 393216 / K / kTokens * kTokens);
    for (size_t begin = 0; begin < M; begin += block) {
        const size_t end = std::min(M, begin + block);
        size_t n = first;
        for (; n + kRows <= last; n += kRows) {
            size_t m = begin;
            for (; m + kTokens <= end; m += kTokens) give_tile<kRows, kTokens>(linear, x, n, m, give);
            for (; m + 2 <= end; m += 2) give_tile<kRows, 2>(linear, x, n, m, give); // a draft's step
            for (; m < end; m++) give_tile<kRows, 1>(linear, x, n, m, give);
        }
        for (; n < last; n++)
            for (size_t m = begin; m < end; m++) give_tile<1, 1>(linear, x, n, m, give);
    }
}

void layer_norm(const float *x, size_t D, const float *weight, const float *bias, float epsilon, float *out) {
    Lanes sums = {}, squares = {};
    for (size_t d = 0; d < D; d += kLanes) sums += load(x + d);
    const float mean = sum(sums) / static_cast<float>(D);
    for (size_t d = 0; d < D; d += kLanes) {
        Lanes off = load(x + d) - mean;
        squares += off * off;
    }
    const float scale = 1.f / std::sqrt(sum(squares) / static_cast<float>(D) + epsilon);
    for (size_t d = 0; d < D; d += kLanes)
        store(out + d, (load(x + d) - mean) * scale * load(weight + d) + load(bias + d));
}

// Lane i of the result is the sum of vectors[i]: sixteen sums for the shuffles of two.
inline Lanes sums_of(const Lanes *vectors) {
    Lanes four[4], pair[2];
    const IntLanes even1 = {0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30};
    const IntLanes odd1 = {1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31};
    const IntLanes even2 = {0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29};
    const IntLanes odd2 = {2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31};
    const IntLanes even4 = {0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27};
    const IntLanes odd4 = {4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31};
    const IntLanes even8 = {0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23};
    const IntLanes odd8 = {8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31};
    auto folded = [](Lanes a, Lanes b, IntLanes even, IntLanes odd) {
        return __builtin_shuffle(a, b, even) + __builtin_shuffle(a, b, odd);
    };
    for (int i = 0; i < 4; i++) {
        const Lanes *v = vectors + 4 * i;
        four[i] = folded(folded(v[0], v[1], even1, odd1), folded(v[2], v[3], even1, odd1), even2, odd2);
    }
    for (int i = 0; i < 2; i++) pair[i] = folded(four[2 * i], four[2 * i + 1], even4, odd4);
    return folded(pair[0], pair[1], even8, odd8);
}

// Scores of `kHeads` heads q [heads, C] against `visible` cached tokens: [heads, visible].
template <typename Cached>
void scores_of(const float *q, size_t C, const Cached *cache, const int64_t *slots, size_t visible, float *scores) {
    const float scale = 1.f / std::sqrt(static_cast<float>(C));
    for (size_t l = 0; l < visible; l += kKeys) {
        const size_t keys = std::min<size_t>(kKeys, visible - l);
        const Cached *key[kKeys];
        for (size_t k = 0; k < kKeys; k++) key[k] = cache + slots[l + std::min(k, keys - 1)] * 2 * C;
        Lanes sums[kHeads * kKeys] = {};
        for (size_t c = 0; c < C; c += kLanes) {
            Lanes head[kHeads];
            for (int h = 0; h < kHeads; h++) head[h] = load(q + h * C + c);
            for (int k = 0; k < kKeys; k++) {
                Lanes part = load(key[k] + c);
                for (int h = 0; h < kHeads; h++) {
                    Lanes &score = sums[h * kKeys + k];
                    score = fused(part, head[h], score);
                }
            }
        }
        float found[kLanes];
        store(found, sums_of(sums) * scale);
        for (int h = 0; h < kHeads; h++) {
            float *to = scores + h * visible + l;
            if (keys == kKeys) std::memcpy(to, found + h * kKeys, sizeof(float) * kKeys);
            else std::copy_n(found + h * kKeys, keys, to);
        }
    }
}

// In place: exp(score - max); returns 1 / their sum.
float soften(float *scores, size_t n) {
    float most = -INFINITY;
    size_t l = 0;
    if (n >= kLanes) {
        Lanes largest = load(scores);
        for (; l + kLanes <= n; l += kLanes) {
            Lanes part = load(scores + l);
            largest = part > largest ? part : largest;
        }
        float parts[kLanes];
        store(parts, largest);
        for (float part : parts) most = part > most ? part : most;
    }
    for (; l < n; l++) most = scores[l] > most ? scores[l] : most;
    Lanes sums = {};
    for (l = 0; l + kLanes <= n; l += kLanes) {
        Lanes weight = exponential(load(scores + l) - most);
        store(scores + l, weight);
        sums += weight;
    }
    float rest = 0;
    if (l < n) {
        float padded[kLanes];
        for (size_t i = 0; i < kLanes; i++) padded[i] = l + i < n ? scores[l + i] : -INFINITY;
        store(padded, exponential(load(padded) - most));
        for (size_t i = 0; l + i < n; i++) rest += scores[l + i] = padded[i];
    }
    return 1.f / (sum(sums) + rest);
}

// `Parts` vectors of the mixed values, from input c on, of `kHeads` heads.
template <int Parts, typename Cached>
inline void mix(const Cached *values, const int64_t *slots, size_t C, size_t visible, const float *scores,
                const float *inverse, size_t heads, size_t c, float *out) {
    Lanes sums[kHeads][Parts] = {};
    for (size_t l = 0; l < visible; l++) {
        const Cached *value = values + slots[l] * 2 * C + c;
        for (int i = 0; i < Parts; i++) {
            Lanes part = load(value + i * kLanes);
            for (int h = 0; h < kHeads; h++)
                sums[h][i] = fused(part, all(scores[h * visible + l]), sums[h][i]);
        }
    }
    for (size_t h = 0; h < heads; h++)
        for (int i = 0; i < Parts; i++) store(out + h * C + c + i * kLanes, sums[h][i] * inverse[h]);
}

// Up to `kHeads` heads of one token over `visible` cached tokens. q and out [heads, C]; of q there is
// always room for `kHeads` heads.
template <typename Cached>
void attend(const float *q, size_t heads, size_t C, const Cached *cache, const int64_t *slots, size_t visible,
            float *scores, float *out) {
    scores_of(q, C, cache, slots, visible, scores);
    float inverse[kHeads];
    for (int h = 0; h < kHeads; h++) inverse[h] = soften(scores + h * visible, visible);
    size_t c = 0;
    for (; c + 4 * kLanes <= C; c += 4 * kLanes)
        mix<4>(cache + C, slots, C, visible, scores, inverse, heads, c, out);
    for (; c < C; c += kLanes) mix<1>(cache + C, slots, C, visible, scores, inverse, heads, c, out);
}

// All threads wait for each other. They spin for some microseconds, as the work between two meetings
// is short, then let others have the core: an editor's machine is busy.
class Meeting {
  public:
    explicit Meeting(int threads) : threads_(threads) {}

    void wait() {
        if (threads_ == 1) return;
        const int round = round_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) == threads_ - 1) {
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; round_.load(std::memory_order_acquire) == round; spins++)
            if (spins > 2000) sched_yield();
    }

  private:
    const int threads_;
    std::atomic<int> arrived_{0}, round_{0};
};

struct Part {
    size_t first, last;
};

// Thread `id`'s share of n things, in whole multiples of `unit`.
Part share(size_t n, size_t unit, int id, int threads) {
    const size_t units = (n + unit - 1) / unit;
    return {std::min(n, units * id / threads * unit), std::min(n, units * (id + 1) / threads * unit)};
}

// What a thread has for itself.
struct Worker {
    std::vector<float> normed; // [D]
    std::vector<float> scores; // [kHeads, L]
    Quantised codes;           // of few tokens: sharing them out would cost more than it saves
    PanelRoom panels;
};

struct Scratch {
    std::vector<float> x, query, mixed, inner; // [M, D], [M, D], [M, D], [M, F]
    std::vector<float> context;                // contexts of sequences with many new tokens, in order [L, 2, C]
    std::vector<size_t> starts;                // where in it each sequence's is, in tokens
    std::vector<int64_t> in_order;             // 0, 1, 2…: the slots of a context that lies there
    Quantised codes;                           // of many tokens: each thread makes its share
    std::vector<Worker> workers;

    void reserve(const Model &model, const Step &step) {
        const size_t M = step.n_tokens, D = model.width, F = model.inner, C = model.head_dim;
        auto grow = [](auto &buffer, size_t size) { buffer.resize(std::max(buffer.size(), size)); };
        size_t longest = 0, laid = 0;
        starts.clear();
        for (int64_t s = 0; s < step.n_sequences; s++) {
            const size_t length = step.context_bounds[s + 1] - step.context_bounds[s];
            longest = std::max(longest, length);
            starts.push_back(laid);
            if (is_many(step.n_new[s])) laid += length;
        }
        for (auto *buffer : {&x, &mixed}) grow(*buffer, M * D);
        // Attention reads whole groups of heads, the last of which may be half empty.
        grow(query, M * D + kHeads * C);
        grow(inner, M * F);
        grow(context, laid * 2 * C);
        for (size_t l = in_order.size(); laid && l < longest; l++) in_order.push_back(l);
        if (is_many(M)) codes.reserve(M, std::max(D, F));
        grow(workers, step.threads);
        for (Worker &worker : workers) {
            grow(worker.normed, D);
            grow(worker.scores, kHeads * longest);
            if (is_many(M)) worker.panels.reserve(M, std::max(D, F));
            else worker.codes.reserve(M, std::max(D, F));
        }
    }

    static bool is_many(size_t tokens) { return tokens >= kMany; }
};

// The contexts of sequences with many new tokens, widened once for all of them.
template <typename Cached>
void lay_contexts(const Step &step, const Cached *cache, size_t C, Scratch &scratch, int id, int threads,
                  Meeting &meeting) {
    bool any = false;
    for (int64_t s = 0; s < step.n_sequences; s++) {
        if (!Scratch::is_many(step.n_new[s])) continue;
        any = true;
        const int64_t *slots = step.context_slots + step.context_bounds[s];
        float *to = scratch.context.data() + scratch.starts[s] * 2 * C;
        const Part part = share(step.context_bounds[s + 1] - step.context_bounds[s], 1, id, threads);
        for (size_t l = part.first; l < part.last; l++)
            for (size_t c = 0; c < 2 * C; c += kLanes) store(to + l * 2 * C + c, load(cache + slots[l] * 2 * C + c));
    }
    if (any) meeting.wait();
}

template <typename Cached>
void run(const Model &model, const Step &step, Scratch &scratch, int threads) {
    const size_t M = step.n_tokens, D = model.width, H = model.n_head, C = model.head_dim, F = model.inner;
    const float epsilon = static_cast<float>(model.epsilon);
    float *x = scratch.x.data(), *query = scratch.query.data();
    float *mixed = scratch.mixed.data(), *inner = scratch.inner.data();
    std::memcpy(x, step.embedded, M * D * sizeof(float));
    Meeting meeting(threads);
    const size_t quads = (H + kHeads - 1) / kHeads;
#pragma omp parallel num_threads(threads)
    {
        const int id = omp_get_thread_num();
        Worker &worker = scratch.workers[id];
        const bool many = Scratch::is_many(M);
        Quantised &codes = many ? scratch.codes : worker.codes;
        float *normed = worker.normed.data();
        const Part mine = many ? share(M, 1, id, threads) : Part{0, M};
        auto quantise = [&](const float *rows, const Linear &linear) {
            for (size_t m = mine.first; m < mine.last; m++) codes.take(rows + m * linear.n_in, m, linear);
            if (many) meeting.wait();
        };
        auto norm = [&](const float *weight, const float *bias, const Linear &linear) {
            for (size_t m = mine.first; m < mine.last; m++) {
                layer_norm(x + m * D, D, weight, bias, epsilon, normed);
                codes.take(normed, m, linear);
            }
            if (many) meeting.wait();
        };
        for (int64_t l = 0; l < model.n_layer; l++) {
            const Layer &layer = model.layers[l];
            Cached *cache = static_cast<Cached *>(step.cache) + l * step.n_slots * 2 * C;
            norm(layer.ln_1_weight, layer.ln_1_bias, layer.qkv);
            Part part = share(layer.qkv.n_out, 16, id, threads);
            multiply(layer.qkv, codes, M, part.first, part.last, worker.panels, [&](size_t m, size_t n, auto value) {
                if (n < D) put(query + m * D + n, value);
                else put(cache + step.new_slots[m] * 2 * C + (n - D), value);
            });
            meeting.wait();
            lay_contexts(step, cache, C, scratch, id, threads, meeting);
            part = share(M * quads, 1, id, threads);
            size_t row = 0;
            for (int64_t s = 0; s < step.n_sequences; s++) {
                const size_t length = step.context_bounds[s + 1] - step.context_bounds[s];
                for (int64_t i = 0; i < step.n_new[s]; i++, row++)
                    for (size_t quad = 0; quad < quads; quad++) {
                        const size_t task = row * quads + quad;
                        if (task < part.first || task >= part.last) continue;
                        const size_t head = quad * kHeads, at = row * D + head * C, heads = std::min<size_t>(kHeads, H - head);
                        const size_t visible = length - step.n_new[s] + i + 1;
                        float *scores = worker.scores.data();
                        if (Scratch::is_many(step.n_new[s]))
                            attend(query + at, heads, C, scratch.context.data() + scratch.starts[s] * 2 * C,
                                   scratch.in_order.data(), visible, scores, mixed + at);
                        else
                            attend(query + at, heads, C, cache, step.context_slots + step.context_bounds[s], visible,
                                   scores, mixed + at);
                    }
            }
            meeting.wait();
            quantise(mixed, layer.proj);
            part = share(D, 16, id, threads);
            multiply(layer.proj, codes, M, part.first, part.last, worker.panels,
                     [&](size_t m, size_t n, auto value) { add(x + m * D + n, value); });
            meeting.wait();
            norm(layer.ln_2_weight, layer.ln_2_bias, layer.fc);
            part = share(F, 16, id, threads);
            multiply(layer.fc, codes, M, part.first, part.last, worker.panels,
                     [&](size_t m, size_t n, auto value) { put(inner + m * F + n, value); });
            for (size_t m = 0; m < M; m++)
                for (size_t n = part.first; n < part.last; n += kLanes)
                    store(inner + m * F + n, gelu(load(inner + m * F + n)));
            meeting.wait();
            quantise(inner, layer.out);
            part = share(D, 16, id, threads);
            multiply(layer.out, codes, M, part.first, part.last, worker.panels,
                     [&](size_t m, size_t n, auto value) { add(x + m * D + n, value); });
            meeting.wait();
        }
        const Part part = share(M, 1, id, threads);
        for (size_t m = part.first; m < part.last; m++)
            layer_norm(x + m * D, D, model.ln_f_weight, model.ln_f_bias, epsilon, step.hidden + m * D);
    }
}

bool fits(const Linear &linear, int64_t n_out, int64_t n_in) {
    const bool stored = linear.bits == 8   ? linear.scale && linear.sums
                        : linear.bits == 4 ? linear.scales && linear.minima
                                           : false;
    return stored && linear.weight && linear.n_out == n_out && linear.n_in == n_in && n_in % kGroup == 0;
}

Error check(const Model &model, const Step &step) {
    const int64_t D = model.width, C = model.head_dim, F = model.inner, M = step.n_tokens;
    if (D <= 0 || C <= 0 || F <= 0 || D % kGroup || F % kGroup || C % kLanes || model.n_head * C != D)
        return kShape;
    for (int64_t l = 0; l < model.n_layer; l++) {
        const Layer &layer = model.layers[l];
        if (!fits(layer.qkv, D + 2 * C, D) || !fits(layer.proj, D, D) || !fits(layer.fc, F, D) ||
            !fits(layer.out, D, F))
            return kShape;
    }
    if (M < 1 || M > kMaxTokens || step.n_sequences < 1 || step.threads < 1 || step.n_slots < 1) return kShape;
    int64_t tokens = 0;
    for (int64_t s = 0; s < step.n_sequences; s++) {
        const int64_t length = step.context_bounds[s + 1] - step.context_bounds[s];
        if (step.n_new[s] < 1 || length < step.n_new[s]) return kShape;
        tokens += step.n_new[s];
    }
    if (tokens != M) return kShape;
    for (int64_t m = 0; m < M; m++)
        if (step.new_slots[m] < 0 || step.new_slots[m] >= step.n_slots) return kSlot;
    for (int64_t i = 0; i < step.context_bounds[step.n_sequences]; i++)
        if (step.context_slots[i] < 0 || step.context_slots[i] >= step.n_slots) return kSlot;
    return kOk;
}

// ---- Weights rounded as they are loaded: the same as model.quantize does. ----

// A row of a matrix [rows, K] in fp32, or widened into `room` [K] from bf16.
inline const float *row_of(const void *matrix, bool is_bf16, size_t row, size_t K, float *room) {
    if (!is_bf16) return static_cast<const float *>(matrix) + row * K;
    const uint16_t *halves = static_cast<const uint16_t *>(matrix) + row * K;
    for (size_t k = 0; k < K; k += kLanes) store(room + k, load(halves + k));
    return room;
}

void row_to_int8(const float *x, size_t K, int8_t *codes, float *scale, int32_t *row_sum) {
    const float step = largest(x, K) / 127.f;
    *scale = step + not_numbers(x, K);
    Lanes sums = {}; // whole numbers below 2^24: exact
    for (size_t k = 0; k < K; k += kLanes) {
        const Lanes rounded = load(x + k) / step + kMagic;
        put_bytes(codes + k, rounded);
        sums += rounded - kMagic;
    }
    *row_sum = static_cast<int32_t>(sum(sums));
}

inline float as_bf16(float value, uint16_t *half) {
    put(half, value);
    return widened(*half);
}

// 64 weights in 16 levels: of five ranges, the one with the least squared error. A few clipped outliers
// cost less than coarse steps for all.
void group_to_int4(const float *x, uint8_t *codes, uint16_t *scale, uint16_t *minimum) {
    constexpr int parts = kGroup / kLanes;
    float low = x[0], high = x[0], least = INFINITY;
    for (int i = 1; i < kGroup; i++) low = std::min(low, x[i]), high = std::max(high, x[i]);
    for (float share : {1.f, .95f, .9f, .85f, .8f}) {
        uint16_t low_half, step_half;
        const float from = as_bf16(low * share, &low_half);
        const float step = as_bf16(std::max((high * share - from) / 15.f, 1e-8f), &step_half);
        Lanes errors = {}, rounded[parts];
        for (int i = 0; i < parts; i++) {
            const Lanes zero = {}, wanted = load(x + i * kLanes), level = (wanted - from) / step;
            const Lanes within = level < zero ? zero : level > all(15.f) ? all(15.f) : level;
            rounded[i] = within + kMagic;
            const Lanes error = from + (rounded[i] - kMagic) * step - wanted;
            errors += error * error;
        }
        const float error = sum(errors);
        if (!(error < least)) continue;
        least = error, *scale = step_half, *minimum = low_half;
        int8_t whole[kGroup];
        for (int i = 0; i < parts; i++) put_bytes(whole + i * kLanes, rounded[i]);
        for (int i = 0; i < kGroup / 2; i++)
            codes[i] = static_cast<uint8_t>(whole[i] | whole[i + kGroup / 2] << 4);
    }
    if (least == INFINITY) put(scale, NAN), put(minimum, NAN), std::memset(codes, 0, kGroup / 2); // bad numbers stay so
}

} // namespace

extern "C" {

// Which variants this CPU can run, as bits: 1 AVX2, 2 AVX-VNNI, 4 AVX512-VNNI. 0 off x86.
int starcoder_cpu() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    unsigned a = 0, b = 0, c = 0, d = 0; // leaf 7, subleaf 1, EAX bit 4: not every compiler knows its name
    const bool avx_vnni = avx2 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
    return (avx2 ? 1 : 0) | (avx_vnni ? 2 : 0) | (avx512 ? 4 : 0);
#else
    return 0;
#endif
}

const char *starcoder_variant() {
#if defined(__AVX512VNNI__)
    return "avx512-vnni";
#elif defined(__AVXVNNI__)
    return "avx-vnni";
#elif defined(__AVX2__)
    return "avx2";
#elif defined(__ARM_FEATURE_DOTPROD)
    return "neon-dotprod";
#else
    return "plain";
#endif
}

// Row sums [O] of int8 weights [O, K].
void starcoder_row_sums(const int8_t *weight, int64_t n_out, int64_t n_in, int32_t *sums, int64_t threads) {
#pragma omp parallel for num_threads(static_cast<int>(threads))
    for (int64_t n = 0; n < n_out; n++) {
        int32_t row = 0;
        for (int64_t k = 0; k < n_in; k++) row += weight[n * n_in + k];
        sums[n] = row;
    }
}

// Weights [O, K] in fp32 or bf16 -> int8 codes [O, K], a scale and the sum of the codes for each row.
int starcoder_to_int8(const void *weight, int64_t is_bf16, int64_t n_out, int64_t n_in, int8_t *codes, float *scale,
                      int32_t *sums, int64_t threads) {
    if (n_out < 1 || n_in < 1 || n_in % kGroup || threads < 1) return kShape;
    try {
        std::vector<float> room(threads * n_in);
#pragma omp parallel for num_threads(static_cast<int>(threads))
        for (int64_t n = 0; n < n_out; n++) {
            const float *row = row_of(weight, is_bf16, n, n_in, room.data() + omp_get_thread_num() * n_in);
            row_to_int8(row, n_in, codes + n * n_in, scale + n, sums + n);
        }
    } catch (const std::bad_alloc &) {
        return kMemory;
    }
    return kOk;
}

// Weights [O, K] in fp32 or bf16 -> packed codes [O, K / 2], bf16 scales and minima [O, K / 64].
int starcoder_to_int4(const void *weight, int64_t is_bf16, int64_t n_out, int64_t n_in, uint8_t *codes,
                      uint16_t *scales, uint16_t *minima, int64_t threads) {
    if (n_out < 1 || n_in < 1 || n_in % kGroup || threads < 1) return kShape;
    try {
        std::vector<float> room(threads * n_in);
#pragma omp parallel for num_threads(static_cast<int>(threads))
        for (int64_t n = 0; n < n_out; n++) {
            const float *row = row_of(weight, is_bf16, n, n_in, room.data() + omp_get_thread_num() * n_in);
            for (int64_t g = n * (n_in / kGroup), k = 0; k < n_in; g++, k += kGroup)
                group_to_int4(row + k, codes + g * (kGroup / 2), scales + g, minima + g);
        }
    } catch (const std::bad_alloc &) {
        return kMemory;
    }
    return kOk;
}

// x [M, K] -> y [M, O].
int starcoder_linear(const Linear *linear, const float *x, int64_t n_tokens, float *y, int64_t threads) {
    if (n_tokens < 1 || threads < 1 || !fits(*linear, linear->n_out, linear->n_in)) return kShape;
    const size_t M = n_tokens, K = linear->n_in, O = linear->n_out;
    try {
        Quantised codes;
        codes.reserve(M, K);
        std::vector<PanelRoom> rooms(threads);
        if (Scratch::is_many(M))
            for (PanelRoom &room : rooms) room.reserve(M, K);
#pragma omp parallel num_threads(static_cast<int>(threads))
        {
#pragma omp for
            for (size_t m = 0; m < M; m++) codes.take(x + m * K, m, *linear);
            const int id = omp_get_thread_num();
            const Part part = share(O, 16, id, omp_get_num_threads());
            multiply(*linear, codes, M, part.first, part.last, rooms[id],
                     [&](size_t m, size_t n, auto value) { put(y + m * O + n, value); });
        }
    } catch (const std::bad_alloc &) {
        return kMemory;
    }
    return kOk;
}

void *starcoder_new_scratch() { return new (std::nothrow) Scratch; }

void starcoder_free_scratch(void *scratch) { delete static_cast<Scratch *>(scratch); }

// The hidden states of a step's tokens, whose keys and values it writes to the cache.
int starcoder_step(const Model *model, const Step *step, void *scratch_pointer) {
    const Error error = check(*model, *step);
    if (error != kOk) return error;
    Scratch &scratch = *static_cast<Scratch *>(scratch_pointer);
    const int threads = static_cast<int>(step->threads);
    try {
        scratch.reserve(*model, *step);
    } catch (const std::bad_alloc &) {
        return kMemory;
    }
    if (step->is_bf16) run<uint16_t>(*model, *step, scratch, threads);
    else run<float>(*model, *step, scratch, threads);
    return kOk;
}

} // extern "C"
