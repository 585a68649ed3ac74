// Steps of random shapes through the compiled code, to run under the address sanitizer: every buffer
// is exactly as long as it may be read. Checks that results are finite and that bad slots are refused.

#include "../../../model/native/step.cpp"

#include <cstdio>
#include <cstdlib>
#include <random>

static std::mt19937 random_bits(7);

static int below(int n) { return static_cast<int>(random_bits() % n); }

struct OwnLinear {
    std::vector<int8_t> weight;
    std::vector<float> scale, bias;
    std::vector<int32_t> sums;
    std::vector<uint16_t> scales, minima;
    Linear view{};

    OwnLinear(int n_out, int n_in, int bits, bool fine) {
        const int group = bits == 6 ? 16 : bits == 5 ? 32 : 64;
        weight.resize(static_cast<size_t>(n_out) * n_in * bits / 8);
        std::vector<int8_t> rows(weight.size());
        for (auto &value : rows) value = static_cast<int8_t>(below(255) - 127);
        scale.assign(n_out, 1e-3f), bias.assign(n_out, 0.1f), sums.resize(n_out);
        scales.assign(static_cast<size_t>(n_out) * n_in / group, 0x1419); // about 0.001
        minima.assign(scales.size(), 0xa000);                             // about -0.008
        if (bits < 8) weight = rows;
        else if (starcoder_lay_int8(rows.data(), n_out, n_in, weight.data(), sums.data(), 2) != kOk) std::abort();
        view = {n_out,         n_in,          bits,          group, fine, weight.data(), scale.data(), sums.data(),
                scales.data(), bits == 4 ? minima.data() : nullptr, bias.data()};
    }
};

struct Shape {
    int width, heads, kv_heads, head_dim, inner;
    bool rotates; // and has RMSNorms, of each head too, and gates
};

static void run_shape(const Shape &shape, int bits, bool is_bf16, void *scratch) {
    const auto [width, heads, kv_heads, head_dim, inner, rotates] = shape;
    const int n_slots = 50, layers = 2, all_heads = heads * head_dim;
    std::vector<float> ones(width, 1.f), zeros(width, 0.f), of_head(head_dim, 1.f), angles(n_slots * head_dim, 0.7f);
    std::vector<OwnLinear> linears;
    linears.reserve(layers * 5);
    std::vector<Layer> table;
    for (int l = 0; l < layers; l++) {
        linears.emplace_back(all_heads + 2 * kv_heads * head_dim, width, 8, true);
        linears.emplace_back(width, all_heads, 8, true);
        linears.emplace_back(inner, width, bits, false);
        linears.emplace_back(inner, width, bits, false);
        linears.emplace_back(width, inner, bits, false);
        const OwnLinear *own = &linears[l * 5];
        const bool turns = rotates && l == 0; // the second layer's queries and keys stay as they are
        const float *bias = rotates ? nullptr : zeros.data(), *norm = turns ? of_head.data() : nullptr;
        table.push_back({ones.data(), bias, ones.data(), bias, norm, norm, turns, own[0].view, own[1].view,
                         rotates ? own[2].view : Linear{}, own[3].view, own[4].view});
    }
    Model model{layers, width, heads, kv_heads, head_dim, inner, rotates ? kRmsNorm : kLayerNorm, rotates ? kSilu : kGelu,
                1e-5, 1 / std::sqrt(head_dim), 0.5, table.data(), ones.data(), rotates ? nullptr : zeros.data(),
                rotates ? angles.data() : nullptr, n_slots, head_dim};
    const size_t cached = static_cast<size_t>(layers) * n_slots * 2 * kv_heads * head_dim;
    std::vector<uint16_t> halves(is_bf16 ? cached : 0);
    std::vector<float> floats(is_bf16 ? 0 : cached);
    for (int round = 0; round < 6; round++) {
        std::vector<int64_t> n_new, bounds{0}, context, new_slots, positions;
        for (int s = 0; s < 1 + below(3); s++) {
            const int length = 1 + below(n_slots), fresh = 1 + below(std::min(length, round == 5 ? 50 : 9));
            for (int i = 0; i < length; i++) context.push_back(below(n_slots));
            for (int i = length - fresh; i < length; i++)
                new_slots.push_back(context[bounds.back() + i]), positions.push_back(i);
            bounds.push_back(static_cast<int64_t>(context.size())), n_new.push_back(fresh);
        }
        const size_t tokens = new_slots.size();
        std::vector<float> embedded(tokens * width), hidden(tokens * width);
        for (auto &value : embedded) value = static_cast<float>(below(2001) - 1000) / 500.f;
        Step step{static_cast<int64_t>(tokens), static_cast<int64_t>(n_new.size()), n_slots, is_bf16, 1 + below(3),
                  embedded.data(), positions.data(), new_slots.data(), n_new.data(), bounds.data(), context.data(),
                  is_bf16 ? static_cast<void *>(halves.data()) : floats.data(), hidden.data()};
        if (starcoder_step(&model, &step, scratch) != kOk) std::abort();
        for (float value : hidden)
            if (!std::isfinite(value)) std::abort();
        new_slots[below(static_cast<int>(tokens))] = n_slots;
        if (starcoder_step(&model, &step, scratch) != kSlot) std::abort();
        new_slots.assign(tokens, 0), positions[below(static_cast<int>(tokens))] = n_slots;
        if (starcoder_step(&model, &step, scratch) != (rotates ? kShape : kOk)) std::abort();
    }
}

