// Many small ridge regressions over rows of one matrix: the half-steps of alternating least squares.
//
//     x = argmin sum_k D_k x_k^2 + sum_i w_i (t_i / w_i - <x, y_i>)^2       n chosen rows y_i of the matrix, d wide
//
// With B = W^1/2 Y D^-1/2, n by d, and r = W^-1/2 t the solution is, whichever system is the smaller,
//
//     D^-1/2 (I + B^T B)^-1 B^T r         d unknowns
//     D^-1/2 B^T (I + B B^T)^-1 r         n unknowns
//
// Both are I + M^T M for an M whose rows are gathered, some at a time: B as it is, or transposed. The product and the
// elimination are one kernel, tiles that stay in registers. No pivot of I + M^T M is below 1, which guards against what
// rounding may do to one.
//
// Or block by block of the dimensions, once each, exact given the others (Rendle et al. 2021, iALS++, alg. 2). With
// z = D^1/2 x and what is left of r, r - B z, a block b of z changes by
//
//     (I + B_b^T B_b)^-1 (B_b^T (r - B z) - z_b)
//
// A regression of fewer entries than a block has dimensions is solved exactly.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "tiles.h"

namespace {

constexpr int AHEAD = 4;       // rows that are fetched while a block of a system's rows is computed
constexpr int64_t CHUNK = 64;  // rows of M at a time: they stay in the first cache where there are some 128 unknowns

typedef int32_t lanes __attribute__((vector_size(LANES * sizeof(int32_t))));

inline vec& at(float* p) { return *reinterpret_cast<vec*>(p); }
inline const vec& at(const float* p) { return *reinterpret_cast<const vec*>(p); }

// Numbers that lie on no boundary.
inline vec loaded(const float* p) {
    vec found;
    std::memcpy(&found, p, sizeof(vec));
    return found;
}

// Lanes of two vectors by turns, those of their first halves or of their second.
template <bool HIGH>
inline vec interleaved(vec a, vec b) {
    lanes order;
    for (int lane = 0; lane < LANES; ++lane) order[lane] = lane / 2 + (HIGH ? LANES / 2 : 0) + (lane % 2 ? LANES : 0);
    return __builtin_shuffle(a, b, order);
}

inline void transpose(vec (&rows)[LANES]) {
#pragma GCC unroll 4
    for (int step = 1; step < LANES; step *= 2) {
        vec next[LANES];
#pragma GCC unroll 8
        for (int i = 0; i < LANES / 2; ++i) {
            next[2 * i] = interleaved<false>(rows[i], rows[i + LANES / 2]);
            next[2 * i + 1] = interleaved<true>(rows[i], rows[i + LANES / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; ++i) rows[i] = next[i];
    }
}

// out[r][j] += or -= sum_p M[p][i + r] M[p][j] for a tile.
template <int R, int V, bool MINUS>
inline void tile(const float* M, int64_t count, int64_t stride, int64_t i, int64_t j, float* out) {
    vec c[R][V] = {};
    for (int64_t p = 0; p < count; ++p, M += stride) {
        vec b[V];
        for (int v = 0; v < V; ++v) b[v] = at(M + j + v * LANES);
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) {
            const vec a = everywhere(M[i + r]);
            for (int v = 0; v < V; ++v) c[r][v] += a * b[v];
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
            vec& sum = at(out + r * stride + j + v * LANES);
            sum = MINUS ? sum - c[r][v] : sum + c[r][v];
        }
}

// A block of rows i .. i + rows of a symmetric system, from the diagonal on.
template <bool MINUS>
inline void block_of_rows(const float* M, int64_t count, int64_t stride, int64_t i, int rows, float* system) {
    for (int64_t j = i / LANES * LANES; j < stride; j += PANEL) {
        const int vectors = static_cast<int>(std::min<int64_t>(PANEL, stride - j) / LANES);
        with_tile(rows, vectors, [&]<int R, int V>() { tile<R, V, MINUS>(M, count, stride, i, j, system + i * stride); });
    }
}

inline int rows_at(int64_t i, int64_t size) { return static_cast<int>(std::min<int64_t>(ROWS, size - i)); }

struct Matrix {
    const float* vectors;
    int64_t d;
    const float* row(int64_t i) const { return vectors + i * d; }
};

// The rows y_i that one regression is over; from rows + n to `end` are those of the next ones.
struct Entries {
    const int32_t *rows, *end;
    const float *weights, *targets;
    int64_t n;
};

struct Solver {
    Matrix matrix;
    int64_t block;  // dimensions that are solved for at once
    int64_t room;   // numbers a row of a system at most
    Buffer<float> chunk, system, scale, forward, inverse, unknown;  // unknown: before it is solved for, the right-hand side
    Buffer<float> root, left;                                       // of each entry; left: of r, what B does not explain

    Solver(Matrix matrix, int64_t block, int64_t longest)
        : matrix(matrix), block(block), room(rounded_up(block, LANES)), chunk(buffer<float>(CHUNK * room)),
          system(buffer<float>(room * room)), scale(buffer<float>(rounded_up(matrix.d, LANES))),
          forward(buffer<float>(room)), inverse(buffer<float>(room)), unknown(buffer<float>(room)),
          root(buffer<float>(rounded_up(longest, LANES))), left(buffer<float>(rounded_up(longest, LANES))) {}

    // x holds what to begin with; it counts where there is more than one block.
    void solve(const Entries& of, const float* base, float penalty, float* x) {
        for (int64_t k = 0; k < matrix.d; ++k) scale[k] = 1 / std::sqrt(base[k] + penalty);
        std::fill(root.get(), root.get() + rounded_up(of.n, LANES), 0.0f);
        for (int64_t i = 0; i < of.n; ++i) {
            root[i] = std::sqrt(of.weights[i]);
            left[i] = of.targets[i] / root[i];
        }
        if (of.n < block) by_entries(of, x);
        else by_blocks(of, x);
    }

   private:
    void by_blocks(const Entries& of, float* x) {
        if (block < matrix.d) explain(of, x, 0, matrix.d);
        else std::fill(x, x + matrix.d, 0.0f);
        for (int64_t first = 0; first < matrix.d; first += block) {
            const int64_t size = std::min(block, matrix.d - first);
            step(of, x + first, first, size);
            for (int64_t k = 0; k < size; ++k) {
                unknown[k] *= scale[first + k];
                x[first + k] += unknown[k];
            }
            if (first + size < matrix.d) explain(of, unknown.get(), first, size);
        }
    }

    // Takes what the dimensions first .. first + size of x explain from what is left.
    void explain(const Entries& of, const float* x, int64_t first, int64_t size) {
        const int64_t whole = size / LANES * LANES;
        for (int64_t i = 0; i < of.n; i += LANES) {
            vec products[LANES] = {}, sum = {};
            const int64_t here = std::min<int64_t>(LANES, of.n - i);
            for (int64_t lane = 0; lane < here; ++lane) {
                const float* y = matrix.row(of.rows[i + lane]) + first;
                vec product = {};
                for (int64_t k = 0; k < whole; k += LANES) product += loaded(x + k) * loaded(y + k);
                for (int64_t k = whole; k < size; ++k) product[0] += x[k] * y[k];
                products[lane] = product;
            }
            transpose(products);
            for (int lane = 0; lane < LANES; ++lane) sum += products[lane];
            at(left.get() + i) -= at(root.get() + i) * sum;
        }
    }

    // Finds by how much the dimensions first .. first + size of D^1/2 x are to change, given the others.
    void step(const Entries& of, const float* x, int64_t first, int64_t size) {
        const int64_t stride = rounded_up(size, LANES), whole = size / LANES * LANES;
        begin(stride);
        for (int64_t k = 0; k < size; ++k) unknown[k] = -x[k] / scale[first + k];
        for (int64_t start = 0; start < of.n; start += CHUNK) {
            const int64_t count = std::min(CHUNK, of.n - start);
            for (int64_t p = 0; p < count; ++p) {
                const float* y = matrix.row(of.rows[start + p]) + first;
                float *row = chunk.get() + p * stride, *right = unknown.get();
                const vec weight = everywhere(root[start + p]), wanted = everywhere(left[start + p]);
                for (int64_t k = 0; k < whole; k += LANES) {
                    const vec entry = loaded(y + k) * weight * loaded(scale.get() + first + k);
                    at(row + k) = entry;
                    at(right + k) += wanted * entry;
                }
                if (whole < stride) at(row + whole) = vec{};
                for (int64_t k = whole; k < size; ++k)
                    right[k] += left[start + p] * (row[k] = y[k] * root[start + p] * scale[first + k]);
            }
            product(count, size, stride, of.rows + start + count, of.end);
        }
        eliminate(size, stride);
    }

    void by_entries(const Entries& of, float* out) {
        const int64_t d = matrix.d, n = of.n, stride = rounded_up(n, LANES);
        begin(stride);
        for (int64_t first = 0; first < d; first += CHUNK) {
            const int64_t count = std::min(CHUNK, d - first);
            for (int64_t i = 0; i < stride; i += LANES) transposed(of, i, first, count, stride);
            product(count, n, stride, first ? of.end : of.rows + n, of.end);
        }
        std::copy(left.get(), left.get() + n, unknown.get());
        eliminate(n, stride);
        std::fill(out, out + d, 0.0f);
        for (int64_t i = 0; i < n; ++i) {
            const float *y = matrix.row(of.rows[i]), share = unknown[i] * root[i];
            for (int64_t k = 0; k < d; ++k) out[k] += share * y[k];
        }
        for (int64_t k = 0; k < d; ++k) out[k] *= scale[k] * scale[k];
    }

    // Columns i .. i + LANES of rows first .. first + count of B^T.
    void transposed(const Entries& of, int64_t i, int64_t first, int64_t count, int64_t stride) {
        const int64_t here = std::clamp<int64_t>(of.n - i, 0, LANES), whole = count / LANES * LANES;
        float* to = chunk.get() + i;
        for (int64_t k = 0; k < whole; k += LANES) {
            vec rows[LANES] = {};
            const vec factor = loaded(scale.get() + first + k);
            for (int64_t lane = 0; lane < here; ++lane) {
                rows[lane] = loaded(matrix.row(of.rows[i + lane]) + first + k) * factor * everywhere(root[i + lane]);
            }
            transpose(rows);
            for (int lane = 0; lane < LANES; ++lane) at(to + (k + lane) * stride) = rows[lane];
        }
        for (int64_t k = whole; k < count; ++k)
            for (int64_t lane = 0; lane < LANES; ++lane)
                to[k * stride + lane] =
                    lane < here ? matrix.row(of.rows[i + lane])[first + k] * root[i + lane] * scale[first + k] : 0.0f;
    }

    // Adds what a chunk gives, and has the rows that come next fetched meanwhile.
    void product(int64_t count, int64_t size, int64_t stride, const int32_t* next, const int32_t* end) {
        for (int64_t i = 0; i < size; i += ROWS) {
            for (int k = 0; k < AHEAD && next < end; ++k) prefetch(*next++);
            block_of_rows<false>(chunk.get(), count, stride, i, rows_at(i, size), system.get());
        }
    }

    void begin(int64_t stride) {
        std::memset(system.get(), 0, stride * stride * sizeof(float));
        std::memset(unknown.get(), 0, stride * sizeof(float));
    }

    // Solves (I + system) x = unknown, in its place, by Cholesky's U^T U, row by row of U.
    void eliminate(int64_t size, int64_t stride) {
        float* right = unknown.get();
        for (int64_t i = 0; i < size; i += ROWS) {
            const int rows = rows_at(i, size);
            const int64_t start = i / LANES * LANES;
            block_of_rows<true>(system.get(), i, stride, i, rows, system.get());
            for (int64_t r = i; r < i + rows; ++r) {
                float* mine = system.get() + r * stride;
                for (int64_t q = i; q < r; ++q) {
                    const float* above = system.get() + q * stride;
                    const vec factor = everywhere(above[r]);
                    for (int64_t j = start; j < stride; j += LANES) at(mine + j) -= factor * at(above + j);
                }
                inverse[r] = 1 / std::sqrt(std::max(1 + mine[r], 1.0f));
                forward[r] = right[r] * inverse[r];
                const vec factor = everywhere(inverse[r]), share = everywhere(forward[r]);
                for (int64_t j = start; j < stride; j += LANES) {
                    at(mine + j) *= factor;
                    at(right + j) -= share * at(mine + j);  // what is before r has been read, and is not read again
                }
            }
        }
        for (int64_t r = size; r < stride; ++r) forward[r] = inverse[r] = 0;
        for (int64_t first = stride - LANES; first >= 0; first -= LANES) substitute(first, stride);
    }

    // Unknowns first .. first + LANES of U x = forward, those after them being there.
    void substitute(int64_t first, int64_t stride) {
        vec columns[LANES], products[LANES] = {};
        for (int l = 0; l < LANES; ++l) {
            const float* row = system.get() + (first + l) * stride;
            columns[l] = at(row + first);
            for (int64_t j = first + LANES; j < stride; j += LANES) products[l] += at(row + j) * at(unknown.get() + j);
        }
        transpose(columns);
        transpose(products);
        vec rest = at(forward.get() + first);
        for (int l = 0; l < LANES; ++l) rest -= products[l];
        float solved[LANES];
#pragma GCC unroll 16
        for (int l = LANES - 1; l >= 0; --l) {
            solved[l] = rest[l] * inverse[first + l];
            rest -= everywhere(solved[l]) * columns[l];
        }
        std::memcpy(unknown.get() + first, solved, sizeof(solved));
    }

    void prefetch(int64_t row) const {
        for (int64_t k = 0; k < matrix.d; k += 16) __builtin_prefetch(matrix.row(row) + k, 0, 2);
    }
};

}  // namespace

// vectors (., d); regression i has the entries starts[i] .. starts[i + 1] of rows, weights (above 0) and targets, and
// D_k = base[k] + penalties[i]; out (n, d) holds what to begin with and takes the solutions. block: from 1 to d.
extern "C" void recsys_ridge(const float* vectors, int64_t d, int64_t block, const float* base, int64_t n,
                             const int64_t* starts, const int32_t* rows, const float* weights, const float* targets,
                             const float* penalties, float* out, int threads) {
    int64_t longest = 0;
    for (int64_t i = 0; i < n; ++i) longest = std::max(longest, starts[i + 1] - starts[i]);
#pragma omp parallel num_threads(threads)
    {
        Solver solver{Matrix{vectors, d}, block, longest};
#pragma omp for schedule(dynamic, 16)
        for (int64_t i = 0; i < n; ++i) {
            const int64_t first = starts[i];
            solver.solve({rows + first, rows + starts[n], weights + first, targets + first, starts[i + 1] - first}, base, penalties[i],
                         out + i * d);
        }
    }
}
