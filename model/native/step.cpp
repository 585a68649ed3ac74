// A whole step of a decoder of quantised weights, on the CPU.
//
// One function of a team of threads runs over all layers: on a small model the dispatch of operators costs as much
// as the arithmetic, and on a large one a step then reads each weight once at memory speed. This
// file is compiled once for each instruction set (model/native/library.py picks one at load);
// model.pytorch.quantize and model.pytorch.transformer are the reference it is tested against.
//
// Numbers: activations are quantised by token to int8, symmetric; int8 weights have a scale a row, codes of fewer bits
// a scale for each group of inputs.
//
// Letters: M tokens of a step, D hidden width, F feed-forward width, H query heads, N heads of keys and values, C head
// width, L tokens of a context, O output and K input features of a linear layer, G groups
// of a row.

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "attention.h"
#include "blocks.h"
#include "interface.h"
#include "linear.h"
#include "rounding.h"
#include "team.h"

// What Python calls; all else stays in the library.
#if defined(_WIN32)
#define STARCODER_API __declspec(dllexport)
#else
#define STARCODER_API __attribute__((visibility("default")))
#endif

namespace {

constexpr int kMaxTokens = 4096; // of one call; far above what the engine asks for
constexpr size_t kMany = 32;     // tokens from which on work is prepared once for all of them

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

void rms_norm(const float *x, size_t D, const float *weight, float epsilon, float *out) {
    Lanes squares = {};
    for (size_t d = 0; d < D; d += kLanes) squares += load(x + d) * load(x + d);
    const float scale = 1.f / std::sqrt(sum(squares) / static_cast<float>(D) + epsilon);
    for (size_t d = 0; d < D; d += kLanes) store(out + d, load(x + d) * scale * load(weight + d));
}

// Rotate the pairs of a head (c, c + half) by a position's angles [2, half] (Su et al. 2021, in halves as GPT-NeoX has
// it).
void rotate(float *head, const float *angles, size_t half) {
    for (size_t c = 0; c < half; c += kLanes) {
        const Lanes cosine = load(angles + c), sine = load(angles + half + c);
        const Lanes first = load(head + c), second = load(head + half + c);
        store(head + c, first * cosine - second * sine);
        store(head + half + c, second * cosine + first * sine);
    }
}

// What a thread has for itself.
struct Worker {
    Buffer<float> normed; // [D]
    Buffer<float> scores; // [kTasks, kHeads, L]
    Quantised codes;      // of few tokens: sharing them out would cost more than it saves
    Buffer<int32_t> sums; // [2 M, kPanel]: see `multiply`
};

struct Scratch {
    Buffer<float> x, query, mixed, inner; // [M, D], [M, H, C], [M, H, C], [M, F]
    Buffer<float> fresh;                  // [M, N, C]: keys that are still to be rotated
    // The contexts of sequences with many new tokens, widened, in order; L a multiple of kKeys.
    Buffer<float> keys, values;                // of each sequence [N, L / kLanes, C, kLanes] and [N, L, C]
    std::vector<size_t> starts;                // where in them each sequence's are, in tokens
    std::vector<int64_t> in_order;             // 0, 1, 2…: the slots of a context that lies there
    Quantised codes;                           // of many tokens: each thread makes its share
    std::vector<Worker> workers;

    void reserve(const Model &model, const Step &step) {
        const size_t M = step.n_tokens, D = model.width, F = model.inner, C = model.head_dim;
        const size_t Q = model.n_head * C, widest = std::max({D, F, Q});
        auto grow = [](auto &buffer, size_t size) { buffer.resize(std::max(buffer.size(), size)); };
        size_t longest = 0, laid = 0;
        starts.clear();
        for (int64_t s = 0; s < step.n_sequences; s++) {
            const size_t length = step.context_bounds[s + 1] - step.context_bounds[s];
            longest = std::max(longest, length);
            starts.push_back(laid);
            if (is_many(step.n_new[s])) laid += whole_keys(length);
        }
        grow(x, M * D);
        grow(mixed, M * Q);
        // Attention reads as many heads at a time as it takes, of which the last may not be there.
        grow(query, M * Q + kHeads * C);
        grow(inner, M * F);
        if (model.rotary) grow(fresh, M * model.n_kv_head * C);
        for (auto *buffer : {&keys, &values}) grow(*buffer, laid * model.n_kv_head * C);
        for (size_t l = in_order.size(); laid && l < longest; l++) in_order.push_back(l);
        if (is_many(M)) codes.reserve(M, widest);
        grow(workers, step.threads);
        for (Worker &worker : workers) {
            grow(worker.normed, D);
            grow(worker.scores, kTasks * kHeads * whole_keys(longest));
            grow(worker.sums, 2 * M * kPanel);
            if (!is_many(M)) worker.codes.reserve(M, widest);
        }
    }