// Rounds rows whose ends touch the ends of their memory; what is made of them fills whole panels.
static void round_shape(int n_out, int n_in, bool is_bf16) {
    std::vector<float> floats(static_cast<size_t>(n_out) * n_in);
    std::vector<uint16_t> halves(floats.size());
    for (size_t i = 0; i < floats.size(); i++) {
        floats[i] = static_cast<float>(below(2001) - 1000) / 500.f;
        put(&halves[i], floats[i]);
    }
    const void *weight = is_bf16 ? static_cast<const void *>(halves.data()) : floats.data();
    const int64_t type = is_bf16 ? 30 : 0;
    const size_t padded = (n_out + kPanel - 1) / kPanel * kPanel;
    std::vector<int8_t> panels(padded * n_in);
    std::vector<uint8_t> pairs(panels.size() / 2);
    std::vector<float> scale(n_out);
    std::vector<int32_t> sums(n_out);
    std::vector<uint16_t> scales(panels.size() / kGroup), minima(scales.size());
    if (starcoder_to_int8(weight, type, n_out, n_in, panels.data(), scale.data(), sums.data(), 3) != kOk) std::abort();
    if (starcoder_to_int4(weight, type, n_out, n_in, pairs.data(), scales.data(), minima.data(), 3) != kOk)
        std::abort();
    for (int n = 0; n < n_out; n++)
        for (int k = 0; k < n_in; k++) {
            const float wanted = is_bf16 ? widened(halves[n * n_in + k]) : floats[n * n_in + k];
            const size_t place = n % kPanel * 4 + k % 4;
            const int8_t code = panels[(n / kPanel * n_in + k / 4 * 4) * kPanel + place];
            if (std::fabs(code * scale[n] - wanted) > scale[n] * 0.51f) std::abort();
            const uint8_t pair = pairs[(n / kPanel * n_in / 2 + k / 8 * 4) * kPanel + place];
            const size_t group = (n / kPanel * (n_in / kGroup) + k / kGroup) * kPanel + n % kPanel;
            const float step = from_half(scales[group]), low = from_half(minima[group]);
            // Ranges may be clipped by a fifth; what lies within is half a step away at most.
            const float rounded = low + (k % 8 < 4 ? pair & 15 : pair >> 4) * step;
            if (std::fabs(rounded - std::clamp(wanted, low, low + 15 * step)) > step * 0.51f) std::abort();
        }
    if (starcoder_to_int8(weight, type, n_out, n_in + 1, panels.data(), scale.data(), sums.data(), 1) != kShape)
        std::abort();
}

// Rounds blocks of every type, whose last byte is the last one of their memory; the numbers are whatever they are.
static void round_blocks(int n_out, int n_in) {
    for (const BlockType &kind : kBlockTypes) {
        std::vector<uint8_t> blocks(static_cast<size_t>(n_out) * (n_in / kind.weights) * kind.bytes);
        for (auto &byte : blocks) byte = static_cast<uint8_t>(below(256));
        std::vector<int8_t> panels((n_out + kPanel - 1) / kPanel * kPanel * n_in);
        std::vector<float> scale(n_out);
        std::vector<int32_t> sums(n_out);
        if (starcoder_to_int8(blocks.data(), kind.number, n_out, n_in, panels.data(), scale.data(), sums.data(), 2) != kOk)
            std::abort();
        if (!kind.unpack) continue;
        std::vector<uint8_t> kept(panels.size() * kind.bits / 8);
        std::vector<uint16_t> scales(panels.size() / kind.group), minima(scales.size());
        uint16_t *lows = kind.has_minima ? minima.data() : nullptr;
        if (starcoder_keep_codes(blocks.data(), kind.number, n_out, n_in, kept.data(), scales.data(), lows, 2) != kOk)
            std::abort();
    }
}

int main() {
    void *scratch = starcoder_new_scratch();
    int steps = 0;
    for (int bits : {8, 6, 5, 4})
        for (bool is_bf16 : {false, true})
            for (const Shape &shape : {Shape{64, 4, 1, 16, 256, false}, {128, 2, 1, 64, 192, false}, {192, 3, 1, 64, 64, false},
                                       {320, 5, 1, 64, 128, false}, {128, 4, 4, 32, 64, true}, {64, 14, 2, 32, 192, true},
                                       {192, 6, 2, 64, 128, true}}) {
                run_shape(shape, bits, is_bf16, scratch);
                steps += 6;
            }
    starcoder_free_scratch(scratch);
    for (bool is_bf16 : {false, true})
        for (auto [n_out, n_in] : {std::pair{1, 64}, {37, 192}, {16, 1024}}) round_shape(n_out, n_in, is_bf16);
    for (auto [n_out, n_in] : {std::pair{1, 256}, {19, 768}}) round_blocks(n_out, n_in);
    std::printf("%d steps\n", steps);
}
