// A coarse look at items by 4 bits a dimension: who cannot be among the best by these is not looked at in 8 (code_scan.h).
//
//     v = s a + r,  a = 16 h + 7.5 - offset,  h in 0..15 the upper half of an 8-bit code
//     q = t b + e,  b integers in -127..127          q.v <= t s a.b + |e| |s a| + |q| |r|   (Cauchy-Schwarz)
//
// It reads half of the bytes, for as many products: that pays for few queries, which wait for memory. Items lie in tiles of
// 16, which are read from front to back: scales, last dimensions, |s a| and |r| of all 16, then group after group of eight
// dimensions, of each item four in the lower halves of its bytes and four in the upper ones.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "code_scan.h"

namespace {

constexpr int TILE_ITEMS = 16, TILE_FACTS = 4;
#if defined(__AVX512VNNI__) && !defined(__AMX_INT8__)
constexpr int64_t LOOKERS = 8;             // queries that look together, at most
#else
constexpr int64_t LOOKERS = 4;             // AVX2 multiplies no faster in tiles, AMX much faster without
#endif
constexpr int64_t SIDE_BY_SIDE = 4;        // of them, those whose sums are in registers at a time
constexpr int64_t WORTH_A_LOOK = 1 << 18;  // bytes of codes that are more than what the look costs besides
constexpr int64_t TILE_LINE = TILE_ITEMS * 4, EIGHT = 8;  // bytes of a group in a tile, and its dimensions

inline int64_t tile_groups(int64_t d) { return (d - 1 + EIGHT - 1) / EIGHT; }
inline int64_t tile_bytes(int64_t d) { return TILE_LINE * (TILE_FACTS + tile_groups(d)); }

// So many queries, at most, look at items of d dimensions first: the more dimensions, the more items pass.
inline int64_t lookers(int64_t d) { return d <= 257 ? LOOKERS : d <= 321 ? 2 : d <= 449 ? 1 : 0; }

// Writes the tile of up to 16 items, of their vectors, codes and scales.
inline void write_tile(const float* vectors, const uint8_t* codes, int64_t bytes, const float* facts, int count, int64_t d,
                       uint8_t* out) {
    std::fill_n(out, tile_bytes(d), uint8_t{0});
    auto* known = reinterpret_cast<float*>(out);
    uint8_t* lines = out + TILE_FACTS * TILE_LINE;
    for (int r = 0; r < count; ++r) {
        const double scale = facts[r * FACTS];
        double kept = 0.0, lost = 0.0;
        for (int64_t p = 0; p < d - 1; ++p) {
            const int upper = codes[r * bytes + p] >> 4;
            const double there = scale * (16 * upper + 7.5 - OFFSET), rest = vectors[r * d + p] - there;
            kept += there * there, lost += rest * rest;
            lines[p / EIGHT * TILE_LINE + r * 4 + p % 4] |= static_cast<uint8_t>(p % EIGHT < 4 ? upper : upper << 4);
        }
        known[r] = facts[r * FACTS], known[TILE_ITEMS + r] = vectors[r * d + d - 1];
        known[2 * TILE_ITEMS + r] = static_cast<float>(std::sqrt(kept) * (1 + 1e-6));
        known[3 * TILE_ITEMS + r] = static_cast<float>(std::sqrt(lost) * (1 + 1e-6));
    }
}

#ifdef MULTIPLIES_BYTES

constexpr int64_t STRIP = 4096;                    // tiles whose bounds are kept, at most
constexpr int64_t SEGMENT = 32;                    // tiles of which the largest bounds are known, lane by lane

// The most that items can score with each of some queries, strip by strip of tiles.
class CoarseLook {
    const int64_t groups, bytes, room;
    const float rounding;   // as that of the facts of recsys_quantise, for a norm of 1
    Buffer<int32_t> lines;  // of each query four codes a number
    Buffer<float> uppers, largest;
    int64_t n = 0;
    int32_t offsets[LOOKERS];
    float scales[LOOKERS], kept[LOOKERS], lost[LOOKERS], bias[LOOKERS], last[LOOKERS];  // what is multiplied with facts

  public:
    // Of a strip at a time, which is of `most` tiles or fewer.
    CoarseLook(int64_t d, int64_t most)
        : groups(tile_groups(d)), bytes(tile_bytes(d)), room(rounded_up(std::min(most, STRIP), SEGMENT)),
          rounding((d + 16) * 0x1p-23f * 1.0001f), lines(buffer<int32_t>(LOOKERS * 2 * tile_groups(d))),
          uppers(buffer<float>(LOOKERS * room * TILE_ITEMS)), largest(buffer<float>(LOOKERS * room / SEGMENT * TILE_ITEMS)) {}

