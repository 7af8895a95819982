// Lines of JSON objects whose values are plain: the keys that are wanted, read in one pass.
//
// A subset of JSON that is surely read as any parser reads it: anything else (values that are nested, escaped characters
// that need a look, numbers written in an unusual way, a key that stands twice) is left to others.
#include "tables.h"

namespace {

enum Kind : int8_t { WHOLE_NUMBER, DECIMAL, TEXT, UNKNOWN };

struct Span {
    const uint8_t* at;
    uint32_t size;

    bool is(const Span& other) const { return size == other.size && std::memcmp(at, other.at, size) == 0; }
};

inline void skip_blanks(const uint8_t*& at) {
    while (*at == ' ' || *at == '\t') ++at;
}

// What stands between quotes; `at` is behind the first one, and behind the last one then. Ends at any line feed.
// Escapes of one character are passed over where `escapes` says so.
inline bool take_text(const uint8_t*& at, Span& found, bool escapes) {
    const uint8_t* start = at;
    for (; *at != '"'; ++at) {
        if (*at < 0x20) return false;
        if (*at == '\\' && (!escapes || *++at == 0 || std::strchr("\"\\/bfnrt", *at) == nullptr)) return false;
    }
    found = {start, static_cast<uint32_t>(at - start)};
    ++at;
    return true;
}

inline bool take_number(const uint8_t*& at, Span& found) {
    const uint8_t* start = at;
    at += *at == '-';
    while (is_digit(*at) || *at == '.') ++at;
    found = {start, static_cast<uint32_t>(at - start)};
    return found.size > 0;
}

inline bool take_word(const uint8_t*& at, const char* word, uint32_t size) {
    for (uint32_t place = 0; place < size; ++place)
        if (at[place] != static_cast<uint8_t>(word[place])) return false;
    at += size;
    return true;
}

// A value of a key that nobody wants; numbers in the usual forms only.
inline bool pass_value(const uint8_t* data, const uint8_t*& at) {
    Span found;
    int64_t whole;
    double decimal;
    switch (*at) {
        case '"': return take_text(++at, found, true);
        case 'n': return take_word(at, "null", 4);
        case 't': return take_word(at, "true", 4);
        case 'f': return take_word(at, "false", 5);
        default:
            return take_number(at, found) && (read_whole(data, found.at, found.size, whole) ||
                                              read_decimal(found.at + (*found.at == '-'),
                                                           found.size - (*found.at == '-'), decimal));
    }
}

}  // namespace

extern "C" {

// Reads lines, each an object and ended by a line feed. Of wanted key i, `kinds` takes what its values are (UNKNOWN where
// none was met), values[i] 8 bytes a line: int64, double, or in the first half uint32 where texts begin; others[i] 4 bytes
// a line: uint32 sizes of texts, or in the first quarter bytes that are 1 where a number is known. All are zero before.
// met[i] counts the lines with a value, named[i] those with the key. Returns 0, or -1 where anything needs a closer look.
int32_t recsys_read_json_lines(const uint8_t* data, int64_t size, const uint8_t* names, const uint32_t* name_sizes,
                               int64_t n_names, int64_t lines, int8_t* kinds, void* const* values, void* const* others,
                               int64_t* met, int64_t* named) {
    constexpr int64_t MOST = 64;
    if (n_names > MOST || size == 0 || data[size - 1] != '\n') return -1;
    Span wanted[MOST], before[MOST] = {};
    int64_t of_before[MOST];
    for (int64_t key = 0; key < n_names; names += name_sizes[key], ++key) {
        wanted[key] = {names, name_sizes[key]};
        kinds[key] = UNKNOWN;
        met[key] = named[key] = 0;
    }
    int64_t n_before = 0, line = 0;
    const uint8_t *at = data, *end = data + size;
    for (; at < end; ++line) {
        if (line >= lines) return -1;
        uint64_t seen = 0;
        skip_blanks(at);
        if (*at++ != '{') return -1;
        for (int64_t place = 0;; ++place) {
            skip_blanks(at);
            Span key, value;
            if (*at++ != '"' || !take_text(at, key, false)) return -1;
            int64_t number = -1;
            // Keys mostly stand as in the line before.
            if (place < n_before && key.is(before[place])) {
                number = of_before[place];
            } else {
                for (int64_t one = 0; one < n_names; ++one)
                    if (key.is(wanted[one])) number = one;
                if (place < MOST) {
                    before[place] = key;
                    of_before[place] = number;
                    n_before = place + 1;
                }
            }
            skip_blanks(at);
            if (*at++ != ':') return -1;
            skip_blanks(at);
            if (number < 0) {
                if (!pass_value(data, at)) return -1;
            } else {
                if (seen >> number & 1) return -1;
                seen |= 1ull << number;
                ++named[number];
                if (*at == 'n') {
                    if (!take_word(at, "null", 4)) return -1;
                } else {
                    const bool is_text = *at == '"';
                    at += is_text;
                    if (!(is_text ? take_text(at, value, false) : take_number(at, value))) return -1;
                    if (kinds[number] == UNKNOWN)
                        kinds[number] = is_text ? TEXT : std::memchr(value.at, '.', value.size) ? DECIMAL : WHOLE_NUMBER;
                    if ((kinds[number] == TEXT) != is_text) return -1;
                    ++met[number];
                    if (is_text) {
                        static_cast<uint32_t*>(values[number])[line] = static_cast<uint32_t>(value.at - data);
                        static_cast<uint32_t*>(others[number])[line] = value.size;
                    } else {
                        static_cast<uint8_t*>(others[number])[line] = 1;
                        if (!(kinds[number] == DECIMAL
                                  ? read_decimal(value.at, value.size, static_cast<double*>(values[number])[line])
                                  : read_whole(data, value.at, value.size, static_cast<int64_t*>(values[number])[line])))
                            return -1;
                    }
                }
            }
            skip_blanks(at);
            if (*at == ',') {
                ++at;
                continue;
            }
            if (*at++ != '}') return -1;
            break;
        }
        skip_blanks(at);
        if (*at++ != '\n') return -1;
    }
    return line == lines ? 0 : -1;
}

}  // extern "C"
