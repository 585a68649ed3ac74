// Weights rounded as they are loaded, the same as model.pytorch.quantize does, and laid out in panels.

#pragma once

#include <algorithm>

#include "interface.h"
#include "numbers.h"

namespace {

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

inline float as_half(float value, uint16_t *half) {
    *half = to_half(value);
    return from_half(*half);
}

constexpr int kGroup = 64; // weights of int4 that share a scale and a minimum

// 64 weights in 16 levels, codes [kGroup]: of five ranges, the one with the least squared error. A few clipped outliers
// cost less than coarse steps for all.
void group_to_int4(const float *x, uint8_t *codes, uint16_t *scale, uint16_t *minimum) {
    constexpr int parts = kGroup / kLanes;
    float low = x[0], high = x[0], least = INFINITY;
    for (int i = 1; i < kGroup; i++) low = std::min(low, x[i]), high = std::max(high, x[i]);
    for (float share : {1.f, .95f, .9f, .85f, .8f}) {
        uint16_t low_half, step_half;
        const float from = as_half(low * share, &low_half);
        const float step = as_half(std::max((high * share - from) / 15.f, 6e-8f), &step_half);
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
        for (int i = 0; i < parts; i++) put_bytes(reinterpret_cast<int8_t *>(codes) + i * kLanes, rounded[i]);
    }
    if (least == INFINITY) *scale = *minimum = to_half(NAN), std::memset(codes, 0, kGroup); // bad numbers stay so
}

// Rows [n, K] of at most kPanel outputs -> their panel [K / 4, kPanel, 4].
void lay_out(const int8_t *rows, size_t n, size_t K, int8_t *panel) {
    for (size_t k = 0; k < K; k += 4)
        for (size_t r = 0; r < n; r++) std::memcpy(panel + k * kPanel + r * 4, rows + r * K + k, 4);
}

// Four codes at a time: their bits from `first` on, as many as the mask has, moved to bit `to`.
inline uint32_t moved(uint32_t codes, int first, uint32_t mask, size_t to) { return (codes >> first & mask * 0x01010101) << to; }

// The same for codes [n, K] of so many bits -> [K / kUnit, bits, kPanel, 4]: see `struct Linear`.
void lay_out_codes(const uint8_t *rows, size_t n, size_t K, size_t bits, uint8_t *panel) {
    const size_t high = bits - 4;
    for (size_t r = 0; r < n; r++)
        for (size_t k = 0; k < K; k += kUnit) {
            uint32_t steps[8], laid[6] = {};
            std::memcpy(steps, rows + r * K + k, sizeof steps);
            for (size_t step = 0; step < 8; step++) {
                laid[step / 2] |= moved(steps[step], 0, 15, step % 2 * 4);
                if (high) laid[4 + step * high / 8] |= moved(steps[step], 4, (1 << high) - 1, step * high % 8);
            }
            for (size_t bit = 0; bit < bits; bit++)
                std::memcpy(panel + ((k / kUnit * bits + bit) * kPanel + r) * 4, laid + bit, 4);
        }
}

} // namespace
