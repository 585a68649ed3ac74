// Linear layers: activations are quantised by token, then multiplied with panels of weights.
//
// Integer sums are exact, so every instruction set has the same ones, and a token's result does not depend on
// its batch.

#pragma once

#include <algorithm>
#include <new>
#include <type_traits>
#include <vector>

#include "codes.h"

namespace {

constexpr float kRest = 254.f;
constexpr size_t kBlock = 512; // inputs of a panel that stay in the first-level cache

// Memory from the beginning of a line of the cache on: registers are as wide as one, and what lies across two takes two
// loads.
template <typename T>
struct Lines {
    using value_type = T;
    Lines() = default;
    template <typename U>
    Lines(const Lines<U> &) {}
    T *allocate(size_t n) { return static_cast<T *>(::operator new(n * sizeof(T), std::align_val_t{64})); }
    void deallocate(T *from, size_t) { ::operator delete(from, std::align_val_t{64}); }
    bool operator==(const Lines &) const { return true; }
    bool operator!=(const Lines &) const { return false; }
};
template <typename T>
using Buffer = std::vector<T, Lines<T>>;

// Activations of M tokens in int8; where that is too coarse, in twice eight bits.
struct Quantised {
    Buffer<int8_t> codes;         // [M, K], fine ones [M, 2, K]: what rounding left, in steps of 1 / kRest; for int8
                                  // weights plus kOffset
    Buffer<float> scale;          // [M]
    Buffer<int32_t> group_sum;    // for groups of codes [M, G], fine ones [M, 2, G]

    void reserve(size_t tokens, size_t widest) {
        codes.resize(std::max(codes.size(), 2 * tokens * widest));
        scale.resize(std::max(scale.size(), tokens));
        group_sum.resize(std::max(group_sum.size(), 2 * tokens * (widest / kHalf)));
    }

