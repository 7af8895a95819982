// Polynomials of the Gram matrix X^T X of a sparse matrix, and the largest entries of dense rows.
//
// Columns are multiplied in panels of WIDE: a row of a panel is one cache line, so that a product with X or X^T adds one line
// an entry, and a panel of tens of thousands of rows stays in the second cache.
#include <cmath>
#include <cstring>

#include <functional>
#include "tiles.h"

namespace {

constexpr int WIDE = 16, PARTS = WIDE / LANES;
constexpr int AHEAD = 16;   // entries whose lines are asked for in advance
constexpr int SAMPLE = 16;  // of so many entries one is looked at to guess how large the largest are

struct Sparse {
    const int64_t* starts;
    const int32_t* columns;
    const float* values;
    int64_t height;
};

inline vec* line(float* panel, int64_t row) { return reinterpret_cast<vec*>(panel + row * WIDE); }
inline const vec* line(const float* panel, int64_t row) { return reinterpret_cast<const vec*>(panel + row * WIDE); }

// out = a panel + weight * begin, or without `begin` where it is null.
void multiply(const Sparse& a, const float* panel, const float* begin, float weight, float* out) {
    const vec factor = everywhere(weight);
    for (int64_t row = 0; row < a.height; ++row) {
        vec even[PARTS] = {}, odd[PARTS] = {};
        if (begin) each<PARTS>([&](auto p) { even[p] = factor * line(begin, row)[p]; });
        const int64_t end = a.starts[row + 1];
        int64_t at = a.starts[row];
        for (; at + 1 < end; at += 2) {
            __builtin_prefetch(panel + static_cast<int64_t>(a.columns[at + AHEAD]) * WIDE);
            __builtin_prefetch(panel + static_cast<int64_t>(a.columns[at + AHEAD + 1]) * WIDE);
            const vec first = everywhere(a.values[at]), second = everywhere(a.values[at + 1]);
            const vec *one = line(panel, a.columns[at]), *two = line(panel, a.columns[at + 1]);
            each<PARTS>([&](auto p) { even[p] = add_product(even[p], first, one[p]); });
            each<PARTS>([&](auto p) { odd[p] = add_product(odd[p], second, two[p]); });
        }
        if (at < end) {
            const vec last = everywhere(a.values[at]);
            each<PARTS>([&](auto p) { even[p] = add_product(even[p], last, line(panel, a.columns[at])[p]); });
        }
        each<PARTS>([&](auto p) { line(out, row)[p] = even[p] + odd[p]; });
    }
}

// Panels that a thread works in.
struct Room {
    Buffer<float> start, state, between;
    Room(int64_t items, int64_t users)
        : start(buffer<float>(items * WIDE)), state(buffer<float>(items * WIDE)), between(buffer<float>(users * WIDE)) {}

    // state = sum_k weights[k] (X^T X)^k start
    void polynomial(const Sparse& x, const Sparse& transposed, const float* weights, int degree) {
        const int64_t size = transposed.height * WIDE;
        for (int64_t i = 0; i < size; ++i) state[i] = weights[degree] * start[i];
        for (int power = degree - 1; power >= 0; --power) {
            multiply(x, state.get(), nullptr, 0, between.get());
            multiply(transposed, between.get(), weights[power] ? start.get() : nullptr, weights[power], state.get());
        }
    }
};

}  // namespace

// Entries beyond the end of a matrix's columns that are read, and may hold any of its columns.
extern "C" int64_t recsys_graph_padding() { return AHEAD + 2; }

// out (items, n) = sum_k weights[k] (X^T X)^k dense, for X (users, items) and its transpose in CSR, dense (items, n).
extern "C" void recsys_gram_polynomial(const int64_t* x_starts, const int32_t* x_columns, const float* x_values, int64_t users,
                                       const int64_t* t_starts, const int32_t* t_columns, const float* t_values, int64_t items,
                                       const float* weights, int degree, const float* dense, int64_t n, float* out,
                                       int threads) {
    const Sparse x{x_starts, x_columns, x_values, users}, transposed{t_starts, t_columns, t_values, items};
    const int64_t panels = (n + WIDE - 1) / WIDE;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Room room(items, users);
#pragma omp for schedule(dynamic, 1)
        for (int64_t panel = 0; panel < panels; ++panel) {
            const int64_t first = panel * WIDE, here = std::min<int64_t>(WIDE, n - first);
            for (int64_t row = 0; row < items; ++row) {
                float* mine = room.start.get() + row * WIDE;
                std::memcpy(mine, dense + row * n + first, here * sizeof(float));
                std::memset(mine + here, 0, (WIDE - here) * sizeof(float));
            }
            room.polynomial(x, transposed, weights, degree);
            for (int64_t row = 0; row < items; ++row)
                std::memcpy(out + row * n + first, room.state.get() + row * WIDE, here * sizeof(float));
        }
    }
}