    static bool is_many(size_t tokens) { return tokens >= kMany; }
    static size_t whole_keys(size_t length) { return (length + kKeys - 1) / kKeys * kKeys; }
};

// The contexts of sequences with many new tokens, widened once for all of them.
template <typename Cached>
void lay_contexts(const Model &model, const Step &step, const Cached *cache, Scratch &scratch, int id, int threads,
                  Meeting &meeting) {
    const size_t C = model.head_dim, N = model.n_kv_head, stride = 2 * N * C;
    bool any = false;
    for (int64_t s = 0; s < step.n_sequences; s++) {
        if (!Scratch::is_many(step.n_new[s])) continue;
        any = true;
        const int64_t *slots = step.context_slots + step.context_bounds[s];
        const size_t length = step.context_bounds[s + 1] - step.context_bounds[s];
        const size_t whole = Scratch::whole_keys(length), start = scratch.starts[s] * N * C;
        const Part part = share(N * whole, kLanes, id, threads); // `whole` is a multiple of kLanes
        for (size_t unit = part.first; unit < part.last; unit += kLanes) {
            const size_t head = unit / whole, l = unit % whole;
            const Cached *of_keys = cache + head * C, *of_values = cache + (N + head) * C;
            float *keys = scratch.keys.data() + start + head * whole * C;
            float *values = scratch.values.data() + start + head * whole * C;
            const size_t at = std::min(l, length - 1); // the last group may be empty: it repeats a key, which nobody sees
            lay_keys(of_keys, stride, slots + at, length - at, C, keys + l * C);
            for (size_t i = l; i < std::min(length, l + kLanes); i++)
                for (size_t c = 0; c < C; c += kLanes) store(values + i * C + c, load(of_values + slots[i] * stride + c));
        }
    }
    if (any) meeting.wait(threads);
}

// Tasks of attention for a token and one head of keys and values: of the heads that share it, kHeads each.
size_t tasks_of(const Model &model) { return (model.n_head / model.n_kv_head + kHeads - 1) / kHeads; }

// A thread's share of a layer's attention. The tasks of a sequence are in order of their keys, of which those that are
// computed together share one set.
template <typename Cached>
void attend_to(const Model &model, const Step &step, const Cached *cache, Part part, const float *query, float *mixed,
               const Scratch &scratch, Worker &worker) {
    const size_t H = model.n_head, N = model.n_kv_head, C = model.head_dim, group = H / N, of_token = tasks_of(model);
    const float scale = static_cast<float>(model.score_scale);
    size_t row = 0;
    for (int64_t s = 0; s < step.n_sequences; row += step.n_new[s++]) {
        const int64_t *slots = step.context_slots + step.context_bounds[s];
        const size_t length = step.context_bounds[s + 1] - step.context_bounds[s], n_scores = Scratch::whole_keys(length);
        const size_t of_keys = step.n_new[s] * of_token, base = row * of_token * N; // tasks for one head of keys; before s
        const size_t last = std::min(part.last, base + of_keys * N);
        for (size_t next = std::max(part.first, base); next < last;) {
            const size_t head = (next - base) / of_keys, until = std::min(last, base + (head + 1) * of_keys);
            Task tasks[kTasks];
            size_t n = 0;
            for (; n < kTasks && next < until; n++, next++) {
                const size_t within = (next - base) % of_keys, token = within / of_token, first = within % of_token * kHeads;
                const size_t at = ((row + token) * H + head * group + first) * C;
                const size_t visible = length - step.n_new[s] + token + 1;
                tasks[n] = {query + at, mixed + at, std::min<size_t>(kHeads, group - first), visible};
            }
            if (Scratch::is_many(step.n_new[s])) {
                const size_t start = (scratch.starts[s] * N + head * n_scores) * C;
                attend_laid(tasks, n, C, scratch.keys.data() + start, scratch.values.data() + start, scratch.in_order.data(),
                            scale, worker.scores.data(), n_scores);
            } else {
                attend(tasks, n, C, cache + head * C, cache + (N + head) * C, 2 * N * C, slots, scale, worker.scores.data(),
                       n_scores);
            }
        }
    }
}

// A thread's share of the queries and new keys of a layer: normalised, where the model does, and rotated; then the keys go
// to the cache.
template <typename Cached>
void place(const Model &model, const Step &step, const Layer &layer, Cached *cache, Part part, float *query, float *fresh) {
    const size_t H = model.n_head, N = model.n_kv_head, C = model.head_dim, half = model.rotary_dim / 2;
    const float epsilon = static_cast<float>(model.epsilon);
    for (size_t unit = part.first; unit < part.last; unit++) {
        const size_t m = unit / (H + N), head = unit % (H + N);
        const bool is_key = head >= H;
        float *x = is_key ? fresh + (m * N + head - H) * C : query + (m * H + head) * C;
        const float *norm = is_key ? layer.key_norm : layer.query_norm;
        if (norm) rms_norm(x, C, norm, epsilon, x);
        rotate(x, model.rotary + step.positions[m] * 2 * half, half);
        if (!is_key) continue;
        Cached *to = cache + (step.new_slots[m] * 2 * N + head - H) * C;
        for (size_t c = 0; c < C; c += kLanes) put(to + c, load(x + c));
    }
}

template <typename Cached>
void run(const Model &model, const Step &step, Scratch &scratch) {
    const size_t M = step.n_tokens, D = model.width, F = model.inner, Q = model.n_head * model.head_dim;
    const size_t KV = model.n_kv_head * model.head_dim;
    const float epsilon = static_cast<float>(model.epsilon), residual = static_cast<float>(model.residual);
    float *x = scratch.x.data(), *query = scratch.query.data(), *fresh = scratch.fresh.data();
    float *mixed = scratch.mixed.data(), *inner = scratch.inner.data();
    auto normalise = [&](const float *row, const float *weight, const float *bias, float *out) {
        if (model.norm == kRmsNorm) rms_norm(row, D, weight, epsilon, out);
        else layer_norm(row, D, weight, bias, epsilon, out);
    };
    auto activate = [&](Lanes value) { return model.activation == kSilu ? silu(value) : gelu(value); };
    std::memcpy(x, step.embedded, M * D * sizeof(float));
    Meeting meeting;
    Team::run(step.threads, [&](int id, int threads) {
        Worker &worker = scratch.workers[id];
        const bool many = Scratch::is_many(M);
        Quantised &codes = many ? scratch.codes : worker.codes;
        float *normed = worker.normed.data();
        const Part mine = many ? share(M, 1, id, threads) : Part{0, M};
        auto quantise = [&](const float *rows, const Linear &linear) {
            for (size_t m = mine.first; m < mine.last; m++) codes.take(rows + m * linear.n_in, m, linear);
            if (many) meeting.wait(threads);
        };
        auto norm = [&](const float *weight, const float *bias, const Linear &linear) {
            for (size_t m = mine.first; m < mine.last; m++) {
                normalise(x + m * D, weight, bias, normed);
                codes.take(normed, m, linear);
            }
            if (many) meeting.wait(threads);
        };
        for (int64_t l = 0; l < model.n_layer; l++) {
            const Layer &layer = model.layers[l];
            Cached *cache = static_cast<Cached *>(step.cache) + l * step.n_slots * 2 * KV;
            norm(layer.ln_1_weight, layer.ln_1_bias, layer.qkv);
            Part part = share(layer.qkv.n_out, kPanel, id, threads);
            multiply(layer.qkv, codes, M, part.first, part.last, worker.sums.data(), [&](size_t m, size_t n, Lanes value) {
                if (n < Q) put(query + m * Q + n, value);
                else if (layer.rotates && n < Q + KV) put(fresh + m * KV + (n - Q), value);
                else if (n < Q + 2 * KV) put(cache + step.new_slots[m] * 2 * KV + (n - Q), value);
            });
            meeting.wait(threads);
            if (layer.rotates) {
                part = share(M * (model.n_head + model.n_kv_head), 1, id, threads);
                place(model, step, layer, cache, part, query, fresh);
                meeting.wait(threads);
            }
            lay_contexts(model, step, cache, scratch, id, threads, meeting);
            part = share(M * tasks_of(model) * model.n_kv_head, 1, id, threads);
            attend_to(model, step, cache, part, query, mixed, scratch, worker);
            meeting.wait(threads);
            quantise(mixed, layer.proj);
            part = share(D, kPanel, id, threads);
            multiply(layer.proj, codes, M, part.first, part.last, worker.sums.data(),
                     [&](size_t m, size_t n, Lanes value) { add(x + m * D + n, value * residual); });
            meeting.wait(threads);
            norm(layer.ln_2_weight, layer.ln_2_bias, layer.fc);
            part = share(F, kPanel, id, threads);
            if (layer.gate.n_out) {
                multiply(layer.gate, codes, M, part.first, part.last, worker.sums.data(),
                         [&](size_t m, size_t n, Lanes value) { store(inner + m * F + n, activate(value)); });
                multiply(layer.fc, codes, M, part.first, part.last, worker.sums.data(), [&](size_t m, size_t n, Lanes value) {
                    store(inner + m * F + n, load(inner + m * F + n) * value);
                });
            } else {
                multiply(layer.fc, codes, M, part.first, part.last, worker.sums.data(),
                         [&](size_t m, size_t n, Lanes value) { store(inner + m * F + n, activate(value)); });
            }
            meeting.wait(threads);
            quantise(inner, layer.out);
            part = share(D, kPanel, id, threads);
            multiply(layer.out, codes, M, part.first, part.last, worker.sums.data(),
                     [&](size_t m, size_t n, Lanes value) { add(x + m * D + n, value * residual); });
            meeting.wait(threads);
        }
        const Part part = share(M, 1, id, threads);
        for (size_t m = part.first; m < part.last; m++)
            normalise(x + m * D, model.ln_f_weight, model.ln_f_bias, step.hidden + m * D);
    });
}

template <typename Cached>
void copy_turned(const Move &move) {
    const size_t M = move.n_tokens, N = move.n_kv_head, C = move.head_dim, half = move.rotary_dim / 2, KV = N * C;
    Team::run(move.threads, [&](int id, int threads) {
        const Part part = share(move.n_layer, 1, id, threads);
        for (size_t l = part.first; l < part.last; l++) {
            Cached *cache = static_cast<Cached *>(move.cache) + l * move.n_slots * 2 * KV;
            const float *cosines = move.turns + l * 2 * half, *sines = cosines + half;
            for (size_t m = 0; m < M; m++) {
                const Cached *from = cache + move.sources[m] * 2 * KV;
                Cached *to = cache + move.targets[m] * 2 * KV;
                std::memcpy(to, from, 2 * KV * sizeof(Cached));
                for (size_t head = 0; head < KV; head += C)
                    for (size_t c = head; c < head + half; c += kLanes) {
                        const Lanes first = load(from + c), second = load(from + half + c);
                        const Lanes cosine = load(cosines + c - head), sine = load(sines + c - head);
                        put(to + c, first * cosine - second * sine);
                        put(to + half + c, second * cosine + first * sine);
                    }
            }
        }
    });
}

bool fits(const Linear &linear, int64_t n_out, int64_t n_in) {
    const bool in_groups = linear.group == kUnit / 2 || (linear.group > 0 && linear.group % kUnit == 0);
    const bool stored = linear.bits == 8 ? linear.scale && linear.sums
                                         : linear.bits >= 4 && linear.bits <= 6 && in_groups && linear.scales &&
                                               n_in % linear.group == 0 && kBlock % linear.group == 0;
    return stored && linear.weight && linear.n_out == n_out && linear.n_in == n_in && n_in % kWidth == 0;
}

// Whether two layers take the same activations.
bool alike(const Linear &a, const Linear &b) {
    const bool both_int8 = a.bits == 8 && b.bits == 8, both_codes = a.bits < 8 && b.bits < 8 && a.group == b.group;
    return (both_int8 || both_codes) && a.fine == b.fine;
}

Error check(const Model &model, const Step &step) {
    const int64_t D = model.width, C = model.head_dim, F = model.inner, M = step.n_tokens;
    const int64_t Q = model.n_head * C, KV = model.n_kv_head * C;
    if (D <= 0 || C <= 0 || F <= 0 || Q <= 0 || KV <= 0 || D % kWidth || F % kWidth || Q % kWidth) return kShape;
    if (C % (kPanel / 2) || model.n_head % model.n_kv_head) return kShape;
    const bool rotates = model.rotary;
    if (rotates && (model.rotary_dim < 1 || model.rotary_dim > C || model.rotary_dim % kPanel)) return kShape;
    for (int64_t l = 0; l < model.n_layer; l++) {
        const Layer &layer = model.layers[l];
        if (!fits(layer.qkv, Q + 2 * KV, D) || !fits(layer.proj, D, Q) || !fits(layer.fc, F, D) ||
            !fits(layer.out, D, F) || (layer.gate.n_out && !(fits(layer.gate, F, D) && alike(layer.gate, layer.fc))))
            return kShape;
        if ((layer.rotates && !rotates) || ((layer.query_norm || layer.key_norm) && !layer.rotates)) return kShape;
    }
    if (M < 1 || M > kMaxTokens || step.n_sequences < 1 || step.threads < 1 || step.n_slots < 1) return kShape;
    int64_t tokens = 0;
    for (int64_t s = 0; s < step.n_sequences; s++) {
        const int64_t length = step.context_bounds[s + 1] - step.context_bounds[s];
        if (step.n_new[s] < 1 || length < step.n_new[s]) return kShape;
        tokens += step.n_new[s];
    }
    if (tokens != M) return kShape;
    for (int64_t m = 0; m < M; m++) {
        if (step.new_slots[m] < 0 || step.new_slots[m] >= step.n_slots) return kSlot;
        if (rotates && (step.positions[m] < 0 || step.positions[m] >= model.n_positions)) return kShape;
    }
    for (int64_t i = 0; i < step.context_bounds[step.n_sequences]; i++)
        if (step.context_slots[i] < 0 || step.context_slots[i] >= step.n_slots) return kSlot;
    return kOk;
}

// Make codes of the rows of weights [O, K], of a byte each, panel by panel: code(n, row, codes) for each, then
// lay(n, how many, codes).
template <typename Code, typename Lay>
Error by_panels(const BlockType *type, int64_t n_out, int64_t n_in, int64_t threads, Code code, Lay lay) {
    if (n_out < 1 || n_in < 1 || n_in % kWidth || threads < 1 || !type || n_in % type->weights) return kShape;
    try {
        std::vector<float> floats(threads * n_in);
        std::vector<uint8_t> codes(threads * kPanel * n_in);
        Team::run(threads, [&](int id, int count) {
            float *room = floats.data() + id * n_in;
            uint8_t *rows = codes.data() + id * kPanel * n_in;
            const Part part = share(n_out, kPanel, id, count);
            for (size_t n = part.first; n < part.last; n += kPanel) {
                const int64_t here = std::min<int64_t>(kPanel, n_out - n);
                for (int64_t r = 0; r < here; r++) code(n + r, room, rows + r * n_in);
                lay(n, here, rows);
            }
        });
    } catch (const std::bad_alloc &) {
        return kMemory;
    }
    return kOk;
}

// Where the scale of an output's group lies in [P, G, kPanel].
int64_t place_of_scale(int64_t output, int64_t group, int64_t G) { return (output / kPanel * G + group) * kPanel + output % kPanel; }

} // namespace

