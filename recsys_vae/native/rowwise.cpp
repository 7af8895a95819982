// Row-wise Adam without a first moment on some rows of a matrix of float32 or bfloat16, each read and written once.
// Formulas, random bits and sources: recsys_vae/training/rowwise_adam.py.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int64_t LINE = 64;  // bytes
constexpr uint64_t GOLDEN = 0x9E3779B97F4A7C15ull;

// SplitMix64's output function.
uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

// Where the numbers of a row come from: part `rank` of `size` holds item row * size + rank.
struct Noise {
    uint64_t key;
    int64_t rank, size;

    // Four columns a word, the first one in its lowest bits.
    void fill(std::vector<uint64_t>& words, int64_t row) const {
        const uint64_t start = mix(key + static_cast<uint64_t>(row * size + rank) * GOLDEN);
        uint64_t* const at = words.data();
        const int64_t n = words.size();
#pragma omp simd
        for (int64_t j = 0; j < n; ++j) at[j] = mix(start + static_cast<uint64_t>(j + 1) * GOLDEN);
    }
};

void move(float* weights, const float* gradient, float rate, int64_t width, const uint16_t*) {
#pragma omp simd
    for (int64_t k = 0; k < width; ++k) weights[k] -= rate * gradient[k];
}

void move(uint16_t* weights, const float* gradient, float rate, int64_t width, const uint16_t* bits) {
#pragma omp simd
    for (int64_t k = 0; k < width; ++k) {
        const uint32_t before = static_cast<uint32_t>(weights[k]) << 16;
        float weight;
        std::memcpy(&weight, &before, sizeof weight);
        weight -= rate * gradient[k];
        uint32_t after;
        std::memcpy(&after, &weight, sizeof after);
        const uint32_t noise = (after & 0x7F800000u) == 0x7F800000u ? 0 : bits[k];  // NaN stays what it is
        weights[k] = static_cast<uint16_t>((after + noise) >> 16);
    }
}

template <class Weight>
void step_rows(Weight* weights, float* seconds, float* last, int64_t width, const int64_t* rows, int64_t count,
               const float* gradients, int64_t step, double beta, float rate, float correction, float epsilon,
               const Noise& noise, int threads) {
#pragma omp parallel num_threads(threads)
    {
        std::vector<uint64_t> words(sizeof(Weight) == 2 ? (width + 3) / 4 : 0);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < count; ++i) {
            const int64_t row = rows[i], next = rows[std::min(i + 1, count - 1)];
            const char* const after = reinterpret_cast<const char*>(weights + next * width);
            for (int64_t byte = 0; byte < width * static_cast<int64_t>(sizeof(Weight)); byte += LINE)
                __builtin_prefetch(after + byte, 1);
            __builtin_prefetch(seconds + next, 1);
            __builtin_prefetch(last + next, 1);
            const float* const gradient = gradients + i * width;
            float squares = 0;
#pragma omp simd reduction(+ : squares)
            for (int64_t k = 0; k < width; ++k) squares += gradient[k] * gradient[k];
            const double kept = std::pow(beta, static_cast<double>(step - static_cast<int64_t>(last[row])));
            const float second = static_cast<float>(kept) * seconds[row] + static_cast<float>(1 - beta) * (squares / width);
            seconds[row] = second;
            last[row] = static_cast<float>(step);
            if (!words.empty()) noise.fill(words, row);
            move(weights + row * width, gradient, rate / (std::sqrt(second) * correction + epsilon), width,
                 reinterpret_cast<const uint16_t*>(words.data()));
        }
    }
}

}  // namespace

// One step with gradients (count, width) of `count` different rows; `is_half`: weights are bfloat16.
extern "C" void recsys_rowwise_step(void* weights, int is_half, float* seconds, float* last, int64_t width,
                                    const int64_t* rows, int64_t count, const float* gradients, int64_t step,
                                    double beta, float rate, float correction, float epsilon, uint64_t key,
                                    int64_t rank, int64_t size, int threads) {
    const Noise noise{key, rank, size};
    if (is_half)
        step_rows(static_cast<uint16_t*>(weights), seconds, last, width, rows, count, gradients, step, beta, rate,
                  correction, epsilon, noise, threads);
    else
        step_rows(static_cast<float*>(weights), seconds, last, width, rows, count, gradients, step, beta, rate,
                  correction, epsilon, noise, threads);
}