// out (count, items) = rows `first` and on of P sum_k weights[k] P^k, P = X^T X.
extern "C" void recsys_gram_rows(const int64_t* x_starts, const int32_t* x_columns, const float* x_values, int64_t users,
                                 const int64_t* t_starts, const int32_t* t_columns, const float* t_values, int64_t items,
                                 const float* weights, int degree, int64_t first, int64_t count, float* out, int threads) {
    const Sparse x{x_starts, x_columns, x_values, users}, transposed{t_starts, t_columns, t_values, items};
    const int64_t panels = (count + WIDE - 1) / WIDE;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Room room(items, users);
#pragma omp for schedule(dynamic, 1)
        for (int64_t panel = 0; panel < panels; ++panel) {
            const int64_t begin = panel * WIDE, here = std::min<int64_t>(WIDE, count - begin);
            float* start = room.start.get();
            std::memset(start, 0, items * WIDE * sizeof(float));
            for (int64_t lane = 0; lane < here; ++lane) {
                const int64_t item = first + begin + lane;
                for (int64_t at = t_starts[item]; at < t_starts[item + 1]; ++at) {
                    const int64_t user = t_columns[at];
                    const float value = t_values[at];
                    for (int64_t to = x_starts[user]; to < x_starts[user + 1]; ++to)
                        start[static_cast<int64_t>(x_columns[to]) * WIDE + lane] += value * x_values[to];
                }
            }
            room.polynomial(x, transposed, weights, degree);
            const float* state = room.state.get();
            constexpr int64_t TILE = 64;  // lines that are turned at once
            for (int64_t column = 0; column < items; column += TILE)
                for (int64_t lane = 0; lane < here; ++lane) {
                    float* row = out + (begin + lane) * items;
                    for (int64_t j = column; j < std::min(column + TILE, items); ++j) row[j] = state[j * WIDE + lane];
                }
        }
    }
}

// Of each row of `rows` (count, n), times column_scale and row_scale, the k entries of largest magnitude: columns, ascending,
// and values, (count, k); of equals the first ones.
extern "C" void recsys_largest_entries(const float* rows, int64_t count, int64_t n, const float* column_scale,
                                       const float* row_scale, int64_t k, int32_t* columns, float* values, int threads) {
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        auto scaled = buffer<float>(n), sizes = buffer<float>(n), few = buffer<float>(n / SAMPLE + 1);
        auto good = buffer<float>(n);
        auto places = buffer<int32_t>(n + 1);
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < count; ++i) {
            const float* row = rows + i * n;
            for (int64_t j = 0; j < n; ++j) {
                scaled[j] = row[j] * column_scale[j] * row_scale[i];
                sizes[j] = std::fabs(scaled[j]);
            }
            // What a sample says is about the size of the (5 k / 4)-th: what is smaller is left out, if enough remains.
            int64_t sampled = 0, found = 0;
            for (int64_t j = 0; j < n; j += SAMPLE) few[sampled++] = sizes[j];
            const int64_t rank = (k + k / 4) / SAMPLE;
            float least = 0;
            if (rank < sampled) {
                std::nth_element(few.get(), few.get() + rank, few.get() + sampled, std::greater<>());
                least = few[rank];
            }
            const auto collect = [&] {
                found = 0;
                for (int64_t begin = 0; begin < n; begin += WIDE) {
                    const int64_t end = std::min<int64_t>(begin + WIDE, n);
                    bool any = false;
                    for (int64_t j = begin; j < end; ++j) any |= sizes[j] >= least;
                    if (!any) continue;
                    for (int64_t j = begin; j < end; ++j) {
                        places[found] = static_cast<int32_t>(j);
                        found += sizes[j] >= least;
                    }
                }
            };
            collect();
            if (found < k) {
                least = 0;
                collect();
            }
            for (int64_t j = 0; j < found; ++j) good[j] = sizes[places[j]];
            std::nth_element(good.get(), good.get() + k - 1, good.get() + found, std::greater<>());
            const float border = good[k - 1];
            int64_t equal = k, taken = i * k;
            for (int64_t j = 0; j < found; ++j) equal -= good[j] > border;
            for (int64_t at = 0; at < found; ++at) {
                const int32_t j = places[at];
                if (sizes[j] < border || (sizes[j] == border && equal-- <= 0)) continue;
                columns[taken] = j;
                values[taken++] = scaled[j];
            }
        }
    }
}
