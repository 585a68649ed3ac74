// Weights as they lie in files, widened to fp32: plain numbers, and the block types of GGUF files, the same to the bit as
// model.gguf.dequantize computes them.
//
// Source of what is in a block: ggml-quants.c of llama.cpp.

#pragma once

#include "numbers.h"

namespace {

inline float from_half(uint16_t half) { // exact for every fp16 number, in every instruction set
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, rest = static_cast<uint32_t>(half & 0x7fff) << 13;
    const bool is_number = rest < 0x0f800000;
    const uint32_t bits = is_number ? rest : rest | 0x7f800000;
    float value;
    std::memcpy(&value, &bits, 4);
    value *= is_number ? 0x1p112f : 1.f; // from fp16's exponents to fp32's
    return sign ? -value : value;
}

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

void widen_q4_0(const uint8_t *block, float *out) {
    const float scale = half_at(block);
    for (int i = 0; i < 16; i++) {
        out[i] = static_cast<float>((block[2 + i] & 15) - 8) * scale;
        out[16 + i] = static_cast<float>((block[2 + i] >> 4) - 8) * scale;
    }
}

void widen_q4_1(const uint8_t *block, float *out) {
    const float scale = half_at(block), minimum = half_at(block + 2);
    for (int i = 0; i < 16; i++) {
        out[i] = static_cast<float>(block[4 + i] & 15) * scale + minimum;
        out[16 + i] = static_cast<float>(block[4 + i] >> 4) * scale + minimum;
    }
}

void widen_q5_0(const uint8_t *block, float *out) {
    const float scale = half_at(block);
    const uint32_t high = bits_at(block + 2);
    for (int i = 0; i < 16; i++) {
        const int first = (block[6 + i] & 15) | (high >> i & 1) << 4, second = block[6 + i] >> 4 | (high >> (16 + i) & 1) << 4;
        out[i] = static_cast<float>(first - 16) * scale;
        out[16 + i] = static_cast<float>(second - 16) * scale;
    }
}

void widen_q5_1(const uint8_t *block, float *out) {
    const float scale = half_at(block), minimum = half_at(block + 2);
    const uint32_t high = bits_at(block + 4);
    for (int i = 0; i < 16; i++) {
        const int first = (block[8 + i] & 15) | (high >> i & 1) << 4, second = block[8 + i] >> 4 | (high >> (16 + i) & 1) << 4;
        out[i] = static_cast<float>(first) * scale + minimum;
        out[16 + i] = static_cast<float>(second) * scale + minimum;
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

// Of eight groups the scale and the minimum, six bits each, in twelve bytes.
struct KScale {
    float scale, minimum;
    KScale(const uint8_t *packed, int group) {
        const int low = group % 4;
        const uint8_t first = packed[low], second = packed[4 + low], rest = packed[8 + low];
        scale = static_cast<float>(group < 4 ? first & 63 : (rest & 15) | (first >> 2 & 48));
        minimum = static_cast<float>(group < 4 ? second & 63 : rest >> 4 | (second >> 2 & 48));
    }
};

void widen_q4_k(const uint8_t *block, float *out) {
    const float scale = half_at(block), minimum = half_at(block + 2);
    for (int group = 0; group < 8; group++) {
        const KScale own(block + 4, group);
        const float step = scale * own.scale, low = minimum * own.minimum;
        const uint8_t *codes = block + 16 + group / 2 * 32;
        for (int i = 0; i < 32; i++) out[group * 32 + i] = static_cast<float>(codes[i] >> group % 2 * 4 & 15) * step - low;
    }
}

void widen_q5_k(const uint8_t *block, float *out) {
    const float scale = half_at(block), minimum = half_at(block + 2);
    const uint8_t *high = block + 16;
    for (int group = 0; group < 8; group++) {
        const KScale own(block + 4, group);
        const float step = scale * own.scale, low = minimum * own.minimum;
        const uint8_t *codes = block + 48 + group / 2 * 32;
        for (int i = 0; i < 32; i++) {
            const int code = (codes[i] >> group % 2 * 4 & 15) | (high[i] >> group & 1) << 4;
            out[group * 32 + i] = static_cast<float>(code) * step - low;
        }
    }
}

void widen_q6_k(const uint8_t *block, float *out) {
    const uint8_t *high = block + 128;
    const float scale = half_at(block + 208);
    for (int group = 0; group < 16; group++) {
        const int quarter = group % 8 / 2, at = group % 2 * 16;
        const uint8_t *low = block + group / 8 * 64 + quarter % 2 * 32 + at, *top = high + group / 8 * 32 + at;
        const float step = scale * static_cast<float>(static_cast<int8_t>(block[192 + group]));
        for (int i = 0; i < 16; i++) {
            const int code = (low[i] >> quarter / 2 * 4 & 15) | (top[i] >> quarter * 2 & 3) << 4;
            out[group * 16 + i] = static_cast<float>(code - 32) * step;
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
    void (*widen)(const uint8_t *block, float *out); // null: fp32, which is there already
};

constexpr BlockType kBlockTypes[] = {
    {0, kPlain, kPlain * 4, nullptr}, {1, kPlain, kPlain * 2, widen_f16}, {2, 32, 18, widen_q4_0},
    {3, 32, 20, widen_q4_1},          {6, 32, 22, widen_q5_0},            {7, 32, 24, widen_q5_1},
    {8, 32, 34, widen_q8_0},          {10, 256, 84, widen_q2_k},          {11, 256, 110, widen_q3_k},
    {12, 256, 144, widen_q4_k},       {13, 256, 176, widen_q5_k},         {14, 256, 210, widen_q6_k},
    {20, 32, 18, widen_iq4_nl},       {23, 256, 136, widen_iq4_xs},       {30, kPlain, kPlain * 2, widen_bf16},
};

// Null for a type that is not read here.
inline const BlockType *block_type(int64_t number) {
    for (const BlockType &type : kBlockTypes)
        if (type.number == number) return &type;
    return nullptr;
}

// A row of a matrix [rows, K], where it is fp32, or widened into `room` [K].
inline const float *row_of(const void *matrix, const BlockType &type, size_t row, size_t K, float *room) {
    const size_t blocks = K / type.weights;
    const uint8_t *from = static_cast<const uint8_t *>(matrix) + row * blocks * type.bytes;
    if (!type.widen) return reinterpret_cast<const float *>(from);
    for (size_t block = 0; block < blocks; block++) type.widen(from + block * type.bytes, room + block * type.weights);
    return room;
}

} // namespace
