// Tiles: products of a few rows and a panel of columns that stay in registers, and the panels they read.
//
//     C[i][j] += sum_p a(i, p) b(p, j)      i < R rows, j < V vectors of columns
//
// b is packed in panels of columns, p after p, so that a tile reads it front to back; a is read in place, one
// number (or pair of bfloat16 numbers) at a time, and serves all columns. R * V sums and V vectors of b fill the
// registers. Source: Goto & van de Geijn, Anatomy of High-Performance Matrix Multiplication, TOMS 2008.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

// Numbers a vector, and vectors a panel: what fills the processor's registers with ROWS * VECTORS sums.
#if defined(__AVX512F__)
constexpr int LANES = 16, VECTORS = 4;
#elif defined(__AVX2__)
constexpr int LANES = 8, VECTORS = 2;
#elif defined(__aarch64__)
constexpr int LANES = 4, VECTORS = 4;
#else
constexpr int LANES = 4, VECTORS = 2;
#endif
constexpr int ROWS = 6;  // rows a tile
constexpr int PANEL = VECTORS * LANES;

typedef float vec __attribute__((vector_size(LANES * sizeof(float)), may_alias));

inline vec everywhere(float a) {
#if defined(__AVX512F__)
    return (vec)_mm512_set1_ps(a);
#elif defined(__AVX2__)
    return (vec)_mm256_set1_ps(a);
#else
    return vec{} + a;
#endif
}

// sum + a * b, rounded once whatever a compiler thinks is faster.
inline vec add_product(vec sum, vec a, vec b) {
#if defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)sum);
#elif defined(__FMA__) && defined(__AVX2__)
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum);
#else
    return sum + a * b;
#endif
}

inline int64_t rounded_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

template <class T>
struct Free {
    void operator()(T* p) const { std::free(p); }
};
template <class T>
using Buffer = std::unique_ptr<T[], Free<T>>;

// Uninitialised memory on cache lines.
template <class T>
Buffer<T> buffer(int64_t n) {
    return Buffer<T>(static_cast<T*>(std::aligned_alloc(64, rounded_up(std::max<int64_t>(n, 1) * sizeof(T), 64))));
}

// Vectors of columns in the panel that starts at `column` of `width` (whole vectors).
inline int vectors_in(int64_t column, int64_t width) {
    return static_cast<int>(std::min<int64_t>(PANEL, width - column) / LANES);
}

// Range of `count` things that thread `t` of `n` takes.
inline std::pair<int64_t, int64_t> share(int64_t count, int t, int n) { return {count * t / n, count * (t + 1) / n}; }

// Calls f with each number below N, known to the compiler, so that what f indexes can stay in registers.
template <int N, class F>
inline void each(F&& f) {
    [&]<int... I>(std::integer_sequence<int, I...>) {
        (f(std::integral_constant<int, I>{}), ...);
    }(std::make_integer_sequence<int, N>{});
}

// Calls f<R, V>() with numbers known at run time only, V up to MOST.
template <int R, int MOST, class F>
inline void with_vectors(int v, F&& f) {
    switch (v) {
        case 1: f.template operator()<R, 1>(); break;
        case 2: f.template operator()<R, std::min(2, MOST)>(); break;
        case 3: f.template operator()<R, std::min(3, MOST)>(); break;
        case 4: f.template operator()<R, std::min(4, MOST)>(); break;
    }
}
template <int MOST = VECTORS, class F>
inline void with_tile(int r, int v, F&& f) {
    switch (r) {
        case 1: with_vectors<1, MOST>(v, f); break;
        case 2: with_vectors<2, MOST>(v, f); break;
        case 3: with_vectors<3, MOST>(v, f); break;
        case 4: with_vectors<4, MOST>(v, f); break;
        case 5: with_vectors<5, MOST>(v, f); break;
        case 6: with_vectors<6, MOST>(v, f); break;
    }
}