extern "C" {

// The hash of interface.h, which setup.py hands to the compiler.
STARCODER_API const char *starcoder_interface() {
#ifdef STARCODER_INTERFACE
    return STARCODER_INTERFACE;
#else
    return "unknown";
#endif
}

// Which variants this CPU can run, as bits: 1 AVX2, 2 AVX-VNNI, 4 AVX512-VNNI. 0 off x86.
STARCODER_API int starcoder_cpu() {
#if defined(__x86_64__) || defined(__i386__)
    // Asked of the CPU itself: the compilers' own tables do not know every feature, and Zig's are empty.
    constexpr unsigned kFma = 1u << 12, kF16c = 1u << 29, kSaves = 1u << 27, kAvx2 = 1u << 5, kAvxVnni = 1u << 4;
    constexpr unsigned kAvx512 = 1u << 16 | 1u << 30 | 1u << 31, kAvx512Vnni = 1u << 11; // F, BW and VL
    constexpr unsigned kYmm = 0x06, kZmm = 0xe6;                                         // registers the system saves
    unsigned a, b, c, d, saved, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & kFma) || !(c & kF16c) || !(c & kSaves)) return 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if ((saved & kYmm) != kYmm || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & kAvx2)) return 0;
    const bool avx512 = (saved & kZmm) == kZmm && (b & kAvx512) == kAvx512 && (c & kAvx512Vnni);
    const bool avx_vnni = a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & kAvxVnni);
    return 1 | (avx_vnni ? 2 : 0) | (avx512 ? 4 : 0);
