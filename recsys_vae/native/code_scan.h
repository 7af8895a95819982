// The scan of both 8-bit searches: integer scores of a tile of items and a block of queries, and who may be among the best.
//
//     v = s a + r,   q = t b + e   (a, b integers in -127..127)   q.v = t s a.b + e.(s a) + q.r
//
// so the integer score t s a.b is off by at most |e| |s a| + |q| |r| (Cauchy-Schwarz). Whoever's upper bound is below the
// k-th largest lower bound is not among the k best. The last dimension, which holds the bias of a decoder and so a number
// of another size than the others, stays float32. What float32 itself rounds, of all dimensions, is added.
#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#ifdef __AMX_INT8__
#include "amx.h"
#endif
#include "best.h"
#include "bytes.h"
#include "codes.h"
#include "tiles.h"

namespace {

// Of each item: scale s, |s a|, |r|, the last dimension, and what float32 rounds for a query of norm 1.
constexpr int FACTS = 5;
constexpr float LARGEST_NORM = 1e15f;  // above it bounds could overflow
inline float norm(const float* x, int64_t d) {
    double squares = 0.0;
    for (int64_t p = 0; p < d; ++p) squares += double(x[p]) * x[p];
    return static_cast<float>(std::sqrt(squares) * (1 + 1e-6));
}

#ifdef MULTIPLIES_BYTES

struct Candidate {
    float upper;
    int32_t row;
};

// What may still be among the best of one query.
struct Candidates {
    std::vector<Candidate> kept;
    std::vector<float> best;  // the k largest lower bounds, the smallest on top of the heap
    float proved = -std::numeric_limits<float>::infinity();  // that so many others reach, whatever the bounds say
    Excluded excluded;
    int64_t room = 0;
    bool are_too_many = false;

    void reset(int64_t k) {
        kept.clear();
        best.clear();
        best.reserve(k);
        proved = -std::numeric_limits<float>::infinity();
        excluded = {};
        room = 4 * k + 128;
        are_too_many = false;
    }
    // Count a lower bound; returns the k-th largest so far, what is proved while there are fewer.
    float note(float lower, int64_t k) {
        if (static_cast<int64_t>(best.size()) < k) {
            best.push_back(lower);
            std::push_heap(best.begin(), best.end(), std::greater<>());
        } else if (lower > best.front()) {
            replace_top(lower);
        }
        return static_cast<int64_t>(best.size()) < k ? proved : std::max(proved, best.front());
    }
    // Drop who cannot be among the k best any more.
    void cut(float border) {
        std::erase_if(kept, [&](const Candidate& one) { return one.upper < border; });
    }

  private:
    void replace_top(float lower) {
        const size_t n = best.size();
        size_t at = 0;
        for (size_t child; (child = 2 * at + 1) < n; at = child) {
            if (child + 1 < n && best[child + 1] < best[child]) ++child;
            if (best[child] >= lower) break;
            best[at] = best[child];
        }
        best[at] = lower;
    }
};

constexpr int64_t BLOCK = 64;  // queries that are scored while an item's codes are at hand: one panel or several
constexpr int64_t FEW = 16, WIDEST = 64;  // most queries for which dimensions lie side by side, and how many of these do

// Whether so many queries are few: what a vector of dimensions saves must be worth adding up its numbers in the end.
inline bool are_few_for(int64_t n, int64_t bytes) {
#if defined(__AMX_INT8__)
    return n <= 4 && bytes >= 64;
#elif defined(__AVX512VNNI__)
    return n <= FEW && bytes >= (n <= 4 ? 64 : n <= 8 ? 192 : 384);
#else
    return false;
#endif
}

constexpr int WIDE = 4, PANEL_QUERIES = WIDE * LANES;  // vectors a panel

#ifdef __AMX_INT8__
constexpr int TILE_ROWS = 16, SCANNED = 64;  // items a tile, and items scanned together, at most

// This thread's tiles, and room for the codes of items that do not lie side by side.
struct Tiles {
    TilesInUse in_use;
    Buffer<uint8_t> gathered;

