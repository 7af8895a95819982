// What the loops over tables of text share: bytes told apart 64 at a time, numbers in their one usual way of writing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace {

// Bits of the 64 bytes at `at` that are `one` or `other`.
inline uint64_t marks(const uint8_t* at, uint8_t one, uint8_t other) {
#ifdef __SSE2__
    const __m128i a = _mm_set1_epi8(static_cast<char>(one)), b = _mm_set1_epi8(static_cast<char>(other));
    uint64_t found = 0;
    for (int part = 0; part < 4; ++part) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 16 * part));
        const __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(bytes, a), _mm_cmpeq_epi8(bytes, b));
        found |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(hit))) << (16 * part);
    }
    return found;
#else
    uint64_t found = 0;
    for (int place = 0; place < 64; ++place)
        found |= static_cast<uint64_t>(at[place] == one || at[place] == other) << place;
    return found;
#endif
}

inline bool is_digit(uint8_t byte) { return static_cast<uint8_t>(byte - '0') < 10; }

// Eight digits that end right before `end`, of which only the last `count` are the number's; what stands before them must
// be readable. False where one is no digit.
inline bool read_eight(const uint8_t* end, uint32_t count, uint64_t& value) {
    uint64_t word;
    std::memcpy(&word, end - 8, 8);
    const uint64_t kept = count >= 8 ? ~0ull : ~(~0ull >> (8 * count));
    word = (word & kept) | (0x3030303030303030u & ~kept);
    if (((word & 0xF0F0F0F0F0F0F0F0u) | (((word + 0x0606060606060606u) & 0xF0F0F0F0F0F0F0F0u) >> 4)) != 0x3333333333333333u)
        return false;
    word = (word & 0x0F0F0F0F0F0F0F0Fu) * 2561 >> 8;
    word = (word & 0x00FF00FF00FF00FFu) * 6553601 >> 16;
    value = (word & 0x0000FFFF0000FFFFu) * 42949672960001u >> 32;
    return true;
}

// A whole number without sign or leading zeros, of at most 18 digits; `start` is where the bytes begin that may be read.
inline bool read_digits(const uint8_t* start, const uint8_t* text, uint32_t size, int64_t& number) {
    if (size == 0 || size > 18 || (size > 1 && text[0] == '0')) return false;
    if (size <= 16 && text + size - start >= 16) {
        uint64_t low = 0, high = 0;
        if (!read_eight(text + size, size, low)) return false;
        if (size > 8 && !read_eight(text + size - 8, size - 8, high)) return false;
        number = static_cast<int64_t>(high * 100000000 + low);
        return true;
    }
    int64_t value = 0;
    for (uint32_t place = 0; place < size; ++place) {
        if (!is_digit(text[place])) return false;
        value = value * 10 + (text[place] - '0');
    }
    number = value;
    return true;
}

// Such a number with an optional minus before it.
inline bool read_whole(const uint8_t* start, const uint8_t* text, uint32_t size, int64_t& number) {
    const bool negative = text[0] == '-';
    if (!read_digits(start, text + negative, size - negative, number) || (negative && number == 0)) return false;
    if (negative) number = -number;
    return true;
}

// A decimal such as 4.5 or 3.0: of at most 15 digits, from .001 on, no zero at its end but one right after the point,
// no sign.
inline bool read_decimal(const uint8_t* text, uint32_t size, double& number) {
    static const double powers[] = {1., 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};
    if (size > 16) return false;
    int64_t value = 0;
    uint32_t point = size;
    for (uint32_t place = 0; place < size; ++place) {
        if (text[place] == '.' && point == size) {
            point = place;
        } else if (is_digit(text[place])) {
            value = value * 10 + (text[place] - '0');
        } else {
            return false;
        }
    }
    const uint32_t after = point == size ? 0 : size - point - 1;
    if (after == 0 || after > 14 || point == 0 || (point > 1 && text[0] == '0')) return false;
    if (text[size - 1] == '0' && after > 1) return false;
    number = static_cast<double>(value) / powers[after];
    return value == 0 || number >= 1e-3;
}

}  // namespace