    void take(const float* queries, int64_t here, int64_t d) {
        n = here;
        std::fill_n(lines.get(), LOOKERS * 2 * groups, 0);
        for (int64_t j = 0; j < n; ++j) {
            const float* query = queries + j * d;
            auto* mine = reinterpret_cast<int8_t*>(lines.get() + j * 2 * groups);
            int64_t sum = 0;
            float ignored, error;
            const float scale = least_scale(query, d - 1, LARGEST_QUERY_CODE);
            quantise(query, d - 1, scale, LARGEST_QUERY_CODE, [&](int64_t p, int code) {
                mine[p] = static_cast<int8_t>(code);
                return sum += code, code;
            }, ignored, error);
            const float slack = norm(query, d) * rounding;
            offsets[j] = static_cast<int32_t>((15 - 2 * OFFSET) * sum);
            scales[j] = scale / 2, last[j] = query[d - 1];
            kept[j] = error + slack, lost[j] = norm(query, d - 1) + slack, bias[j] = slack;
        }
    }
    // Finds the bounds of `count` tiles.
    void look(const uint8_t* tiles, int64_t count) {
        for (int64_t at = 0; at < count; ++at)
            for (int64_t first = 0; first < n; first += SIDE_BY_SIDE)
                with_vectors<1, SIDE_BY_SIDE>(static_cast<int>(std::min(SIDE_BY_SIDE, n - first)),
                                              [&]<int, int Q>() { look_at<Q>(tiles + at * bytes, at, first); });
    }
    // Of the items of a tile those whose bound for any query is at least its border, a bit each.
    uint32_t reaching(int64_t tile, const float* border) const {
        uint32_t found = 0;
        for (int64_t j = 0; j < n; ++j)
            for (int part = 0; part < TILE_ITEMS; part += LANES)
                found |= at_least(load(upper(j, tile) + part), everywhere(border[j])) << part;
        return found;
    }
    // A bound that some `rank` of the items of `count` tiles reach with a query, and not many more.
    float reached_by(int64_t rank, int64_t count, int64_t query, std::vector<float>& bounds) const {
        const float* mine = largest.get() + query * room / SEGMENT * TILE_ITEMS;
        bounds.assign(mine, mine + (count + SEGMENT - 1) / SEGMENT * TILE_ITEMS);
        if (rank >= static_cast<int64_t>(bounds.size())) return -std::numeric_limits<float>::infinity();
        std::nth_element(bounds.begin(), bounds.begin() + rank, bounds.end(), std::greater<>());
        return bounds[rank];
    }

  private:
    float* upper(int64_t query, int64_t tile) const { return uppers.get() + (query * room + tile) * TILE_ITEMS; }

    // Of the queries from `first` on.
    template <int Q>
    void look_at(const uint8_t* tile, int64_t place, int64_t first) {
        constexpr int PARTS = TILE_ITEMS / LANES;
        const uint8_t* at = tile + TILE_FACTS * TILE_LINE;
        const ints halves = ints{} + 0x0f0f0f0f;
        ints c[Q * PARTS * 2] = {};
        for (int64_t group = 0; group < groups; ++group, at += TILE_LINE) {
            each<PARTS>([&](auto part) {
                ints both;
                __builtin_memcpy(&both, at + part * sizeof(ints), sizeof(ints));
                const ints a[2] = {both & halves, both >> 4 & halves};
                each<Q>([&](auto q) {
                    const int32_t* mine = lines.get() + ((first + q) * groups + group) * 2;
                    const ints b[2] = {everywhere(mine[0]), everywhere(mine[1])};
                    each<2 / DEPTH>([&](auto g) {
                        ints& sum = c[(q * PARTS + part) * 2 + g];
                        sum = add_products(sum, reinterpret_cast<const ints(&)[DEPTH]>(a[g]), b + g, 1);
                    });
                });
            });
        }
        each<Q * PARTS>([&](auto i) {
            const int64_t j = first + i / PARTS, part = i % PARTS * LANES;
            const auto fact = [&](int which) {
                vec known;
                __builtin_memcpy(&known, tile + (which * TILE_ITEMS + part) * sizeof(float), sizeof(vec));
                return known;
            };
            const ints twice = (c[2 * i] + c[2 * i + 1]) * 32 + offsets[j];
            const vec end = fact(1), size = larger(end, -end);
            const vec error = fact(2) * kept[j] + fact(3) * lost[j] + size * bias[j];
            const vec found = __builtin_convertvector(twice, vec) * scales[j] * fact(0) + end * last[j] + error;
            float* segment = largest.get() + (j * room + place) / SEGMENT * TILE_ITEMS + part;
            *reinterpret_cast<vec*>(upper(j, place) + part) = found;
            *reinterpret_cast<vec*>(segment) = place % SEGMENT ? larger(load(segment), found) : found;
        });
    }
};

#endif

}  // namespace
