// What both searches share: the order of what is found, and the rows that a query must not find.
#pragma once

#include <bit>
#include <cstdint>

// A score and its row as one number: higher is better, among equal scores the smaller row.
struct Key {
    uint64_t bits;
    Key() = default;
    Key(float score, uint32_t row) {
        const uint32_t sign = 1u << 31, raw = std::bit_cast<uint32_t>(score + 0.0f);  // -0 and 0 are equal
        bits = static_cast<uint64_t>(raw & sign ? ~raw : raw | sign) << 32 | static_cast<uint32_t>(~row);
    }
    float score() const {
        const uint32_t sign = 1u << 31, raw = static_cast<uint32_t>(bits >> 32);
        return std::bit_cast<float>(raw & sign ? raw & ~sign : ~raw);
    }
    int64_t row() const { return static_cast<uint32_t>(~bits); }
    bool operator>(const Key& other) const { return bits > other.bits; }
};

// Ascending rows that a query must not find. Rows are asked about in ascending order: those passed are forgotten.
struct Excluded {
    const int32_t* next = nullptr;
    const int32_t* end = nullptr;

    bool holds(int64_t row) {
        while (next != end && *next < row) ++next;
        return next != end && *next == row;
    }
};
