// AdamW on some rows of a matrix, each read and written once. Formulas and source: recsys_vae/training/lazy_adam.py.
//
// Rows lie far apart: while one is computed the next is fetched into the cache, or the memory's latency would be
// most of the time.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <omp.h>
#include <utility>
#include <vector>

namespace {

constexpr int64_t LINE = 16;     // numbers a cache line
constexpr float TINY = 1e-30f;   // a row without moments is divided by it, not by 0

// What the moves missed by an idle row come to, by the number of steps: a row of the table that Python makes.
struct Missed {
    float push, floor, kept, first_decay, second_decay;
};

struct Row {
    float *weight, *first, *second;

    void fetch(int64_t k) const {
        __builtin_prefetch(weight + k, 1);
        __builtin_prefetch(first + k, 1);
        __builtin_prefetch(second + k, 1);
    }
};

struct Matrix {
    float *weights, *firsts, *seconds;
    int64_t width;

    Row row(int64_t number) const {
        return {weights + number * width, firsts + number * width, seconds + number * width};
    }
};

// Calls update(row, begin, end) for pieces of a row, and fetches the same pieces of the row that comes after it.
template <class F>
void by_line(const Matrix& matrix, int64_t number, int64_t next, F&& update) {
    const Row row = matrix.row(number), after = matrix.row(next);
    for (int64_t begin = 0; begin < matrix.width; begin += LINE) {
        after.fetch(begin);
        if (begin + LINE <= matrix.width)
            update(row, begin, begin + LINE);
        else
            update(row, begin, matrix.width);
    }
}

}  // namespace

// Bring rows up to `step`. They may repeat: each belongs to one thread, which finds it done the second time.
extern "C" void recsys_adam_catch_up(float* weights, float* firsts, float* seconds, float* last, int64_t width,
                                     const int64_t* rows, int64_t count, int64_t step, const Missed* missed,
                                     int threads) {
    const Matrix matrix{weights, firsts, seconds, width};
#pragma omp parallel num_threads(threads)
    {
        std::vector<std::pair<int64_t, int64_t>> own;  // rows and how long they were idle
        for (int64_t i = 0; i < count; ++i) {
            const int64_t row = rows[i];
            if (row % omp_get_num_threads() != omp_get_thread_num()) continue;
            const int64_t idle = step - static_cast<int64_t>(last[row]);
            if (idle > 0) own.emplace_back(row, idle);
            last[row] = static_cast<float>(step);
        }
        for (size_t i = 0; i < own.size(); ++i) {
            const Missed now = missed[own[i].second];
            by_line(matrix, own[i].first, own[std::min(i + 1, own.size() - 1)].first,
                    [&](const Row& row, int64_t begin, int64_t end) {
#pragma omp simd
                        for (int64_t k = begin; k < end; ++k) {
                            const float root = std::max(std::sqrt(row.second[k]) + now.floor, TINY);
                            row.weight[k] = (row.weight[k] - now.push * row.first[k] / root) * now.kept;
                            row.first[k] *= now.first_decay;
                            row.second[k] *= now.second_decay;
                        }
                    });
        }
    }
}

// One step with gradients (count, width) of `count` different rows, each after the moves that it missed before.
extern "C" void recsys_adam_late_step(float* weights, float* firsts, float* seconds, float* last, int64_t width,
                                      const int64_t* rows, int64_t count, const float* gradients, int64_t step,
                                      const Missed* missed, float beta1, float beta2, float rate, float kept,
                                      float correction, float epsilon, int threads) {
    const Matrix matrix{weights, firsts, seconds, width};
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; ++i) {
        const float* gradient = gradients + i * width;
        const Missed before = missed[step - 1 - static_cast<int64_t>(last[rows[i]])];
        by_line(matrix, rows[i], rows[std::min(i + 1, count - 1)], [&](const Row& row, int64_t begin, int64_t end) {
#pragma omp simd
            for (int64_t k = begin; k < end; ++k) {
                const float root = std::max(std::sqrt(row.second[k]) + before.floor, TINY);
                const float weight = (row.weight[k] - before.push * row.first[k] / root) * before.kept;
                const float first = row.first[k] * before.first_decay, second = row.second[k] * before.second_decay;
                row.first[k] = first + (1 - beta1) * (gradient[k] - first);
                row.second[k] = beta2 * second + (1 - beta2) * gradient[k] * gradient[k];
                row.weight[k] = weight * kept - rate * row.first[k] / (std::sqrt(row.second[k]) * correction + epsilon);
            }
        });
        last[rows[i]] = static_cast<float>(step);
    }
}
