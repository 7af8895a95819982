// Tables of text: lines cut into fields, columns of numbers read, texts numbered, rows of users put in order.
//
// A library of its own (tables.so), without OpenMP: it is loaded where torch is not, and its callers bring threads.
// Every reader takes a number only where it is written in its one usual way, so that its text can be had back.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace {

enum State : uint8_t { WHOLE, BLANK, MORE_FIELDS, FEWER_FIELDS };

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

inline uint64_t hash_of(const uint8_t* bytes, uint32_t length) {
    uint64_t hash = 0x9E3779B97F4A7C15u ^ length;
    for (uint32_t at = 0; at < length; at += 8) {
        uint64_t word = 0;
        std::memcpy(&word, bytes + at, std::min<uint32_t>(8, length - at));
        const unsigned __int128 product = static_cast<unsigned __int128>(hash ^ word) * 0xD6E8FEB86659FD93u;
        hash = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    }
    return hash;
}

// Texts by number; a slot holds a number and bits of the hash, equal bits are followed by a comparison of the texts.
struct Codes {
    struct Slot {
        uint32_t code;
        uint32_t tag;
    };
    static constexpr uint32_t FREE = 0xFFFFFFFF;
    std::vector<Slot> slots = std::vector<Slot>(1 << 12, Slot{FREE, 0});
    std::vector<uint64_t> offsets = {0};
    std::vector<uint8_t> bytes;

    uint32_t size() const { return static_cast<uint32_t>(offsets.size() - 1); }

    void grow() {
        std::vector<Slot> larger(slots.size() * 2, Slot{FREE, 0});
        for (uint32_t code = 0; code < size(); ++code) {
            const uint64_t hash = hash_of(&bytes[offsets[code]], static_cast<uint32_t>(offsets[code + 1] - offsets[code]));
            uint64_t at = hash & (larger.size() - 1);
            while (larger[at].code != FREE) at = (at + 1) & (larger.size() - 1);
            larger[at] = {code, static_cast<uint32_t>(hash >> 32)};
        }
        slots.swap(larger);
    }

    uint32_t code(const uint8_t* text, uint32_t length, uint64_t hash) {
        const uint32_t tag = static_cast<uint32_t>(hash >> 32);
        uint64_t at = hash & (slots.size() - 1);
        for (; slots[at].code != FREE; at = (at + 1) & (slots.size() - 1)) {
            const uint32_t found = slots[at].code;
            if (slots[at].tag == tag && offsets[found + 1] - offsets[found] == length &&
                std::memcmp(&bytes[offsets[found]], text, length) == 0)
                return found;
        }
        const uint32_t added = size();
        slots[at] = {added, tag};
        bytes.insert(bytes.end(), text, text + length);
        offsets.push_back(bytes.size());
        if (2 * static_cast<uint64_t>(size()) > slots.size()) grow();
        return added;
    }
};

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

void* recsys_codes_new() { return new Codes; }

void recsys_codes_free(void* codes) { delete static_cast<Codes*>(codes); }

int64_t recsys_codes_size(const void* codes) { return static_cast<const Codes*>(codes)->size(); }

int64_t recsys_codes_bytes(const void* codes, int64_t first) {
    const Codes& known = *static_cast<const Codes*>(codes);
    return static_cast<int64_t>(known.bytes.size() - known.offsets[first]);
}

// Copies the texts from number `first` on, one after the other, and where each ends.
void recsys_codes_texts(const void* codes, int64_t first, uint8_t* bytes, int64_t* ends) {
    const Codes& known = *static_cast<const Codes*>(codes);
    const uint64_t start = known.offsets[first];
    std::memcpy(bytes, known.bytes.data() + start, known.bytes.size() - start);
    for (int64_t code = first; code < known.size(); ++code) ends[code - first] = known.offsets[code + 1] - start;
}

