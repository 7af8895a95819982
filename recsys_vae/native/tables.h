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

// A whole number without sign or leading zeros, of at most 18 digits.
inline bool read_digits(const uint8_t* text, uint32_t size, int64_t& number) {
    if (size == 0 || size > 18 || (size > 1 && text[0] == '0')) return false;
    int64_t value = 0;
    for (uint32_t place = 0; place < size; ++place) {
        if (!is_digit(text[place])) return false;
        value = value * 10 + (text[place] - '0');
    }
    number = value;
    return true;
}

}  // namespace