    void take(const float *x, size_t token, const Linear &linear) {
        const size_t K = linear.n_in, pieces = linear.fine ? 2 : 1;
        const float most = largest(x, K), inverse = 127.f / most;
        scale[token] = most / 127.f + not_numbers(x, K);
        int8_t *to = codes.data() + token * pieces * K;
        const int8_t offset = linear.bits == 8 ? static_cast<int8_t>(kOffset) : 0;
        for (size_t k = 0; k < K; k += kLanes) {
            const Lanes wanted = load(x + k) * inverse, rounded = wanted + kMagic;
            put_bytes(to + k, rounded, offset);
            if (linear.fine) put_bytes(to + K + k, (wanted - (rounded - kMagic)) * kRest + kMagic, offset);
        }
        if (linear.bits == 8) return;
        const size_t G = K / linear.group;
        for (size_t g = 0; g < pieces * G; g++) {
            int32_t sum = 0;
            for (int64_t k = 0; k < linear.group; k++) sum += to[g * linear.group + k];
            group_sum[token * pieces * G + g] = sum;
        }
    }
};

// Call run(first, R) for n rows, R of them at a time: `Most`, and once as many as are left. R is a constant.
template <int Most, typename Run>
inline void by_rows(size_t n, Run run) {
    size_t row = 0;
    for (; row + Most <= n; row += Most) run(row, std::integral_constant<int, Most>{});
    if constexpr (Most > 1)
        if (row < n) by_rows<Most - 1>(n - row, [&](size_t at, auto rows) { run(row + at, rows); });
}

// Add the products of a panel of n inputs with R rows of bytes to sums [R, kPanel]. Not inlined: a copy of it in
// every function below would fill the cache of instructions.
template <int R>
[[gnu::noinline]] void panel_products(const int8_t *panel, const int8_t *x, size_t K, size_t n, int32_t *sums) {
    Sums own[R][kWide]; // unrolled by order: left to itself, GCC keeps them in memory
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 16
        for (int v = 0; v < kWide; v++) std::memcpy(&own[r][v], sums + r * kPanel + v * kLanes, sizeof(Sums));
    for (size_t i = 0; i < n; i += 4) {
        Bytes w[kWide];
#pragma GCC unroll 16
        for (int v = 0; v < kWide; v++) w[v] = bytes(panel + i * kPanel + v * sizeof(Bytes));
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
            const Bytes token = four(x + r * K + i);
#pragma GCC unroll 16
            for (int v = 0; v < kWide; v++) own[r][v] = dot(own[r][v], token, w[v]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 16
        for (int v = 0; v < kWide; v++) std::memcpy(sums + r * kPanel + v * kLanes, &own[r][v], sizeof(Sums));
}

inline Lanes bias_of(const Linear &linear, size_t n) { return linear.bias ? load(linear.bias + n) : Lanes{}; }

// What becomes of the integer sums of a panel.
class Finish {
  public:
    Finish(const Linear &linear, size_t n) {
        for (int part = 0; part < kWide; part++) {
            const size_t at = n + part * kLanes;
            offset_[part] = kOffset * load(linear.sums + at);
            scale_[part] = load(linear.scale + at);
            bias_[part] = bias_of(linear, at);
        }
    }

    // kLanes outputs of a token; what rounding left of its activations stands a panel further on.
    Lanes operator()(int part, const int32_t *sums, bool fine, float scale) const {
        Lanes product = __builtin_convertvector(load(sums) - offset_[part], Lanes);
        if (fine) product += __builtin_convertvector(load(sums + kPanel) - offset_[part], Lanes) * (1.f / kRest);
        return product * (scale_[part] * scale) + bias_[part];
    }

  private:
    IntLanes offset_[kWide];
    Lanes scale_[kWide], bias_[kWide];
};

// See `multiply`, for codes.
template <typename Give>
inline void multiply_codes(const Linear &linear, const Quantised &x, size_t M, size_t first, size_t last, float *room, Give give) {
    const size_t K = linear.n_in, pieces = linear.fine ? 2 : 1, rows_of_all = M * pieces;
    const bool few = rows_of_all <= kRows; // more share codes that are unpacked once
    const size_t block = few ? K : std::min(K, kBlock);
    alignas(64) uint8_t unpacked[kBlock * kPanel];
    for (size_t n = first; n < last; n += kPanel) {
        std::memset(room, 0, rows_of_all * kPanel * sizeof(float));
        for (size_t k = 0; k < K; k += block) {
            const Groups at(linear, n, k);
            const size_t here = std::min(block, K - k);
            packed_in(linear.bits, [&](auto packed) {
                using Codes = decltype(packed);
                if (!few) spread<Codes>(at.codes, here, unpacked);
                by_rows<kRows>(rows_of_all, [&](size_t row, auto rows) {
                    const int8_t *own = x.codes.data() + row * K + k;
                    const int32_t *group_sum = x.group_sum.data() + row * at.G + k / at.group;
                    float *sums = room + row * kPanel;
                    if (few) group_products<Codes, rows>(at, at.codes, own, group_sum, here, sums);
                    else group_products<Spread, rows>(at, unpacked, own, group_sum, here, sums);
                });
            });
        }
        const float *sums = room;
        for (size_t m = 0; m < M; m++, sums += pieces * kPanel)
            for (int part = 0; part < kWide; part++) {
                const size_t output = n + part * kLanes;
                Lanes product = load(sums + part * kLanes);
                if (linear.fine) product += load(sums + kPanel + part * kLanes) * (1.f / kRest);
                give(m, output, product * x.scale[m] + bias_of(linear, output));
            }
    }
}

// Call give(token, output, values) for the outputs [first, last) of M tokens, kLanes of them at a time; of whole panels.
// room [2 M, kPanel].
template <typename Give>
inline void multiply(const Linear &linear, const Quantised &x, size_t M, size_t first, size_t last, int32_t *room, Give give) {
    if (linear.bits < 8) return multiply_codes(linear, x, M, first, last, reinterpret_cast<float *>(room), give);
    const size_t K = linear.n_in;
    const size_t pieces = linear.fine ? 2 : 1, rows_of_all = M * pieces;
    const size_t block = rows_of_all <= kRows ? K : std::min(K, kBlock);
    for (size_t n = first; n < last; n += kPanel) {
        const int8_t *panel = static_cast<const int8_t *>(linear.weight) + n * K;
        const Finish finish(linear, n);
        for (size_t k = 0; k < K; k += block)
            by_rows<kRows>(rows_of_all, [&](size_t row, auto rows) {
                // While a block is in use, the next one, which follows it in memory, comes into the second-level cache.
                const size_t coming = block * kPanel / rows_of_all;
                for (size_t line = row * coming; rows_of_all > kRows && line < (row + rows) * coming; line += 64)
                    __builtin_prefetch(panel + (k + block) * kPanel + line, 0, 2);
                int32_t *sums = room + row * kPanel;
                if (k == 0) std::fill_n(sums, rows * kPanel, 0);
                panel_products<rows>(panel + k * kPanel, x.codes.data() + row * K + k, K, std::min(block, K - k), sums);
                if (k + block < K) return;
                for (size_t m = row / pieces; m < (row + rows) / pieces; m++, sums += pieces * kPanel)
                    for (int part = 0; part < kWide; part++)
                        give(m, n + part * kLanes, finish(part, sums + part * kLanes, linear.fine, x.scale[m]));
            });
    }
}

} // namespace
