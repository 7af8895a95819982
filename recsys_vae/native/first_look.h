// A first look at items by 4 bits a dimension: who cannot be among the best by these is not looked at in 8 (code_scan.h).
//
//     v = s a + r,  a = 16 h + 7.5 - 128,  h in 0..15 the upper half of an 8-bit code,  |r| <= ratio s, of a block
//     q = t b + e,  b integers in -127..127          q.v <= t s a.b + |e| |s a| + |q| ratio s   (Cauchy-Schwarz)
//
// It reads half of the bytes, for as many products: that pays for few queries, which wait for memory.
#pragma once

#include <cmath>
#include <limits>

#include "block_file.h"
#include "code_scan.h"

namespace {

#ifdef MULTIPLIES_BYTES

constexpr int SPAN = 16;                        // items that are looked at together
constexpr int64_t FEW_TO_LOOK = 8, SIDE = 4;    // queries that look, at most, and that do so side by side
constexpr int64_t STRETCH = sizeof(ints);       // bytes a vector

inline ints load_ints(const uint8_t* from) {
    ints found;
    __builtin_memcpy(&found, from, sizeof(found));
    return found;
}

// Sums of the numbers of four vectors.
inline __m128i four_sums(const ints* c) {
#ifdef __AVX512VNNI__
    return sums_of(reinterpret_cast<const __m512i*>(c));
#else
    const __m256i low = _mm256_hadd_epi32((__m256i)c[0], (__m256i)c[1]), high = _mm256_hadd_epi32((__m256i)c[2], (__m256i)c[3]);
    const __m256i both = _mm256_hadd_epi32(low, high);
    return _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
#endif
}

class FirstLook {
    const File& file;
    const int64_t width;      // of half of the dimensions, in whole vectors
    const int64_t tail_from;  // the place from which on a whole vector would reach beyond the end
    Buffer<uint8_t> tail;
    Buffer<int8_t> lines;  // of each query the codes of one half of the dimensions, then of the other
    int64_t n = 0;
    int32_t offsets[FEW_TO_LOOK];
    float scales[FEW_TO_LOOK], lost[FEW_TO_LOOK], heads[FEW_TO_LOOK], norms[FEW_TO_LOOK], last[FEW_TO_LOOK];
    double spared[FEW_TO_LOOK];                          // what bounds add for any item of the block
    float shares[FEW_TO_LOOK], needed[FEW_TO_LOOK];  // what they add for a scale of 1, and what reaches the border
    alignas(64) int32_t sums[FEW_TO_LOOK][SPAN];

  public:
    explicit FirstLook(const File& file)
        : file(file), width(rounded_up(file.half, STRETCH)),
          tail_from(std::max<int64_t>(0, file.n_items - (width + file.half - 1) / file.half)),
          tail(buffer<uint8_t>((file.n_items - tail_from) * file.half + width)), lines(buffer<int8_t>(FEW_TO_LOOK * 2 * width)) {
        const int64_t size = (file.n_items - tail_from) * file.half;
        std::fill_n(tail.get(), size + width, uint8_t{0});
        std::copy_n(file.high + tail_from * file.half, size, tail.get());
    }

    const uint8_t* line(int64_t place) const {
        return place < tail_from ? file.high + place * file.half : tail.get() + (place - tail_from) * file.half;
    }
    void take(const float* queries, int64_t here, int64_t d) {
        n = here;
        std::fill_n(lines.get(), FEW_TO_LOOK * 2 * width, int8_t{0});
        for (int64_t j = 0; j < n; ++j) {
            const float* query = queries + j * d;
            int8_t* mine = lines.get() + j * 2 * width;
            int64_t sum = 0;
            float kept;
            scales[j] = least_scale(query, d - 1, LARGEST_QUERY_CODE);
            quantise(query, d - 1, scales[j], LARGEST_QUERY_CODE, [&](int64_t p, int code) {
                mine[p < file.half ? p : width + p - file.half] = static_cast<int8_t>(code);
                return sum += code, code;
            }, kept, lost[j]);
            offsets[j] = static_cast<int32_t>(241 * sum);
            heads[j] = norm(query, d - 1), norms[j] = norm(query, d), last[j] = query[d - 1];
        }
    }
    // Says whose items are looked at next.
    void enter(int64_t block, const float* border) {
        const float* fact = file.blocks + block * BLOCK_FACTS;
        for (int64_t j = 0; j < n; ++j) {
            spared[j] = double(lost[j]) * fact[6] + double(norms[j]) * fact[3] + double(heads[j]) * fact[5];
            shares[j] = std::nextafter(heads[j] * fact[4], std::numeric_limits<float>::infinity());
        }
        set_borders(border);
    }
    void set_borders(const float* border) {
        for (int64_t j = 0; j < n; ++j)
            needed[j] = std::nextafter(static_cast<float>(border[j] - spared[j]), -std::numeric_limits<float>::infinity());
    }
    // Of `count` items those that may be among the best of a query, a bit each.
    uint32_t look(const int64_t* places, int count) {
        const uint8_t* codes[SPAN];
        alignas(64) float scale[SPAN] = {}, bias[SPAN] = {};
        for (int r = 0; r < count; ++r) {
            codes[r] = line(places[r]);
            scale[r] = file.leads[places[r] * LEADS], bias[r] = file.leads[places[r] * LEADS + 1];
        }
        uint32_t found = 0;
        for (int64_t first = 0; first < n; first += SIDE)
            with_vectors<1, SIDE>(static_cast<int>(std::min(SIDE, n - first)),
                                  [&]<int, int Q>() { add_up<Q>(codes, count, first); });
        for (int64_t j = 0; j < n; ++j)
            for (int v = 0; v < SPAN; v += LANES) {
                const ints twice = *reinterpret_cast<const ints*>(sums[j] + v) * 32 - offsets[j];
                const vec product = __builtin_convertvector(twice, vec) * (scales[j] / 2) + shares[j];
                const vec upper = load(bias + v) * last[j] + product * load(scale + v);
                found |= at_least(upper, everywhere(needed[j])) << v;
            }
        return found & ((uint32_t{1} << count) - 1);
    }

  private:
    // Sums of the products of the items' upper halves with Q queries.
    template <int Q>
    __attribute__((noinline)) void add_up(const uint8_t* const* codes, int count, int64_t first) {
        const int step = static_cast<int>(width / STRETCH);
        const ints* mine = reinterpret_cast<const ints*>(lines.get() + first * 2 * width);
        for (int r = 0; r < count; r += 4) {
            ints c[Q * 4] = {};
            const uint8_t* of[4];
            each<4>([&](auto i) { of[i] = codes[std::min(r + i, count - 1)]; });
            for (int w = 0; w < step; ++w)
                each<4>([&](auto i) {
                    const ints both = load_ints(of[i] + w * STRETCH);
                    const ints halves[2] = {both & 0x0f0f0f0f, both >> 4 & 0x0f0f0f0f};
                    each<Q>([&](auto q) {
                        for (int g = 0; g < 2; g += DEPTH)
                            c[q * 4 + i] = add_products(c[q * 4 + i], reinterpret_cast<const ints(&)[DEPTH]>(halves[g]),
                                                        mine + (q * 2 + g) * step + w, step);
                    });
                });
            each<Q>([&](auto q) { _mm_store_si128(reinterpret_cast<__m128i*>(sums[first + q] + r), four_sums(c + q * 4)); });
        }
    }
};

#endif

}  // namespace
