// Polynomials of the Gram matrix of a sparse matrix, times dense columns.
#include "panels.h"

// out (items, n) = sum_k weights[k] (X^T X)^k dense (items, n), for X = diag(r) B diag(c) (users, items): B and its transpose
// in CSR, with squares of r and c as factors, c as `scale`. `order` says which row of `dense` a row of B's transpose is.
extern "C" void recsys_gram_polynomial(const int64_t* x_starts, const int32_t* x_columns, const float* x_values,
                                       const float* x_factors, int64_t users, const int64_t* t_starts,
                                       const int32_t* t_columns, const float* t_values, const float* t_factors, int64_t items,
                                       const int64_t* order, const float* scale, const float* weights, int degree,
                                       const float* dense, int64_t n, float* out, int threads) {
    const Sparse x{x_starts, x_columns, x_values, x_factors, users};
    const Sparse transposed{t_starts, t_columns, t_values, t_factors, items};
    const int64_t panels = (n + WIDE - 1) / WIDE;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Room room(x, transposed);
        auto state = buffer<float>(items * WIDE);
#pragma omp for schedule(dynamic, 1)
        for (int64_t panel = 0; panel < panels; ++panel) {
            const int64_t first = panel * WIDE, here = std::min<int64_t>(WIDE, n - first);
            for (int64_t row = 0; row < items; ++row) {
                const float* from = dense + order[row] * n + first;
                float* to = room.start.get() + row * WIDE;
                for (int64_t lane = 0; lane < WIDE; ++lane) to[lane] = lane < here ? from[lane] * scale[row] : 0;
            }
            room.polynomial(weights, degree, state.get());
            for (int64_t row = 0; row < items; ++row) {
                float* to = out + order[row] * n + first;
                for (int64_t lane = 0; lane < here; ++lane) to[lane] = state[row * WIDE + lane] / scale[row];
            }
        }
    }
}

// out (height, n) = A dense (width, n), in double precision, for A in CSR.
extern "C" void recsys_sparse_product(const int64_t* starts, const int32_t* columns, const double* values, int64_t height,
                                      int64_t width, const double* dense, int64_t n, double* out, int threads) {
    constexpr int64_t LINE = 8;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        auto panel = buffer<double>(width * LINE);
#pragma omp for schedule(dynamic, 1)
        for (int64_t first = 0; first < n; first += LINE) {
            const int64_t here = std::min(LINE, n - first);
            for (int64_t row = 0; row < width; ++row)
                for (int64_t lane = 0; lane < LINE; ++lane)
                    panel[row * LINE + lane] = lane < here ? dense[row * n + first + lane] : 0;
            for (int64_t row = 0; row < height; ++row) {
                double sums[LINE] = {};
                for (int64_t at = starts[row]; at < starts[row + 1]; ++at)
                    for (int64_t lane = 0; lane < LINE; ++lane) sums[lane] += values[at] * panel[columns[at] * LINE + lane];
                for (int64_t lane = 0; lane < here; ++lane) out[row * n + first + lane] = sums[lane];
            }
        }
    }
}
