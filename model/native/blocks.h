// Weights as they lie in files, widened to fp32: plain numbers, and the block types of GGUF files, the same to the bit as
// model.gguf.dequantize computes them.
//
// Source of what is in a block: ggml-quants.c of llama.cpp.

#pragma once

#include "numbers.h"

namespace {

inline float half_at(const uint8_t *from) {
    uint16_t half;
    std::memcpy(&half, from, 2);
    return from_half(half);
}

inline uint32_t bits_at(const uint8_t *from) {
    uint32_t bits;
    std::memcpy(&bits, from, 4);
    return bits;
}

// 64 of a plain number count as a block: rows are multiples of that.
constexpr int kPlain = 64;

void widen_f16(const uint8_t *block, float *out) {
    for (int i = 0; i < kPlain; i++) out[i] = half_at(block + 2 * i);
}

void widen_bf16(const uint8_t *block, float *out) {
    uint16_t halves[kPlain];
    std::memcpy(halves, block, sizeof halves);
    for (int i = 0; i < kPlain; i += kLanes) store(out + i, load(halves + i));
}

void widen_q8_0(const uint8_t *block, float *out) {
    const float scale = half_at(block);
    for (int i = 0; i < 32; i++) out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * scale;
}

// Blocks of codes that the compiled step multiplies as they are: the weight is (code - centre) · scale + minimum, with a
// scale and a minimum for each group. Minima are null where a type has none.

void unpack_q4_0(const uint8_t *block, uint8_t *codes, float *scales, float *) {
    *scales = half_at(block);
    for (int i = 0; i < 16; i++) codes[i] = block[2 + i] & 15, codes[16 + i] = block[2 + i] >> 4;
}

void unpack_q4_1(const uint8_t *block, uint8_t *codes, float *scales, float *minima) {
    *scales = half_at(block), *minima = half_at(block + 2);
    for (int i = 0; i < 16; i++) codes[i] = block[4 + i] & 15, codes[16 + i] = block[4 + i] >> 4;
}

inline void unpack_five(uint32_t high, const uint8_t *low, uint8_t *codes) {
    for (int i = 0; i < 16; i++) {
        codes[i] = static_cast<uint8_t>((low[i] & 15) | (high >> i & 1) << 4);
        codes[16 + i] = static_cast<uint8_t>(low[i] >> 4 | (high >> (16 + i) & 1) << 4);
    }
}

void unpack_q5_0(const uint8_t *block, uint8_t *codes, float *scales, float *) {
    *scales = half_at(block);
    unpack_five(bits_at(block + 2), block + 6, codes);
}

void unpack_q5_1(const uint8_t *block, uint8_t *codes, float *scales, float *minima) {
    *scales = half_at(block), *minima = half_at(block + 2);
    unpack_five(bits_at(block + 4), block + 8, codes);
}

// Of eight groups the scale and the minimum, six bits each, in twelve bytes after those of the block.
void unpack_k_scales(const uint8_t *block, float *scales, float *minima) {
    const float scale = half_at(block), minimum = half_at(block + 2);
    for (int group = 0; group < 8; group++) {
        const uint8_t first = block[4 + group % 4], second = block[8 + group % 4], rest = block[12 + group % 4];
        scales[group] = scale * static_cast<float>(group < 4 ? first & 63 : (rest & 15) | (first >> 2 & 48));
        minima[group] = -(minimum * static_cast<float>(group < 4 ? second & 63 : rest >> 4 | (second >> 2 & 48)));
    }
}

void unpack_q4_k(const uint8_t *block, uint8_t *codes, float *scales, float *minima) {
    unpack_k_scales(block, scales, minima);
    for (int pair = 0; pair < 4; pair++)
        for (int i = 0; i < 32; i++) {
            const uint8_t both = block[16 + pair * 32 + i];
            codes[pair * 64 + i] = both & 15, codes[pair * 64 + 32 + i] = both >> 4;
        }
}

void unpack_q5_k(const uint8_t *block, uint8_t *codes, float *scales, float *minima) {
    unpack_k_scales(block, scales, minima);
    const uint8_t *high = block + 16;
    for (int group = 0; group < 8; group++)
        for (int i = 0; i < 32; i++) {
            const uint8_t both = block[48 + group / 2 * 32 + i];
            codes[group * 32 + i] = static_cast<uint8_t>((both >> group % 2 * 4 & 15) | (high[i] >> group & 1) << 4);
        }
}

void unpack_q6_k(const uint8_t *block, uint8_t *codes, float *scales, float *) {
    const float scale = half_at(block + 208);
    for (int group = 0; group < 16; group++) {
        const int quarter = group % 8 / 2, at = group % 2 * 16;
        const uint8_t *low = block + group / 8 * 64 + quarter % 2 * 32 + at, *top = block + 128 + group / 8 * 32 + at;
        scales[group] = scale * static_cast<float>(static_cast<int8_t>(block[192 + group]));
        for (int i = 0; i < 16; i++)
            codes[group * 16 + i] = static_cast<uint8_t>((low[i] >> quarter / 2 * 4 & 15) | (top[i] >> quarter * 2 & 3) << 4);
    }
}

void widen_q2_k(const uint8_t *block, float *out) {
    const uint8_t *scales = block, *codes = block + 16;
    const float scale = half_at(block + 80), minimum = half_at(block + 82);
    for (int group = 0; group < 16; group++) {
        const float step = scale * static_cast<float>(scales[group] & 15), low = minimum * static_cast<float>(scales[group] >> 4);
        const uint8_t *from = codes + group / 8 * 32 + group % 2 * 16;
        for (int i = 0; i < 16; i++) out[group * 16 + i] = static_cast<float>(from[i] >> group % 8 / 2 * 2 & 3) * step - low;
    }
}

void widen_q3_k(const uint8_t *block, float *out) {
    const uint8_t *high = block, *codes = block + 32, *scales = block + 96;
    const float scale = half_at(block + 108);
    for (int group = 0; group < 16; group++) {
        const int low = scales[group % 8] >> group / 8 * 4 & 15, top = scales[8 + group % 4] >> group / 4 * 2 & 3;
        const float step = scale * static_cast<float>((low | top << 4) - 32);
        const uint8_t *from = codes + group / 8 * 32 + group % 2 * 16, *bits = high + group % 2 * 16;
        for (int i = 0; i < 16; i++) { // the third bit counts the other way round: where it is clear, four is taken off
            const int code = (from[i] >> group % 8 / 2 * 2 & 3) - (bits[i] >> group / 2 & 1 ? 0 : 4);
            out[group * 16 + i] = static_cast<float>(code) * step;
        }
    }
}

constexpr float kLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

inline void widen_levels(const uint8_t *codes, float scale, float *out) {
    for (int i = 0; i < 16; i++) out[i] = kLevels[codes[i] & 15] * scale, out[16 + i] = kLevels[codes[i] >> 4] * scale;
}

void widen_iq4_nl(const uint8_t *block, float *out) { widen_levels(block + 2, half_at(block), out); }

void widen_iq4_xs(const uint8_t *block, float *out) {
    const float scale = half_at(block);
    const int high = block[2] | block[3] << 8;
    for (int group = 0; group < 8; group++) {
        const int low = block[4 + group / 2] >> group % 2 * 4 & 15, level = (low | (high >> group * 2 & 3) << 4) - 32;
        widen_levels(block + 8 + group * 16, scale * static_cast<float>(level), out + group * 32);
    }
}

struct BlockType {
    int number; // as ggml.h counts them
    size_t weights, bytes;
    void (*widen)(const uint8_t *block, float *out); // null: fp32, which is there already, or codes
    int bits = 0; // of a code
    size_t group = 0; // codes that share a scale
    bool has_minima = false;
    void (*unpack)(const uint8_t *block, uint8_t *codes, float *scales, float *minima) = nullptr;
};

constexpr BlockType kBlockTypes[] = {
    {0, kPlain, kPlain * 4, nullptr},
    {1, kPlain, kPlain * 2, widen_f16},
    {2, 32, 18, nullptr, 4, 32, false, unpack_q4_0},
    {3, 32, 20, nullptr, 4, 32, true, unpack_q4_1},
    {6, 32, 22, nullptr, 5, 32, false, unpack_q5_0},
    {7, 32, 24, nullptr, 5, 32, true, unpack_q5_1},
    {8, 32, 34, widen_q8_0},
    {10, 256, 84, widen_q2_k},
    {11, 256, 110, widen_q3_k},
    {12, 256, 144, nullptr, 4, 32, true, unpack_q4_k},
    {13, 256, 176, nullptr, 5, 32, true, unpack_q5_k},
    {14, 256, 210, nullptr, 6, 16, false, unpack_q6_k},
    {20, 32, 18, widen_iq4_nl},
    {23, 256, 136, widen_iq4_xs},
    {30, kPlain, kPlain * 2, widen_bf16},
};

constexpr size_t kMostWeights = 256, kMostGroups = 16; // of a block

// Null for a type that is not read here.
inline const BlockType *block_type(int64_t number) {
    for (const BlockType &type : kBlockTypes)
        if (type.number == number) return &type;
    return nullptr;
}

// The weights of a block of codes.
inline void widen_codes(const BlockType &type, const uint8_t *block, float *out) {
    uint8_t codes[kMostWeights];
    float scales[kMostGroups], minima[kMostGroups] = {};
    type.unpack(block, codes, scales, minima);
    const int centre = type.has_minima ? 0 : 1 << (type.bits - 1);
    for (size_t i = 0; i < type.weights; i++)
        out[i] = static_cast<float>(codes[i] - centre) * scales[i / type.group] + minima[i / type.group];
}

// Where a row of a matrix [rows, K] begins.
inline const uint8_t *start_of_row(const void *matrix, const BlockType &type, size_t row, size_t K) {
    return static_cast<const uint8_t *>(matrix) + row * (K / type.weights) * type.bytes;
}

// A row of a matrix [rows, K], where it is fp32, or widened into `room` [K].
inline const float *row_of(const void *matrix, const BlockType &type, size_t row, size_t K, float *room) {
    const uint8_t *from = start_of_row(matrix, type, row, K);
    if (!type.widen && !type.unpack) return reinterpret_cast<const float *>(from);
    for (size_t k = 0; k < K; k += type.weights, from += type.bytes) {
        if (type.unpack) widen_codes(type, from, room + k);
        else type.widen(from, room + k);
    }
    return room;
}

} // namespace
