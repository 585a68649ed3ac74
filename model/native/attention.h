// Attention of a token's heads over the cache, whose keys all of them share.

#pragma once

#include <algorithm>

#include "numbers.h"

namespace {

constexpr int kHeads = 4, kKeys = 4; // heads of one token, and cached tokens, attended to at a time

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

} // namespace
