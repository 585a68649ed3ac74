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

inline float as_bf16(float value, uint16_t *half) {
    put(half, value);
    return widened(*half);
}

// 64 weights in 16 levels, codes [kGroup]: of five ranges, the one with the least squared error. A few clipped outliers
// cost less than coarse steps for all.
void group_to_int4(const float *x, int8_t *codes, uint16_t *scale, uint16_t *minimum) {
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
        for (int i = 0; i < parts; i++) put_bytes(codes + i * kLanes, rounded[i]);
    }
    if (least == INFINITY) put(scale, NAN), put(minimum, NAN), std::memset(codes, 0, kGroup); // bad numbers stay so
}

// Rows [n, K] of at most kPanel outputs -> their panel [K / 4, kPanel, 4].
void lay_out(const int8_t *rows, size_t n, size_t K, int8_t *panel) {
    for (size_t k = 0; k < K; k += 4)
        for (size_t r = 0; r < n; r++) std::memcpy(panel + k * kPanel + r * 4, rows + r * K + k, 4);
}

// The same for codes of four bits -> [K / 8, kPanel, 4]: in the low halves the first four inputs of eight.
void lay_out_pairs(const int8_t *rows, size_t n, size_t K, uint8_t *panel) {
    for (size_t k = 0; k < K; k += 8)
        for (size_t r = 0; r < n; r++)
            for (size_t i = 0; i < 4; i++)
                panel[k / 2 * kPanel + r * 4 + i] = static_cast<uint8_t>(rows[r * K + k + i] | rows[r * K + k + 4 + i] << 4);
}

} // namespace
