// Products of a few items' leading components with all others', first coarse, with a bound of their error, then one by one.
#pragma once

#include <bit>
#include <cmath>
#include <vector>

#include "panels.h"

// Items whose coarse numbers lie together, and those that are multiplied with a panel at once: sums stay in registers.
constexpr int TALL = 16, AT_ONCE = LANES == 16 ? TALL : 4;

#if defined(__AVX512BF16__)
using Number = uint32_t;  // a pair in bfloat16
constexpr int IN_ONE = 2;
#else
using Number = float;
constexpr int IN_ONE = 1;
#endif

typedef float loose __attribute__((vector_size(LANES * sizeof(float)), may_alias, aligned(sizeof(float))));

// Which numbers are not 0.
inline uint32_t set_lanes(const float (&lanes)[WIDE]) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask(_mm512_loadu_ps(lanes), _mm512_setzero_ps(), _CMP_NEQ_UQ);
#else
    uint32_t bits = 0;
    for (int lane = 0; lane < WIDE; ++lane) bits |= static_cast<uint32_t>(lanes[lane] != 0) << lane;
    return bits;
#endif
}

inline float total(vec lanes) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)lanes);
#else
    float sum = 0;
    each<LANES>([&](auto lane) { sum += lanes[static_cast<int>(lane)]; });
    return sum;
#endif
}

// V (items, rank), whose rows are v, and t (rank): products v_i^T diag(t) v_j. Rows are in `order`.
struct Leading {
    const float* vectors;
    const int64_t *order, items, rank, depth;
    const float* taken;
    const float rounding;  // of a sum of `rank` products, of the product of the sizes
    Buffer<Number> coarse;
    std::vector<float> size, error;  // of each row: its norm, and that of its difference from the coarse one

    Leading(const float* vectors, const int64_t* order, int64_t items, int64_t rank, const float* taken)
        : vectors(vectors),
          order(order),
          items(items),
          rank(rank),
          depth((rank + IN_ONE - 1) / IN_ONE),
          taken(taken),
          rounding(static_cast<float>(rank + 16) * 0x1p-23f),
          coarse(buffer<Number>(rounded_up(items, TALL) * depth)),
          size(items),
          error(items) {
        for (int64_t row = 0; row < items; ++row)
            round(vectors + order[row] * rank, coarse.get() + row / TALL * TALL * depth + row % TALL, size[row], error[row]);
    }

    // Item `row` times t as lane `lane` of a panel (depth, WIDE), and as it is.
    void pack(int64_t row, int lane, Number* panel, float* factors, float& norm, float& off) const {
        for (int64_t k = 0; k < rank; ++k) factors[k] = vectors[order[row] * rank + k] * taken[k];
        round(factors, panel + lane, norm, off);
    }

    // sums = a panel's items times those from `row` on, a multiple of TALL: coarse. Those beyond the last are anything.
    void multiply(const Number* panel, int64_t row, vec (&sums)[TALL][PARTS]) const {
        for (int begin = 0; begin < TALL; begin += AT_ONCE) {
            const Number *mine = panel, *others = coarse.get() + row * depth + begin;
            vec c[AT_ONCE][PARTS] = {};
            for (int64_t k = 0; k < depth; ++k, mine += WIDE, others += TALL)
                each<PARTS>([&](auto p) {
                    const vec lanes = *reinterpret_cast<const vec*>(mine + p * LANES);
                    each<AT_ONCE>([&](auto t) { c[t][p] = add(c[t][p], lanes, others[t]); });
                });
            each<AT_ONCE>([&](auto t) { each<PARTS>([&](auto p) { sums[begin + t][p] = c[t][p]; }); });
        }
    }

    // Asks for rows in advance.
    void prefetch(int64_t row, int64_t end) const {
        for (; row < end; ++row)
            for (int64_t k = 0; k < rank; k += 64 / sizeof(float)) __builtin_prefetch(vectors + order[row] * rank + k, 0, 2);
    }

    // One product, in single precision, of an item as `pack` gave it.
    float product(const float* factors, int64_t row) const {
        const float* v = vectors + order[row] * rank;
        vec sums[4] = {};
        int64_t k = 0;
        for (; k + 4 * LANES <= rank; k += 4 * LANES)
            each<4>([&](auto s) {
                const int64_t at = k + s * LANES;
                sums[s] = add_product(sums[s], *(const loose*)(factors + at), *(const loose*)(v + at));
            });
        const vec all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        float sum = total(all);
        for (; k < rank; ++k) sum += factors[k] * v[k];
        return sum;
    }

private:
    // Sum and two factors as they are kept: the last one is the same for all lanes.
    static vec add(vec sum, vec mine, Number other) {
#if defined(__AVX512BF16__)
        return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)mine, (__m512bh)_mm512_set1_epi32(static_cast<int>(other)));
#else
        return add_product(sum, mine, everywhere(other));
#endif
    }

    // Numbers as they are kept, TALL places apart.
    void round(const float* numbers, Number* out, float& norm, float& off) const {
        double squares = 0, lost = 0;
#if defined(__AVX512BF16__)
        for (int64_t k = 0; k < depth; ++k) {
            Number pair = 0;
            for (int64_t half = 0; half < std::min<int64_t>(2, rank - 2 * k); ++half) {
                const float number = numbers[2 * k + half];
                const uint32_t raw = std::bit_cast<uint32_t>(number), near = (raw + 0x7fff + (raw >> 16 & 1)) >> 16;
                const double difference = number - std::bit_cast<float>(near << 16);
                pair |= near << 16 * half;
                squares += static_cast<double>(number) * number;
                lost += difference * difference;
            }
            out[k * TALL] = pair;
        }
#else
        for (int64_t k = 0; k < rank; ++k) {
            out[k * TALL] = numbers[k];
            squares += static_cast<double>(numbers[k]) * numbers[k];
        }
#endif
        off = static_cast<float>(std::sqrt(lost));
        norm = static_cast<float>(std::sqrt(squares)) + off;  // and of the rounded ones
    }
};