// The number of each text, a new one where it is met for the first time; of an empty one 0xFFFFFFFF. Returns how many
// are empty.
int64_t recsys_codes_add(void* codes, const uint8_t* data, const uint32_t* starts, const uint32_t* sizes, int64_t rows,
                         uint32_t* found) {
    constexpr int64_t AHEAD = 32;
    Codes& known = *static_cast<Codes*>(codes);
    uint64_t hashes[AHEAD];
    int64_t empty = 0;
    for (int64_t first = 0; first < rows; first += AHEAD) {
        const int64_t some = std::min(AHEAD, rows - first);
        for (int64_t at = 0; at < some; ++at) {
            hashes[at] = hash_of(data + starts[first + at], sizes[first + at]);
            __builtin_prefetch(&known.slots[hashes[at] & (known.slots.size() - 1)]);
        }
        for (int64_t at = 0; at < some; ++at) {
            const uint32_t size = sizes[first + at];
            empty += size == 0;
            found[first + at] = size == 0 ? Codes::FREE : known.code(data + starts[first + at], size, hashes[at]);
        }
    }
    return empty;
}

// Puts rows in order of users, and of each user in `order`, ties as they come: fills `rows` with places of rows, and
// `bounds` (users + 1) with where each user's begin.
void recsys_group_users(const uint32_t* users, const int64_t* order, int64_t n, int64_t n_users, uint32_t* rows,
                        int64_t* bounds) {
    std::fill(bounds, bounds + n_users + 1, 0);
    for (int64_t row = 0; row < n; ++row) ++bounds[users[row] + 1];
    for (int64_t user = 0; user < n_users; ++user) bounds[user + 1] += bounds[user];
    std::vector<int64_t> next(bounds, bounds + n_users);
    for (int64_t row = 0; row < n; ++row) rows[next[users[row]]++] = static_cast<uint32_t>(row);
    if (order == nullptr) return;
    for (int64_t user = 0; user < n_users; ++user) {
        uint32_t *first = rows + bounds[user], *end = rows + bounds[user + 1];
        if (end - first > 24) {
            std::stable_sort(first, end, [order](uint32_t one, uint32_t other) { return order[one] < order[other]; });
            continue;
        }
        for (uint32_t* at = first + 1; at < end; ++at) {
            const uint32_t row = *at;
            uint32_t* place = at;
            for (; place > first && order[row] < order[place[-1]]; --place) *place = place[-1];
            *place = row;
        }
    }
}

// Of rows in order of users, marks all but one of each (user, item) as lost: the last stays (keep 0), the first (1), or
// the last of those with the largest weight (2). All rows of a pair that has several are marked as repeated. Both marks
// are zero before.
void recsys_mark_duplicates(const uint32_t* items, const float* weights, const uint32_t* rows, const int64_t* bounds,
                            int64_t n_users, int64_t n_items, int32_t keep, uint8_t* lost, uint8_t* repeated) {
    struct Met {
        uint32_t user;
        uint32_t row;
    };
    std::vector<Met> met_items(static_cast<size_t>(n_items), Met{0xFFFFFFFF, 0});
    for (int64_t user = 0; user < n_users; ++user)
        for (int64_t at = bounds[user]; at < bounds[user + 1]; ++at) {
            const uint32_t row = rows[at];
            Met& met = met_items[items[row]];
            if (met.user != user) {
                met = {static_cast<uint32_t>(user), row};
                continue;
            }
            repeated[row] = repeated[met.row] = 1;
            if (keep == 1 || (keep == 2 && !(weights[row] >= weights[met.row]))) {
                lost[row] = 1;
            } else {
                lost[met.row] = 1;
                met.row = row;
            }
        }
}

// One round of the k-core over a part: rows of items that were taken are left out, users with fewer than `min_user`
// rows are taken, and the rows of those that are left are added to `item_counts`. `n` rows shrink to those that are
// left, whose number is returned; `took` tells whether a user was taken.
int64_t recsys_core_round(uint32_t* users, uint32_t* items, int64_t n, const uint8_t* item_taken, int64_t n_users,
                          int64_t min_user, uint8_t* user_taken, int64_t* item_counts, int32_t* took) {
    std::vector<uint32_t> counts(static_cast<size_t>(n_users), 0);
    int64_t left = 0;
    for (int64_t row = 0; row < n; ++row) {
        const uint32_t user = users[row], item = items[row];
        if (item_taken[item]) continue;
        ++counts[user];
        users[left] = user;
        items[left++] = item;
    }
    n = left;
    left = 0;
    for (int64_t row = 0; row < n; ++row) {
        const uint32_t user = users[row], item = items[row];
        if (counts[user] < min_user) {
            user_taken[user] = 1;
            *took = 1;
            continue;
        }
        ++item_counts[item];
        users[left] = user;
        items[left++] = item;
    }
    return left;
}

}  // extern "C"