#else
    return 0;
#endif
}

STARCODER_API const char *starcoder_variant() {
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

// int8 codes [O, K] -> panels [P, K / 4, kPanel, 4], the sum of the codes for each row [O].
STARCODER_API int starcoder_lay_int8(const int8_t *rows, int64_t n_out, int64_t n_in, int8_t *panels, int32_t *sums,
                                     int64_t threads) {
    if (n_out < 1 || n_in < 1 || n_in % kWidth || threads < 1) return kShape;
    Team::run(threads, [&](int id, int count) {
        const Part part = share(n_out, kPanel, id, count);
        for (size_t n = part.first; n < part.last; n += kPanel) {
            const size_t here = std::min<size_t>(kPanel, n_out - n);
            lay_out(rows + n * n_in, here, n_in, panels + n * n_in);
            for (size_t r = n; r < n + here; r++) {
                int32_t row = 0;
                for (int64_t k = 0; k < n_in; k++) row += rows[r * n_in + k];
                sums[r] = row;
            }
        }
    });
    return kOk;
}

// Weights [O, K] of a block type -> panels of int8 codes, a scale and the sum of the codes for each row.
STARCODER_API int starcoder_to_int8(const void *weight, int64_t type_number, int64_t n_out, int64_t n_in, int8_t *panels, float *scale,
                      int32_t *sums, int64_t threads) {
    const BlockType *type = block_type(type_number);
    return by_panels(type, n_out, n_in, threads, [&](int64_t n, float *room, uint8_t *codes) {
        const float *row = row_of(weight, *type, n, n_in, room);
        row_to_int8(row, n_in, reinterpret_cast<int8_t *>(codes), scale + n, sums + n);
    }, [&](int64_t n, int64_t here, const uint8_t *codes) {
        lay_out(reinterpret_cast<const int8_t *>(codes), here, n_in, panels + n * n_in);
    });
}

// Weights [O, K] of a block type -> panels of codes of four bits in groups of kGroup, their scales and minima.
STARCODER_API int starcoder_to_int4(const void *weight, int64_t type_number, int64_t n_out, int64_t n_in, uint8_t *panels,
                      uint16_t *scales, uint16_t *minima, int64_t threads) {
    const BlockType *type = block_type(type_number);
    return by_panels(type, n_out, n_in, threads, [&](int64_t n, float *room, uint8_t *codes) {
        const float *row = row_of(weight, *type, n, n_in, room);
        for (int64_t g = 0; g < n_in / kGroup; g++) {
            const int64_t place = place_of_scale(n, g, n_in / kGroup);
            group_to_int4(row + g * kGroup, codes + g * kGroup, scales + place, minima + place);
        }
    }, [&](int64_t n, int64_t here, const uint8_t *codes) { lay_out_codes(codes, here, n_in, 4, panels + n * n_in / 2); });
}

// Codes [O, K] of a block type -> the same in panels, their scales and, where the type has them, minima.
STARCODER_API int starcoder_keep_codes(const void *weight, int64_t type_number, int64_t n_out, int64_t n_in, uint8_t *panels,
                         uint16_t *scales, uint16_t *minima, int64_t threads) {
    const BlockType *type = block_type(type_number);
    if (!type || !type->unpack || type->has_minima != (minima != nullptr)) return kShape;
    const int64_t G = n_in / type->group, of_block = type->weights / type->group;
    return by_panels(type, n_out, n_in, threads, [&](int64_t n, float *, uint8_t *codes) {
        const uint8_t *block = start_of_row(weight, *type, n, n_in);
        for (int64_t g = 0; g < G; g += of_block, block += type->bytes) {
            float steps[kMostGroups], lows[kMostGroups];
            type->unpack(block, codes + g * type->group, steps, lows);
            for (int64_t i = 0; i < of_block; i++) {
                const int64_t place = place_of_scale(n, g + i, G);
                scales[place] = to_half(steps[i]);
                if (minima) minima[place] = to_half(lows[i]);
            }
        }
    }, [&](int64_t n, int64_t here, const uint8_t *codes) {
        lay_out_codes(codes, here, n_in, type->bits, panels + n * n_in * type->bits / 8);
    });
}

// x [M, K] -> y [M, O].
STARCODER_API int starcoder_linear(const Linear *linear, const float *x, int64_t n_tokens, float *y, int64_t threads) {
    if (n_tokens < 1 || threads < 1 || !fits(*linear, linear->n_out, linear->n_in)) return kShape;
    const size_t M = n_tokens, K = linear->n_in, O = linear->n_out;
    try {
        Quantised codes;
        codes.reserve(M, K);
        Buffer<int32_t> sums(threads * 2 * M * kPanel);
        Meeting meeting;
        Team::run(threads, [&](int id, int count) {
            Part part = share(M, 1, id, count);
            for (size_t m = part.first; m < part.last; m++) codes.take(x + m * K, m, *linear);
            meeting.wait(count);
            part = share(O, kPanel, id, count);
            multiply(*linear, codes, M, part.first, part.last, sums.data() + id * 2 * M * kPanel,
                     [&](size_t m, size_t n, Lanes value) {
                         if (n + kLanes <= O) store(y + m * O + n, value);
                         else if (n < O) std::memcpy(y + m * O + n, &value, (O - n) * sizeof(float));
                     });
        });
    } catch (const std::bad_alloc &) {
        return kMemory;
    }
    return kOk;
}

STARCODER_API void *starcoder_new_scratch() { return new (std::nothrow) Scratch; }

STARCODER_API void starcoder_free_scratch(void *scratch) { delete static_cast<Scratch *>(scratch); }

STARCODER_API int starcoder_move(const Move *move) {
    if (move->n_layer < 1 || move->n_kv_head < 1 || move->n_tokens < 1 || move->threads < 1) return kShape;
    if (move->rotary_dim < 1 || move->rotary_dim > move->head_dim || move->rotary_dim % kPanel) return kShape;
    for (const int64_t *slots : {move->sources, move->targets})
        for (int64_t m = 0; m < move->n_tokens; m++)
            if (slots[m] < 0 || slots[m] >= move->n_slots) return kSlot;
    if (move->is_bf16) copy_turned<uint16_t>(*move);
    else copy_turned<float>(*move);
    return kOk;
}

// The hidden states of a step's tokens, whose keys and values it writes to the cache.
STARCODER_API int starcoder_step(const Model *model, const Step *step, void *scratch_pointer) {
    const Error error = check(*model, *step);
    if (error != kOk) return error;
    Scratch &scratch = *static_cast<Scratch *>(scratch_pointer);
    try {
        scratch.reserve(*model, *step);
    } catch (const std::bad_alloc &) {
        return kMemory;
    }
    if (step->is_bf16) run<uint16_t>(*model, *step, scratch);
    else run<float>(*model, *step, scratch);
    return kOk;
}

} // extern "C"