    explicit Tiles(int64_t bytes) : gathered(buffer<uint8_t>(rounded_up(bytes, WIDEST) * TILE_ROWS)) {
        std::fill_n(gathered.get(), rounded_up(bytes, WIDEST) * TILE_ROWS, uint8_t{0});
    }
};
#else
constexpr int SCANNED = ROWS;
struct Tiles {
    explicit Tiles(int64_t) {}
};
#endif

// Rows a tile of `vectors`: with 16 registers no more than twelve sums stay in them.
inline int tall(int vectors) { return LANES == 16 || vectors <= 2 ? ROWS : ROWS / 2; }

// A block of queries in 8 bits, with what each has found.
struct Block {
    int64_t d, k, most, bytes, n = 0, vectors = 0;
    int64_t ahead;  // bytes ahead of a line that are fetched: of the next items where they follow, else none
    const uint8_t* end = nullptr;  // of all codes where they lie side by side, so that those of 16 items are one tile
    Coding coding;
    bool are_few = false;  // then their codes are in `lines` besides, query by query
    Tiles tiles;
    Buffer<int8_t> lines;
    Buffer<int8_t> packed;  // panels of some vectors of queries, in each group after group of four dimensions
    alignas(64) int32_t offsets[BLOCK];  // items are coded from 0 on: minus their offset times the sum of a query's integers
    alignas(64) float scales[BLOCK], lost[BLOCK], heads[BLOCK], norms[BLOCK], last[BLOCK], border[BLOCK];
    Candidates found[BLOCK];

    Block(int64_t d, int64_t k, int64_t most, int64_t bytes, Coding coding)
        : d(d), k(k), most(most), bytes(bytes), ahead(ROWS * bytes), coding(coding),
          tiles(bytes), lines(buffer<int8_t>(rounded_up(bytes, WIDEST) * FEW)),
          packed(buffer<int8_t>(rounded_up(bytes, WIDEST) * BLOCK)) {}

    const int8_t* panel(int64_t first) const { return packed.get() + first * LANES * bytes; }

