// An index file as compiled code sees it: what of it is mapped, by place, and which places may come back.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "vector_file.h"

namespace {

// Of an item: what the first look needs, scale and last dimension; what the second needs besides: |s a|, what 8 bits lose,
// what float32 rounds for a query of norm 1.
constexpr int LEADS = 2, REST = 3;
// Of a block: the largest norm without the last dimension, the largest and smallest last, the largest rounding; what the
// first look loses, as a share of the scale and of items without one, and what it keeps at the most.
constexpr int BLOCK_FACTS = 7;

struct File {
    const uint8_t *high, *low;  // halves of the codes: in a byte that of dimension i, and of half + i above it
    const float *leads, *rest;
    const int32_t* rows;  // of the items, by place
    const float* blocks;
    int64_t n_items, half, block_size;
    VectorFile vectors;
    const int32_t* origins = nullptr;  // of some items of a file by themselves: the place of each there

    int64_t origin(int64_t place) const { return origins ? origins[place] : place; }
    int64_t bytes() const { return 2 * half; }
    int64_t n_blocks() const { return (n_items + block_size - 1) / block_size; }
    std::pair<int64_t, int64_t> places(int64_t block) const {
        return {block * block_size, std::min(n_items, (block + 1) * block_size)};
    }
    // Writes the 8-bit codes of a place.
    void unpack(int64_t place, uint8_t* __restrict out) const {
        const int64_t count = half;  // by itself: bytes that are written could be its own
        const uint8_t* __restrict above = high + place * count;
        const uint8_t* __restrict below = low + place * count;
        for (int64_t i = 0; i < count; ++i) {
            out[i] = static_cast<uint8_t>(above[i] << 4 | (below[i] & 15));
            out[count + i] = static_cast<uint8_t>((above[i] & 240) | below[i] >> 4);
        }
    }
};

// Room for what is mapped of some places, one after the other.
struct Copies {
    uint8_t *high, *low;
    float *leads, *rest;
    int32_t* rows;
};

// Copies what is mapped of some places. Each lies on pages of its own, so those ahead are fetched.
inline void copy_places(const File& file, const int32_t* places, int64_t count, const Copies& to) {
    constexpr int64_t AHEAD = 24;
    for (int64_t i = 0; i < count; ++i) {
        const int64_t next = places[std::min(i + AHEAD, count - 1)], place = places[i];
        for (int64_t at = 0; at < file.half; at += 64) {
            __builtin_prefetch(file.high + next * file.half + at);
            __builtin_prefetch(file.low + next * file.half + at);
        }
        __builtin_prefetch(file.leads + next * LEADS);
        __builtin_prefetch(file.rest + next * REST);
        __builtin_prefetch(file.rows + next);
        std::copy_n(file.high + place * file.half, file.half, to.high + i * file.half);
        std::copy_n(file.low + place * file.half, file.half, to.low + i * file.half);
        std::copy_n(file.leads + place * LEADS, LEADS, to.leads + i * LEADS);
        std::copy_n(file.rest + place * REST, REST, to.rest + i * REST);
        to.rows[i] = file.rows[place];
    }
}

// What may come back: places, ascending, or one bit an item by row, or all.
struct Allowed {
    const int32_t* places;
    int64_t count;
    const uint8_t* bits;

    bool is_all() const { return !places && !bits; }
    // Adds those of the places begin .. end - 1.
    void add_within(int64_t begin, int64_t end, const int32_t* rows, std::vector<int64_t>& found) const {
        if (places) {
            const int32_t* at = std::lower_bound(places, places + count, begin);
            for (; at != places + count && *at < end; ++at) found.push_back(*at);
        } else if (bits) {
            for (int64_t at = begin; at < end; ++at)
                if (bits[rows[at] >> 3] >> (rows[at] & 7) & 1) found.push_back(at);
        } else {
            for (int64_t at = begin; at < end; ++at) found.push_back(at);
        }
    }
};

}  // namespace
