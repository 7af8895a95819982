// Polynomials of the Gram matrix X^T X of a sparse matrix X = diag(r) B diag(c), times panels of columns.
//
// Columns are multiplied in panels of WIDE: a row of a panel is one cache line, so that a product with B or B^T adds one line
// an entry. B holds ones, or where X has values of its own, those, and r and c ones. Panels are kept as multiples of c, so
// that a product multiplies once a row, not once an entry.
#pragma once

#include <cstring>
#include <vector>

#include "tiles.h"

constexpr int WIDE = 16, PARTS = WIDE / LANES;

inline vec* line(float* panel, int64_t row) { return reinterpret_cast<vec*>(panel + row * WIDE); }
inline const vec* line(const float* panel, int64_t row) { return reinterpret_cast<const vec*>(panel + row * WIDE); }

// B or its transpose in CSR. Values are null where they are ones; factors (height): squares of r or of c.
struct Sparse {
    const int64_t* starts;
    const int32_t* columns;
    const float *values, *factors;
    int64_t height;

    template <class F>
    void entries(int64_t row, F&& f) const {
        for (int64_t at = starts[row]; at < starts[row + 1]; ++at) f(columns[at], values ? values[at] : 1.0f);
    }
};

template <bool VALUED>
inline void add_line(vec (&sums)[PARTS], const Sparse& a, int64_t at, const float* panel) {
    const vec* from = line(panel, a.columns[at]);
    if constexpr (VALUED) {
        const vec value = everywhere(a.values[at]);
        each<PARTS>([&](auto p) { sums[p] = add_product(sums[p], value, from[p]); });
    } else {
        each<PARTS>([&](auto p) { sums[p] += from[p]; });
    }
}

// Rows from `first` on of: out = times diag(factors) a panel + weight * begin, or without `begin` where the weight is 0.
template <bool VALUED>
void multiply_rows(const Sparse& a, const float* panel, float times, const float* begin, float weight, float* out,
                   int64_t first) {
    const vec share = everywhere(weight);
    for (int64_t row = first; row < a.height; ++row) {
        vec even[PARTS] = {}, odd[PARTS] = {};
        const int64_t end = a.starts[row + 1];
        int64_t at = a.starts[row];
        for (; at + 1 < end; at += 2) {
            add_line<VALUED>(even, a, at, panel);
            add_line<VALUED>(odd, a, at + 1, panel);
        }
        if (at < end) add_line<VALUED>(even, a, at, panel);
        const vec factor = everywhere(times * a.factors[row]);
        each<PARTS>([&](auto p) {
            const vec sum = factor * (even[p] + odd[p]);
            line(out, row)[p] = weight ? add_product(sum, share, line(begin, row)[p]) : sum;
        });
    }
}

inline void multiply(const Sparse& a, const float* panel, float times, const float* begin, float weight, float* out,
                     int64_t first = 0) {
    (a.values ? multiply_rows<true> : multiply_rows<false>)(a, panel, times, begin, weight, out, first);
}

// A sparse matrix and its transpose, and what the columns of a thread are multiplied in.
struct Room {
    const Sparse &x, &transposed;
    Buffer<float> start, state, between;
    std::vector<int32_t> filled;  // rows of `start` that are not zero, where they are few

    Room(const Sparse& x, const Sparse& transposed)
        : x(x),
          transposed(transposed),
          start(buffer<float>(transposed.height * WIDE)),
          state(buffer<float>(transposed.height * WIDE)),
          between(buffer<float>(x.height * WIDE)) {}

    // out = sum_k weights[k] (X^T X)^k start, rows from `first` on.
    void polynomial(const float* weights, int degree, float* out, int64_t first = 0) {
        if (!degree)
            for (int64_t i = first * WIDE; i < transposed.height * WIDE; ++i) out[i] = weights[0] * start[i];
        for (int power = degree - 1; power >= 0; --power) {
            if (power < degree - 1)
                multiply(x, state.get(), 1, nullptr, 0, between.get());
            else if (filled.empty())
                multiply(x, start.get(), weights[degree], nullptr, 0, between.get());
            else
                spread(weights[degree]);
            float* next = power ? state.get() : out;  // what is read again stays in one place, and so in the cache
            multiply(transposed, between.get(), 1, start.get(), weights[power], next, power ? 0 : first);
        }
    }

    // start = the columns of X^T X that `items` names, one a lane, less than 0 for none.
    void columns(const int64_t (&items)[WIDE], const float* scale) {
        std::memset(start.get(), 0, transposed.height * WIDE * sizeof(float));
        for (int lane = 0; lane < WIDE; ++lane)
            if (items[lane] >= 0)
                transposed.entries(items[lane], [&](int64_t user, float left) {
                    const float value = left * x.factors[user] * scale[items[lane]];
                    x.entries(user, [&](int64_t to, float right) { start[to * WIDE + lane] += value * right; });
                });
        note_filled();
    }

private:
    // Multiplies by what is left of c, and lists the rows that are not zero unless they reach many entries.
    void note_filled() {
        filled.clear();
        const int64_t most = transposed.starts[transposed.height] * 2 / 5;
        int64_t reached = 0;
        for (int64_t row = 0; row < transposed.height; ++row) {
            float* mine = start.get() + row * WIDE;
            uint32_t raw[WIDE], any = 0;
            std::memcpy(raw, mine, sizeof raw);
            for (int lane = 0; lane < WIDE; ++lane) any |= raw[lane];
            if (!any) continue;
            for (int lane = 0; lane < WIDE; ++lane) mine[lane] *= transposed.factors[row];
            reached += transposed.starts[row + 1] - transposed.starts[row];
            if (reached <= most) filled.push_back(static_cast<int32_t>(row));
        }
        if (reached > most) filled.clear();
    }

    // between = times diag(r^2) B start, from the rows that are not zero.
    void spread(float times) {
        std::memset(between.get(), 0, x.height * WIDE * sizeof(float));
        float* sums = between.get();
        for (const int32_t row : filled) {
            vec mine[PARTS];
            each<PARTS>([&](auto p) { mine[p] = line(start.get(), row)[p]; });
            transposed.entries(row, [&](int64_t user, float value) {
                const vec factor = everywhere(value);
                each<PARTS>([&](auto p) { line(sums, user)[p] = add_product(line(sums, user)[p], factor, mine[p]); });
            });
        }
        for (int64_t user = 0; user < x.height; ++user) {
            const vec factor = everywhere(times * x.factors[user]);
            each<PARTS>([&](auto p) { line(between.get(), user)[p] *= factor; });
        }
    }
};
