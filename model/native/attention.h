// Attention over the cache, whose keys and values the heads of a group share.
//
// Whatever is computed together, a score is the same tree of sums, and values are summed in the order of cached
// tokens: a token's result does not depend on its batch.

#pragma once

#include <algorithm>
#include <utility>

#include "numbers.h"

namespace {

constexpr int kHeads = 4;              // of one token, attended to together: a task
constexpr int kTasks = 8;              // that take turns at the same keys and values, while the cache has them
constexpr size_t kValues = 64;         // cached tokens of such a turn at values
constexpr int kAtOnce = 4;             // keys scored together where they lie
constexpr int kGroups = 2;             // of kLanes keys, scored together where they are laid out
#if defined(__AVX512F__) || defined(__ARM_FEATURE_DOTPROD)
constexpr int kMixed = 4;              // registers of a head's values
#else
constexpr int kMixed = 2;
#endif
constexpr size_t kKeys = kGroups * kLanes;

// Some heads of one token: they see the first `visible` cached tokens. q and out [heads, C]; of q there is
// always room for kHeads heads.
struct Task {
    const float *q;
    float *out;
    size_t heads, visible;
};

#if !defined(__ARM_FEATURE_DOTPROD) && !defined(__clang__)
// The places of a shuffle must be constants, or it goes through memory.
template <int Half, size_t... Lane>
inline void add_neighbours(Lanes *vectors, std::index_sequence<Lane...> lanes) {
    constexpr int half = Half;
    const IntLanes first = {(Lane & half ? kLanes + int(Lane) - half : int(Lane))...};
    const IntLanes second = {(Lane & half ? kLanes + int(Lane) : int(Lane) + half)...};
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2 / half; i++) {
        const Lanes a = vectors[2 * i], b = vectors[2 * i + 1];
        vectors[i] = __builtin_shuffle(a, b, first) + __builtin_shuffle(a, b, second);
    }
    if constexpr (2 * half < kLanes) add_neighbours<2 * half>(vectors, lanes);
}
#endif

// Lane i of the result is the sum of vectors[i], as many as there are lanes: neighbours are added, then pairs of them and
// so on. The vectors do not outlive it.
inline Lanes sums_of(Lanes *vectors) {
#if defined(__ARM_FEATURE_DOTPROD)
    float32x4_t v[kLanes];
    for (int i = 0; i < kLanes; i++) v[i] = reinterpret_cast<float32x4_t>(vectors[i]);
    return reinterpret_cast<Lanes>(vpaddq_f32(vpaddq_f32(v[0], v[1]), vpaddq_f32(v[2], v[3])));
#elif defined(__clang__) // its shuffles cannot be written so
    float parts[kLanes], sums[kLanes];
    for (int i = 0; i < kLanes; i++) {
        store(parts, vectors[i]);
        for (int n = kLanes / 2; n; n /= 2)
            for (int j = 0; j < n; j++) parts[j] = parts[2 * j] + parts[2 * j + 1];
        sums[i] = parts[0];
    }
    return load(sums);
#else
    add_neighbours<1>(vectors, std::make_index_sequence<kLanes>());
    return vectors[0];
#endif
}

// The scores of kHeads heads q [kHeads, C] against `visible` cached tokens, where they lie: [kHeads, n_scores].
template <typename Cached>
void scores_of(const float *q, size_t C, const Cached *keys, size_t stride, const int64_t *slots, size_t visible,
               float scale, float *scores, size_t n_scores) {
    for (size_t l = 0; l < visible; l += kAtOnce) {
        const size_t here = std::min<size_t>(kAtOnce, visible - l);
        const Cached *key[kAtOnce];
        for (size_t k = 0; k < kAtOnce; k++) key[k] = keys + slots[l + std::min(k, here - 1)] * stride;
        Lanes sums[kHeads * kAtOnce] = {};
        for (size_t c = 0; c < C; c += kLanes) {
            Lanes head[kHeads];
            for (int h = 0; h < kHeads; h++) head[h] = load(q + h * C + c);
            for (int k = 0; k < kAtOnce; k++) {
                Lanes part = load(key[k] + c);
                for (int h = 0; h < kHeads; h++) {
                    Lanes &score = sums[h * kAtOnce + k];
                    score = fused(part, head[h], score);
                }
            }
        }
        float found[kHeads * kAtOnce];
        for (int i = 0; i < kHeads * kAtOnce; i += kLanes) store(found + i, sums_of(sums + i) * scale);
        for (int h = 0; h < kHeads; h++) {
            float *to = scores + h * n_scores + l;
            if (here == kAtOnce) std::memcpy(to, found + h * kAtOnce, sizeof(float) * kAtOnce);
            else std::copy_n(found + h * kAtOnce, here, to);
        }
    }
}

// Up to kLanes keys [C] of a cache -> side by side [C, kLanes]. Where there are fewer, the last one fills up.
template <typename Cached>
void lay_keys(const Cached *keys, size_t stride, const int64_t *slots, size_t n, size_t C, float *panel) {
    for (size_t i = 0; i < kLanes; i++) {
        const Cached *key = keys + slots[std::min(i, n - 1)] * stride;
        for (size_t c = 0; c < C; c += kLanes) {
            float part[kLanes];
            store(part, load(key + c));
            for (int j = 0; j < kLanes; j++) panel[(c + j) * kLanes + i] = part[j];
        }
    }
}