    void take(const float* queries, int64_t here, const int64_t* starts, const int32_t* excluded) {
        n = here, vectors = rounded_up(here, LANES) / LANES;
        std::fill_n(packed.get(), rounded_up(bytes, WIDEST) * BLOCK, int8_t{0});
        are_few = are_few_for(here, bytes);
        if (are_few) std::fill_n(lines.get(), rounded_up(bytes, WIDEST) * FEW, int8_t{0});
        for (int64_t j = 0; j < BLOCK; ++j) {
            found[j].reset(k);
            offsets[j] = 0;
            scales[j] = lost[j] = heads[j] = norms[j] = last[j] = 0.0f;
            border[j] = std::numeric_limits<float>::infinity();
            if (j >= here) continue;
            const float* query = queries + j * d;
            float kept;
            const int64_t column = j / PANEL_QUERIES * PANEL_QUERIES;
            const int64_t lanes = std::min<int64_t>(PANEL_QUERIES, vectors * LANES - column);
            int8_t* mine = packed.get() + column * bytes + (j - column) * 4;
            const float fitting = least_fitting_scale(query, d - 1, coding.most_in_sum);
            scales[j] = std::max(least_scale(query, d - 1, LARGEST_QUERY_CODE), fitting);
            Room room{coding.most_in_sum};
            quantise(query, d - 1, scales[j], LARGEST_QUERY_CODE, [&](int64_t p, int wanted) {
                const int code = room.take(p, wanted);
                mine[p / 4 * lanes * 4 + p % 4] = static_cast<int8_t>(code);
                if (are_few) lines[j * rounded_up(bytes, WIDEST) + p] = static_cast<int8_t>(code);
                offsets[j] -= coding.offset * code;
                return code;
            }, kept, lost[j]);
            heads[j] = norm(query, d - 1);
            norms[j] = norm(query, d);
            last[j] = query[d - 1];
            if (norms[j] < LARGEST_NORM) border[j] = -std::numeric_limits<float>::infinity();
            else found[j].are_too_many = true;
            if (excluded) found[j].excluded = {excluded + starts[j], excluded + starts[j + 1]};
        }
    }
    void add(int64_t j, float score, float error, int64_t row) {
        Candidates& mine = found[j];
        if (!(score + error >= border[j]) || mine.excluded.holds(row)) return;
        mine.kept.push_back({score + error, static_cast<int32_t>(row)});
        border[j] = mine.note(score - error, k);
        if (static_cast<int64_t>(mine.kept.size()) < mine.room) return;
        mine.cut(border[j]);
        if (static_cast<int64_t>(mine.kept.size()) <= mine.room / 2) return;
        mine.room *= 2;
        if (mine.room <= most) return;
        mine.are_too_many = true;  // the bounds tell nothing apart here
        mine.kept.clear();
        border[j] = std::numeric_limits<float>::infinity();
    }
};

// Integer scores of R items and the V vectors of queries from vector `first` on, as float32.
template <int R, int V>
__attribute__((noinline)) void multiply_tile(const uint8_t* const* codes, const Block& block, int64_t first,
                                             vec (*products)[BLOCK / LANES]) {
    ints c[R * V] = {}, b[V * DEPTH];
    const uint8_t* lines[R];
    each<R>([&](auto r) { lines[r] = codes[r]; });
    const int8_t* panel = block.panel(first);
    const int64_t bytes = block.bytes;
    for (int64_t start = 0; start < bytes; start += 64) {
        each<R>([&](auto r) { __builtin_prefetch(lines[r] + block.ahead + start); });
        for (int64_t at = start; at < std::min(start + 64, bytes); at += GROUP, panel += V * LANES * GROUP) {
            each<V * DEPTH>([&](auto i) { b[i] = *reinterpret_cast<const ints*>(panel + i * LANES * 4); });
            each<R>([&](auto r) {
                ints a[DEPTH];
                each<DEPTH>([&](auto g) { a[g] = everywhere(*reinterpret_cast<const int32_t*>(lines[r] + at + g * 4)); });
                each<V>([&](auto v) { c[r * V + v] = add_products(c[r * V + v], a, b + v, V); });
            });
        }
    }
    each<R * V>([&](auto i) {
        const ints offset = *reinterpret_cast<const ints*>(block.offsets + (first + i % V) * LANES);
        products[i / V][first + i % V] = __builtin_convertvector(c[i] + offset, vec);
    });
}

#ifdef __AVX512VNNI__

// Sums of the numbers of four vectors.
inline __m128i sums_of(const __m512i* c) {
    const __m512i low = _mm512_add_epi32(_mm512_unpacklo_epi32(c[0], c[1]), _mm512_unpackhi_epi32(c[0], c[1]));
    const __m512i high = _mm512_add_epi32(_mm512_unpacklo_epi32(c[2], c[3]), _mm512_unpackhi_epi32(c[2], c[3]));
    const __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

constexpr int SHORT = 4;  // vectors of dimensions up to which those of some queries stay in registers

// The same sums for one query, four items at a time, of W vectors of dimensions.
template <int W>
__attribute__((noinline)) void multiply_one(const uint8_t* const* codes, int count, const Block& block,
                                            vec (*products)[BLOCK / LANES]) {
    const __mmask64 rest = ~uint64_t{0} >> (W * WIDEST - block.bytes);
    __m512i b[W];
    each<W>([&](auto w) { b[w] = _mm512_load_si512(block.lines.get() + w * WIDEST); });
    for (int r = 0; r < count; r += 4) {
        __m512i c[4];
        each<4>([&](auto i) {
            const uint8_t* line = codes[std::min(r + i, count - 1)];
            c[i] = _mm512_setzero_si512();
            each<W>([&](auto w) {
                __builtin_prefetch(line + block.ahead + w * WIDEST);
                const uint8_t* at = line + w * WIDEST;
                const __m512i a = w < W - 1 ? _mm512_loadu_si512(at) : _mm512_maskz_loadu_epi8(rest, at);
                c[i] = _mm512_dpbusd_epi32(c[i], a, b[w]);
            });
        });
        const __m128i sums = _mm_add_epi32(sums_of(c), _mm_set1_epi32(block.offsets[0]));
        const __m128 found = _mm_cvtepi32_ps(sums);
        for (int i = 0; i < std::min(4, count - r); ++i) products[r + i][0] = everywhere(found[i]);
    }
}

// For a group of four.
template <int W>
__attribute__((noinline)) void multiply_four(const uint8_t* const* codes, int count, const Block& block, int group,
                                             vec (*products)[BLOCK / LANES]) {
    const __mmask64 rest = ~uint64_t{0} >> (W * WIDEST - block.bytes);
    const __m128i offset = _mm_load_si128(reinterpret_cast<const __m128i*>(block.offsets) + group);
    __m512i b[4 * W];
    each<4 * W>([&](auto i) { b[i] = _mm512_load_si512(block.lines.get() + (4 * W * group + i) * WIDEST); });
    for (int r = 0; r < count; ++r) {
        const uint8_t* line = codes[r];
        __m512i c[4];
        each<4>([&](auto j) { c[j] = _mm512_setzero_si512(); });
        each<W>([&](auto w) {
            __builtin_prefetch(line + block.ahead + w * WIDEST);
            const uint8_t* at = line + w * WIDEST;
            const __m512i a = w < W - 1 ? _mm512_loadu_si512(at) : _mm512_maskz_loadu_epi8(rest, at);
            each<4>([&](auto j) { c[j] = _mm512_dpbusd_epi32(c[j], a, b[j * W + w]); });
        });
        const __m128 found = _mm_cvtepi32_ps(_mm_add_epi32(sums_of(c), offset));
        if (group) _mm_store_ps(reinterpret_cast<float*>(products[r]) + 4 * group, found);
        else products[r][0] = (vec)_mm512_zextps128_ps512(found);
    }
}

// For few queries, G groups of four: dimensions lie side by side in a vector, where queries would leave most of it empty.
template <int G>
__attribute__((noinline)) void multiply_few(const uint8_t* const* codes, int count, const Block& block,
                                            vec (*products)[BLOCK / LANES]) {
    const int64_t bytes = block.bytes, width = rounded_up(bytes, WIDEST), whole = bytes / WIDEST * WIDEST;
    const __mmask64 rest = (uint64_t{1} << (bytes - whole)) - 1;
    for (int r = 0; r < count; ++r) {
        const uint8_t* line = codes[r];
        __m512i c[4 * G];
        each<4 * G>([&](auto j) { c[j] = _mm512_setzero_si512(); });
        for (int64_t at = 0; at < width; at += WIDEST) {
            __builtin_prefetch(line + block.ahead + at);
            const __m512i a = at < whole ? _mm512_loadu_si512(line + at) : _mm512_maskz_loadu_epi8(rest, line + at);
            const int8_t* b = block.lines.get() + at;
            each<4 * G>([&](auto j) { c[j] = _mm512_dpbusd_epi32(c[j], a, _mm512_load_si512(b + j * width)); });
        }
        alignas(64) int32_t sums[LANES] = {};
        each<G>([&](auto g) { _mm_store_si128(reinterpret_cast<__m128i*>(sums + 4 * g), sums_of(c + 4 * g)); });
        const ints offset = *reinterpret_cast<const ints*>(block.offsets);
        products[r][0] = __builtin_convertvector(*reinterpret_cast<const ints*>(sums) + offset, vec);
    }
}

#endif

#ifdef __AMX_INT8__

// Integer scores of 16 items whose codes lie `stride` bytes apart, for V vectors of queries, by tiles of 64 dimensions.
// What comes after the last dimension is multiplied by zeros.
template <int V>
__attribute__((noinline)) void multiply_tiles(const uint8_t* codes, int64_t stride, int count, const Block& block,
                                              vec (*products)[BLOCK / LANES]) {
    constexpr int64_t WIDTH = V * LANES * 4;
    alignas(64) int32_t sums[TILE_ROWS][V][LANES];
    const int8_t* panel = block.panel(0);
    asm volatile("" ::: "memory");  // the intrinsics do not say that they read
    _tile_zero(0);
    if constexpr (V > 1) _tile_zero(1);
    if constexpr (V > 2) _tile_zero(2);
    if constexpr (V > 3) _tile_zero(3);
    for (int64_t at = 0; at < block.bytes; at += WIDEST, panel += WIDEST / 4 * WIDTH) {
        _tile_loadd(4, codes + at, stride);
        _tile_loadd(5, panel, WIDTH);
        _tile_dpbusd(0, 4, 5);
        if constexpr (V > 1) {
            _tile_loadd(6, panel + 64, WIDTH);
            _tile_dpbusd(1, 4, 6);
        }
        if constexpr (V > 2) {
            _tile_loadd(7, panel + 128, WIDTH);
            _tile_dpbusd(2, 4, 7);
        }
        if constexpr (V > 3) {
            _tile_loadd(5, panel + 192, WIDTH);
            _tile_dpbusd(3, 4, 5);
        }
    }
    _tile_stored(0, sums[0][0], WIDTH);
    if constexpr (V > 1) _tile_stored(1, sums[0][1], WIDTH);
    if constexpr (V > 2) _tile_stored(2, sums[0][2], WIDTH);
    if constexpr (V > 3) _tile_stored(3, sums[0][3], WIDTH);
    for (int r = 0; r < count; ++r)
        each<V>([&](auto v) {
            const ints offset = *reinterpret_cast<const ints*>(block.offsets + v * LANES);
            products[r][v] = __builtin_convertvector(*reinterpret_cast<const ints*>(sums[r][v]) + offset, vec);
        });
}

// The same of any items: codes that do not lie side by side, or with nothing behind them, are copied.
inline void multiply_by_tiles(const uint8_t* const* codes, int count, Block& block, vec (*products)[BLOCK / LANES]) {
    for (int at = 0; at < count; at += TILE_ROWS) {
        const int here = std::min(count - at, TILE_ROWS);
        const uint8_t* first = codes[at];
        int64_t stride = block.bytes;
        const uint8_t* last = first + (TILE_ROWS - 1) * stride;
        const bool are_together = here == TILE_ROWS && codes[at + TILE_ROWS - 1] == last;
        if (!are_together || last + rounded_up(stride, WIDEST) > block.end) {
            stride = rounded_up(block.bytes, WIDEST);
            for (int r = 0; r < here; ++r) std::copy_n(codes[at + r], block.bytes, block.tiles.gathered.get() + r * stride);
            first = block.tiles.gathered.get();
        }
        with_vectors<1, WIDE>(static_cast<int>(block.vectors),
                              [&]<int, int V>() { multiply_tiles<V>(first, stride, here, block, products + at); });
    }
}

#endif

// Integer scores of `count` items for all queries of a block.
inline void multiply(const uint8_t* const* codes, int count, Block& block, vec (*products)[BLOCK / LANES]) {
#ifdef __AMX_INT8__
    if (!block.are_few && count >= TILE_ROWS / 2) return multiply_by_tiles(codes, count, block, products);
#endif
#ifdef __AVX512VNNI__
    const int width = static_cast<int>(rounded_up(block.bytes, WIDEST) / WIDEST);
    if (block.are_few && width <= SHORT) {
        with_vectors<1, SHORT>(width, [&]<int, int W>() {
            if (block.n == 1) return multiply_one<W>(codes, count, block, products);
            for (int group = 0; 4 * group < block.n; ++group) multiply_four<W>(codes, count, block, group, products);
        });
        return;
    }
    if (block.are_few) {
        with_vectors<1, FEW / 4>(static_cast<int>((block.n + 3) / 4),
                        [&]<int, int G>() { multiply_few<G>(codes, count, block, products); });
        return;
    }
#endif
    const int vectors = static_cast<int>(block.vectors);
    for (int v = 0; v < vectors; v += WIDE) {
        const int wide = std::min(vectors - v, WIDE), step = tall(wide);
        for (int r = 0; r < count; r += step)
            with_tile<WIDE>(std::min(count - r, step), wide,
                            [&]<int R, int V>() { multiply_tile<R, V>(codes + r, block, v, products + r); });
    }
}

// The largest facts of a tile's items, so that one look tells for most that they cannot be among the best.
struct Largest {
    vec kept, lost, highest, lowest, rounding;

    Largest(const float* const* facts, int count) {
#if defined(__AVX512F__) && defined(__AVX512VL__)
        constexpr __mmask8 all = (1 << FACTS) - 1;
        __m256 most = _mm256_maskz_loadu_ps(all, facts[0]), least = most;
        for (int r = 1; r < count; ++r) {
            const __m256 one = _mm256_maskz_loadu_ps(all, facts[r]);
            most = _mm256_max_ps(most, one), least = _mm256_min_ps(least, one);
        }
        kept = everywhere(most[1]), lost = everywhere(most[2]), highest = everywhere(most[3]);
        lowest = everywhere(least[3]), rounding = everywhere(most[4]);
#else
        float most[FACTS], least = facts[0][3];
        std::copy_n(facts[0], FACTS, most);
        for (int r = 1; r < count; ++r) {
            for (int i = 0; i < FACTS; ++i) most[i] = std::max(most[i], facts[r][i]);
            least = std::min(least, facts[r][3]);
        }
        kept = everywhere(most[1]), lost = everywhere(most[2]), highest = everywhere(most[3]);
        lowest = everywhere(least), rounding = everywhere(most[4]);
#endif
    }
    // The most by which a score can exceed its integer product.
    vec excess(const Block& block, int64_t at) const {
        const vec last = load(block.last + at), bias = larger(last * highest, last * lowest);
        const vec rounded = load(block.norms + at) * rounding + bias, coded = load(block.heads + at) * lost + rounded;
        return load(block.lost + at) * kept + coded;
    }
};

// Takes the items of some lanes whose upper bounds reach their queries' borders.
__attribute__((noinline)) void keep(vec product, uint32_t mask, int64_t at, const float* fact, int64_t row, Block& block) {
    const vec score = load(block.last + at) * everywhere(fact[3]) + product;
    const vec rounded = load(block.norms + at) * everywhere(fact[4]);
    const vec coded = load(block.heads + at) * everywhere(fact[2]) + rounded;
    const vec error = load(block.lost + at) * everywhere(fact[1]) + coded;
    mask &= at_least(score + error, load(block.border + at));
    for (; mask; mask &= mask - 1) {
        const int lane = __builtin_ctz(mask);
        block.add(at + lane, score[lane], error[lane], row);
    }
}

// Scores `count` items for the block, and keeps whoever may be among the best.
inline void scan(const uint8_t* const* codes, const float* const* facts, const int64_t* rows, int count, Block& block) {
    constexpr int ALIKE = 8;  // items whose largest facts are looked at together, at most
    vec products[SCANNED][BLOCK / LANES];
    const int vectors = static_cast<int>(block.vectors);
    multiply(codes, count, block, products);
    for (int first = 0; first < count; first += ALIKE) {
        const int end = std::min(first + ALIKE, count);
        const Largest largest(facts + first, end - first);
        for (int v = 0; v < vectors; ++v) {
            const int64_t at = v * LANES;
            const vec scale = load(block.scales + at), needed = load(block.border + at) - largest.excess(block, at);
            for (int r = first; r < end; ++r) {
                const vec product = products[r][v] * (scale * everywhere(facts[r][0]));
                const uint32_t mask = at_least(product, needed);
                if (__builtin_expect(mask, 0)) keep(product, mask, at, facts[r], rows[r], block);
            }
        }
    }
}

#ifdef __AVX512VNNI__

// A query in twice 8 bits, t b + u c + e, whose integers bring bounds that are tighter than those of the scan.
struct FineQuery {
    int64_t d, bytes;
    Buffer<int8_t> first, second;  // b and c, padded with zeros
    float scale = 0, second_scale = 0, lost = 0, head = 0, whole = 0, last = 0;
    int32_t offset = 0, second_offset = 0;

    FineQuery(int64_t d, int64_t bytes)
        : d(d), bytes(bytes), first(buffer<int8_t>(rounded_up(bytes, WIDEST))), second(buffer<int8_t>(rounded_up(bytes, WIDEST))),
          rest(d) {}

    void take(const float* query, Coding coding) {
        std::fill_n(first.get(), rounded_up(bytes, WIDEST), int8_t{0});
        std::fill_n(second.get(), rounded_up(bytes, WIDEST), int8_t{0});
        float kept, ignored;
        offset = second_offset = 0;
        scale = least_scale(query, d - 1, LARGEST_QUERY_CODE);
        quantise(query, d - 1, scale, LARGEST_QUERY_CODE, [&](int64_t p, int code) {
            first[p] = static_cast<int8_t>(code), offset -= coding.offset * code;
            return code;
        }, kept, ignored);
        for (int64_t p = 0; p < d - 1; ++p) rest[p] = static_cast<float>(query[p] - double(scale) * first[p]);
        second_scale = least_scale(rest.data(), d - 1, LARGEST_QUERY_CODE);
        quantise(rest.data(), d - 1, second_scale, LARGEST_QUERY_CODE, [&](int64_t p, int code) {
            second[p] = static_cast<int8_t>(code), second_offset -= coding.offset * code;
            return code;
        }, kept, lost);
        lost += 0x1p-22f * norm(rest.data(), d - 1);  // that the rest is itself rounded
        head = norm(query, d - 1), whole = norm(query, d), last = query[d - 1];
    }
    // Lower and upper bound of an item's score.
    std::pair<float, float> bounds(const uint8_t* codes, const float* fact) const {
        __m512i b = _mm512_setzero_si512(), c = b;
        for (int64_t at = 0; at < bytes; at += WIDEST) {
            const __mmask64 here = at + WIDEST <= bytes ? ~uint64_t{0} : (uint64_t{1} << (bytes - at)) - 1;
            const __m512i a = _mm512_maskz_loadu_epi8(here, codes + at);
            b = _mm512_dpbusd_epi32(b, a, _mm512_load_si512(first.get() + at));
            c = _mm512_dpbusd_epi32(c, a, _mm512_load_si512(second.get() + at));
        }
        const double product = double(scale) * (_mm512_reduce_add_epi32(b) + offset) +
                               double(second_scale) * (_mm512_reduce_add_epi32(c) + second_offset);
        const float score = static_cast<float>(product * fact[0] + double(last) * fact[3]);
        const float error = lost * fact[1] + head * fact[2] + whole * fact[4];
        return {score - error, score + error};
    }

  private:
    std::vector<float> rest;
};

constexpr size_t WORTH = 12;  // candidates beyond k that are worth a closer look

// Drops the candidates that cannot be among the k best by the finer bounds.
inline void look_closer(FineQuery& fine, const float* query, Coding coding, const uint8_t* codes, const float* facts, int64_t k,
                        std::vector<int64_t>& rows, std::vector<std::pair<float, float>>& bounds, std::vector<float>& lower) {
    if (rows.size() < static_cast<size_t>(k) + WORTH) return;
    fine.take(query, coding);
    bounds.clear(), lower.clear();
    for (size_t i = 0; i < rows.size(); ++i) {
        const uint8_t* ahead = codes + rows[std::min(i + 4, rows.size() - 1)] * fine.bytes;
        for (int64_t at = 0; at < fine.bytes; at += WIDEST) __builtin_prefetch(ahead + at);
        bounds.push_back(fine.bounds(codes + rows[i] * fine.bytes, facts + rows[i] * FACTS));
        lower.push_back(bounds.back().first);
    }
    std::nth_element(lower.begin(), lower.begin() + (k - 1), lower.end(), std::greater<>());
    size_t left = 0;
    for (size_t i = 0; i < rows.size(); ++i)
        if (!(bounds[i].second < lower[k - 1])) rows[left++] = rows[i];
    rows.resize(left);
}

#endif

constexpr int TOGETHER = 8;  // candidates scored side by side: sums wait for each other, so several are under way

// Float32 scores of `count` candidates, dimension after dimension as recsys_top_k sums them; query_of and vector_of say
// where the numbers of the i-th lie, and `take` gets each score.
template <class QueryOf, class VectorOf, class Take>
inline void score_candidates(int64_t d, size_t count, QueryOf&& query_of, VectorOf&& vector_of, Take&& take) {
    for (size_t at = 0; at < count; at += TOGETHER) {
        const float *some[TOGETHER], *next[TOGETHER], *query[TOGETHER];
        float sums[TOGETHER] = {};
        each<TOGETHER>([&](auto i) {
            const size_t here = std::min(at + i, count - 1);
            query[i] = query_of(here), some[i] = vector_of(here), next[i] = vector_of(std::min(here + TOGETHER, count - 1));
        });
        for (int64_t p = 0; p < d; ++p) {
            if (p % LANES == 0) each<TOGETHER>([&](auto i) { __builtin_prefetch(next[i] + p); });
            each<TOGETHER>([&](auto i) { sums[i] = __builtin_fmaf(some[i][p], query[i][p], sums[i]); });
        }
        for (size_t i = 0; i < std::min<size_t>(TOGETHER, count - at); ++i)
            if (sums[i] > -std::numeric_limits<float>::infinity()) take(at + i, sums[i]);
    }
}

// The k best keys, written out and filled up.
inline void write_best(std::vector<Key>& keys, int64_t k, int64_t* rows, float* scores) {
    const int64_t found = std::min<int64_t>(k, keys.size());
    std::partial_sort(keys.begin(), keys.begin() + found, keys.end(), std::greater<>());
    for (int64_t i = 0; i < k; ++i) {
        rows[i] = i < found ? keys[i].row() : -1;
        scores[i] = i < found ? keys[i].score() : -std::numeric_limits<float>::infinity();
    }
}

#endif

}  // namespace
