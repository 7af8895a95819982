// Texts and whole numbers as codes: each once, under the number of its first appearance.
#include <memory>
#include <vector>

#include "tables.h"

namespace {

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
    std::copy(known.bytes.begin() + static_cast<int64_t>(start), known.bytes.end(), bytes);
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

// Codes of whole numbers below `size` by a table of them, 0xFFFFFFFF standing for none; those that are new count on from
// `next`, and are written to `met`. Returns how many are new, or -1 - the largest where a number is beyond the table, or
// INT64_MIN where one is below zero; nothing is changed then.
int64_t recsys_codes_of_numbers(const int64_t* numbers, int64_t n, uint32_t* table, int64_t size, uint32_t next,
                                uint32_t* codes, int64_t* met) {
    int64_t least = 0, largest = 0;
    for (int64_t row = 0; row < n; ++row) {
        least = std::min(least, numbers[row]);
        largest = std::max(largest, numbers[row]);
    }
    if (least < 0) return INT64_MIN;
    if (largest >= size) return -1 - largest;
    int64_t added = 0;
    for (int64_t row = 0; row < n; ++row) {
        uint32_t& code = table[numbers[row]];
        if (code == Codes::FREE) {
            code = next + static_cast<uint32_t>(added);
            met[added++] = numbers[row];
        }
        codes[row] = code;
    }
    return added;
}

// Whole numbers, each once and below `size`, in the byte order of their digits: 12 before 120, and that before 13. They are
// met in that order by trying a further digit first, then the next number, then one digit fewer. `places` (size) has zeros
// before, and of each number its place then, from 0; `ordered` (n) gets the numbers.
void recsys_byte_order(const int64_t* met, int64_t n, int64_t size, uint32_t* places, int64_t* ordered) {
    for (int64_t at = 0; at < n; ++at) places[met[at]] = 1;
    uint32_t next = 0;
    const auto take = [&](int64_t number) {
        if (places[number] == 0) return;
        ordered[next] = number;
        places[number] = next++;
    };
    if (size > 0) take(0);
    for (int64_t number = 1; number != 0 && number < size;) {
        take(number);
        if (number * 10 < size) {
            number *= 10;
            continue;
        }
        while (number != 0 && (number % 10 == 9 || number + 1 >= size)) number /= 10;
        if (number != 0) ++number;
    }
}

}  // extern "C"
