// Products each of whose sums is made in one order, whatever is computed beside it:
//
//     c_ij = (...((a_i1 b_j1) + a_i2 b_j2) + ...) + a_id b_jd      every step rounded once
//
// So a row has the same numbers alone and in any batch, which no library promises: these take other loops for other shapes.
// It is the order in which recsys_top_k sums, too.
#include <cstring>

#include "tiles.h"

namespace {

constexpr int64_t BLOCK = 64;     // columns that are multiplied while a row is at hand: one panel or several
constexpr int SIDE_BY_SIDE = 16;  // sums of a single column: each waits for its last step, so many are under way

inline float add_one_product(float sum, float a, float b) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fmaf(a, b, sum);
#else
    return sum + a * b;
#endif
}

// Columns b (m, d) in panels, dimension after dimension, zero beyond the last of them.
void pack(const float* b, int64_t m, int64_t d, float* packed) {
    const int64_t width = rounded_up(m, LANES);
    for (int64_t j = 0; j < width; ++j) {
        const int64_t column = j / PANEL * PANEL, lanes = vectors_in(column, width) * LANES;
        float* out = packed + column * d + j - column;
        for (int64_t p = 0; p < d; ++p) out[p * lanes] = j < m ? b[j * d + p] : 0.0f;
    }
}

// Sums of R rows and V vectors of columns.
template <int R, int V>
inline void multiply(const float* const* rows, const float* panel, int64_t d, vec (&sums)[ROWS][VECTORS]) {
    vec c[R * V] = {};
    for (int64_t p = 0; p < d; ++p, panel += V * LANES) {
        vec b[V];
        each<V>([&](auto v) { b[v] = *reinterpret_cast<const vec*>(panel + v * LANES); });
        each<R>([&](auto r) {
            const vec a = everywhere(rows[r][p]);
            each<V>([&](auto v) { c[r * V + v] = add_product(c[r * V + v], a, b[v]); });
        });
    }
    each<R * V>([&](auto i) { sums[i / V][i % V] = c[i]; });
}

// Calls take(row, column, count, sums) for each tile of rows from `begin` to `end`, of which `at(row)` tells where they are.
template <class At, class Take>
inline void tiles(int64_t begin, int64_t end, const float* packed, int64_t m, int64_t d, At&& at, Take&& take) {
    const int64_t width = rounded_up(m, LANES);
    for (int64_t column = 0; column < width; column += PANEL)
        for (int64_t row = begin; row < end; row += ROWS) {
            const int n = static_cast<int>(std::min<int64_t>(ROWS, end - row));
            const float* lines[ROWS];
            for (int r = 0; r < n; ++r) lines[r] = at(row + r);
            vec sums[ROWS][VECTORS];
            with_tile(n, vectors_in(column, width),
                      [&]<int R, int V>() { multiply<R, V>(lines, packed + column * d, d, sums); });
            take(row, column, n, sums);
        }
}

}  // namespace

// Numbers that m packed columns of d take.
extern "C" int64_t recsys_packed_size(int64_t m, int64_t d) { return rounded_up(m, LANES) * d; }

// b (m, d) -> packed, on a cache line.
extern "C" void recsys_pack(const float* b, int64_t m, int64_t d, float* packed) { pack(b, m, d, packed); }

// a (n, d), b (m, d) packed, bias (m,) or null -> out (n, m) = a b^T + bias.
extern "C" void recsys_dense(const float* a, int64_t n, const float* packed, int64_t m, int64_t d, const float* bias,
                             float* out, int threads) {
    const int64_t tasks = std::min<int64_t>(threads, (n + ROWS - 1) / ROWS);
#pragma omp parallel for num_threads(threads) if (tasks > 1)
    for (int64_t task = 0; task < tasks; ++task) {
        const auto [begin, end] = share((n + ROWS - 1) / ROWS, task, tasks);
        tiles(begin * ROWS, std::min(end * ROWS, n), packed, m, d, [&](int64_t row) { return a + row * d; },
              [&](int64_t row, int64_t column, int count, const vec (&sums)[ROWS][VECTORS]) {
                  const int64_t wide = std::min<int64_t>(PANEL, m - column);
                  for (int r = 0; r < count; ++r) {
                      float* line = out + (row + r) * m + column;
                      std::memcpy(line, sums[r], wide * sizeof(float));
                      if (bias)
                          for (int64_t j = 0; j < wide; ++j) line[j] += bias[column + j];
                  }
              });
    }
}

// queries (n, d), vectors (n_items, d); `wanted` rows of these, n_wanted, or null for all -> out (n, n_wanted or n_items).
extern "C" void recsys_products(const float* queries, int64_t n, const float* vectors, int64_t n_items, int64_t d,
                                const int64_t* wanted, int64_t n_wanted, float* out, int threads) {
    const int64_t count = wanted ? n_wanted : n_items, tasks = 4 * threads;
    const auto at = [&](int64_t item) { return vectors + (wanted ? wanted[item] : item) * d; };
    for (int64_t first = 0; first < n; first += BLOCK) {
        const int64_t here = std::min(BLOCK, n - first);
        const float* query = queries + first * d;
        float* mine = out + first * count;
        const auto packed = here > 1 ? buffer<float>(rounded_up(here, LANES) * d) : nullptr;
        if (packed) pack(query, here, d, packed.get());
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (threads > 1)
        for (int64_t task = 0; task < tasks; ++task) {
            const auto [begin, end] = share(count, task, tasks);
            if (packed) {
                tiles(begin, end, packed.get(), here, d, at,
                      [&](int64_t item, int64_t column, int items, const vec (&sums)[ROWS][VECTORS]) {
                          for (int64_t j = column; j < std::min<int64_t>(column + PANEL, here); ++j)
                              for (int r = 0; r < items; ++r)
                                  mine[j * count + item + r] = sums[r][(j - column) / LANES][(j - column) % LANES];
                      });
                continue;
            }
            for (int64_t item = begin; item < end; item += SIDE_BY_SIDE) {
                const float* some[SIDE_BY_SIDE];
                float sums[SIDE_BY_SIDE] = {};
                each<SIDE_BY_SIDE>([&](auto i) { some[i] = at(std::min<int64_t>(item + i, end - 1)); });
                const float* next = at(std::min(item + SIDE_BY_SIDE, end - 1));
                for (int64_t p = 0; p < d; ++p) {
                    __builtin_prefetch(next + p * SIDE_BY_SIDE);  // of what comes next, a cache line a step
                    each<SIDE_BY_SIDE>([&](auto i) { sums[i] = add_one_product(sums[i], some[i][p], query[p]); });
                }
                std::memcpy(mine + item, sums, std::min<int64_t>(SIDE_BY_SIDE, end - item) * sizeof(float));
            }
        }
    }
}
