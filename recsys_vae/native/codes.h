// A vector as scale times integers of 8 bits, and what that loses.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "bytes.h"

constexpr int LARGEST_QUERY_CODE = 127;
constexpr int LARGEST_CODE = SUMS_HAVE_16_BITS ? 90 : 127;  // of an item: in 16 bits, finer items leave coarser queries
constexpr int OFFSET = SUMS_HAVE_16_BITS ? LARGEST_CODE : 128;

// How integers of items are written: from 0 on, as the integer plus an offset.
struct Coding {
    int offset, most_in_sum;  // most_in_sum: of a query's codes of one sign, where sums have 16 bits

    constexpr Coding(int offset, int largest) : offset(offset), most_in_sum(32767 / (offset + largest)) {}
};
constexpr Coding IN_MEMORY{OFFSET, LARGEST_CODE};
constexpr Coding IN_FILES{128, 127};  // the same for every processor

// The least scale at which all numbers are integers in -most..most.
inline float least_scale(const float* x, int64_t d, int most) {
    float largest = 0.0f;
    for (int64_t p = 0; p < d; ++p) largest = std::max(largest, std::abs(x[p]));
    return largest / most;
}

// What is lost of |x| by writing it as scale times integers; `code` gets the integers, and says what it takes.
template <class Code>
inline void quantise(const float* x, int64_t d, float scale, int most, Code&& code, float& kept, float& lost) {
    const float largest = most;
    const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    double kept_squares = 0.0, lost_squares = 0.0;
    for (int64_t p = 0; p < d; ++p) {
        const float rounded = std::min(largest, std::max(-largest, std::nearbyint(x[p] * inverse)));
        const double there = double(scale) * code(p, static_cast<int>(rounded)), rest = x[p] - there;
        kept_squares += there * there;
        lost_squares += rest * rest;
    }
    kept = static_cast<float>(std::sqrt(kept_squares) * (1 + 1e-6));
    lost = static_cast<float>(std::sqrt(lost_squares) * (1 + 1e-6));
}

// The least scale at which, but for rounding, no sum of a group exceeds 16 bits; 0 where sums have 32.
inline float least_fitting_scale(const float* x, int64_t d, int most_in_sum) {
    float most = 0.0f;
    if (!SUMS_HAVE_16_BITS) return most;
    for (int64_t start = 0; start < d; start += GROUP) {
        float above[2] = {}, below[2] = {};
        for (int64_t p = start; p < std::min(start + GROUP, d); ++p) {
            above[p / 2 % 2] += std::max(0.0f, x[p]);
            below[p / 2 % 2] += std::max(0.0f, -x[p]);
        }
        for (int i = 0; i < 2; ++i) most = std::max({most, above[i], below[i]});
    }
    return most / most_in_sum;
}

// Sees to it that no sum of a group exceeds 16 bits, whatever the item.
struct Room {
    int most_in_sum;
    int above[2]{}, below[2]{};

    int take(int64_t p, int code) {
        if (!SUMS_HAVE_16_BITS) return code;
        if (p % GROUP == 0) above[0] = above[1] = below[0] = below[1] = most_in_sum;
        int &up = above[p / 2 % 2], &down = below[p / 2 % 2];
        code = std::max(-down, std::min(up, code));
        if (code > 0) up -= code;
        else down += code;
        return code;
    }
};
