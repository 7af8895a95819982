// Vectors of 8-bit integers: products of unsigned by signed ones, summed in 32 bits.
//
// Processors with VNNI add four products to a sum at once. AVX2 adds pairs of products in 16 bits, which overflow: whoever
// packs the signed ones sees to it that they do not. Adding to 32 bits costs as much as multiplying, so several groups of
// four are summed in 16 bits first.
#pragma once

#include "tiles.h"

#if (defined(__AVX512F__) && defined(__AVX512VNNI__)) || (defined(__AVX2__) && !defined(__AVX512F__))
#define MULTIPLIES_BYTES
#endif

#if !defined(MULTIPLIES_BYTES) || defined(__AVX512VNNI__) || defined(__AVXVNNI__)
constexpr bool SUMS_HAVE_16_BITS = false;
constexpr int DEPTH = 1;  // groups of four that are summed before the rest
#else
constexpr bool SUMS_HAVE_16_BITS = true;
constexpr int DEPTH = 2;
#endif
constexpr int64_t GROUP = 4 * DEPTH;

#ifdef MULTIPLIES_BYTES

typedef int32_t ints __attribute__((vector_size(LANES * sizeof(int32_t)), may_alias));

inline vec load(const float* from) { return *reinterpret_cast<const vec*>(from); }

inline ints everywhere(int32_t a) {
#ifdef __AVX512F__
    return (ints)_mm512_set1_epi32(a);
#else
    return (ints)_mm256_set1_epi32(a);
#endif
}

inline vec larger(const vec& a, const vec& b) {
#ifdef __AVX512F__
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#endif
}

// The lanes in which a >= b, one bit each.
inline uint32_t at_least(const vec& a, const vec& b) {
#ifdef __AVX512F__
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ);
#else
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GE_OQ));
#endif
}

// sum + products of DEPTH groups: unsigned bytes of `a` and signed bytes of every `step`-th vector from `b` on.
inline ints add_products(const ints& sum, const ints (&a)[DEPTH], const ints* b, int step) {
#if defined(__AVX512F__)
    return (ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a[0], (__m512i)b[0]);
#elif defined(__AVXVNNI__)
    return (ints)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)a[0], (__m256i)b[0]);
#else
    __m256i pairs = _mm256_maddubs_epi16((__m256i)a[0], (__m256i)b[0]);
    for (int g = 1; g < DEPTH; ++g)
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16((__m256i)a[g], (__m256i)b[g * step]));
    return sum + (ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#endif
}

#endif
