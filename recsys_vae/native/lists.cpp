// Lists of users of whom nothing is known but a history, in one call: its rows in order, the query that the encoder makes
// of them (encoder.cpp), the k best of all other items (quantised.cpp), and these as text.
//
// Call by call, a batch of one user spends as much time between these steps as in them.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <vector>

extern "C" void recsys_encode(const int64_t* indices, const int64_t* starts, const float* values, int64_t n,
                              const float* table, const void* layers, int64_t n_layers, float* out, int64_t stride,
                              int threads);
extern "C" void recsys_lookup(const char* bytes, const int64_t* offsets, const void* slots, int64_t n_slots,
                              const char* wanted, const int64_t* starts, int64_t count, int64_t* rows);
extern "C" void recsys_quantised_top_k(const float* queries, int64_t n, const float* vectors, const uint8_t* codes,
                                       const float* facts, const uint8_t* tiles, int64_t n_items, int64_t d,
                                       const int64_t* wanted, int64_t n_wanted, const int64_t* starts,
                                       const int32_t* excluded, int64_t k, int64_t most, int64_t* out_rows,
                                       float* out_scores, int64_t* scanned, int threads);

namespace {

// As lists.py has it.
struct Lists {
    const float* table;
    const void* layers;
    int64_t n_layers;
    const float* vectors;  // (n_items, d); the last number of a query is 1
    const uint8_t* codes;
    const float* facts;
    const uint8_t* tiles;
    int64_t n_items, d;
    const char* ids;  // of all items, one after the other, none of which JSON would escape, and their table (lookup.cpp)
    const int64_t* id_starts;
    const void* slots;
    int64_t n_slots;
};

// What is asked and found, as lists.py has it.
struct Room {
    const int64_t *ends, *sizes, *lengths;
    int64_t *rows, *known, *found;
    float* scores;
    char* items;
    int64_t* item_ends;
    uint8_t* packed;
    int64_t* row_ends;
};

constexpr double POWERS[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
constexpr double LEAST = 1e-4, MOST = 1e5;  // sizes between which a score is written without an exponent, and exactly

inline char* write(char* to, const char* text, int64_t length) { return std::copy_n(text, length, to); }

template <size_t N>
inline char* write(char* to, const char (&text)[N]) {
    return write(to, text, N - 1);
}

inline char* write_digits(char* to, uint64_t number, int least) {
    char digits[20];
    int n = 0;
    for (; number || n < least; number /= 10) digits[n++] = static_cast<char>('0' + number % 10);
    while (n) *to++ = digits[--n];
    return to;
}

// A score with as few decimal digits as tell it from other float32 numbers, as JSON has it; null where it is too large or
// too small. Nine digits are always enough, fewer than six never.
char* write_score(char* to, float score) {
    if (std::signbit(score)) *to++ = '-';
    if (score == 0.0f) return write(to, "0.0");
    const double wide = std::abs(static_cast<double>(score));
    if (!(wide >= LEAST && wide < MOST)) return nullptr;
    int places = 4;  // 10^places <= wide
    while (places > 0 ? wide < POWERS[places] : wide * POWERS[-places] < 1.0) --places;
    uint64_t whole = 0;
    int behind = 0;
    for (int digits = 9; digits > 5; --digits) {
        const double power = POWERS[digits - 1 - places], rounded = std::rint(wide * power);
        if (static_cast<float>(rounded / power) != static_cast<float>(wide)) break;
        whole = static_cast<uint64_t>(rounded), behind = digits - 1 - places;
    }
    for (; behind > 0 && whole % 10 == 0; --behind) whole /= 10;
    const uint64_t power = static_cast<uint64_t>(POWERS[behind]);
    to = write_digits(to, whole / power, 1);
    *to++ = '.';
    return write_digits(to, whole % power, std::max(1, behind));
}

// Items of a list as JSON has them, without the brackets; null where a score cannot be written.
char* write_items(char* to, const Lists& lists, const int64_t* rows, const float* scores, int64_t k) {
    for (int64_t i = 0; i < k && rows[i] >= 0; ++i) {
        if (i) *to++ = ',';
        to = write(to, "{\"rank\":");
        to = write_digits(to, i + 1, 1);
        to = write(to, ",\"item_id\":\"");
        const int64_t start = lists.id_starts[rows[i]];
        to = write(to, lists.ids + start, lists.id_starts[rows[i] + 1] - start);
        to = write(to, "\",\"score\":");
        to = write_score(to, scores[i]);
        if (!to) return nullptr;
        to = write(to, ",\"source\":\"history\"}");
    }
    return to;
}

// Ascending rows as their differences, seven bits a byte, the last of each without the highest bit.
uint8_t* write_rows(uint8_t* to, const int64_t* rows, int64_t k) {
    std::vector<int64_t> ascending(rows, std::find(rows, rows + k, -1));
    std::sort(ascending.begin(), ascending.end());
    int64_t before = 0;
    for (const int64_t row : ascending) {
        uint64_t rest = row - before;
        for (; rest >= 0x80; rest >>= 7) *to++ = static_cast<uint8_t>(rest | 0x80);
        *to++ = static_cast<uint8_t>(rest);
        before = row;
    }
    return to;
}

// Lists as text.
void write_lists(const Lists& lists, const Room& room, int64_t n, int64_t k) {
    char* items = room.items;
    uint8_t* packed = room.packed;
    for (int64_t i = 0; i < n; ++i) {
        char* end = write_items(items, lists, room.found + i * k, room.scores + i * k, room.lengths[i]);
        items = end ? end : items;
        packed = write_rows(packed, room.found + i * k, room.lengths[i]);
        room.item_ends[i] = items - room.items, room.row_ends[i] = packed - room.packed;
    }
}

// Ids without what is between them, and where each starts; whether there are as many as each history is to have.
bool split(const char* text, const Room& room, int64_t n, std::vector<char>& ids, std::vector<int64_t>& starts) {
    starts.push_back(0);
    for (int64_t i = 0, at = 0; i < n; ++i) {
        const size_t before = starts.size();
        const int64_t end = room.ends[i];
        for (; room.sizes[i] && at <= end; ++at) {
            if (at < end && text[at] != 0) ids.push_back(text[at]);
            else starts.push_back(ids.size());
        }
        at = end;
        if (static_cast<int64_t>(starts.size() - before) != room.sizes[i]) return false;
    }
    return true;
}

}  // namespace

// Ids of history i, with a NUL between two, are text[ends[i - 1]] .. text[ends[i] - 1], `sizes[i]` of them; of its list the
// first lengths[i] <= k are written. Returns 0, with nothing done, where there are not so many ids.
//
// Fills, of history i: its rows as asked, -1 for what is not known, after those of the histories before; how many are
// `known`; the k best items; as text, up to item_ends[i], from where those before end, no items where a score cannot be
// written; and likewise their rows.
extern "C" int recsys_lists(const void* told, const void* lent, const char* text, int64_t n, int64_t k, int64_t most,
                            const int64_t* wanted, int64_t n_wanted, int threads) {
    const Lists& lists = *static_cast<const Lists*>(told);
    const Room& room = *static_cast<const Room*>(lent);
    std::vector<int64_t> starts;
    std::vector<char> ids;
    if (!split(text, room, n, ids, starts)) return 0;
    recsys_lookup(lists.ids, lists.id_starts, lists.slots, lists.n_slots, ids.data(), starts.data(), starts.size() - 1,
                  room.rows);
    std::vector<int64_t> indices, from{0};
    for (int64_t i = 0, at = 0; i < n; at += room.sizes[i++]) {
        std::copy_if(room.rows + at, room.rows + at + room.sizes[i], std::back_inserter(indices),
                     [](int64_t row) { return row >= 0; });
        std::sort(indices.begin() + from.back(), indices.end());
        room.known[i] = indices.size() - from.back();
        from.push_back(indices.size());
    }
    const std::vector<int32_t> excluded(indices.begin(), indices.end());
    const std::vector<float> values(indices.size(), 1.0f);
    std::vector<float> queries(n * lists.d, 1.0f);
    recsys_encode(indices.data(), from.data(), values.data(), n, lists.table, lists.layers, lists.n_layers, queries.data(),
                  lists.d, threads);
    int64_t scanned = 0;
    recsys_quantised_top_k(queries.data(), n, lists.vectors, lists.codes, lists.facts, lists.tiles, lists.n_items,
                           lists.d, wanted, n_wanted, from.data(), excluded.data(), k, most, room.found, room.scores,
                           &scanned, threads);
    write_lists(lists, room, n, k);
    return 1;
}
