// What the ways of computing the multinomial likelihood (multinomial.cpp, multinomial_amx.cpp) share.
#pragma once

#include <cmath>

#include "tiles.h"

#ifdef __AVX512BF16__

constexpr int64_t CHUNK = 192;  // items; their logits of 512 users, 384 KiB, stay in the second cache

inline __m256i to_bf16(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }
inline __m512i widened(__m256i x) { return _mm512_cvtepu16_epi32(x); }
inline __m512 from_bf16(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(widened(x), 16)); }
inline __mmask16 lanes_before(int64_t end, int64_t at) {
    return end - at >= LANES ? 0xffff : end <= at ? 0 : static_cast<__mmask16>((1u << (end - at)) - 1);
}

// e^x for x <= 0, to 2e-7 relative: 2^n times a Taylor polynomial of 2^f, |f| <= 1/2.
inline __m512 exp_of(__m512 x) {
    const __m512 t = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504089f));
    const __m512 n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 f = _mm512_sub_ps(t, n);
    __m512 y = _mm512_set1_ps(1.5403530e-4f);
    for (float c : {1.3333558e-3f, 9.6181291e-3f, 5.5504109e-2f, 2.4022651e-1f, 6.9314718e-1f, 1.0f})
        y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(c));
    return _mm512_scalef_ps(y, n);
}

// Adds numbers up as leaves of a binary tree: ((0 + 1) + (2 + 3)) + ...
template <class T, class Add>
struct Tree {
    Add add;  // add(a, b) is a += b
    T sums[16];
    int64_t count = 0;
    int top = 0;

    void take(T& next) {
        int level = 0;
        for (int64_t done = count++; done & 1; done >>= 1) {
            add(sums[level], next);
            next = sums[level++];
        }
        sums[level] = next;
        top = level;
    }
    T& total() { return sums[top]; }
};

// What both passes are given; users are padded to a multiple of USERS.
template <int64_t USERS>
struct LayerOf {
    int64_t n, d, items;
    const float *hidden, *weight, *bias;
    int threads;
    const int64_t* borders = nullptr;  // where leaves begin, multiples of USERS, and the last one's end
    int64_t leaves = 1;
    int64_t users = rounded_up(n, USERS), depth = rounded_up(d, 2 * LANES);  // padded
    int64_t chunks = (items + CHUNK - 1) / CHUNK;

    int64_t first(int64_t leaf) const { return borders ? borders[leaf] : 0; }
    int64_t last(int64_t leaf) const { return borders ? borders[leaf + 1] : users; }
    int64_t start(int64_t chunk) const { return chunk * CHUNK; }
    int64_t size(int64_t chunk) const { return std::min(CHUNK, items - start(chunk)); }

    __m512 hidden_at(int64_t user, int64_t k) const { return vector_of(hidden, user, n, k); }
    __m512 weight_at(int64_t item, int64_t k) const { return vector_of(weight, item, items, k); }

    // Numbers of users, added up by leaves.
    float sum(const float* of_users) const {
        auto add = [](float& a, float b) { a += b; };
        Tree<float, decltype(add)> tree{add};
        for (int64_t leaf = 0; leaf < leaves; ++leaf) {
            __m512 total = _mm512_setzero_ps();
            for (int64_t u = first(leaf); u < last(leaf); u += LANES)
                total = _mm512_add_ps(total, _mm512_loadu_ps(of_users + u));
            float own = _mm512_reduce_add_ps(total);
            tree.take(own);
        }
        return tree.total();
    }

  private:
    __m512 vector_of(const float* matrix, int64_t row, int64_t rows, int64_t k) const {
        return row < rows ? _mm512_maskz_loadu_ps(lanes_before(d, k), matrix + row * d + k) : _mm512_setzero_ps();
    }
};

// Entries of the targets, sorted by item.
struct Targets {
    const int64_t *users, *items;
    int64_t count;

    int64_t first(int64_t item) const { return std::lower_bound(items, items + count, item) - items; }
};

// Of each user, the logsumexp of all logits, from the maxima of chunks and the sums of what is relative to these.
inline void normalise(int64_t n, int64_t users, int64_t chunks, const float* maxima, const float* sums, float* normaliser,
                      int threads) {
#pragma omp parallel for num_threads(threads)
    for (int64_t first = 0; first < users; first += LANES) {
        __m512 highest = _mm512_set1_ps(-INFINITY);
        for (int64_t chunk = 0; chunk < chunks; ++chunk)
            highest = _mm512_max_ps(highest, _mm512_loadu_ps(maxima + chunk * users + first));
        __m512d low = _mm512_setzero_pd(), high = low;
        for (int64_t chunk = 0; chunk < chunks; ++chunk) {
            const __m512 own = exp_of(_mm512_sub_ps(_mm512_loadu_ps(maxima + chunk * users + first), highest));
            const __m512 part = _mm512_mul_ps(_mm512_loadu_ps(sums + chunk * users + first), own);
            low = _mm512_add_pd(low, _mm512_cvtps_pd(_mm512_castps512_ps256(part)));
            high = _mm512_add_pd(high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(part, 1)));
        }
        alignas(64) double totals[LANES];
        alignas(64) float maximum[LANES];
        _mm512_store_pd(totals, low), _mm512_store_pd(totals + LANES / 2, high), _mm512_store_ps(maximum, highest);
        for (int64_t u = first; u < std::min<int64_t>(first + LANES, n); ++u)
            normaliser[u] = static_cast<float>(maximum[u - first] + std::log(totals[u - first]));
    }
}

// What a chunk's exponentials, relative to its maxima, are multiplied with to be gradients of the likelihoods.
inline void factors_of(int64_t n, int64_t users, const float* scale, const float* maxima, const float* normaliser,
                       float* factors) {
    for (int64_t u = 0; u < users; u += LANES) {
        const __mmask16 there = lanes_before(n, u);
        const __m512 below = _mm512_sub_ps(_mm512_loadu_ps(maxima + u), _mm512_maskz_loadu_ps(there, normaliser + u));
        const __m512 factor = _mm512_mul_ps(_mm512_maskz_loadu_ps(there, scale + u), exp_of(below));
        _mm512_storeu_ps(factors + u, _mm512_maskz_mov_ps(there, factor));
    }
}

#endif
