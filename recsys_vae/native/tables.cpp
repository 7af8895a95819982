// Tables of text: lines cut into fields, columns of numbers read.
//
// A library of its own (tables.so, of all tables*.cpp), without OpenMP: it is loaded where torch is not, and its callers
// bring threads. Every reader takes a number only where it is written in its one usual way, so that its text can be had
// back.
#include "tables.h"

namespace {

enum State : uint8_t { WHOLE, BLANK, MORE_FIELDS, FEWER_FIELDS };

}  // namespace

extern "C" {

// Cuts lines, each ended by a line feed, into fields. Of column i, slots[i] says in which row of `starts` and `sizes`
// (slots by lines) its fields go, -1: in none. A line whose fields are not as many as columns has a state other than
// WHOLE and its fields are of no use. Returns how many states are other than WHOLE, -1 where lines are more or less than said.
int64_t recsys_cut_lines(const uint8_t* data, int64_t size, int32_t separator, int64_t columns, const int32_t* slots,
                         int64_t lines, uint32_t* starts, uint32_t* sizes, uint8_t* states) {
    int64_t line = 0, field = 0, odd = 0;
    uint32_t begin = 0;
    uint8_t tail[64];
    for (int64_t block = 0; block < size; block += 64) {
        const uint8_t* at = data + block;
        if (size - block < 64) {
            std::memset(tail, 0, sizeof tail);
            std::memcpy(tail, at, static_cast<size_t>(size - block));
            at = tail;
        }
        uint64_t found = marks(at, static_cast<uint8_t>(separator), '\n');
        if (size - block < 64) found &= (1ull << (size - block)) - 1;
        for (; found; found &= found - 1) {
            const int place = __builtin_ctzll(found);
            const uint32_t end = static_cast<uint32_t>(block + place);
            if (line >= lines) return -1;
            if (field < columns && slots[field] >= 0) {
                starts[slots[field] * lines + line] = begin;
                sizes[slots[field] * lines + line] = end - begin;
            }
            if (at[place] == '\n') {
                states[line] = field + 1 == columns ? WHOLE : field + 1 > columns ? MORE_FIELDS : FEWER_FIELDS;
                if (field == 0 && end == begin) states[line] = BLANK;
                odd += states[line] != WHOLE;
                ++line;
                field = -1;
            }
            ++field;
            begin = end + 1;
        }
    }
    return line == lines && begin == size ? odd : -1;
}

// Whole numbers, an optional minus before them. Returns how many fields are empty (known = 0), or -1 where one is
// neither empty nor such a number.
int64_t recsys_whole_numbers(const uint8_t* data, const uint32_t* starts, const uint32_t* sizes, int64_t rows,
                             int64_t* numbers, uint8_t* known) {
    int64_t empty = 0;
    for (int64_t row = 0; row < rows; ++row) {
        const uint8_t* text = data + starts[row];
        uint32_t size = sizes[row];
        known[row] = size != 0;
        numbers[row] = 0;
        if (size == 0) {
            ++empty;
            continue;
        }
        const bool negative = text[0] == '-';
        if (!read_digits(text + negative, size - negative, numbers[row]) || (negative && numbers[row] == 0)) return -1;
        if (negative) numbers[row] = -numbers[row];
    }
    return empty;
}

// Decimals such as 4.5 or 3.0: of at most 15 digits, from .001 on, no zero at their end but one right after the point,
// no sign. Returns as above.
int64_t recsys_decimals(const uint8_t* data, const uint32_t* starts, const uint32_t* sizes, int64_t rows,
                        double* numbers, uint8_t* known) {
    static const double powers[] = {1., 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};
    int64_t empty = 0;
    for (int64_t row = 0; row < rows; ++row) {
        const uint8_t* text = data + starts[row];
        const uint32_t size = sizes[row];
        known[row] = size != 0;
        numbers[row] = 0;
        if (size == 0) {
            ++empty;
            continue;
        }
        if (size > 16) return -1;
        int64_t value = 0;
        uint32_t point = size;
        for (uint32_t place = 0; place < size; ++place) {
            if (text[place] == '.' && point == size) {
                point = place;
            } else if (is_digit(text[place])) {
                value = value * 10 + (text[place] - '0');
            } else {
                return -1;
            }
        }
        const uint32_t after = point == size ? 0 : size - point - 1;
        if (after == 0 || after > 14 || point == 0 || (point > 1 && text[0] == '0')) return -1;
        if (text[size - 1] == '0' && after > 1) return -1;
        numbers[row] = static_cast<double>(value) / powers[after];
        if (value != 0 && numbers[row] < 1e-3) return -1;
    }
    return empty;
}

// Copies fields, one after the other.
void recsys_gather_texts(const uint8_t* data, const uint32_t* starts, const uint32_t* sizes, int64_t rows,
                         uint8_t* texts) {
    for (int64_t row = 0; row < rows; texts += sizes[row], ++row) std::memcpy(texts, data + starts[row], sizes[row]);
}

}  // extern "C"