// The same scores for kKeys keys that are laid out [kGroups, C, kLanes]: every lane has a key of its own. The tree of
// sums is that of `sums_of`: first of every kLanes-th input, then of neighbours.
inline void score(const float *q, size_t C, const float *keys, float scale, float *scores, size_t n_scores) {
    constexpr int levels = kLanes == 16 ? 4 : kLanes == 8 ? 3 : 2;
    Lanes tree[levels][kHeads][kGroups]; // sums of 1, 2, 4 … inputs that wait for their neighbours
    for (int j = 0; j < kLanes; j++) {
        Lanes sums[kHeads][kGroups] = {};
        for (size_t c = j; c < C; c += kLanes) {
            Lanes key[kGroups];
#pragma GCC unroll 2
            for (int g = 0; g < kGroups; g++) key[g] = load(keys + (g * C + c) * kLanes);
#pragma GCC unroll 4
            for (int h = 0; h < kHeads; h++)
#pragma GCC unroll 2
                for (int g = 0; g < kGroups; g++) sums[h][g] = fused(key[g], all(q[h * C + c]), sums[h][g]);
        }
        int level = 0;
        for (; j >> level & 1; level++)
#pragma GCC unroll 4
            for (int h = 0; h < kHeads; h++)
#pragma GCC unroll 2
                for (int g = 0; g < kGroups; g++) sums[h][g] = tree[level][h][g] + sums[h][g];
#pragma GCC unroll 4
        for (int h = 0; h < kHeads; h++)
#pragma GCC unroll 2
            for (int g = 0; g < kGroups; g++)
                if (level < levels) tree[level][h][g] = sums[h][g];
                else store(scores + h * n_scores + g * kLanes, sums[h][g] * scale);
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

// Add `n` cached tokens' values, weighted, to `Parts` vectors of kHeads heads from input c on. scores and slots begin
// with the first of them.
template <int Parts, typename Cached>
inline void mix(const Cached *values, size_t stride, const int64_t *slots, size_t C, size_t n, const float *scores,
                size_t n_scores, size_t heads, size_t c, float *out) {
    Lanes sums[kHeads][Parts];
    for (size_t h = 0; h < kHeads; h++)
        for (int i = 0; i < Parts; i++) sums[h][i] = h < heads ? load(out + h * C + c + i * kLanes) : Lanes{};
    for (size_t l = 0; l < n; l++) {
        const Cached *value = values + slots[l] * stride + c;
        for (int i = 0; i < Parts; i++) {
            Lanes part = load(value + i * kLanes);
            for (int h = 0; h < kHeads; h++) sums[h][i] = fused(part, all(scores[h * n_scores + l]), sums[h][i]);
        }
    }
    for (size_t h = 0; h < heads; h++)
        for (int i = 0; i < Parts; i++) store(out + h * C + c + i * kLanes, sums[h][i]);
}

// Finish up to kTasks tasks of one sequence, whose scores stand in room [kTasks, kHeads, n_scores].
// values [.., stride] by slot.
template <typename Cached>
void finish(const Task *tasks, size_t n, size_t C, const Cached *values, size_t stride, const int64_t *slots, float *room,
            size_t n_scores) {
    float inverse[kTasks][kHeads];
    size_t most = 0;
    for (size_t t = 0; t < n; t++) {
        most = std::max(most, tasks[t].visible);
        for (int h = 0; h < kHeads; h++)
            inverse[t][h] = soften(room + (t * kHeads + h) * n_scores, tasks[t].visible);
        std::fill_n(tasks[t].out, tasks[t].heads * C, 0.f);
    }
    const size_t turn = n == 1 ? most : kValues;
    for (size_t l = 0; l < most; l += turn)
        for (size_t t = 0; t < n; t++) {
            const Task &task = tasks[t];
            if (l >= task.visible) continue;
            const size_t here = std::min(turn, task.visible - l);
            const float *scores = room + t * kHeads * n_scores + l;
            size_t c = 0;
            for (; c + kMixed * kLanes <= C; c += kMixed * kLanes)
                mix<kMixed>(values, stride, slots + l, C, here, scores, n_scores, task.heads, c, task.out);
            for (; c < C; c += kLanes)
                mix<1>(values, stride, slots + l, C, here, scores, n_scores, task.heads, c, task.out);
        }
    for (size_t t = 0; t < n; t++)
        for (size_t h = 0; h < tasks[t].heads; h++)
            for (size_t c = h * C; c < (h + 1) * C; c += kLanes)
                store(tasks[t].out + c, load(tasks[t].out + c) * inverse[t][h]);
}

// Up to kTasks tasks of one sequence and one group of heads, over keys and values [.., stride] where they lie.
template <typename Cached>
void attend(const Task *tasks, size_t n, size_t C, const Cached *keys, const Cached *values, size_t stride,
            const int64_t *slots, float scale, float *room, size_t n_scores) {
    for (size_t t = 0; t < n; t++)
        scores_of(tasks[t].q, C, keys, stride, slots, tasks[t].visible, scale, room + t * kHeads * n_scores, n_scores);
    finish(tasks, n, C, values, stride, slots, room, n_scores);
}

// The same over keys that are laid out [n_scores / kLanes, C, kLanes] and values [L, C]; slots are 0, 1, 2…
void attend_laid(const Task *tasks, size_t n, size_t C, const float *keys, const float *values, const int64_t *slots,
                 float scale, float *room, size_t n_scores) {
    for (size_t l = 0; l < n_scores; l += kKeys)
        for (size_t t = 0; t < n; t++)
            if (l < tasks[t].visible)
                score(tasks[t].q, C, keys + l * C, scale, room + t * kHeads * n_scores + l, n_scores);
    finish(tasks, n, C, values, C, slots, room, n_scores);
}

} // namespace
