// Layers over sparse rows, for prediction, in one call:
//
//     h_1 = f_1(sum_j x_j table_j + b_1),   h_l = f_l(W_l h_{l-1} + b_l (+ h_1 + ... + h_{l-1}))
//
// f is an activation, and a layer normalisation where a layer has one. Rows are divided by their Euclidean norm. A row has
// the same numbers alone and in any batch: every sum is made in one order, as in products.cpp.
#include <bit>
#include <cmath>
#include <cstring>

#include "tiles.h"

extern "C" void recsys_dense(const float* a, int64_t n, const float* packed, int64_t m, int64_t d, const float* bias,
                             float* out, int threads);

namespace {

enum Activation : int32_t { NONE, SILU, TANH };

// As encoder.py has it.
struct Layer {
    const float* packed;  // of `made` columns; null for the first, which has the table
    const float* bias;
    const float* gain;  // of the normalisation; null for none
    const float* shift;
    int64_t made, width;  // columns that are computed, and how many of them, from the first on, the next layer sees
    float epsilon;
    Activation activation;
    int32_t adds_before;  // whether the sum of all layers before is added
};

constexpr int64_t MOST_TOGETHER = 192;  // rows whose layers stay in the cache
constexpr int64_t AHEAD = 2;            // rows of the table that are fetched before their turn

// e^x to 2e-7 relative: 2^n times a Taylor polynomial of 2^f, |f| <= 1/2.
inline float exponential(float x) {
    const float t = std::min(126.0f, std::max(-126.0f, x * 1.44269504089f));
    const float shifted = t + 12582912.0f;  // 1.5 * 2^23: the sum has no room for a fraction
    const float f = t - (shifted - 12582912.0f);
    float y = 1.5403530e-4f;
    y = y * f + 1.3333558e-3f;
    y = y * f + 9.6181291e-3f;
    y = y * f + 5.5504109e-2f;
    y = y * f + 2.4022651e-1f;
    y = y * f + 6.9314718e-1f;
    y = y * f + 1.0f;
    const int32_t n = std::bit_cast<int32_t>(shifted) - 0x4b400000;
    return y * std::bit_cast<float>((n + 127) << 23);
}

// tanh x to 3e-7 relative: a quotient of polynomials where it differs from 1 and -1.
inline float hyperbolic_tangent(float x) {
    const float c = std::min(7.9053111f, std::max(-7.9053111f, x)), s = c * c;
    float p = -2.76076847742355e-16f;
    p = p * s + 2.00018790482477e-13f;
    p = p * s - 8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-08f;
    p = p * s + 1.48572235717979e-05f;
    p = p * s + 6.37261928875436e-04f;
    p = p * s + 4.89352455891786e-03f;
    float q = 1.19825839466702e-06f;
    q = q * s + 1.18534705686654e-04f;
    q = q * s + 2.26843463243900e-03f;
    q = q * s + 4.89352518554385e-03f;
    return c * p / q;
}

void activate(float* x, int64_t width, Activation activation) {
    if (activation == SILU)
        for (int64_t i = 0; i < width; ++i) x[i] = x[i] / (1.0f + exponential(-x[i]));
    if (activation == TANH)
        for (int64_t i = 0; i < width; ++i) x[i] = hyperbolic_tangent(x[i]);
}

// Sum of f(x_i): lanes side by side, then these one after the other.
template <class F>
inline float sum_of(const float* x, int64_t width, F&& f) {
    float sums[LANES] = {};
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES)
        for (int lane = 0; lane < LANES; ++lane) sums[lane] += f(x[i + lane]);
    for (; i < width; ++i) sums[i % LANES] += f(x[i]);
    float sum = 0.0f;
    for (float one : sums) sum += one;
    return sum;
}

void normalise(float* x, int64_t width, const Layer& layer) {
    const float mean = sum_of(x, width, [](float a) { return a; }) / width;
    const float variance = sum_of(x, width, [&](float a) { return (a - mean) * (a - mean); }) / width;
    const float inverse = 1.0f / std::sqrt(variance + layer.epsilon);
    for (int64_t i = 0; i < width; ++i) x[i] = (x[i] - mean) * inverse * layer.gain[i] + layer.shift[i];
}

// The weighted sum of a history's rows of the table, and the bias.
void look_up(const int64_t* indices, const float* values, int64_t count, const float* table, const Layer& layer, float* out) {
    const int64_t width = layer.made;
    float squares = 0.0f;
    for (int64_t j = 0; j < count; ++j) squares += values[j] * values[j];
    const float norm = std::sqrt(squares);
    std::fill_n(out, width, 0.0f);
    for (int64_t j = 0; j < count; ++j) {
        const float value = values[j] / norm;
        const float* row = table + indices[j] * width;
        const float* next = table + indices[std::min(j + AHEAD, count - 1)] * width;
        for (int64_t i = 0; i < width; i += 16) __builtin_prefetch(next + i);
        for (int64_t i = 0; i < width; ++i) out[i] += value * row[i];
    }
    for (int64_t i = 0; i < width; ++i) out[i] += layer.bias[i];
}

// Rows of one task, layer after layer.
void encode(const int64_t* indices, const int64_t* starts, const float* values, int64_t n, const float* table,
            const Layer* layers, int64_t n_layers, float* out, int64_t stride) {
    int64_t widest = 0;
    for (int64_t l = 0; l < n_layers; ++l) widest = std::max(widest, layers[l].made);
    const auto room = [&] { return buffer<float>(n * widest); };
    auto now = room(), next = room(), before = room();
    for (int64_t l = 0; l < n_layers; ++l) {
        const Layer& layer = layers[l];
        if (l)
            recsys_dense(now.get(), n, layer.packed, layer.made, layers[l - 1].width, layer.bias, next.get(), 1);
        for (int64_t u = 0; u < n; ++u) {
            float *line = next.get() + u * layer.made, *sum = before.get() + u * widest;
            if (!l) look_up(indices + starts[u], values + starts[u], starts[u + 1] - starts[u], table, layer, line);
            if (layer.adds_before)
                for (int64_t i = 0; i < layer.made; ++i) line[i] += sum[i];
            activate(line, layer.made, layer.activation);
            if (layer.gain) normalise(line, layer.made, layer);
            for (int64_t i = 0; i < layer.made; ++i) sum[i] = l ? sum[i] + line[i] : line[i];
            const bool is_last = l + 1 == n_layers;
            if (is_last || layer.width < layer.made)
                std::memmove(is_last ? out + u * stride : next.get() + u * layer.width, line, layer.width * sizeof(float));
        }
        std::swap(now, next);
    }
}

}  // namespace

// Histories in CSR layout, table (n_items, made) of the first layer -> the first columns of out (n, stride).
extern "C" void recsys_encode(const int64_t* indices, const int64_t* starts, const float* values, int64_t n,
                              const float* table, const void* layers, int64_t n_layers, float* out, int64_t stride,
                              int threads) {
    const auto* all = static_cast<const Layer*>(layers);
    const int64_t fair = rounded_up((n + threads - 1) / threads, ROWS), together = std::min(MOST_TOGETHER, fair);
    const int64_t tasks = together ? (n + together - 1) / together : 0;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (threads > 1)
    for (int64_t task = 0; task < tasks; ++task) {
        const int64_t first = task * together, count = std::min(together, n - first);
        encode(indices, starts + first, values, count, table, all, n_layers, out + first * stride, stride);
    }
}
