// What Python hands over and what it calls. model/native/library.py reads the structures' fields from this file, and
// loads no library that was compiled with another one.

#pragma once

#include <cstddef>
#include <cstdint>

constexpr int kPanel = 32; // outputs whose weights lie together
constexpr int kWidth = 64; // K is a multiple of it
constexpr int kUnit = 32;  // inputs whose codes lie together

// Weights lie in panels of kPanel outputs: of each output four bytes in turn, so that every lane of a register
// sums up an output of its own. What there is for each output is padded to whole panels, P of them.
//
// Weights have 8 bits and a scale for each row, or are codes of 4 to 6 bits of which each group has a scale of its own. Of
// the codes of kUnit inputs lie first the low four bits, those of inputs 8 i to 8 i + 3 in the low halves of bytes and the
// next four in the high halves; then the high bits of inputs j, 4 + j, 8 + j … together in a byte, the first ones lowest.
struct Linear {
    int64_t n_out, n_in;
    int64_t bits;           // 8, or of codes 4 to 6
    int64_t group;          // codes: inputs that share a scale, 16 or a multiple of kUnit
    int64_t fine;           // activations in twice eight bits
    const void *weight;     // int8 [P, K / 4, kPanel, 4], or codes [P, K / kUnit, bits, kPanel, 4]
    const float *scale;     // int8: [O]
    const int32_t *sums;    // int8: Σ of each row [O]
    const uint16_t *scales; // codes: fp16 [P, K / group, kPanel]
    const uint16_t *minima; // codes: fp16, of the same shape; null: half of all codes stand for negative numbers
    const float *bias;      // [O] or null
};

enum Norm { kLayerNorm = 0, kRmsNorm = 1 };
enum Activation { kGelu = 0, kSilu = 1 }; // the first by its tanh approximation

struct Layer {
    const float *ln_1_weight, *ln_1_bias, *ln_2_weight, *ln_2_bias; // [D] each; no biases in an RMSNorm
    const float *query_norm, *key_norm;                             // [C], an RMSNorm of each head; or null
    int64_t rotates;                                                // whether queries and keys are turned
    Linear qkv, proj, gate, fc, out; // gate: what the inner features are multiplied with; no outputs where there is none
};

struct Model {
    int64_t n_layer, width, n_head, n_kv_head, head_dim, inner;
    int64_t norm, activation;
    double epsilon, score_scale; // 1 / sqrt(C), mostly
    double residual;             // what each half of a layer is multiplied with; 1, mostly
    const Layer *layers;
    const float *ln_f_weight, *ln_f_bias; // [D]
    const float *rotary;                  // [positions, 2, R / 2], cosines and sines; or null
    int64_t n_positions, rotary_dim;      // rows of `rotary`; R, the first inputs of a head, which are rotated
};

struct Step {
    int64_t n_tokens, n_sequences, n_slots, is_bf16, threads;
    const float *embedded;          // [M, D]
    const int64_t *positions;       // [M]
    const int64_t *new_slots;       // [M]
    const int64_t *n_new;           // [sequences]: they sum to M
    const int64_t *context_bounds;  // [sequences + 1] into context_slots
    const int64_t *context_slots;   // a sequence's context, its new tokens last
    void *cache;                    // [layers, slots, 2, N · C]
    float *hidden;                  // [M, D], written
};

// Cached tokens that are copied to other slots, their keys turned to their new places.
struct Move {
    int64_t n_layer, n_kv_head, head_dim, rotary_dim;
    int64_t n_tokens, n_slots, is_bf16, threads;
    const int64_t *sources, *targets; // [M], no slot in both
    const float *turns;               // [layers, 2, R / 2], cosines and sines
    void *cache;                      // [layers, slots, 2, N · C]
};

enum Error { kOk = 0, kShape = 1, kSlot = 2, kMemory = 3 };

extern "C" {
const char *starcoder_interface();
const char *starcoder_variant();
int starcoder_cpu();
int starcoder_lay_int8(const int8_t *rows, int64_t n_out, int64_t n_in, int8_t *panels, int32_t *sums, int64_t threads);
int starcoder_to_int8(const void *weight, int64_t type, int64_t n_out, int64_t n_in, int8_t *panels, float *scale,
                      int32_t *sums, int64_t threads);
int starcoder_to_int4(const void *weight, int64_t type, int64_t n_out, int64_t n_in, uint8_t *panels,
                      uint16_t *scales, uint16_t *minima, int64_t threads);
int starcoder_keep_codes(const void *weight, int64_t type, int64_t n_out, int64_t n_in, uint8_t *panels,
                         uint16_t *scales, uint16_t *minima, int64_t threads);
int starcoder_linear(const Linear *linear, const float *x, int64_t n_tokens, float *y, int64_t threads);
void *starcoder_new_scratch();
void starcoder_free_scratch(void *scratch);
int starcoder_move(const Move *move);
int starcoder_step(const Model *model, const Step *step, void *scratch);
}
