// Tables of text: lines cut into fields, columns of numbers read.
//
// A library of its own (tables.so, of all tables*.cpp), without OpenMP: it is loaded where torch is not, and its callers
// bring threads. Every reader takes a number only where it is written in its one usual way, so that its text can be had
// back.
#include "tables.h"

namespace {

enum State : uint8_t { WHOLE, BLANK, MORE_FIELDS, FEWER_FIELDS };
enum Kind : int8_t { WHOLE_NUMBER, DECIMAL, TEXT };

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
        known[row] = sizes[row] != 0;
        numbers[row] = 0;
        empty += sizes[row] == 0;
        if (sizes[row] != 0 && !read_whole(data, data + starts[row], sizes[row], numbers[row])) return -1;
    }
    return empty;
}

// Decimals, likewise.
int64_t recsys_decimals(const uint8_t* data, const uint32_t* starts, const uint32_t* sizes, int64_t rows,
                        double* numbers, uint8_t* known) {
    int64_t empty = 0;
    for (int64_t row = 0; row < rows; ++row) {
        known[row] = sizes[row] != 0;
        numbers[row] = 0;
        empty += sizes[row] == 0;
        if (sizes[row] != 0 && !read_decimal(data + starts[row], sizes[row], numbers[row])) return -1;
    }
    return empty;
}

// Cuts lines and reads their fields in one pass, where every line has as many as there are columns and every column
// holds what `kinds` says of it (-1: it is left out). Of column i, values[i] takes int64 (WHOLE_NUMBER), double (DECIMAL)
// or where its uint32 begin (TEXT); others[i] bytes that are 1 where a number is known, or the uint32 sizes of texts; and
// empty[i] tells how many fields are empty. Returns 0, or -1 where a line or a field is anything else.
int32_t recsys_read_lines(const uint8_t* data, int64_t size, int32_t separator, int64_t columns, const int8_t* kinds,
                          int64_t lines, void* const* values, void* const* others, int64_t* empty) {
    int64_t line = 0, field = 0;
    const uint8_t* begin = data;
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
            const int64_t place = block + __builtin_ctzll(found);
            const uint32_t length = static_cast<uint32_t>(data + place - begin);
            if (line >= lines || field >= columns) return -1;
            if (kinds[field] == TEXT) {
                static_cast<uint32_t*>(values[field])[line] = static_cast<uint32_t>(begin - data);
                static_cast<uint32_t*>(others[field])[line] = length;
                empty[field] += length == 0;
            } else if (kinds[field] >= 0) {
                static_cast<uint8_t*>(others[field])[line] = length != 0;
                static_cast<int64_t*>(values[field])[line] = 0;  // a double of no bits is 0., too
                if (length == 0) {
                    ++empty[field];
                } else if (kinds[field] == WHOLE_NUMBER) {
                    if (!read_whole(data, begin, length, static_cast<int64_t*>(values[field])[line])) return -1;
                } else if (!read_decimal(begin, length, static_cast<double*>(values[field])[line])) {
                    return -1;
                }
            }
            begin = data + place + 1;
            ++field;
            if (data[place] != '\n') continue;
            if (field != columns || (columns == 1 && length == 0)) return -1;
            field = 0;
            ++line;
        }
    }
    return line == lines && begin == data + size ? 0 : -1;
}

// How many bytes are `wanted`.
int64_t recsys_count_byte(const uint8_t* data, int64_t size, int32_t wanted) {
    int64_t count = 0;
    for (int64_t block = 0; block < size; block += 128) {
        const int64_t end = std::min<int64_t>(block + 128, size);
        uint8_t some = 0;
        for (int64_t at = block; at < end; ++at) some += data[at] == static_cast<uint8_t>(wanted);
        count += some;
    }
    return count;
}

// Copies fields, one after the other.
void recsys_gather_texts(const uint8_t* data, const uint32_t* starts, const uint32_t* sizes, int64_t rows,
                         uint8_t* texts) {
    for (int64_t row = 0; row < rows; texts += sizes[row], ++row) std::memcpy(texts, data + starts[row], sizes[row]);
}

}  // extern "C"
