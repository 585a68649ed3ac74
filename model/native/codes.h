// Products of codes of 4 to 6 bits, of which each group of inputs has a scale of its own: see `struct Linear`.
//
// The integer sums of a group are exact; groups are added up in order, so that a token's result does not depend on its batch.

#pragma once

#include <utility>

#include "bytes.h"

namespace {

constexpr size_t kHalf = kUnit / 2; // inputs after which a group may end
constexpr size_t kBytesOfBit = kPanel * 4; // of a bit of all codes of a unit in a panel: see `struct Linear`

// The codes of a unit as they are kept, with so many high bits.
template <int High>
struct Packed {
    static constexpr size_t kBytes = (4 + High) * kBytesOfBit, kAhead = 4096; // bytes asked of memory before they are used

    // The codes of four inputs, those of step `Step`, in a register of outputs.
    template <size_t Step>
    static Bytes of(const uint8_t *unit, size_t part) {
        const Bytes pair = bytes(unit + Step / 2 * kBytesOfBit + part * sizeof(Bytes));
        const Bytes low = masked(shifted<Step % 2 ? -4 : 0>(pair), 15);
        if constexpr (High == 0) return low;
        else {
            constexpr size_t together = 8 / High; // steps whose high bits share a byte
            const Bytes high = bytes(unit + (4 + Step / together) * kBytesOfBit + part * sizeof(Bytes));
            return joined(low, masked(shifted<4 - static_cast<int>(Step % together) * High>(high), ((1 << High) - 1) << 4));
        }
    }
};

// A code in each byte.
struct Spread {
    static constexpr size_t kBytes = kUnit * kPanel, kAhead = 0;

    template <size_t Step>
    static Bytes of(const uint8_t *unit, size_t part) { return bytes(unit + Step * kBytesOfBit + part * sizeof(Bytes)); }
};

// Where the groups of a panel lie, from an input on.
struct Groups {
    size_t group, K, G; // inputs of a group; of a row its inputs and groups
    int32_t centre;     // the code of zero, where there are no minima
    const uint8_t *codes;
    const uint16_t *scales, *minima;

    Groups(const Linear &linear, size_t output, size_t input)
        : group(linear.group), K(linear.n_in), G(K / group), centre(linear.minima ? 0 : 1 << (linear.bits - 1)) {
        const size_t first = output * G + input / group * kPanel;
        codes = static_cast<const uint8_t *>(linear.weight) + (output * K + input * kPanel) * linear.bits / 8;
        scales = linear.scales + first;
        minima = linear.minima ? linear.minima + first : nullptr;
    }
};

// Add the products of four inputs with R rows to sums.
template <typename Codes, size_t Step, int R>
[[gnu::always_inline]] inline void step_products(const uint8_t *unit, const int8_t *x, size_t K, Sums (&sums)[R][kWide]) {
    Bytes w[kWide];
#pragma GCC unroll 16
    for (int v = 0; v < kWide; v++) w[v] = Codes::template of<Step>(unit, v);
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
        const Bytes token = four(x + r * K + Step * 4);
#pragma GCC unroll 16
        for (int v = 0; v < kWide; v++) sums[r][v] = dot(sums[r][v], w[v], token);
    }
}

template <typename Codes, size_t First, int R>
[[gnu::always_inline]] inline void half_unit(const uint8_t *unit, const int8_t *x, size_t K, Sums (&sums)[R][kWide]) {
    step_products<Codes, First>(unit, x, K, sums);
    step_products<Codes, First + 1>(unit, x, K, sums);
    step_products<Codes, First + 2>(unit, x, K, sums);
    step_products<Codes, First + 3>(unit, x, K, sums);
}

// Add the products of a panel's codes of n inputs with R rows of bytes to sums [R, kPanel]: of each group
// scale · Σ code · x + minimum · Σ x. `codes`: those of `at`, packed or spread.
template <typename Codes, int R>
[[gnu::noinline]] void group_products(const Groups &at, const uint8_t *codes, const int8_t *x, const int32_t *group_sum, size_t n,
                                      float *found) {
    const size_t halves = at.group / kHalf;
    for (size_t g = 0; g < n / at.group; g++) {
        Sums sums[R][kWide];
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
#pragma GCC unroll 16
            for (int v = 0; v < kWide; v++) sums[r][v] = all_sums(-at.centre * group_sum[r * at.G + g]);
        for (size_t half = g * halves; half < (g + 1) * halves; half++) {
            const uint8_t *unit = codes + half / 2 * Codes::kBytes;
            const int8_t *inputs = x + half / 2 * kUnit;
            if constexpr (Codes::kAhead)
#pragma GCC unroll 8
                for (size_t line = 0; line < Codes::kBytes / 2; line += 64)
                    __builtin_prefetch(unit + half % 2 * (Codes::kBytes / 2) + Codes::kAhead + line);
            if (half % 2) half_unit<Codes, 4>(unit, inputs, at.K, sums);
            else half_unit<Codes, 0>(unit, inputs, at.K, sums);
        }
#pragma GCC unroll 16
        for (int v = 0; v < kWide; v++) {
            const size_t place = g * kPanel + v * kLanes;
            const Lanes scale = load_halves(at.scales + place);
#pragma GCC unroll 16
            for (int r = 0; r < R; r++) {
                float *own = found + r * kPanel + v * kLanes;
                store(own, fused(in_floats(sums[r][v]), scale, load(own)));
            }
            if (!at.minima) continue;
            const Lanes minimum = load_halves(at.minima + place);
#pragma GCC unroll 16
            for (int r = 0; r < R; r++) {
                float *own = found + r * kPanel + v * kLanes;
                store(own, fused(minimum, all(static_cast<float>(group_sum[r * at.G + g])), load(own)));
            }
        }
    }
}

template <size_t... Step, typename Codes>
inline void spread_unit(const uint8_t *unit, uint8_t *to, std::index_sequence<Step...>, Codes) {
    for (size_t v = 0; v < kWide; v++) {
        const Bytes codes[] = {Codes::template of<Step>(unit, v)...};
        for (size_t step = 0; step < sizeof...(Step); step++)
            std::memcpy(to + step * kBytesOfBit + v * sizeof(Bytes), &codes[step], sizeof(Bytes));
    }
}

// The packed codes of n inputs in a byte each.
template <typename Codes>
void spread(const uint8_t *packed, size_t n, uint8_t *to) {
    for (size_t unit = 0; unit < n / kUnit; unit++)
        spread_unit(packed + unit * Codes::kBytes, to + unit * Spread::kBytes, std::make_index_sequence<8>{}, Codes{});
}

// Call use(codes) for how codes of so many bits are packed.
template <typename Use>
inline void packed_in(int64_t bits, Use use) {
    if (bits == 4) use(Packed<0>{});
    else if (bits == 5) use(Packed<1>{});
    else use(Packed<2>{});
}

} // namespace
