// Encodings of Parquet's data pages (https://parquet.apache.org/docs/file-format/data-pages/encodings/) for columns that
// are numbers already: numbers of texts that stand in a dictionary, times, positions, a few weights.
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace {

inline uint8_t* put_varint(uint64_t number, uint8_t* out) {
    for (; number >= 0x80; number >>= 7) *out++ = static_cast<uint8_t>(number | 0x80);
    *out++ = static_cast<uint8_t>(number);
    return out;
}

inline uint64_t zigzag(int64_t number) {
    return (static_cast<uint64_t>(number) << 1) ^ static_cast<uint64_t>(number >> 63);
}

inline int width_of(uint64_t number) { return number == 0 ? 0 : 64 - __builtin_clzll(number); }

// Packs numbers of `width` bits, from 1 to 64, the first into the lowest bits; what is left of the last byte is 0.
class Packer {
   public:
    Packer(int width, uint8_t* out) : width_(width), out_(out) {}

    void add(uint64_t number) {
        held_ |= number << filled_;
        filled_ += width_;
        if (filled_ >= 64) {
            std::memcpy(out_, &held_, 8);
            out_ += 8;
            filled_ -= 64;
            held_ = filled_ == 0 ? 0 : number >> (width_ - filled_);
        }
    }

    uint8_t* end() {
        const int bytes = (filled_ + 7) / 8;
        std::memcpy(out_, &held_, bytes);
        return out_ + bytes;
    }

   private:
    int width_;
    uint8_t* out_;
    uint64_t held_ = 0;
    int filled_ = 0;
};

constexpr int64_t BLOCK = 128, MINIBLOCKS = 4, MINIBLOCK = BLOCK / MINIBLOCKS;

template <typename T>
int64_t put_deltas(const T* numbers, int64_t n, uint8_t* out) {
    using U = std::make_unsigned_t<T>;
    uint8_t* at = put_varint(BLOCK, out);
    at = put_varint(MINIBLOCKS, at);
    at = put_varint(n, at);
    at = put_varint(zigzag(n == 0 ? 0 : numbers[0]), at);
    U deltas[BLOCK];
    for (int64_t first = 1; first < n; first += BLOCK) {
        const int64_t some = n - first < BLOCK ? n - first : BLOCK;
        T least = 0;
        for (int64_t place = 0; place < some; ++place) {
            deltas[place] = static_cast<U>(numbers[first + place]) - static_cast<U>(numbers[first + place - 1]);
            const T delta = static_cast<T>(deltas[place]);
            if (place == 0 || delta < least) least = delta;
        }
        at = put_varint(zigzag(least), at);
        uint8_t* widths = at;
        at += MINIBLOCKS;
        for (int64_t mini = 0; mini < MINIBLOCKS; ++mini) {
            const int64_t begin = mini * MINIBLOCK, left = some - begin;
            const int64_t stop = left < MINIBLOCK ? (left > 0 ? left : 0) : MINIBLOCK;
            U all = 0;
            for (int64_t place = begin; place < begin + stop; ++place) {
                deltas[place] -= static_cast<U>(least);
                all |= deltas[place];
            }
            widths[mini] = static_cast<uint8_t>(width_of(all));
            if (widths[mini] == 0) continue;
            Packer packer(widths[mini], at);
            for (int64_t place = 0; place < MINIBLOCK; ++place) packer.add(place < stop ? deltas[begin + place] : 0);
            at = packer.end();
        }
    }
    return at - out;
}

}  // namespace

extern "C" {

// Numbers below 2^width, width from 1 to 32, as runs of equal ones or packed, whichever is shorter (RLE). `out` has room for
// 10 + (n + 7) / 8 * width bytes; how many are filled is returned.
int64_t recsys_parquet_runs(const uint32_t* numbers, int64_t n, int32_t width, uint8_t* out) {
    const int64_t packed = 10 + (n + 7) / 8 * width;
    const int bytes = (width + 7) / 8;
    uint8_t* at = out;
    for (int64_t begin = 0, end; begin < n; begin = end) {
        for (end = begin + 1; end < n && numbers[end] == numbers[begin];) ++end;
        if (at - out + 10 + bytes > packed) {  // runs are longer
            at = put_varint(static_cast<uint64_t>((n + 7) / 8) << 1 | 1, out);
            Packer packer(width, at);
            for (int64_t place = 0; place < n; ++place) packer.add(numbers[place]);
            for (int64_t place = n; place % 8 != 0; ++place) packer.add(0);
            return packer.end() - out;
        }
        at = put_varint(static_cast<uint64_t>(end - begin) << 1, at);
        std::memcpy(at, &numbers[begin], bytes);
        at += bytes;
    }
    return at - out;
}

// Whole numbers by their differences (DELTA_BINARY_PACKED). `out` has room for 40 + 16 (n / 128 + 1) bytes and as many more
// as (n / 128 + 1) * 128 numbers have.
int64_t recsys_parquet_deltas(const int64_t* numbers, int64_t n, uint8_t* out) { return put_deltas(numbers, n, out); }

int64_t recsys_parquet_deltas_32(const int32_t* numbers, int64_t n, uint8_t* out) { return put_deltas(numbers, n, out); }

// Numbers below `size` anew, as if those that do not occur were none. `places` has room for `size`
// numbers, and so has `met`, which gets those that occur, ascending; how many these are is returned.
int64_t recsys_parquet_dense(const uint32_t* numbers, int64_t n, int64_t size, uint32_t* places, uint32_t* met,
                             uint32_t* codes) {
    std::memset(places, 0, size * sizeof(uint32_t));
    for (int64_t place = 0; place < n; ++place) places[numbers[place]] = 1;
    int64_t found = 0;
    for (int64_t number = 0; number < size; ++number) {
        if (places[number] == 0) continue;
        places[number] = static_cast<uint32_t>(found);
        met[found++] = static_cast<uint32_t>(number);
    }
    for (int64_t place = 0; place < n; ++place) codes[place] = places[numbers[place]];
    return found;
}

// Texts, each after its size (PLAIN). They stand one after the other in `data`; `out` has room for them and 4 n bytes.
void recsys_parquet_texts(const uint8_t* data, const uint32_t* sizes, int64_t n, uint8_t* out) {
    for (int64_t text = 0; text < n; ++text) {
        std::memcpy(out, &sizes[text], 4);
        std::memcpy(out + 4, data, sizes[text]);
        out += 4 + sizes[text];
        data += sizes[text];
    }
}

// Codes of values that are few: at most `most`, below 256. `values` gets each once, in the order of their first appearance.
// Returns how many there are, or -1 where they are more.
int64_t recsys_parquet_few(const uint32_t* numbers, int64_t n, int64_t most, uint32_t* values, uint32_t* codes) {
    constexpr uint32_t SLOTS = 1024, FREE = 0xFFFFFFFF;
    uint32_t slots[SLOTS];
    std::memset(slots, 0xFF, sizeof slots);
    int64_t met = 0;
    for (int64_t place = 0; place < n; ++place) {
        const uint32_t number = numbers[place];
        uint32_t slot = (number * 0x9E3779B1u) >> 22;
        while (slots[slot] != FREE && values[slots[slot]] != number) slot = (slot + 1) % SLOTS;
        if (slots[slot] == FREE) {
            if (met == most) return -1;
            values[met] = number;
            slots[slot] = static_cast<uint32_t>(met++);
        }
        codes[place] = slots[slot];
    }
    return met;
}

}  // extern "C"
