// Row numbers of ids: a hash table over their bytes, asked for many at a time, so that the memory's latency is waited for
// once and not once an id.
//
// A slot holds a row and some bits of its id's hash; a free one holds row -1. Collisions go to the next slot.
#include <algorithm>
#include <cstdint>
#include <cstring>

namespace {

struct Slot {
    int32_t row;
    uint32_t tag;
};

constexpr int64_t AHEAD = 64;  // ids whose slots are fetched together

// Eight bytes at a time, multiplied and folded: good enough for a table that nobody outside fills.
inline uint64_t hash_of(const char* bytes, int64_t length) {
    uint64_t hash = 0x9E3779B97F4A7C15u ^ static_cast<uint64_t>(length);
    for (int64_t at = 0; at < length; at += 8) {
        uint64_t word = 0;
        std::memcpy(&word, bytes + at, std::min<int64_t>(8, length - at));
        const unsigned __int128 product = static_cast<unsigned __int128>(hash ^ word) * 0xD6E8FEB86659FD93u;
        hash = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    }
    return hash;
}

inline uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

}  // namespace

// Fills `n_slots` slots, a power of two above n, all free; id i is bytes[offsets[i]] .. bytes[offsets[i + 1] - 1].
extern "C" void recsys_lookup_build(const char* bytes, const int64_t* offsets, int64_t n, Slot* slots, int64_t n_slots) {
    for (int64_t row = 0; row < n; ++row) {
        const uint64_t hash = hash_of(bytes + offsets[row], offsets[row + 1] - offsets[row]);
        int64_t at = hash & (n_slots - 1);
        while (slots[at].row >= 0) at = (at + 1) & (n_slots - 1);
        slots[at] = {static_cast<int32_t>(row), tag_of(hash)};
    }
}

// Rows of `count` wanted ids, given like those of the table; -1 for those that it does not hold.
extern "C" void recsys_lookup(const char* bytes, const int64_t* offsets, const void* table, int64_t n_slots,
                              const char* wanted, const int64_t* starts, int64_t count, int64_t* rows) {
    const auto* slots = static_cast<const Slot*>(table);
    uint64_t hashes[AHEAD];
    for (int64_t first = 0; first < count; first += AHEAD) {
        const int64_t here = std::min(AHEAD, count - first);
        for (int64_t i = 0; i < here; ++i) {
            hashes[i] = hash_of(wanted + starts[first + i], starts[first + i + 1] - starts[first + i]);
            __builtin_prefetch(slots + (hashes[i] & (n_slots - 1)));
        }
        for (int64_t i = 0; i < here; ++i) {  // the row that is probably meant, so that its id is there to compare
            const int32_t row = slots[hashes[i] & (n_slots - 1)].row;
            if (row >= 0) __builtin_prefetch(offsets + row);
        }
        for (int64_t i = 0; i < here; ++i) {
            const char* id = wanted + starts[first + i];
            const int64_t length = starts[first + i + 1] - starts[first + i];
            int64_t at = hashes[i] & (n_slots - 1), found = -1;
            for (; slots[at].row >= 0; at = (at + 1) & (n_slots - 1)) {
                const int64_t row = slots[at].row, begin = offsets[row];
                if (slots[at].tag != tag_of(hashes[i]) || offsets[row + 1] - begin != length) continue;
                if (std::memcmp(bytes + begin, id, length) != 0) continue;
                found = row;
                break;
            }
            rows[first + i] = found;
        }
    }
}
